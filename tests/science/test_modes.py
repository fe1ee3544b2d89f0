import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from springs import dft_modes

from aiida_mlip_ins.science.modes import Modes, align, degenerate, match_modes


def pairs(first: Modes, second: Modes, tolerance: float = 0.5, overlap: float = 0.5) -> dict:
    return {m.first: m for m in match_modes(first, second, tolerance, overlap)}


def test_a_crystal_matches_itself():
    modes = dft_modes('0.0')
    found = pairs(modes, modes)
    assert {i: m.second for i, m in found.items()} == {i: i for i in range(3, 15)}
    assert all(m.overlap == pytest.approx(1.0) and not m.ambiguous for m in found.values())


def test_mixing_a_degenerate_pair_changes_nothing():
    modes = dft_modes('0.0')
    vectors = modes.eigenvectors.copy()
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    vectors[3:5] = np.einsum('ab,bij->aij', turn, vectors[3:5])
    found = pairs(modes, dataclasses.replace(modes, eigenvectors=vectors))
    assert {i: m.second for i, m in found.items()} == {i: i for i in range(3, 15)}
    assert found[3].overlap == pytest.approx(1.0)


def test_swapped_modes_are_followed_by_how_they_move():
    modes = dft_modes('0.0')
    order = np.arange(15)
    order[[9, 10]] = [10, 9]
    frequencies = modes.frequencies.copy()
    swapped = dataclasses.replace(modes, eigenvectors=modes.eigenvectors[order])
    swapped = dataclasses.replace(swapped, frequencies=frequencies)
    found = pairs(modes, swapped)
    assert (found[9].second, found[10].second) == (10, 9)


def test_a_pair_that_splits_finds_both_halves():
    modes = dft_modes('0.0')
    frequencies = modes.frequencies.copy()
    frequencies[4] += 3.0
    vectors = modes.eigenvectors.copy()
    turn = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    vectors[3:5] = np.einsum('ab,bij->aij', turn, vectors[3:5])
    split = dataclasses.replace(modes, frequencies=frequencies, eigenvectors=vectors)
    found = pairs(modes, split)
    assert {found[3].second, found[4].second} == {3, 4}
    assert found[3].overlap == pytest.approx(1.0)


def test_modes_that_mix_are_called_ambiguous():
    modes = dft_modes('0.0')
    vectors = modes.eigenvectors.copy()
    turn = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    vectors[9:11] = np.einsum('ab,bij->aij', turn, vectors[9:11])
    mixed = dataclasses.replace(modes, eigenvectors=vectors)
    found = pairs(modes, mixed, overlap=0.6)
    assert found[9].ambiguous
    assert found[10].ambiguous
    assert not found[3].ambiguous
    assert found[9].overlap == pytest.approx(0.5, abs=1e-6)


def test_real_modes_are_matched_between_pressures():
    found = pairs(dft_modes('0.0'), dft_modes('1.5'))
    assert len(found) == 12
    assert min(m.overlap for m in found.values()) > 0.9
    assert {m.second for m in found.values()} == set(range(3, 15))
    # In order also within the degenerate pairs.
    assert (found[3].second, found[4].second) == (3, 4)
    assert (found[11].second, found[12].second) == (11, 12)


def test_rotation_and_order_of_atoms_do_not_matter():
    first, second = dft_modes('0.0'), dft_modes('1.5')
    turn = Rotation.from_euler('xyz', [0.4, -1.1, 2.0]).as_matrix()
    order = np.array([0, 2, 1, 4, 3])
    moved = Modes(
        second.frequencies,
        second.eigenvectors[:, order] @ turn.T,
        tuple(second.symbols[i] for i in order),
        second.masses[order],
        second.cell @ turn.T,
        second.positions[order] @ turn.T,
    )
    plain, turned = pairs(first, second), pairs(first, moved)
    for index, match in plain.items():
        assert turned[index].second == match.second
        assert turned[index].overlap == pytest.approx(match.overlap, abs=1e-9)
    assert align(first, moved) == pytest.approx(align(first, second), abs=1e-9)


def test_other_atoms_and_other_cells_are_refused():
    modes = dft_modes('0.0')
    other = dataclasses.replace(modes, symbols=('Ca', 'O', 'O', 'H', 'H'))
    with pytest.raises(ValueError, match='different atoms cannot be matched'):
        match_modes(modes, other, 0.5, 0.5)
    permuted = dataclasses.replace(modes, cell=modes.cell[[2, 0, 1]])
    with pytest.raises(ValueError, match='same setting'):
        match_modes(modes, permuted, 0.5, 0.5)


def test_degenerate_groups():
    groups = degenerate(np.array([1.0, 1.2, 1.6, 5.0, 9.0, 9.0]), 0.5)
    assert [g.tolist() for g in groups] == [[0, 1, 2], [3], [4, 5]]
