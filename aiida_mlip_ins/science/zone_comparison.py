"""A potential against DFT over the zone: at the q-points that DFT's supercell has exactly.

Force constants say most where nothing is interpolated. At those points modes are matched by their
eigenvectors, as at Gamma; both crystals have them in the convention ``u = e exp(2 pi i q.x)`` with
``x`` the place of the atom itself, in which the choice of its periodic image does not matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aiida_mlip_ins.science.comparison import CompareSettings, pair_modes
from aiida_mlip_ins.science.metrics import frequency_errors
from aiida_mlip_ins.science.modes import Modes
from aiida_mlip_ins.science.phonons import Phonon, gamma_modes, modes_at
from aiida_mlip_ins.science.zone import exact_points, multiples


def errors_on_supercell(mace: Phonon, dft: Phonon, settings: CompareSettings) -> dict[str, Any]:
    """Return the errors (1/cm) of frequencies at the points that the supercell of DFT has exactly.

    :param mace: of a cell in the same setting; its supercell may be another one, whose force
        constants are interpolated where it lacks a point.
    :return: ``mae_per_cm`` and ``mean_per_cm``, over all modes of all points, of q and -q both;
        ``max_per_cm``; ``min_overlap``; ``n_modes``, how many were compared, and ``n_ambiguous`` of
        them; ``points``: the same for each of q and -q, with ``q`` in fractions of the reciprocal
        lattice, ``weight``, its share of the points, and whether it is ``interpolated``. Gamma
        comes first, without its three translations.
    :raises ValueError: if the two do not hold the same atoms.
    """
    points, weights = exact_points(dft)
    held = multiples(mace) @ points.T
    interpolated = np.abs(held - np.rint(held)).max(axis=0) > 1e-6
    rows = [
        {
            'q': point.tolist(),
            'weight': float(weight),
            'interpolated': bool(between),
            **_errors(of_mace, of_dft, settings, at_gamma=not point.any()),
        }
        for point, weight, between, of_mace, of_dft in zip(
            points, weights, interpolated, modes_of(mace, points), modes_of(dft, points),
            strict=True,
        )
        # A crystal with one atom in its cell has nothing but translations at Gamma.
        if point.any() or len(dft.primitive) > 1
    ]  # fmt: skip
    counts = np.array([row['weight'] * row['n_modes'] for row in rows])
    return {
        **{
            name: float(np.average([row[name] for row in rows], weights=counts))
            for name in ('mae_per_cm', 'mean_per_cm')
        },
        'max_per_cm': max(row['max_per_cm'] for row in rows),
        'min_overlap': min(row['min_overlap'] for row in rows),
        'n_modes': sum(row['n_modes'] for row in rows),
        'n_ambiguous': sum(row['n_ambiguous'] for row in rows),
        'points': rows,
    }


def modes_of(phonon: Phonon, points: np.ndarray) -> list[Modes]:
    """Return the modes at q-points (n_q, 3; fractions of the reciprocal lattice)."""
    crystal = phonon.primitive
    there = [
        (values, vectors) if point.any() else gamma_modes(phonon)
        for point, values, vectors in zip(points, *modes_at(phonon, points), strict=True)
    ]
    return [
        Modes(
            values,
            vectors,
            tuple(crystal.symbols),
            np.asarray(crystal.masses),
            np.asarray(crystal.cell),
            np.asarray(crystal.positions),
        )
        for values, vectors in there
    ]


def _errors(mace: Modes, dft: Modes, settings: CompareSettings, at_gamma: bool) -> dict[str, Any]:
    """Return the errors of the modes at one point."""
    pairs = pair_modes(mace, dft, settings, at_gamma)
    errors = frequency_errors(
        mace.frequencies[[pair.first for pair in pairs]],
        dft.frequencies[[pair.second for pair in pairs]],
    )
    return {
        **errors,
        'min_overlap': min(pair.overlap for pair in pairs),
        'n_modes': len(pairs),
        'n_ambiguous': sum(pair.ambiguous for pair in pairs),
    }
