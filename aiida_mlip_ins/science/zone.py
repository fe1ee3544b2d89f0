"""Stability over the whole zone: frequencies at the q-points that a supercell has exactly.

Force constants of a supercell S give the dynamical matrix without any interpolation at the q-points
whose waves are periodic in it, ``S q`` in whole numbers (its commensurate points): det S of them,
Gamma and, of even multiples, the border of the zone among them. Crystals like to be soft just
there, and a mesh that is shifted by half a step can pass between those points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_mlip_ins.science.phonons import Phonon, modes_at
from aiida_mlip_ins.science.text import shortened

ALIKE = 1e-3
"""1/cm; equivalent q-points differ by rounding alone, which must not choose among them."""


@dataclass(frozen=True)
class ExactModes:
    """Frequencies at the exact points, of which q stands for -q as well."""

    points: np.ndarray
    """(n_q, 3) fractions of the reciprocal lattice of the primitive cell, Gamma first."""
    weights: np.ndarray
    """(n_q,) shares of the exact points, which add up to one."""
    frequencies: np.ndarray
    """(n_q, n_modes) 1/cm, imaginary ones negative."""


def multiples(phonon: Phonon) -> np.ndarray:
    """Return the axes of the supercell as rows (3, 3) of whole numbers of those of the cell."""
    return np.rint(phonon.supercell.cell @ np.linalg.inv(phonon.primitive.cell)).astype(int)


def exact_points(phonon: Phonon) -> tuple[np.ndarray, np.ndarray]:
    """Return the q-points (n_q, 3) that the supercell has exactly, Gamma first, and their weights.

    Of q and -q one is there, with the weight of both. The weights (n_q,) add up to one.
    """
    from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

    matrix = multiples(phonon)
    count = round(abs(np.linalg.det(matrix)))
    found = get_commensurate_points(matrix.T)
    # in whole numbers of 1 / det S, so that rounding neither splits nor moves a point
    own = np.rint(found * count).astype(int) % count
    pairs = [min(tuple(point), tuple(-point % count)) for point in own]
    points, shared = np.unique(np.array(pairs), axis=0, return_counts=True)
    return (points - count * (2 * points > count)) / count, shared / count


def exact_modes(phonon: Phonon, gamma: np.ndarray) -> ExactModes:
    """Return the frequencies at the exact points.

    :param gamma: (n_modes,) those at Gamma, 1/cm; there is nothing to compute if the supercell is
        the cell itself.
    """
    points, weights = exact_points(phonon)
    frequencies = gamma[None]
    if len(points) > 1:
        frequencies = np.concatenate([frequencies, modes_at(phonon, points[1:])[0]])
    return ExactModes(points, weights, frequencies)


def with_exact(
    summary: Mapping[str, Any], exact: ExactModes, acoustic: np.ndarray, tolerance: float
) -> dict[str, Any]:
    """Return a summary of the modes on a mesh in which the exact points count as well.

    :param summary: of :func:`phonons.summarise`.
    :param acoustic: (3,) indices of the translations at Gamma, which are left out.
    :param tolerance: a mode counts as imaginary below minus this, 1/cm. Away from Gamma acoustic
        modes have frequencies of their own, so it is the same as on the mesh.
    :return: ``min_frequency_per_cm``, ``min_frequency_q`` and ``imaginary`` of both; in addition
        ``n_exact_qpoints`` (of q and -q one), ``exact_imaginary_share`` (of all modes at them) and
        ``imaginary_points``: for each exact point that has any ``q``, ``frequencies_per_cm`` (of
        the imaginary modes, ascending) and ``weight``, its share of the exact points.
    """
    values = exact.frequencies.copy()
    values[0, acoustic] = np.inf
    imaginary = values < -tolerance
    found = dict(summary)
    # A crystal with one atom in its cell has nothing but translations at Gamma.
    lowest = float(values.min())
    if lowest < found['min_frequency_per_cm']:
        first = int(np.flatnonzero(values.min(axis=1) <= lowest + ALIKE)[0])
        found['min_frequency_per_cm'] = lowest
        found['min_frequency_q'] = exact.points[first].tolist()
    return found | {
        'imaginary': bool(found['imaginary'] or imaginary.any()),
        'n_exact_qpoints': len(exact.points),
        'exact_imaginary_share': float((exact.weights @ imaginary).sum() / values.shape[1]),
        'imaginary_points': [
            {
                'q': exact.points[index].tolist(),
                'frequencies_per_cm': np.sort(values[index, imaginary[index]]).tolist(),
                'weight': float(exact.weights[index]),
            }
            for index in np.flatnonzero(imaginary.any(axis=1))
        ],
    }


def describe(points: Sequence[Mapping[str, Any]]) -> str:
    """Return in words where the exact points with imaginary modes are, the lowest ones first.

    :param points: ``imaginary_points`` of :func:`with_exact`.
    """
    ordered = sorted(points, key=lambda point: float(point['frequencies_per_cm'][0]))
    return shortened(
        [
            f'{point["frequencies_per_cm"][0]:.1f} 1/cm at q = ('
            + ' '.join(f'{value:.3g}' for value in point['q'])
            + f') with a weight of {100 * point["weight"]:.2g} %'
            for point in ordered
        ],
        limit=3,
    )
