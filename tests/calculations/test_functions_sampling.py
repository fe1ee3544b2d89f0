"""Calcfunctions of the frames beside the targeted set."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from phonon_nodes import dft_force_constants, spring_force_constants
from springs import brucite_cell

from aiida_mlip_ins.calculations.functions import sampling
from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.data.trajectory import to_node
from aiida_mlip_ins.science.trajectory import Trajectory

pytestmark = pytest.mark.usefixtures('aiida_profile')

THERMAL = {'temperature': 300.0, 'count': 3, 'lowest': 20.0, 'supercell': None}


def failure(function, *inputs: orm.Data, **others: orm.Data) -> str:
    """Return why a calcfunction gave nothing."""
    outputs, node = function.run_get_node(*inputs, **others)
    assert node.exit_status == 400
    assert not outputs
    return str(node.exit_message)


def test_isolated_atoms() -> None:
    node = sampling.isolated_atom_frames(orm.List(['Mg', 'O', 'H']), orm.Float(12.0))
    assert node.formulas == {'H': 1, 'Mg': 1, 'O': 1}
    assert node.sources == {'isolated': 3}
    assert {frame.info['config_type'] for frame in node.get_frames()} == {'IsolatedAtom'}
    assert 'box: 2.0' in failure(sampling.isolated_atom_frames, orm.List(['Mg']), orm.Float(2.0))


def test_thermal_frames_of_a_node() -> None:
    """The supercell of the force constants, and the cell itself on request."""
    constants = spring_force_constants()
    node = sampling.thermal_frames(constants, orm.Dict(THERMAL), orm.Int(1))
    again = sampling.thermal_frames(constants, orm.Dict(THERMAL), orm.Int(1))
    assert node.get_content() == again.get_content()
    assert [len(frame) for frame in node.get_frames()] == [90] * 3
    small = {**THERMAL, 'supercell': np.eye(3, dtype=int).tolist()}
    node = sampling.thermal_frames(constants, orm.Dict(small), orm.Int(1))
    assert [len(frame) for frame in node.get_frames()] == [5] * 3
    assert node.sources == {'thermal': 3}


def test_thermal_amplitudes_of_real_brucite() -> None:
    """DFT's force constants at Gamma: hydrogen moves most, by a tenth of an angstrom or two."""
    settings = orm.Dict({**THERMAL, 'count': 200, 'temperature': 10.0})
    frames = sampling.thermal_frames(dft_force_constants('0.0'), settings, orm.Int(1)).get_frames()
    rest = np.mean([frame.positions for frame in frames], axis=0)
    widths = np.std([frame.positions - rest for frame in frames], axis=(0, 2))
    hydrogen, oxygen = widths[3:].mean(), widths[1:3].mean()
    assert 0.05 < hydrogen < 0.25
    assert oxygen < 0.5 * hydrogen


def test_splits_are_for_frames_without_one() -> None:
    """What is in a split stays there, and a frame is held out only from what is new."""
    constants = spring_force_constants()
    old = sampling.thermal_frames(constants, orm.Dict({**THERMAL, 'count': 4}), orm.Int(1))
    old = sampling.with_splits(old, orm.Dict({'valid': 0.5}), orm.Int(1))
    kept = [frame.info['split'] for frame in old.get_frames()]
    assert sorted(kept) == ['train', 'train', 'valid', 'valid']
    new = sampling.thermal_frames(constants, orm.Dict({**THERMAL, 'count': 10}), orm.Int(2))
    both = sampling.pool_frames(a=old, b=new)
    both = sampling.with_splits(both, orm.Dict({'test': 0.3}), orm.Int(1))
    names = [frame.info['split'] for frame in both.get_frames()]
    assert names[:4] == kept
    assert sorted(names[4:]) == ['test'] * 3 + ['train'] * 7
    assert 'splits: fractions must be' in failure(
        sampling.with_splits, new, orm.Dict({'test': 1.5}), orm.Int(1)
    )


def test_thermal_settings_are_checked() -> None:
    wrong = orm.Dict({'temperature': -1.0, 'count': 3, 'lowst': 20.0})
    message = failure(sampling.thermal_frames, spring_force_constants(), wrong, orm.Int(1))
    for part in ('below the minimum', "did you mean 'lowest'?", "'lowest' is missing"):
        assert part in message


def test_frames_too_hot_are_refused() -> None:
    settings = orm.Dict({**THERMAL, 'temperature': 30000.0})
    message = failure(sampling.thermal_frames, spring_force_constants(), settings, orm.Int(1))
    assert 'atoms too close; lower the temperature' in message


def trajectory_node() -> orm.TrajectoryData:
    count, rest = 11, brucite_cell()
    moves = 0.03 * np.random.default_rng(1).normal(size=(count, len(rest), 3))
    return to_node(
        Trajectory(
            symbols=rest.get_chemical_symbols(),
            steps=np.arange(count),
            times=np.arange(count) * 0.1,
            positions=rest.positions + moves,
            velocities=np.zeros((count, len(rest), 3)),
            cells=np.broadcast_to(rest.cell.array, (count, 3, 3)).copy(),
            potential_energy=np.zeros(count),
            conserved_energy=np.zeros(count),
            pressure=np.zeros(count),
        )
    )


def test_frames_of_a_trajectory() -> None:
    node = sampling.frames_from_trajectory(trajectory_node(), orm.Float(0.4), orm.Float(0.2))
    frames = node.get_frames()
    np.testing.assert_allclose([frame.info['time_ps'] for frame in frames], [0.2, 0.6, 1.0])
    assert node.sources == {'md': 3}
    assert 'ends at 1 ps' in failure(
        sampling.frames_from_trajectory, trajectory_node(), orm.Float(0.4), orm.Float(3.0)
    )


def test_frames_of_relaxations() -> None:
    """Steps of a MACE job (frames) and of pw.x (a trajectory) give the same frames."""
    steps = []
    for index in range(6):
        step = brucite_cell()
        step.positions[3, 0] += 0.02 * index
        step.info['source'] = 'relaxation'
        steps.append(step)
    trajectory = orm.TrajectoryData()
    trajectory.set_trajectory(
        symbols=list(steps[0].symbols),
        positions=np.array([step.positions for step in steps]),
        cells=np.array([step.cell.array for step in steps]),
        stepids=np.arange(6),
        pbc=(True, True, True),
    )
    for node in (FramesData.from_frames(steps), trajectory):
        found = sampling.frames_from_relaxation(node, orm.Float(0.039)).get_frames()
        moved = [frame.positions[3, 0] - brucite_cell().positions[3, 0] for frame in found]
        np.testing.assert_allclose(moved, [0.0, 0.04, 0.08, 0.1], atol=1e-7)
        assert {frame.info['source'] for frame in found} == {'relaxation'}


def test_a_pool_has_each_frame_once() -> None:
    one, two = brucite_cell(), brucite_cell(3.2)
    for frame, source in ((one, 'a'), (two, 'b')):
        frame.info['source'] = source
    sets = {
        'first': FramesData.from_frames([one]),
        'second': FramesData.from_frames([two, one]),
    }
    assert sampling.pool_frames(**sets).sources == {'a': 1, 'b': 1}


def test_overlapping_snapshots_are_refused() -> None:
    broken = trajectory_node()
    positions = broken.get_positions().copy()
    positions[6, 3] = positions[6, 1] + [0.1, 0.0, 0.0]
    broken.set_array('positions', positions)
    message = failure(sampling.frames_from_trajectory, broken, orm.Float(0.1), orm.Float(0.0))
    assert 'frame 6 (md)' in message
    assert 'a run that does' in message
