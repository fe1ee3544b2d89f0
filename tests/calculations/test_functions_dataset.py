"""Calcfunctions between structures, frames, pw.x outputs and datasets."""

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType

from aiida_mlip_ins.calculations.functions import dataset, frames
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3

pytestmark = pytest.mark.usefixtures('aiida_profile')

SAMPLING = {
    'path': {'pressures': [-1.0, 0.0, 1.5]},
    'rattle': {
        'count': 6, 'pressures': [0.0, 1.5], 'strain': 0.004, 'heavy': 0.02, 'tilt': 0.08,
        'stretch': 0.005, 'scales': [1.0],
    },
    'splits': {'valid': 0.2, 'test': 0.2},
}  # fmt: skip


def outputs_of_pw(atoms, energy, pressure_gpa=2.0, steps=1):
    """Return what aiida-quantumespresso stores: eV, eV/angstrom, GPa with pw.x's sign."""
    trajectory = orm.TrajectoryData()
    trajectory.set_trajectory(
        symbols=list(atoms.symbols),
        positions=np.array([atoms.positions] * steps),
        cells=np.array([atoms.cell.array] * steps),
        stepids=np.arange(steps),
    )
    trajectory.set_array('energy', np.full(steps, energy))
    forces = np.zeros((steps, len(atoms), 3))
    forces[-1] = np.arange(3 * len(atoms)).reshape(-1, 3)
    trajectory.set_array('forces', forces)
    stress = np.zeros((steps, 3, 3))
    stress[-1] = np.eye(3) * pressure_gpa
    trajectory.set_array('stress', stress)
    parameters = orm.Dict({'number_ionic_steps': steps})
    return parameters, trajectory


@pytest.fixture
def three(brucite):
    made = []
    for index in range(3):
        frame = brucite.copy()
        frame.info = {'source': 'rattle', 'split': 'train', 'number': index}
        frame.rattle(0.01, seed=index)
        made.append(frame)
    return FramesData.from_frames(made)


def test_targeted_set_is_seeded_and_split(brucite):
    compressed = brucite.copy()
    compressed.set_cell(brucite.cell * 0.99, scale_atoms=True)
    inputs = {
        'settings': orm.Dict(SAMPLING),
        'pressures': orm.List([0.0, 1.5]),
        'pressure_0': to_structure(brucite),
        'pressure_1': to_structure(compressed),
    }
    first = frames.targeted_configurations(seed=orm.Int(1), **inputs)
    same = frames.targeted_configurations(seed=orm.Int(1), **inputs)
    other = frames.targeted_configurations(seed=orm.Int(2), **inputs)
    assert first.get_content() == same.get_content() != other.get_content()
    assert first.sources == {'path': 3, 'rattle': 6}
    splits = [frame.info['split'] for frame in first.get_frames()]
    assert {split: splits.count(split) for split in set(splits)} == {
        'train': 7, 'valid': 1, 'test': 1,
    }  # fmt: skip


def test_structures_keep_order_and_key(three):
    structures = frames.structures_from_frames(three)
    assert sorted(structures) == ['frame_0000', 'frame_0001', 'frame_0002']
    for index, frame in enumerate(three.get_frames()):
        atoms = to_atoms(structures[f'frame_{index:04d}'])
        np.testing.assert_allclose(atoms.positions, frame.positions)
    node = structures['frame_0001']
    links = node.base.links.get_incoming(link_type=LinkType.CREATE).all()
    assert [link.link_label for link in links] == ['frame_0001']


def test_frames_from_structures(brucite):
    node = frames.frames_from_structures(
        pressure_0=to_structure(brucite), pressure_1=to_structure(brucite * (2, 1, 1))
    )
    assert node.sources == {'pressure': 2}
    assert [len(frame) for frame in node.get_frames()] == [5, 10]


def test_kpoints_are_shared(three, brucite):
    meshes = frames.kpoints_for_frames(three, orm.Float(0.9))
    assert list(meshes) == ['mesh_3_3_2']
    assert meshes['mesh_3_3_2'].get_kpoints_mesh() == ([3, 3, 2], [0.0, 0.0, 0.0])
    single = frames.kpoints_for_structure(to_structure(brucite), orm.Float(0.9))
    assert single.get_kpoints_mesh()[0] == [3, 3, 2]


