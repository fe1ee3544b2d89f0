"""Whole sets of displaced frames: found among others, and what other forces make of them."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from springs import Springs, brucite_cell, displaced_phonopy, spring_forces

from aiida_mlip_ins.science import phonons, sampling
from aiida_mlip_ins.science.curvature import (
    at_rest,
    curvature_errors,
    displaced_sets,
    frequency_mae,
)
from aiida_mlip_ins.science.dataset import FORCES, read_frames, write_frames


def labelled(cell: Atoms, matrix: list[list[int]] | None = None) -> list[Atoms]:
    """Return displaced frames with the forces of springs, read from a file like all frames."""
    frames = sampling.displaced(cell, 0.01, matrix)
    for frame in frames:
        frame.arrays[FORCES] = Springs().forces(frame, at_rest(frame))
    return read_frames(write_frames(frames))


def forces_of(frames: list[Atoms]) -> list[np.ndarray]:
    return [frame.arrays[FORCES] for frame in frames]


def test_a_set_has_the_frequencies_of_its_force_constants() -> None:
    """A supercell's modes are those of the crystal at all q-points that it has."""
    (cell,) = displaced_sets(labelled(brucite_cell()))
    assert len(cell.frequencies) == 12
    (large,) = displaced_sets(labelled(brucite_cell(), np.diag([3, 3, 2]).tolist()))
    assert len(large.frequencies) == 3 * 90 - 3
    phonon = displaced_phonopy(brucite_cell(), [3, 3, 2])
    phonons.produce_force_constants(phonon, spring_forces(phonon), None, symmetrise=False)
    for frequency in phonons.gamma_modes(phonon)[0][3:]:
        # Frames are read from a file, with eight digits.
        assert np.abs(large.frequencies - frequency).min() < 2e-3


def test_what_stiffer_forces_are_off_by() -> None:
    frames = labelled(brucite_cell())
    (one,) = displaced_sets(frames)
    (row,) = curvature_errors([one], [1.21 * forces for forces in forces_of(frames)])
    assert row['frequency_mae'] == pytest.approx(0.1 * one.frequencies.mean(), rel=1e-4)
    assert row['frequency_max'] == pytest.approx(0.1 * one.frequencies.max(), rel=1e-4)
    assert (row['n_frames'], row['n_modes']) == (len(frames), 12)
    (same,) = curvature_errors([one], forces_of(frames))
    assert same['frequency_mae'] < 1e-6
    assert same['force_constant_rmse'] == 0.0


def test_the_force_constants_are_off_by_the_forces_over_the_way() -> None:
    frames = labelled(brucite_cell())
    sets = displaced_sets(frames)
    (row,) = curvature_errors(sets, [forces + 0.02 for forces in forces_of(frames)])
    assert row['force_constant_rmse'] == pytest.approx(2.0, rel=1e-4)


def test_a_force_that_all_displacements_share_is_no_curvature() -> None:
    """As where the potential's cell is not that of DFT; along z a hydrogen moves both ways."""
    frames = labelled(brucite_cell())
    offset = np.zeros((5, 3))
    offset[3:, 2] = 0.05, -0.05
    (row,) = curvature_errors(displaced_sets(frames), [f + offset for f in forces_of(frames)])
    assert row['frequency_mae'] < 0.01


def test_sets_are_told_apart_and_need_to_be_whole() -> None:
    small, large = labelled(brucite_cell()), labelled(brucite_cell(c=4.6))
    other = sampling.rattled(brucite_cell(), 0.02, 1, seed=1)
    mixed = [frame for pair in zip(small, large, strict=True) for frame in pair] + other
    sets = displaced_sets(mixed)
    assert [one.members[:2] for one in sets] == [[0, 2], [1, 3]]
    assert len(displaced_sets(mixed[1:])) == 1
    assert displaced_sets(other) == []
    # Two displacements of one atom along the same way are one.
    atoms = [frame.info['displaced_atom'] for frame in small]
    twice = [small[atoms.index(atom)] for atom in atoms]
    assert len(set(atoms)) < len(atoms)
    assert displaced_sets(twice) == []
    rows = curvature_errors(sets, [1.21 * f for f in forces_of(mixed[:-1])])
    expected = 0.1 * np.mean([one.frequencies.mean() for one in sets])
    assert frequency_mae(rows) == pytest.approx(expected, rel=1e-4)


def test_forces_that_are_none_give_no_frequencies() -> None:
    frames = labelled(brucite_cell())
    forces = forces_of(frames)
    forces[1] = np.full((5, 3), np.nan)
    (row,) = curvature_errors(displaced_sets(frames), forces)
    assert np.isnan(row['frequency_mae'])


def test_displacements_are_those_of_phonopy() -> None:
    phonon = displaced_phonopy(brucite_cell(), [1, 1, 1])
    frames = sampling.displaced(brucite_cell(), 0.01)
    for frame, row in zip(frames, phonon.displacements, strict=True):
        assert frame.info['displaced_atom'] == row[0]
        np.testing.assert_allclose(frame.info['displacement'], row[1:])
        np.testing.assert_allclose(at_rest(frame).positions, brucite_cell().positions, atol=1e-12)
