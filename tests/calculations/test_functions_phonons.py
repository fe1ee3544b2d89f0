import numpy as np
import pytest
from aiida import orm
from aiida_phonopy.data import ForceConstantsData, PreProcessData
from phonon_nodes import (
    PARAMETERS,
    dft_force_constants,
    dimerising_force_constants,
    spring_dataset,
    spring_force_constants,
    spring_structure,
)
from springs import brucite_dft

from aiida_mlip_ins.calculations.functions.phonons import (
    analyse_modes,
    displaced_frames,
    generate_displacements,
    make_force_constants,
)
from aiida_mlip_ins.data.frames import DatasetData


@pytest.fixture
def parameters(aiida_profile):
    return orm.Dict(PARAMETERS)


@pytest.fixture
def displacements(parameters):
    return generate_displacements(spring_structure(), orm.List([3, 3, 2]), parameters)


def test_modes_have_the_masses_of_the_nuclides(parameters):
    light = analyse_modes(dft_force_constants('0.0'), parameters)
    heavy = analyse_modes(dft_force_constants('0.0'), parameters, orm.Dict({'H': 'D'}))
    masses = [found['modes'].get_array('masses') for found in (light, heavy)]
    assert masses[1][:3].tolist() == masses[0][:3].tolist()
    assert masses[1][3:] == pytest.approx([2.0141018] * 2)
    stretches = [found['modes'].get_array('frequencies')[-2:] for found in (light, heavy)]
    # Two atoms on a spring: the root of the reduced masses, as oxygen hardly feels the rest.
    reduced = [m * 15.9994 / (m + 15.9994) for m in (1.00794, 2.0141018)]
    assert stretches[0] / stretches[1] == pytest.approx(np.sqrt(reduced[1] / reduced[0]), rel=0.01)
    exact = [found['modes'].get_array('exact_frequencies').max() for found in (light, heavy)]
    assert exact[0] / exact[1] == pytest.approx(stretches[0][1] / stretches[1][1], rel=1e-3)
    assert heavy['summary']['max_residual_force_ev_per_angstrom'] is None


def test_symmetry_leaves_eight_displacements_of_brucite_along_one_axis_each(
    displacements, parameters
):
    assert isinstance(displacements, PreProcessData)
    frames = displaced_frames(displacements, parameters)
    assert frames.n_frames == 9
    atoms = frames.get_frames()
    assert [frame.info['displacement'] for frame in atoms] == list(range(9))
    assert {len(frame) for frame in atoms} == {90}
    for frame in atoms[1:]:
        shift = frame.positions - atoms[0].positions
        moved = np.linalg.norm(shift, axis=1)
        assert (moved > 1e-6).sum() == 1
        assert moved.max() == pytest.approx(0.01, abs=1e-6)
        # The Cartesian axes of this cell, a along x and c along z, are those of its symmetry.
        assert (np.abs(shift) > 1e-6).sum() == 1


@pytest.mark.parametrize('change', [{'is_diagonal': True}, {'is_diagonal': None}])
def test_as_phonopy_has_them_by_itself_five_are_left_along_several_axes(parameters, change):
    # Nodes from before the setting have none.
    settings = {k: v for k, v in {**PARAMETERS, **change}.items() if v is not None}
    made = generate_displacements(spring_structure(), orm.List([3, 3, 2]), orm.Dict(settings))
    frames = displaced_frames(made, orm.Dict(settings)).get_frames()
    assert len(frames) == 6
    assert (np.abs(frames[1].positions - frames[0].positions) > 1e-6).sum() == 2


def test_without_the_undisplaced_supercell_there_is_one_frame_less(displacements):
    parameters = orm.Dict({**PARAMETERS, 'undisplaced': False})
    frames = displaced_frames(displacements, parameters).get_frames()
    assert [frame.info['displacement'] for frame in frames] == list(range(1, 9))


def test_forces_become_the_force_constants_of_the_springs(displacements, parameters):
    frames = displaced_frames(displacements, parameters)
    found = make_force_constants(displacements, spring_dataset(frames), parameters)
    assert isinstance(found, ForceConstantsData)
    expected = spring_force_constants()
    assert found.force_constants.shape == (5, 90, 3, 3)
    assert found.force_constants == pytest.approx(expected.force_constants, abs=2e-3)
    assert found.base.attributes.get('max_residual_force') == 0.0
    assert found.base.attributes.get('method') == 'springs'
    # Each stored node stands on the forces it was made from.
    assert found.creator.inputs.dataset.creator is None


def test_residual_forces_are_taken_off(displacements, parameters):
    frames = displaced_frames(displacements, parameters)
    clean = make_force_constants(displacements, spring_dataset(frames), parameters)
    found = make_force_constants(displacements, spring_dataset(frames, 0.02), parameters)
    assert found.force_constants == pytest.approx(clean.force_constants, abs=1e-5)
    assert found.base.attributes.get('max_residual_force') == pytest.approx(0.02)


