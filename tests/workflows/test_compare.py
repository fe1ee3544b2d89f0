"""The comparison: what it makes of real modes at two pressures, and what it refuses."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from phonon_nodes import (
    dft_force_constants,
    dft_modes_nodes,
    dft_structure,
    spring_force_constants,
    spring_structure,
)
from pw_mocks import instantiate

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.sampling import pressure_path
from aiida_mlip_ins.workflows.compare import CompareWorkChain
from aiida_mlip_ins.workflows.protocols import PROTOCOLS

PRESSURES = [0.0, 1.5]


def spectrum(place: float, pressure: float) -> InsSpectrumData:
    edges = np.arange(0.0, 501.0)
    line = np.exp(-0.5 * ((edges[:-1] + 0.5 - place) / 5) ** 2)[None]
    return InsSpectrumData.from_arrays(edges, line, [{}], 'broadened', 10.0, 'TOSCA', pressure)


@pytest.fixture
def nodes(aiida_profile):
    """Return DFT's nodes, which stand for both methods."""
    found = {'modes': {}, 'structures': {}, 'phonons': {}, 'spectra': {}}
    for index, pressure in enumerate(('0.0', '1.5')):
        key = f'pressure_{index}'
        modes, summary = dft_modes_nodes(pressure)
        found['modes'][key] = modes
        found['phonons'][key] = summary
        found['structures'][key] = dft_structure(pressure)
        found['spectra'][key] = spectrum(200 + 7 * index, PRESSURES[index])
    return found


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_makes_inputs_that_are_accepted(aiida_profile, protocol):
    structures = {'pressure_0': dft_structure('0.0')}
    builder = CompareWorkChain.get_builder_from_protocol(
        [0.0], {'structures': structures}, protocol=protocol
    )
    process = instantiate(builder)
    assert process.inputs.parameters['degeneracy_tolerance'] > 0


def run(*arguments, **keywords):
    builder = CompareWorkChain.get_builder_from_protocol(*arguments, **keywords)
    return run_get_node(builder)


def test_dft_against_itself(nodes):
    dft = {kind: nodes[kind] for kind in ('modes', 'structures')}
    errors = orm.Dict({'test': {'force_mae': 6.8}})
    outputs, node = run(PRESSURES, nodes, dft, errors)
    assert node.is_finished_ok, node.exit_message
    assert called(node) == ['compare_pressures']
    metrics, table = outputs['metrics'].get_dict(), outputs['table'].get_dict()
    for row, pressure, volume in zip(
        metrics['pressures'], PRESSURES, (39.7197, 38.6742), strict=True
    ):
        assert row['pressure_gpa'] == pressure
        assert row['volume_angstrom3'] == pytest.approx(volume, abs=1e-3)
        assert row['volume_error_percent'] == pytest.approx(0.0, abs=1e-9)
        assert row['gamma_mae_per_cm'] == pytest.approx(0.0, abs=1e-9)
        assert row['min_frequency_per_cm'] > 200
        assert row['imaginary'] is False
    assert metrics['force_errors'] == {'test': {'force_mae': 6.8}}
    assert metrics['shift_directions'] == {'n_modes': 12, 'n_same_direction': 12}
    assert metrics['spectra'][0]['wasserstein_per_cm'] == pytest.approx(7.0, rel=1e-3)
    assert table['pressures_gpa'] == PRESSURES
    stretches = [row for row in table['rows'] if row['kind'] == 'stretch']
    assert [row['mace_direction'][1] for row in stretches] == ['red', 'red']
    assert [row['dft_direction'][1] for row in stretches] == ['red', 'red']


def test_measured_peaks_stand_beside_the_modes(nodes):
    peaks = {
        'pressure_0': orm.List([{'position': 283.0, 'width': 9.0}, {'position': 1640.0}]),
        'pressure_1': orm.List([{'position': 291.0}]),
    }
    outputs, node = run(PRESSURES, nodes, peaks=peaks)
    assert node.is_finished_ok, node.exit_message
    table = outputs['table'].get_dict()
    lattice = table['rows'][0]
    assert lattice['experiment_per_cm'] == [283.0, 291.0]
    assert lattice['experiment_slope_per_cm_per_gpa'] == pytest.approx(8.0 / 1.5)
    assert lattice['mace_irrep'] == ['Eg', 'Eg']
    assert [row['pressure_gpa'] for row in table['experiment']] == PRESSURES
    assert table['experiment'][0]['extra'] == [{'position': 1640.0}]
    anomalous = outputs['metrics'].get_dict()['anomalous']['mace']
    assert anomalous['n_modes'] == len(anomalous['modes']) == 4
    assert outputs['table'].creator.inputs.experiment__peaks__pressure_0.uuid == (
        peaks['pressure_0'].uuid
    )


def test_wrong_peaks_are_refused(nodes):
    peaks = {'pressure_0': orm.List([{'postion': 283.0}]), 'pressure_7': orm.List([])}
    with pytest.raises(ValueError, match=r'\w') as error:
        run(PRESSURES, nodes, peaks=peaks)
    assert "did you mean 'position'" in str(error.value)
    assert 'experiment.peaks: no such pressure: pressure_7' in str(error.value)


def test_without_dft_and_without_one_pressure(nodes):
    del nodes['modes']['pressure_1'], nodes['spectra']['pressure_1']
    outputs, node = run(PRESSURES, nodes)
    assert node.is_finished_ok
    metrics = outputs['metrics'].get_dict()
    assert 'gamma_mae_per_cm' not in metrics['pressures'][0]
    assert 'volume_dft_angstrom3' not in metrics['pressures'][0]
    assert metrics['spectra'] == []
    rows = outputs['table'].get_dict()['rows']
    assert [row['mace_per_cm'][1] for row in rows] == [None] * 12


