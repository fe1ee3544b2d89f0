"""What an INS simulation needs beside the lattice dynamics: instrument, kinematics, rows.

An intensity is an incoherent one-atom scattering law times the atom's total cross section,
``sigma S(Q, w)`` in barn per 1/cm for one primitive cell, summed over what its row leaves open.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_mlip_ins.science.settings import setting
from aiida_mlip_ins.science.units import PER_CM_PER_MEV

UNITS = 'barn/(1/cm)/primitive cell'
KEYS = ('atom', 'element', 'order', 'bank')

Q2_PER_MEV = 0.48259640293390343
"""2 m_n / hbar^2 in 1/(angstrom^2 meV), CODATA 2018."""


@dataclass(frozen=True)
class Instrument:
    """An indirect-geometry instrument: the energy it detects and the angles it detects at."""

    final_energy: float
    """1/cm."""
    banks: Mapping[str, float]
    """Scattering angle in degrees of each bank of detectors."""
    source: str


INSTRUMENTS = {
    'TOSCA': Instrument(
        final_energy=32.0,
        banks={'forward': 45.0, 'backward': 134.98885653282196},
        source='Abins in Mantid, scripts/abins/parameters.py; the angles also in resins 0.1.0.',
    ),
}


@dataclass(frozen=True)
class InsSettings:
    """What decides the intensities; the resolution is applied later."""

    instrument: str = setting(
        'Instrument, which fixes Q for each energy transfer.', choices=tuple(INSTRUMENTS)
    )
    temperature: float = setting('Temperature of the sample.', 'K', minimum=0.0)
    mesh: list[int] = setting('Number of q-points along each reciprocal axis.', minimum=1)
    gamma_centred: bool = setting(
        'Whether the mesh holds Gamma; otherwise it is shifted by half a step along each axis.'
    )
    max_order: int = setting('Largest number of quanta.', minimum=1, maximum=2)
    overtones: str = setting(
        'Second order of one mode with itself: as Abins counts it, or as a harmonic oscillator has '
        'it (twice as much).',
        choices=('abins', 'harmonic'),
    )
    energy_min: float = setting('Start of the spectrum.', '1/cm', minimum=0.0)
    energy_max: float = setting('End of the spectrum.', '1/cm', above=0.0)
    bin_width: float = setting('Width of a bin.', '1/cm', above=0.0)
    frequency_min: float = setting(
        'Modes at or below this have no defined thermal displacement and are left out.',
        '1/cm',
        above=0.0,
    )
    imaginary_tolerance: float = setting(
        'A mode below minus this is a reason to refuse.', '1/cm', minimum=0.0
    )


def energy_bins(settings: InsSettings) -> np.ndarray:
    """Return the edges (n + 1,) of the bins in 1/cm; the last one may end below ``energy_max``."""
    steps = math.floor((settings.energy_max - settings.energy_min) / settings.bin_width + 1e-9)
    return settings.energy_min + settings.bin_width * np.arange(steps + 1)


def momentum_transfer_squared(energy: np.ndarray, angle: float, final_energy: float) -> np.ndarray:
    """Return Q^2 in 1/angstrom^2 of an indirect-geometry instrument.

    ``Q^2 = k_i^2 + k_f^2 - 2 k_i k_f cos(angle)`` with ``E = hbar^2 k^2 / 2 m_n``.

    :param energy: energy lost by the neutron, 1/cm, not below ``-final_energy``.
    :param angle: scattering angle, degrees.
    :param final_energy: energy of the detected neutrons, 1/cm.
    """
    scale = Q2_PER_MEV / PER_CM_PER_MEV
    incident, final = (energy + final_energy) * scale, final_energy * scale
    cosine = math.cos(math.radians(angle))
    return incident + final - 2 * np.sqrt(incident * final) * cosine


def describe_rows(
    symbols: Sequence[str], orders: Sequence[int], banks: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the rows of the intensities: every atom for every order for every bank."""
    return [
        {'atom': atom, 'element': symbol, 'order': order, 'bank': bank}
        for bank in banks
        for order in orders
        for atom, symbol in enumerate(symbols)
    ]


def finest(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the indices of the rows that are not sums of other rows."""
    most = max(len(row) for row in rows)
    return [index for index, row in enumerate(rows) if len(row) == most]


def select(
    rows: Sequence[Mapping[str, Any]], intensity: np.ndarray, keys: Mapping[str, Any]
) -> np.ndarray:
    """Return the sum (n_bins,) of the finest rows that have the given values.

    :param intensity: (n_rows, n_bins).
    :raises KeyError: if a key is none of a row's, or no row has the values.
    """
    chosen = finest(rows)
    for key in keys:
        if key not in rows[chosen[0]]:
            raise KeyError(f"rows have no '{key}', only {', '.join(rows[chosen[0]])}")
    matching = [i for i in chosen if all(rows[i][key] == value for key, value in keys.items())]
    if not matching:
        raise KeyError(f'no row has {dict(keys)}')
    total: np.ndarray = intensity[matching].sum(axis=0)
    return total


def group(
    rows: Sequence[Mapping[str, Any]], intensity: np.ndarray, keys: Sequence[str]
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Sum over what is not in ``keys`` and add the sums over each of ``keys`` as rows of their own.

    With three keys: a row for each combination of the three, of each two, each one, and the total.

    :param rows: rows of ``intensity`` (n_rows, n_bins).
    :param keys: of ``element``, ``order``, ``bank``, ``atom``.
    """
    chosen = finest(rows)
    grouped: list[dict[str, Any]] = []
    sums: list[np.ndarray] = []
    for length in range(len(keys), -1, -1):
        for subset in itertools.combinations(keys, length):
            labels = {tuple(rows[i][key] for key in subset): None for i in chosen}
            for label in labels:
                row = dict(zip(subset, label, strict=True))
                grouped.append(row)
                sums.append(select(rows, intensity, row))
    return grouped, np.array(sums)
