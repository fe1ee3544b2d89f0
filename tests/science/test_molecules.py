"""Molecules found by their bonds, moved as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell, molecule
from ase.io import read
from springs import brucite_cell

from aiida_mlip_ins.science import sampling

SECTION = {
    'count': 4, 'pressures': [0.0, 1.5], 'strain': 0.006, 'translation': 0.1, 'rotation': 5.0,
    'scales': [1.0, 0.5],
}  # fmt: skip
RATTLE = {
    'count': 3, 'pressures': [0.0, 1.5], 'strain': 0.004, 'heavy': 0.02, 'tilt': 0.05,
    'stretch': 0.005,
}  # fmt: skip


def ice(count: int = 2) -> Atoms:
    """Return water molecules on the axis of a box, each cut in two by its border."""
    atoms = Atoms()
    for index in range(count):
        one = molecule('H2O')
        one.positions -= one.get_center_of_mass()
        atoms += Atoms(one.numbers, positions=one.positions + np.array([0.0, 0.0, 4.0 * index]))
    atoms.set_cell([5.0, 6.0, 4.0 * count])
    atoms.pbc = True
    atoms.wrap()
    return atoms


def bonds_of(atoms: Atoms) -> np.ndarray:
    """Return the distances between the atoms of each molecule."""
    return np.concatenate(
        [
            np.linalg.norm(found.positions[:, None] - found.positions[None], axis=2).ravel()
            for found in sampling.find_molecules(atoms)
        ]
    )


@pytest.fixture
def hexane(reference_data: Path) -> Atoms:
    return read(reference_data / 'hexane' / 'geometry.in', format='aims')


def test_molecules_are_made_whole_across_the_border() -> None:
    found = sampling.find_molecules(ice())
    assert [list(one.indices) for one in found] == [[0, 1, 2], [3, 4, 5]]
    for one in found:
        lengths = np.linalg.norm(one.positions[1:] - one.positions[0], axis=1)
        np.testing.assert_allclose(lengths, 0.9686, atol=1e-3)


def test_hexane_has_one_molecule_in_its_cell(hexane: Atoms) -> None:
    (found,) = sampling.find_molecules(hexane)
    assert len(found.indices) == 20
    carbons = found.positions[hexane.numbers == 6]
    longest = np.linalg.norm(carbons[:, None] - carbons[None], axis=2).max()
    assert 6.2 < longest < 6.6  # five C-C bonds of 1.53 angstrom in a zigzag of 113 degrees


def test_a_supercell_of_hexane_has_as_many_molecules_as_cells(hexane: Atoms) -> None:
    assert len(sampling.find_molecules(make_supercell(hexane, np.diag([2, 1, 2])))) == 4


@pytest.mark.parametrize(
    'crystal', [brucite_cell(), bulk('Si'), bulk('NaCl', 'rocksalt', a=5.64), bulk('Cu')]
)
def test_layers_frameworks_and_metals_have_no_molecules(crystal: Atoms) -> None:
    assert len(sampling.molecule_problems(crystal)) == 1
    with pytest.raises(ValueError, match=r'molecules: .* has none.*use rattles'):
        sampling.rigidly_moved(crystal, 0.1, 5.0, 1, seed=1)


def test_guests_of_a_framework_move_and_it_does_not() -> None:
    host = bulk('Si', a=5.7, cubic=True) * (2, 2, 2)
    crystal = host + Atoms('N2', positions=[(2.85, 2.85, 2.3), (2.85, 2.85, 3.4)])
    (found,) = sampling.find_molecules(crystal)
    assert list(found.indices) == [64, 65]
    (frame,) = sampling.rigidly_moved(crystal, 0.1, 5.0, 1, seed=1)
    moves = np.abs(frame.positions - crystal.positions).max(axis=1)
    assert moves[:64].max() == 0 < moves[64:].min()


def test_rigid_motion_keeps_molecules_and_moves_their_centres_apart() -> None:
    for frame in sampling.rigidly_moved(ice(), 0.1, 5.0, 5, seed=2):
        np.testing.assert_allclose(bonds_of(frame), bonds_of(ice()), atol=1e-9)
        moved = [
            new.centre - old.centre
            for new, old in zip(
                sampling.find_molecules(frame), sampling.find_molecules(ice()), strict=True
            )
        ]
        np.testing.assert_allclose(np.sum(moved, axis=0), 0.0, atol=1e-9)
        assert np.linalg.norm(moved[0]) > 0.01


def test_widths_are_those_asked_for() -> None:
    """Two molecules: the shift against each other has sqrt(2) of the width of one alone."""
    apart, turns = [], []
    rest = sampling.find_molecules(ice())
    for frame in sampling.rigidly_moved(ice(), 0.05, 2.0, 200, seed=4):
        found = sampling.find_molecules(frame)
        apart.append((found[0].centre - found[1].centre) - (rest[0].centre - rest[1].centre))
        arms = [one.positions - one.centre for one in (rest[0], found[0])]
        moment = np.cross(*arms).sum(axis=0)
        inertia = np.sum(arms[0] ** 2) * np.eye(3) - arms[0].T @ arms[0]
        turns.append(np.degrees(np.linalg.solve(inertia, moment)))
    np.testing.assert_allclose(np.std(apart), 0.05 * np.sqrt(2), rtol=0.1)
    np.testing.assert_allclose(np.std(turns), 2.0, rtol=0.1)


def test_one_molecule_alone_is_only_turned(hexane: Atoms) -> None:
    one, two = sampling.rigidly_moved(hexane, 0.2, 0.0, 2, seed=1)
    np.testing.assert_allclose(one.positions, hexane.positions, atol=1e-9)
    np.testing.assert_allclose(two.positions, hexane.positions, atol=1e-9)


def test_a_strain_leaves_molecules_their_shape() -> None:
    (strained,) = sampling.strained(ice(), 0.05, 1, seed=1)
    assert np.abs(bonds_of(strained) - bonds_of(ice())).max() > 0.01
    rigid = sampling.with_rigid_molecules(strained, ice())
    np.testing.assert_allclose(bonds_of(rigid), bonds_of(ice()), atol=1e-9)
    np.testing.assert_allclose(rigid.cell.array, strained.cell.array)
    places = [
        crystal.cell.scaled_positions(np.array([one.centre for one in found]))
        for crystal, found in (
            (ice(), sampling.find_molecules(ice())),
            (rigid, sampling.find_molecules(rigid)),
        )
    ]
    np.testing.assert_allclose((places[1] - places[0] + 0.5) % 1.0, 0.5, atol=1e-9)


def by_pressure(crystal: Atoms) -> dict[float, Atoms]:
    denser = crystal.copy()
    denser.set_cell(crystal.cell.array * 0.99, scale_atoms=True)
    return {0.0: crystal, 1.5: sampling.with_rigid_molecules(denser, crystal)}


def test_section_of_the_targeted_set(hexane: Atoms) -> None:
    matrices = [[[2, 0, 0], [0, 1, 0], [0, 0, 1]]]
    structures = by_pressure(hexane)
    frames = sampling.targeted_set(structures, {'molecules': SECTION}, seed=7)
    large = sampling.targeted_set(
        structures, {'molecules': {**SECTION, 'matrices': matrices}}, seed=7
    )
    assert [len(frame) for frame in (*frames, *large)] == [20] * 4 + [40] * 4
    for frame in (*frames, *large):
        assert frame.info['source'] == 'molecules'
        whole = bonds_of(frame).reshape(-1, 20, 20)
        np.testing.assert_allclose(whole, np.broadcast_to(whole[0], whole.shape), atol=1e-9)
        # between the two pressures the path changes the shape by 0.003 %
        np.testing.assert_allclose(bonds_of(hexane), whole[0].ravel(), rtol=2e-3)
    assert [frame.info['scale'] for frame in frames] == [1.0, 0.5, 1.0, 0.5]
    assert {frame.info['rotation'] for frame in frames} == {5.0, 2.5}


def test_the_section_leaves_all_other_frames_as_they_are() -> None:
    structures = by_pressure(ice())
    alone = sampling.targeted_set(structures, {'rattle': RATTLE}, seed=7)
    both = sampling.targeted_set(structures, {'rattle': RATTLE, 'molecules': SECTION}, seed=7)
    assert [frame.info['source'] for frame in both] == ['rattle'] * 3 + ['molecules'] * 4
    for one, two in zip(alone, both[:3], strict=True):
        np.testing.assert_array_equal(one.positions, two.positions)
        np.testing.assert_array_equal(one.cell.array, two.cell.array)
    again = sampling.targeted_set(structures, {'molecules': SECTION}, seed=7)
    other = sampling.targeted_set(structures, {'molecules': SECTION}, seed=8)
    np.testing.assert_array_equal(both[3].positions, again[0].positions)
    assert np.abs(other[0].positions - again[0].positions).max() > 1e-3


def test_the_section_refuses_a_crystal_without_molecules() -> None:
    structures = {0.0: brucite_cell(), 1.5: brucite_cell(3.125, 4.66)}
    with pytest.raises(ValueError, match='MgO2 has none'):
        sampling.targeted_set(structures, {'molecules': SECTION}, seed=7)
    nothing = {'path': {'pressures': [0.0]}, 'molecules': {**SECTION, 'count': 0}}
    assert len(sampling.targeted_set(structures, nothing, seed=7)) == 1


def test_settings_of_the_section() -> None:
    assert sampling.sampling_problems({'molecules': SECTION}) == []
    wrong = {key: value for key, value in SECTION.items() if key != 'rotation'} | {'rotate': 1.0}
    found = '\n'.join(sampling.sampling_problems({'molecules': wrong}))
    assert "'rotate'" in found
    assert "'rotation' is missing" in found
    assert 'matrices' not in found