def called(node):
    return sorted(child.process_label for child in node.called)


def test_force_constants_of_a_supercell_are_compared_over_the_zone(nodes):
    constants = {'pressure_0': dft_force_constants('0.0'), 'pressure_1': spring_force_constants()}
    stiffer = {'pressure_0': constants['pressure_0'], 'pressure_1': spring_force_constants(1.1**2)}
    # DFT's of the cell alone say nothing beyond Gamma.
    outputs, node = run(
        PRESSURES, {**nodes, 'force_constants': stiffer}, {'force_constants': constants}
    )
    assert node.is_finished_ok, node.exit_message
    assert called(node) == ['compare_on_supercell', 'compare_pressures']
    (key,) = outputs['supercell']
    assert key == 'pressure_1'
    found = outputs['supercell'][key].get_dict()
    assert len(found['points']) == 10
    assert found['mae_per_cm'] == found['mean_per_cm'] > 50
    links = outputs['supercell'][key].creator.inputs
    assert links.dft.uuid == constants[key].uuid
    assert links.mace.uuid == stiffer[key].uuid
    metrics = outputs['metrics']
    assert 'mace__force_constants__pressure_1' not in list(metrics.creator.inputs)


def test_force_constants_of_other_crystals_are_not_comparable(nodes):
    other = spring_force_constants()
    structure = spring_structure().get_ase()
    structure.symbols[0] = 'Ca'
    other = type(other)(
        structure=orm.StructureData(ase=structure), supercell_matrix=[3, 3, 2],
        primitive_matrix=np.eye(3).tolist(),
    )  # fmt: skip
    other.set_force_constants(spring_force_constants().force_constants)
    pair = [{'force_constants': {'pressure_0': n}} for n in (other, spring_force_constants())]
    _, node = run(PRESSURES, *pair)
    assert node.exit_status == CompareWorkChain.exit_codes.ERROR_NOT_COMPARABLE.status
    assert 'Ca1' in node.exit_message


def test_whether_each_pressure_was_trained_on(nodes):
    """A path that ends a little beyond the second pressure, whose first crystal is missing."""
    cells = {p: dft_structure(str(p)).get_ase() for p in PRESSURES}
    frames = pressure_path(cells, [0.0, 0.75, 1.6])
    for frame in frames:
        frame.info['REF_energy'] = -100.0
        frame.info['REF_stress'] = -frame.info['pressure'] / 160.2 * np.array([1, 1, 1, 0, 0, 0])
        frame.arrays['REF_forces'] = np.zeros((5, 3))
    dataset = DatasetData.from_frames(frames, 'pw.x test')
    del nodes['structures']['pressure_0']
    outputs, node = run(PRESSURES, nodes, dataset=dataset)
    assert node.is_finished_ok, node.exit_message
    (row,) = outputs['reach'].get_dict()['pressures']
    assert (row['index'], row['pressure_gpa'], row['n_frames']) == (1, 1.5, 3)
    assert row['verdict'] == 'at the edge'
    assert row['sentence'].startswith('at the edge: pressure 1.5, frames from 0 to 1.6 GPa')
    assert outputs['reach'].creator.inputs.dataset.uuid == dataset.uuid
    wrong = {'reach': {'volume_margin': -1.0}}
    with pytest.raises(ValueError, match='volume_margin'):
        run(PRESSURES, nodes, dataset=dataset, overrides=wrong)


def test_the_graph_leads_to_every_node(nodes):
    outputs, _ = run(PRESSURES, nodes)
    inputs = outputs['metrics'].creator.inputs
    assert inputs.mace__modes__pressure_0.uuid == nodes['modes']['pressure_0'].uuid
    assert inputs.mace__spectra__pressure_1.uuid == nodes['spectra']['pressure_1'].uuid
    assert outputs['table'].creator.uuid == outputs['metrics'].creator.uuid


def test_other_crystals_are_not_comparable(nodes):
    other = orm.ArrayData(
        {name: nodes['modes']['pressure_0'].get_array(name)
         for name in nodes['modes']['pressure_0'].get_arraynames()}
    )  # fmt: skip
    other.base.attributes.set('symbols', ['Ca', 'O', 'O', 'H', 'H'])
    dft = {'modes': {'pressure_0': other}}
    _, node = run(PRESSURES, nodes, dft)
    assert node.exit_status == CompareWorkChain.exit_codes.ERROR_NOT_COMPARABLE.status
    assert 'Ca1' in node.exit_message


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'pressures': []}, 'give at least one'),
        ({'pressures': [0.0]}, 'no such pressure: pressure_1'),
        ({'mace': {}}, 'give modes, structures or spectra'),
        ({'overrides': {'parameters': {'overlap': 1}}}, "did you mean 'min_overlap'"),
        ({'overrides': {'parameters': {'min_overlap': 2.0}}}, 'above the maximum'),
    ],
)
def test_wrong_inputs_are_refused(aiida_profile, change, message):
    structures = {f'pressure_{i}': dft_structure(p) for i, p in enumerate(('0.0', '1.5'))}
    given = {'pressures': PRESSURES, 'mace': {'structures': structures}, **change}
    with pytest.raises(ValueError, match=r'\w') as error:
        run(**given)
    assert message in str(error.value)
