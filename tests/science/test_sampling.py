"""The targeted set: seeds, symmetry, refusals, splits and weights."""

import copy
from typing import Any

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa

from aiida_mlip_ins.science import sampling

SETTINGS = {
    'path': {'pressures': [-1.0, 0.0, 1.5]},
    'symmetric': {
        'count': 3, 'pressures': [0.0, 1.5], 'strain': 0.01, 'heavy': 0.03, 'stretch': 0.02,
    },
    'rattle': {
        'count': 6, 'pressures': [0.0, 1.5], 'strain': 0.004, 'heavy': 0.02, 'tilt': 0.08,
        'stretch': 0.005, 'scales': [1.0, 0.5],
    },
    'strain': {
        'count': 1, 'pressures': [0.0, 1.5], 'strain': 0.01, 'heavy': 0.02, 'stretch': 0.005,
    },
    'supercell': {
        'count': 2, 'pressures': [0.0, 1.5], 'strain': 0.003, 'heavy': 0.02, 'tilt': 0.08,
        'stretch': 0.005, 'scales': [1.0],
        'matrices': [[[2, 0, 0], [0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 0], [1, 0, 2]]],
    },
}  # fmt: skip


def brucite(a: float = 3.142, c: float = 4.766) -> Atoms:
    cell = [[a, 0, 0], [-a / 2, a * 3**0.5 / 2, 0], [0, 0, c]]
    third = 1 / 3
    positions = [
        (0, 0, 0),
        (third, 2 * third, 0.2203),
        (2 * third, third, -0.2203),
        (third, 2 * third, 0.4216),
        (2 * third, third, -0.4216),
    ]
    return Atoms('MgO2H2', cell=cell, scaled_positions=positions, pbc=True)


@pytest.fixture
def by_pressure() -> dict[float, Atoms]:
    return {0.0: brucite(), 1.5: brucite(3.125, 4.66)}


