"""Which mode is which: matching of modes between two crystals by their eigenvectors.

Modes of two nearly equal crystals (two pressures, or a potential and DFT) at one q-point are paired
by the overlap of their eigenvectors. Within a degenerate subspace eigenvectors are arbitrary, so
whole subspaces are compared. A soft or an anomalous mode is then told from its neighbours by how it
moves, not by its place in a sorted list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import polar
from scipy.optimize import linear_sum_assignment

from aiida_mlip_ins.science.phonons import acoustic_modes


@dataclass(frozen=True)
class Modes:
    """Modes of one crystal at one q-point, Gamma unless said otherwise."""

    frequencies: np.ndarray
    """(n_modes,) 1/cm, imaginary ones negative."""
    eigenvectors: np.ndarray
    """(n_modes, n_atoms, 3), mass-weighted, orthonormal; complex away from Gamma."""
    symbols: tuple[str, ...]
    masses: np.ndarray
    """(n_atoms,) u."""
    cell: np.ndarray
    """(3, 3) lattice vectors as rows, angstrom."""
    positions: np.ndarray
    """(n_atoms, 3) Cartesian, angstrom."""

    def optical(self) -> np.ndarray:
        """Return the indices of the modes that are no uniform translation."""
        acoustic = acoustic_modes(self.eigenvectors, self.masses)
        return np.setdiff1d(np.arange(len(self.frequencies)), acoustic)


@dataclass(frozen=True)
class Match:
    """One mode of the first crystal and its partner in the second."""

    first: int
    second: int
    overlap: float
    """Share of the smaller of the two (degenerate) subspaces that lies in the other, 0 to 1."""
    ambiguous: bool
    """Whether the overlap is too small to be sure."""


def match_modes(
    first: Modes,
    second: Modes,
    degeneracy_tolerance: float,
    min_overlap: float,
    at_gamma: bool = True,
) -> list[Match]:
    """Pair the modes of two crystals so that the sum of overlaps is largest.

    :param degeneracy_tolerance: modes closer than this (1/cm) are one subspace.
    :param min_overlap: a smaller overlap makes a pair ambiguous.
    :param at_gamma: whether three of the modes are uniform translations, which are left out.
    :return: in the order of the first crystal's modes.
    :raises ValueError: if the two do not hold the same atoms.
    """
    aligned = align(first, second)
    rows, columns = (
        modes.optical() if at_gamma else np.arange(len(modes.frequencies))
        for modes in (first, second)
    )
    a = first.eigenvectors[rows].reshape(len(rows), -1)
    b = aligned[columns].reshape(len(columns), -1)
    groups = [
        degenerate(modes.frequencies[indices], degeneracy_tolerance)
        for modes, indices in ((first, rows), (second, columns))
    ]
    scores = subspace_overlaps(a, groups[0], b, groups[1])
    chosen = assign(scores, first.frequencies[rows], second.frequencies[columns])
    return [
        Match(int(rows[i]), int(columns[j]), score, score < min_overlap)
        for i, j in enumerate(chosen)
        for score in [float(min(scores[i, j], 1.0))]
    ]


def subspace_overlaps(
    first: np.ndarray,
    groups: Sequence[np.ndarray],
    second: np.ndarray,
    other_groups: Sequence[np.ndarray],
) -> np.ndarray:
    """Return for each pair of vectors how much of the smaller of their subspaces lies in the other.

    :param first: (n, N) orthonormal vectors; ``second``: (m, N) likewise.
    :param groups: indices of the vectors that span one subspace; ``other_groups`` likewise.
    :return: (n, m), the same for all vectors of one subspace.
    """
    squared = np.abs(first.conj() @ second.T) ** 2
    scores = np.empty_like(squared)
    for group in groups:
        for other in other_groups:
            block = np.ix_(group, other)
            scores[block] = squared[block].sum() / min(len(group), len(other))
    return scores


def assign(scores: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return for each row the column of the one-to-one pairing with the largest sum of scores.

    :param scores: (n, n); of equal ones, as within a subspace, the order in energy decides.
    :param first: (n,) frequencies of the rows; ``second`` of the columns.
    """
    ranks = [np.argsort(np.argsort(values, kind='stable')) for values in (first, second)]
    tie = 1e-10 * (ranks[0][:, None] - ranks[1][None, :]) ** 2
    return np.asarray(linear_sum_assignment(scores - tie, maximize=True)[1])


def degenerate(frequencies: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """Return groups of indices of frequencies, in order of energy, split at gaps above a tolerance.

    :param frequencies: (n,) 1/cm in any order; ``tolerance`` likewise in 1/cm.
    """
    order = np.argsort(frequencies, kind='stable')
    gaps = np.flatnonzero(np.diff(frequencies[order]) > tolerance) + 1
    return np.split(order, gaps)


def align(reference: Modes, other: Modes) -> np.ndarray:
    """Return the eigenvectors of ``other`` in the atom order and orientation of ``reference``.

    Atoms are paired with the nearest of their element in fractional coordinates, and the rotation
    in the deformation from one cell to the other is undone.

    :raises ValueError: if elements or their numbers differ, or a cell is no deformation of the
        other.
    """
    if sorted(reference.symbols) != sorted(other.symbols):
        raise ValueError(
            f'modes of different atoms cannot be matched: {_formula(reference.symbols)} and '
            f'{_formula(other.symbols)}'
        )
    deformation = np.linalg.solve(reference.cell, other.cell)
    rotation, stretch = polar(deformation)
    if np.linalg.det(rotation) < 0 or np.abs(stretch - np.eye(3)).max() > 0.3:
        raise ValueError(
            'the cells of the two crystals are not deformations of one another; give both in the '
            'same setting'
        )
    order = _pair_atoms(reference, other)
    rotated: np.ndarray = other.eigenvectors[:, order] @ rotation.T
    return rotated


def _pair_atoms(reference: Modes, other: Modes) -> np.ndarray:
    """Return for each atom of the reference the index of its partner in the other crystal."""
    places = [np.linalg.solve(m.cell.T, m.positions.T).T for m in (reference, other)]
    difference = places[0][:, None] - places[1][None]
    difference -= np.rint(difference)
    distances = np.linalg.norm(difference @ reference.cell, axis=-1)
    elements = np.array(reference.symbols)[:, None] != np.array(other.symbols)[None, :]
    return np.asarray(linear_sum_assignment(distances + 1e6 * elements)[1])


def _formula(symbols: Sequence[str]) -> str:
    """Return elements with their counts."""
    return ' '.join(f'{symbol}{symbols.count(symbol)}' for symbol in sorted(set(symbols)))