def test_dataset_has_units_sign_and_index(three):
    outputs = {}
    for index in (0, 2):
        frame = three.get_frames()[index]
        outputs[f'frame_{index:04d}'] = outputs_of_pw(frame, -100.0 - index)[1]
    node = dataset.collect_dataset(three, orm.Str('pw.x test'), **outputs)
    assert isinstance(node, DatasetData)
    assert node.method == 'pw.x test'
    first, last = node.get_frames()
    assert (first.info['index'], last.info['index']) == (0, 2)
    assert (last.info['number'], last.info['split']) == (2, 'train')
    assert last.info['REF_energy'] == -102.0
    compressed = np.array([-2.0, -2.0, -2.0, 0, 0, 0]) / GPA_PER_EV_PER_ANGSTROM3
    np.testing.assert_allclose(last.info['REF_stress'], compressed)
    np.testing.assert_allclose(last.arrays['REF_forces'], np.arange(15).reshape(5, 3))


def test_dataset_comes_from_each_output(three):
    trajectory = outputs_of_pw(three.get_frames()[1], -100.0)[1]
    node = dataset.collect_dataset(three, orm.Str('x'), frame_0001=trajectory)
    labels = set(node.creator.base.links.get_incoming().all_link_labels())
    assert labels == {'frames', 'method', 'frame_0001'}


def test_labels_without_stress(three):
    frame = three.get_frames()[0]
    trajectory = outputs_of_pw(frame, -1.0)[1]
    bare = orm.TrajectoryData()
    bare.set_trajectory(symbols=list(frame.symbols), positions=frame.positions[None])
    for name in ('energy', 'forces'):
        bare.set_array(name, trajectory.get_array(name))
    assert dataset.pw_labels(bare)[2] is None


def test_pressure_scan_table(brucite):
    smaller = brucite.copy()
    smaller.set_cell(brucite.cell * 0.99, scale_atoms=True)
    outputs = {}
    for name, atoms, pressure in (('1_0', smaller, 1.6), ('1_1', smaller, 1.5)):
        parameters, trajectory = outputs_of_pw(atoms, -50.0, pressure, steps=3)
        trajectory.set_array('forces', np.zeros((3, 5, 3)))
        outputs |= {
            f'parameters_{name}': parameters,
            f'trajectory_{name}': trajectory,
            f'structure_{name}': to_structure(atoms),
        }
    table = dataset.collect_pressure_scan(
        structure=to_structure(brucite),
        pressures=orm.List([0.0, 1.5]),
        volume_tolerance=orm.Float(1e-3),
        symprec=orm.Float(1e-3),
        **outputs,
    )
    (row,) = table['pressures']
    assert (row['index'], row['pressure_gpa']) == (1, 1.5)
    assert (row['repeats'], row['steps'], row['converged']) == (2, 6, True)
    assert row['stress_residual_gpa'] == pytest.approx(0.0, abs=1e-9)
    assert row['volumes_angstrom3'][0] == pytest.approx(brucite.get_volume())
    assert row['volume_angstrom3'] == pytest.approx(smaller.get_volume())
    assert row['last_volume_change'] == pytest.approx(0.0)


def test_pressure_scan_that_still_moves(brucite):
    smaller = brucite.copy()
    smaller.set_cell(brucite.cell * 0.99, scale_atoms=True)
    parameters, trajectory = outputs_of_pw(smaller, -50.0)
    table = dataset.collect_pressure_scan(
        structure=to_structure(brucite),
        pressures=orm.List([0.0]),
        volume_tolerance=orm.Float(1e-3),
        symprec=orm.Float(1e-3),
        parameters_0_0=parameters,
        trajectory_0_0=trajectory,
        structure_0_0=to_structure(smaller),
    )
    (row,) = table['pressures']
    assert row['converged'] is False
    assert row['last_volume_change'] == pytest.approx(1 - 0.99**3)