def spacegroup(atoms: Atoms) -> str:
    return spglib.get_spacegroup(
        (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-5
    )


def test_path_passes_through_the_relaxed_cells(by_pressure):
    for pressure, atoms in by_pressure.items():
        frame = sampling.along_pressure(by_pressure, pressure)
        np.testing.assert_allclose(frame.cell.array, atoms.cell.array, atol=1e-10)
        np.testing.assert_allclose(frame.positions, atoms.positions, atol=1e-10)
    volumes = [f.get_volume() for f in sampling.pressure_path(by_pressure, [-2, -1, 0, 1, 2, 3])]
    assert np.all(np.diff(volumes) < 0)


def test_path_follows_atoms_across_the_cell_border(by_pressure):
    by_pressure[1.5].wrap()
    middle = sampling.along_pressure(by_pressure, 0.75)
    assert len(sampling.bonded_hydrogens(middle)) == 2
    assert spacegroup(middle).startswith('P-3m1')


def test_path_refuses_different_atoms(by_pressure):
    by_pressure[1.5] = by_pressure[1.5][[1, 0, 2, 3, 4]]
    with pytest.raises(ValueError, match='same atoms in the same order'):
        sampling.along_pressure(by_pressure, 1.0)


def test_volume_scan_scales_the_volume_only():
    frames = sampling.volume_scan(brucite(), [0.95, 1.05])
    ratio = [f.get_volume() / brucite().get_volume() for f in frames]
    np.testing.assert_allclose(ratio, [0.95, 1.05])
    np.testing.assert_allclose(
        frames[0].get_scaled_positions(), brucite().get_scaled_positions(), atol=1e-12
    )


def test_same_seed_same_frame_other_seed_other_frame():
    make = [
        lambda seed: sampling.rattled(brucite(), 0.02, 2, seed),
        lambda seed: sampling.strained(brucite(), 0.01, 2, seed),
        lambda seed: sampling.bond_rattled(brucite(), 0.02, 0.08, 0.005, 2, seed),
    ]
    for function in make:
        one, two, other = function(1), function(1), function(2)
        np.testing.assert_array_equal(one[1].positions, two[1].positions)
        assert not np.allclose(one[1].positions, other[1].positions)
        assert not np.allclose(one[0].positions, one[1].positions)


def test_bonds_cross_periodic_borders():
    atoms = brucite()
    atoms.wrap()
    bonds = sampling.bonded_hydrogens(atoms)
    assert [(h, parent) for h, parent, _ in bonds] == [(3, 1), (4, 2)]
    for _, _, vector in bonds:
        np.testing.assert_allclose(np.abs(vector), [0, 0, 0.2013 * 4.766], atol=1e-9)
    np.testing.assert_allclose(bonds[0][2], [0, 0, 0.2013 * 4.766], atol=1e-9)
    np.testing.assert_allclose(bonds[1][2], [0, 0, -0.2013 * 4.766], atol=1e-9)


def test_tilts_keep_the_bond_length_and_have_the_asked_width():
    frames = sampling.bond_rattled(brucite(), 0.03, 0.08, 0.0, 400, seed=3)
    lengths = [f.get_distance(1, 3, mic=True) for f in frames]
    np.testing.assert_allclose(lengths, 0.2013 * 4.766, atol=1e-9)
    rigid = sampling.bond_rattled(brucite(), 0.0, 0.08, 0.0, 400, seed=3)
    moves = np.array([f.positions - brucite().positions for f in rigid])
    assert np.abs(moves[:, :3]).max() == 0
    np.testing.assert_allclose(moves[:, 3:, :2].std(), 0.08, rtol=0.06)


def test_a_crystal_without_hydrogen_is_just_rattled():
    atoms = bulk('Si')
    moves = sampling.bond_rattled(atoms, 0.02, 0.1, 0.1, 300, seed=0)
    spread = np.std([f.positions - atoms.positions for f in moves])
    np.testing.assert_allclose(spread, 0.02, rtol=0.1)


def test_symmetrized_keeps_the_space_group_and_symmetric_distortions():
    parent = brucite()
    frame = sampling.strained(parent, 0.02, 1, seed=5)[0]
    frame = sampling.rattled(frame, 0.05, 1, seed=6)[0]
    result = sampling.symmetrized(frame, parent)
    assert spacegroup(result).startswith('P-3m1')
    assert np.abs(result.cell.array - parent.cell.array).max() > 1e-3
    again = sampling.symmetrized(result, parent)
    np.testing.assert_allclose(again.cell.array, result.cell.array, atol=1e-10)
    np.testing.assert_allclose(again.positions, result.positions, atol=1e-10)


def test_supercells_hold_whole_copies():
    matrices = SETTINGS['supercell']['matrices']
    frames = sampling.supercells(brucite(), matrices)
    assert [len(f) for f in frames] == [10, 10]
    for frame in frames:
        np.testing.assert_allclose(frame.get_volume(), 2 * brucite().get_volume())
    assert frames[0].info['matrix'] == '2 0 0 0 1 0 0 0 1'


def test_supercells_of_short_axes_are_those_that_the_kpoints_fold_onto():
    found = sampling.short_axis_supercells(brucite(), (3, 3, 2), below=6.0)
    assert [np.diag(matrix).tolist() for matrix in found] == [[1, 1, 2], [3, 1, 1], [1, 3, 1]]
    for matrix in found:
        sampling.folded_mesh(matrix, (3, 3, 2))
    assert sampling.short_axis_supercells(brucite(), (3, 3, 2), below=4.0) == found[1:]
    assert sampling.short_axis_supercells(brucite(), (5, 1, 1), below=6.0) == []


def test_targeted_set_is_deterministic_and_complete(by_pressure):
    frames = sampling.targeted_set(by_pressure, SETTINGS, seed=7)
    again = sampling.targeted_set(by_pressure, SETTINGS, seed=7)
    assert [f.info for f in frames] == [f.info for f in again]
    for one, two in zip(frames, again, strict=True):
        np.testing.assert_array_equal(one.positions, two.positions)
    sources = [f.info['source'] for f in frames]
    assert {s: sources.count(s) for s in set(sources)} == {
        'path': 3, 'symmetric': 3, 'rattle': 6, 'strain': 1, 'supercell': 2,
    }  # fmt: skip


def test_only_strain_frames_shear_the_cell(by_pressure):
    for frame in sampling.targeted_set(by_pressure, SETTINGS, seed=7):
        if frame.info['source'] != 'supercell':
            a, b, _, alpha, beta, gamma = frame.cell.cellpar()
            kept = np.allclose([a, alpha, beta, gamma], [b, 90, 90, 120], atol=1e-6)
            assert kept == (frame.info['source'] != 'strain')


def test_a_count_changes_only_its_own_section(by_pressure):
    more = copy.deepcopy(SETTINGS)
    more['symmetric']['count'] = 5
    before = sampling.targeted_set(by_pressure, SETTINGS, seed=7)
    after = sampling.targeted_set(by_pressure, more, seed=7)
    rattles = [
        [f.positions for f in frames if f.info['source'] == 'rattle'] for frames in (before, after)
    ]
    np.testing.assert_array_equal(*rattles)


def test_warm_frames_are_wide_rattles_of_the_cell_and_of_supercells(by_pressure):
    section = {**SETTINGS['rattle'], 'count': 40, 'heavy': 0.08, 'strain': 0.0, 'scales': [1.0]}
    one = {1.5: by_pressure[1.5]}
    for matrices, sizes in ((None, {5}), (SETTINGS['supercell']['matrices'], {10})):
        settings = section if matrices is None else {**section, 'matrices': matrices}
        frames = sampling.targeted_set(one, {'warm': settings}, seed=7)
        assert {len(frame) for frame in frames} == sizes
        assert {frame.info['source'] for frame in frames} == {'warm'}
        moves = []
        for index, frame in enumerate(frames):
            rest = one[1.5]
            if matrices:
                rest = sampling.supercells(rest, [matrices[index % 2]])[0]
            moves.append((frame.positions - rest.positions)[frame.numbers != 1])
        assert np.std(np.concatenate(moves)) == pytest.approx(0.08, rel=0.1)


def test_settings_are_checked_all_at_once(by_pressure):
    wrong = copy.deepcopy(SETTINGS)
    wrong['rattles'] = {}
    wrong['rattle']['tlt'] = 0.1
    del wrong['supercell']['matrices']
    with pytest.raises(ValueError, match=r"(?s)'rattles'.*'tlt'.*'matrices'"):
        sampling.targeted_set(by_pressure, wrong, seed=7)


@pytest.mark.parametrize(
    ('section', 'key', 'value', 'said'),
    [
        ('rattle', 'count', -3, '-3 is below the minimum of 0'),
        ('rattle', 'count', 2.5, 'expected int, got 2.5'),
        ('rattle', 'pressures', [2.0, 1.0], 'expected [lowest, highest], got [2.0, 1.0]'),
        ('rattle', 'scales', [], 'empty, give at least one'),
        ('rattle', 'tilt', 'wide', "expected float, got 'wide'"),
        ('path', 'pressures', [], 'empty, give at least one'),
        ('supercell', 'matrices', [], 'empty, give supercells or set `count` to 0'),
    ],
)
def test_values_are_checked(section: str, key: str, value: Any, said: str) -> None:
    wrong = {**SETTINGS, section: {**SETTINGS[section], key: value}}
    assert sampling.sampling_problems(wrong) == [f'sampling.{section}.{key}: {said}']


def test_sections_and_supercells_of_a_wrong_kind_are_refused() -> None:
    flat = [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    matrices = {**SETTINGS['supercell'], 'matrices': [[2, 1, 1], flat]}
    found = sampling.sampling_problems({**SETTINGS, 'strain': 5, 'supercell': matrices})
    assert found == [
        'sampling.strain: expected a mapping, got 5',
        'sampling.supercell.matrices[0]: expected 3x3 whole numbers that span a cell, got '
        '[2, 1, 1]',
        f'sampling.supercell.matrices[1]: its determinant is 0, it must be 1 or more, got {flat}',
    ]


def test_rattles_may_all_be_in_supercells(by_pressure) -> None:
    matrices = SETTINGS['supercell']['matrices']
    rattle = {**SETTINGS['rattle'], 'matrices': matrices}
    frames = sampling.targeted_set(by_pressure, {'rattle': rattle}, seed=7)
    assert [len(frame) for frame in frames] == [10] * rattle['count']
    texts = [sampling.matrix_text(matrix) for matrix in matrices]
    assert [frame.info['matrix'] for frame in frames] == texts * (rattle['count'] // 2)


def test_overlaps_are_refused_with_every_problem(by_pressure):
    wild = copy.deepcopy(SETTINGS)
    wild['rattle'].update(heavy=0.8)
    with pytest.raises(ValueError, match='too close') as caught:
        sampling.targeted_set(by_pressure, wild, seed=7)
    assert str(caught.value).count('frame ') > 1
    sampling.refuse_overlaps([brucite()])


def test_duplicates_are_dropped(by_pressure):
    double = {'path': {'pressures': [0.0, 0.0, 1.5]}}
    assert len(sampling.targeted_set(by_pressure, double, seed=1)) == 2
    moved = brucite()
    moved.positions += moved.cell.array[0]
    assert len(sampling.without_duplicates([brucite(), moved])) == 1


def test_splits_are_stratified_fixed_and_spare_the_path(by_pressure):
    many = copy.deepcopy(SETTINGS)
    many['rattle']['count'] = 20
    many['symmetric']['count'] = 10
    frames = sampling.targeted_set(by_pressure, many, seed=7)
    splits = sampling.assign_splits(frames, {'valid': 0.1, 'test': 0.2}, seed=3)
    assert splits == sampling.assign_splits(frames, {'valid': 0.1, 'test': 0.2}, seed=3)
    by_source = {}
    for frame, split in zip(frames, splits, strict=True):
        by_source.setdefault(frame.info['source'], []).append(split)
    assert set(by_source['path']) == {'train'}
    assert by_source['rattle'].count('test') == 4
    assert by_source['rattle'].count('valid') == 2
    assert abs(by_source['symmetric'].count('test') - 2) <= 1
    assert abs(splits.count('test') - 0.2 * 33) <= 1


def test_splits_refuse_impossible_fractions():
    with pytest.raises(ValueError, match='less than 1'):
        sampling.assign_splits([brucite()], {'valid': 0.5, 'test': 0.5}, seed=1)


def test_displaced_frames_give_the_force_constants_of_a_spring():
    frames = sampling.displaced(brucite(), 0.03)
    moves = [np.linalg.norm(f.positions - brucite().positions, axis=1) for f in frames]
    for move in moves:
        np.testing.assert_allclose(np.sort(move)[-1], 0.03, atol=1e-9)
        np.testing.assert_allclose(np.sort(move)[:-1], 0.0, atol=1e-9)
    assert {int(np.argmax(move)) for move in moves} >= {0, 1, 3}
    assert {f.info['source'] for f in frames} == {'displaced'}


def test_separate_frames_move_one_kind_of_coordinate_each(by_pressure):
    options = {
        'count': 6, 'pressures': [0.0, 1.5], 'strain': 0.0,
        'heavy': 0.02, 'tilt': 0.06, 'stretch': 0.02, 'scales': [1.0, 1.0, 1.0, 0.5],
    }  # fmt: skip
    frames = sampling.targeted_set(by_pressure, {'separate': options}, seed=3)
    for index, frame in enumerate(frames):
        kind = ('heavy', 'tilt', 'stretch')[index % 3]
        parent = sampling.along_pressure(by_pressure, frame.info['pressure'])
        moves = frame.positions - parent.positions
        bonds = np.array([frame.positions[i + 2] - frame.positions[i] for i in (1, 2)])
        rest = np.array([parent.positions[i + 2] - parent.positions[i] for i in (1, 2)])
        longer = np.linalg.norm(bonds, axis=1) - np.linalg.norm(rest, axis=1)
        turned = np.linalg.norm((bonds - rest)[:, :2], axis=1)
        assert (np.abs(moves[:3]).max() > 1e-3) == (kind == 'heavy')
        assert (np.abs(longer).max() > 1e-4) == (kind == 'stretch')
        assert (turned.max() > 1e-3) == (kind == 'tilt')
    only_tilt = sampling.targeted_set(
        by_pressure, {'separate': {**options, 'heavy': 0.0, 'stretch': 0.0}}, seed=3
    )
    assert all(frame.info['heavy'] == 0.0 < frame.info['tilt'] for frame in only_tilt)


def test_separate_frames_of_a_supercell_move_its_cells_apart(by_pressure):
    options = {
        'count': 2, 'pressures': [0.0, 1.5], 'strain': 0.0, 'heavy': 0.0, 'tilt': 0.06,
        'stretch': 0.0, 'matrices': [[[1, 0, 0], [0, 1, 0], [0, 0, 2]]],
    }  # fmt: skip
    for frame in sampling.targeted_set(by_pressure, {'separate': options}, seed=3):
        assert len(frame) == 10
        lower, upper = (frame.positions[part, :2] for part in (slice(0, 5), slice(5, 10)))
        np.testing.assert_allclose(lower[:3], upper[:3], atol=1e-9)
        assert np.abs(lower[3:] - upper[3:]).max() > 1e-3


def test_a_swing_turns_all_bonds_the_same_way(by_pressure):
    options = {
        'count': 2, 'pressures': [0.0, 1.5], 'strain': 0.0,
        'heavy': 0.0, 'tilt': 0.0, 'swing': 0.06, 'stretch': 0.0,
    }  # fmt: skip
    for frame in sampling.targeted_set(by_pressure, {'separate': options}, seed=3):
        parent = sampling.along_pressure(by_pressure, frame.info['pressure'])
        one, two = (frame.positions - parent.positions)[3:, :2]
        assert np.linalg.norm(one) > 0.005
        np.testing.assert_allclose(one, two, atol=1e-9)


def test_frames_of_a_section_can_count_more_or_less(by_pressure):
    weighted = copy.deepcopy(SETTINGS)
    weighted['supercell']['weight'] = 0.1
    for frame in sampling.targeted_set(by_pressure, weighted, seed=7):
        expected = 0.1 if frame.info['source'] == 'supercell' else None
        assert frame.info.get('config_weight') == expected


def test_hydrogens_can_be_moved_to_a_known_bond_length():
    moved = sampling.with_bond_lengths(brucite(), {'O': 0.97, 'C': 1.1})
    np.testing.assert_allclose(moved.get_distance(1, 3), 0.97)
    np.testing.assert_allclose(moved.positions[:3], brucite().positions[:3])
    assert spacegroup(moved).startswith('P-3m1')


def copper_digold() -> Atoms:
    """CuAu2 of the MoSi2 type, away from its minimum: two symmetric strains and one free z."""
    cell = [[2.85, 0, 0], [0, 2.85, 0], [1.425, 1.425, 5.9]]
    positions = [(0, 0, 0), (0, 0, 3.9), (0, 0, -3.9)]
    return Atoms('CuAu2', cell=cell, positions=positions, pbc=True)


def label(atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces and 3x3 stress with ASE's effective medium theory."""
    copied = atoms.copy()
    copied.calc = EMT()
    return copied.get_potential_energy(), copied.get_forces(), copied.get_stress(voigt=False)


def test_symmetric_coordinates_of_brucite():
    coordinates = sampling.symmetric_coordinates(brucite())
    assert len(coordinates.strains) == 2
    assert len(coordinates.moves) == 2
    point = np.array([0.01, -0.02, 0.03, 0.01])
    structure = coordinates.structure(point)
    assert spacegroup(structure).startswith('P-3m1')
    np.testing.assert_allclose(coordinates.point(structure), point, atol=1e-12)


def test_gradient_is_the_slope_of_the_energy():
    coordinates = sampling.symmetric_coordinates(copper_digold())
    point = np.array([0.01, -0.02, 0.03])
    _, forces, stress = label(coordinates.structure(point))
    gradient = coordinates.gradient(point, forces, stress)
    for index, step in enumerate(np.eye(len(point)) * 1e-4):
        plus = label(coordinates.structure(point + step))[0]
        minus = label(coordinates.structure(point - step))[0]
        np.testing.assert_allclose(gradient[index], (plus - minus) / 2e-4, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('pressure', [0.0, 1.5])
def test_few_frames_relax_a_crystal(pressure):
    coordinates = sampling.symmetric_coordinates(copper_digold())
    assert len(coordinates) == 3
    frames = sampling.starting_frames(coordinates)
    labels = [label(frame) for frame in frames]
    for _ in range(7):
        frames.append(sampling.propose(coordinates, frames, *zip(*labels, strict=True), pressure))
        labels.append(label(frames[-1]))
    _, forces, stress = labels[-1]
    assert np.abs(forces).max() < 3e-3
    np.testing.assert_allclose(stress, -pressure * GPa * np.eye(3), atol=0.04 * GPa)


@pytest.mark.parametrize(
    ('matrix', 'expected'),
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], (3, 3, 2)),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 2]], (3, 3, 1)),
        ([[3, 0, 0], [0, 1, 0], [0, 0, 1]], (1, 3, 2)),
        ([[1, -1, 0], [3, 0, 0], [0, 0, 1]], (3, 1, 2)),
    ],
)
def test_meshes_fold_onto_supercells(matrix, expected):
    assert sampling.folded_mesh(matrix, (3, 3, 2)) == expected


@pytest.mark.parametrize(
    'matrix', [[[2, 0, 0], [0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 0], [0, 0, 4]]]
)
def test_meshes_that_do_not_fold_are_refused(matrix):
    with pytest.raises(ValueError, match='3x3x2 does not fold'):
        sampling.folded_mesh(matrix, (3, 3, 2))