def changed(dataset: DatasetData, change) -> DatasetData:
    return DatasetData.from_frames(change(dataset.get_frames()), method='springs')


def drop(frames):
    return frames[:2] + frames[3:]


def swap(frames):
    frames[1].info['index'], frames[2].info['index'] = 2, 1
    return frames


def other_atoms(frames):
    frames[1].symbols[0] = 'Ca'
    return frames


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (drop, '1 of 9 displaced supercells have no forces: [2]'),
        (swap, 'is not the displaced supercell that it is numbered as'),
        (other_atoms, 'has other atoms'),
    ],
)
def test_forces_of_something_else_are_refused(displacements, parameters, change, message):
    dataset = changed(spring_dataset(displaced_frames(displacements, parameters)), change)
    _, node = make_force_constants.run_get_node(displacements, dataset, parameters)
    assert node.exit_status == 401
    assert message in node.exit_message


def test_order_of_the_labelled_frames_does_not_matter(displacements, parameters):
    dataset = spring_dataset(displaced_frames(displacements, parameters))
    one = make_force_constants(displacements, dataset, parameters)
    other = make_force_constants(displacements, changed(dataset, lambda f: f[::-1]), parameters)
    assert other.force_constants == pytest.approx(one.force_constants)


def test_modes_and_summary_of_dft(aiida_profile):
    parameters = orm.Dict({**PARAMETERS, 'mesh': [1, 1, 1], 'gamma_centred': True})
    found = analyse_modes(dft_force_constants('0.0'), parameters)
    modes, summary = found['modes'], found['summary'].get_dict()
    expected = brucite_dft('0.0')[2]
    assert modes.get_array('frequencies')[3:] == pytest.approx(expected[3:], rel=1e-4)
    assert modes.get_array('eigenvectors').shape == (15, 5, 3)
    assert np.iscomplexobj(modes.get_array('eigenvectors'))
    assert modes.base.attributes.get('symbols') == ['Mg', 'O', 'O', 'H', 'H']
    assert modes.base.attributes.get('units')['frequencies'] == '1/cm'
    assert summary['min_frequency_per_cm'] == pytest.approx(281.389, rel=1e-4)
    assert summary['imaginary'] is False
    assert summary['n_qpoints'] == 1


def test_unstable_crystal_is_described_and_not_refused(aiida_profile):
    found = analyse_modes(spring_force_constants(-1.0), orm.Dict(PARAMETERS))
    summary = found['summary'].get_dict()
    assert summary['imaginary'] is True
    assert summary['imaginary_share'] == pytest.approx(1.0)
    assert summary['min_frequency_per_cm'] < -3500


def test_kinds_and_isotopes_survive(aiida_profile):
    structure = orm.StructureData(cell=np.eye(3) * 4)
    structure.append_atom(position=(0, 0, 0), symbols='H', name='D1', mass=2.014)
    structure.append_atom(position=(2, 2, 2), symbols='Li')
    made = generate_displacements(structure, orm.List([2, 2, 2]), orm.Dict(PARAMETERS))
    frames = displaced_frames(made, orm.Dict(PARAMETERS)).get_frames()
    assert sorted(set(frames[0].symbols)) == ['H', 'Li']
    constants = make_force_constants(
        made, spring_dataset(displaced_frames(made, orm.Dict(PARAMETERS))), orm.Dict(PARAMETERS)
    )
    modes = analyse_modes(constants, orm.Dict(PARAMETERS))['modes']
    assert modes.base.attributes.get('symbols') == ['H', 'Li']
    assert modes.get_array('masses')[0] == pytest.approx(2.014)


def test_a_crystal_that_is_soft_at_the_border_alone_is_not_called_stable(aiida_profile):
    found = analyse_modes(dimerising_force_constants(), orm.Dict({**PARAMETERS, 'mesh': [4, 1, 1]}))
    modes, summary = found['modes'], found['summary'].get_dict()
    assert modes.get_array('mesh_frequencies').min() > 150
    assert summary['imaginary_share'] == 0.0
    assert summary['imaginary'] is True
    lowest = -521.47 * np.sqrt(0.04 / 1.008)
    assert summary['min_frequency_per_cm'] == pytest.approx(lowest, rel=1e-4)
    assert summary['min_frequency_q'] == [0.5, 0.0, 0.0]
    assert [point['weight'] for point in summary['imaginary_points']] == [0.25]
    assert modes.get_array('exact_points')[:, 0].tolist() == [0.0, 0.25, 0.5]
    assert modes.get_array('exact_frequencies').shape == (3, 3)
    assert set(modes.base.attributes.get('units')) >= {'exact_points', 'exact_frequencies'}
