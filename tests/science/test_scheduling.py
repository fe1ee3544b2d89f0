"""K-point meshes, cost and the division into lanes."""

import numpy as np
import pytest
from ase.build import bulk

from aiida_mlip_ins.science import scheduling
from aiida_mlip_ins.science.dataset import read_frames, write_frames
from aiida_mlip_ins.science.sampling import supercells


def test_mesh_of_brucite_in_the_fast_protocol(brucite):
    large = brucite * (2, 1, 1)
    assert scheduling.kpoint_meshes([brucite, large], 0.9) == [(3, 3, 2), (2, 3, 2)]


def test_mesh_keeps_the_distance(brucite):
    for distance in (0.2, 0.35, 0.8):
        (mesh,) = scheduling.kpoint_meshes([brucite], distance)
        lengths = np.linalg.norm(2 * np.pi * brucite.cell.reciprocal().array, axis=1)
        assert np.all(lengths / mesh <= distance)
        assert np.all(lengths / (np.array(mesh) - 1 + 1e-9) > distance)


def test_strained_copies_share_a_mesh(brucite):
    distance = 1.3183 / 2
    small, large = brucite.copy(), brucite.copy()
    small.set_cell(brucite.cell * [1, 1, 0.99], scale_atoms=True)
    large.set_cell(brucite.cell * [1, 1, 1.01], scale_atoms=True)
    alone = [scheduling.kpoint_meshes([atoms], distance)[0] for atoms in (small, large)]
    assert alone[0] != alone[1]
    together = scheduling.kpoint_meshes([small, large], distance)
    assert together[0] == together[1]


def test_supercells_of_one_formula_do_not_share(brucite):
    meshes = scheduling.kpoint_meshes([brucite * (2, 1, 1), brucite * (1, 1, 2)], 0.9)
    assert meshes == [(2, 3, 2), (3, 3, 1)]


def test_cost_grows_with_atoms_and_lost_symmetry(brucite):
    rattled = brucite.copy()
    rattled.rattle(0.05, seed=1)
    symmetric = scheduling.relative_cost(brucite, (3, 3, 2))
    general = scheduling.relative_cost(rattled, (3, 3, 2))
    double = scheduling.relative_cost(rattled * (2, 1, 1), (2, 3, 2))
    assert symmetric < general < double


def test_division_is_balanced_and_complete():
    costs = {f'frame_{i}': float(1 + i % 7) for i in range(40)}
    shares = scheduling.divided(costs, 3)
    assert sorted(task for share in shares for task in share) == sorted(costs)
    loads = [sum(costs[task] for task in share) for share in shares]
    assert max(loads) - min(loads) <= max(costs.values())
    assert shares[0][0] == 'frame_6'


@pytest.mark.parametrize(('tasks', 'lanes', 'expected'), [(1, 4, 1), (2, 4, 2), (5, 1, 1)])
def test_no_more_lanes_than_tasks(tasks, lanes, expected):
    shares = scheduling.divided({str(i): 1.0 for i in range(tasks)}, lanes)
    assert len(shares) == expected


def test_equal_tasks_keep_their_order():
    assert scheduling.divided({'a': 1.0, 'b': 1.0, 'c': 1.0}, 1) == [['a', 'b', 'c']]


def test_mesh_of_a_cubic_crystal_is_isotropic():
    (mesh,) = scheduling.kpoint_meshes([bulk('LiH', 'rocksalt', a=4.0)], 0.5)
    assert len(set(mesh)) == 1


def test_a_supercell_has_the_folded_mesh_of_its_unit_cell(brucite):
    distance = 0.9
    unit = scheduling.kpoint_meshes([brucite], distance)[0]
    frames = supercells(brucite, [[[3, 0, 0], [0, 1, 0], [0, 0, 1]], np.diag([1, 1, 2])])
    read_again = read_frames(write_frames([_with_source(frame) for frame in frames]))
    assert unit == (3, 3, 2)
    assert scheduling.kpoint_meshes(frames, distance) == [(1, 3, 2), (3, 3, 1)]
    assert scheduling.kpoint_meshes(read_again, distance) == [(1, 3, 2), (3, 3, 1)]


def test_a_supercell_onto_which_the_mesh_does_not_fold_is_refused(brucite):
    frames = supercells(brucite, [np.diag([2, 1, 1])])
    with pytest.raises(ValueError, match='does not fold'):
        scheduling.kpoint_meshes(frames, 0.9)


def test_a_supercell_strained_far_has_the_mesh_of_the_crystal(brucite):
    """As molecular dynamics strains it; alone, it has no mesh that folds."""
    far = brucite.copy()
    far.set_cell(brucite.cell * [1, 1, 0.7], scale_atoms=True)
    (frame,) = supercells(far, [np.diag([1, 1, 2])])
    with pytest.raises(ValueError, match='3x3x3 does not fold'):
        scheduling.kpoint_meshes([frame], 0.9)
    assert scheduling.kpoint_meshes([frame, frame], 0.9, brucite) == [(3, 3, 1), (3, 3, 1)]


def _with_source(frame):
    frame.info['source'] = 'supercell'
    return frame


def test_the_crystal_decides_for_all_sets_of_its_frames(brucite):
    distance = 0.9
    small = brucite.copy()
    small.set_cell(0.97 * brucite.cell, scale_atoms=True)
    # just above an edge of the distance, where a strained copy alone has another mesh
    edge = 2 * np.pi * np.linalg.norm(np.linalg.inv(brucite.cell), axis=0)[2] / 2 * 1.001
    assert scheduling.kpoint_meshes([small], edge) != scheduling.kpoint_meshes([brucite], edge)
    assert scheduling.kpoint_meshes([small], edge, brucite) == scheduling.kpoint_meshes(
        [brucite], edge
    )
    assert scheduling.kpoint_meshes([], distance, brucite) == []
