"""What an INS simulation needs beside the lattice dynamics: settings, bins, rows, maps.

An intensity is an incoherent one-atom scattering law times a cross section of the atom,
``sigma S(Q, w)`` in barn per 1/cm for one primitive cell, summed over what its row leaves open.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_mlip_ins.science import isotopes
from aiida_mlip_ins.science.instruments import INSTRUMENTS, limits_of
from aiida_mlip_ins.science.settings import setting, unknown_keys
from aiida_mlip_ins.science.units import PER_CM_PER_MEV

UNITS = 'barn/(1/cm)/primitive cell'
KEYS = ('atom', 'element', 'order', 'bank')
MAX_ORDER = 10


@dataclass(frozen=True)
class ConvergenceSettings:
    """When a mesh of q-points is dense enough, and bins are narrow enough for the resolution."""

    tolerance: float = setting(
        'The area between the broadened spectra of a mesh and of one twice as dense, or of bins '
        'and of ones half as wide, as a share.',
        above=0.0,
    )
    max_doublings: int = setting('How often the mesh is doubled at most.', minimum=1, maximum=6)
    max_halvings: int | None = setting(
        'How often the bins are halved at most, once the mesh is dense enough; without it they are '
        'taken as they are.',
        minimum=1,
        maximum=6,
        optional=True,
    )


@dataclass(frozen=True, kw_only=True)
class ScatteringSettings:
    """What decides intensities, wherever the vibrations are from; resolution comes later."""

    instrument: str = setting(
        'Instrument, which fixes Q for each energy transfer.', choices=tuple(INSTRUMENTS)
    )
    banks: dict[str, float] = setting(
        'Weight of each bank of detectors that counts; empty for all, with their own weights.',
        minimum=0.0,
    )
    temperature: float = setting('Temperature of the sample.', 'K', minimum=0.0)
    max_order: int = setting('Largest number of quanta.', minimum=1, maximum=MAX_ORDER)
    cross_section: str = setting(
        'Which cross section of the nuclei counts.', choices=('total', 'incoherent', 'coherent')
    )
    energy_min: float = setting('Start of the spectrum.', '1/cm', minimum=0.0)
    energy_max: float = setting('End of the spectrum.', '1/cm', above=0.0)
    bin_width: float = setting('Width of a bin.', '1/cm', above=0.0)
    frequency_min: float = setting(
        'Modes at or below this have no defined thermal displacement and are left out.',
        '1/cm',
        above=0.0,
    )
    incident_energy: float | None = setting(
        'Energy of the incident neutrons; direct geometry only.', 'meV', above=0.0, optional=True
    )


@dataclass(frozen=True, kw_only=True)
class InsSettings(ScatteringSettings):
    """What decides the intensities of a harmonic crystal."""

    mesh: list[int] = setting('Number of q-points along each reciprocal axis.', minimum=1)
    gamma_centred: bool = setting(
        'Whether the mesh holds Gamma; otherwise it is shifted by half a step along each axis.'
    )
    overtones: str = setting(
        'Second order of one mode with itself: as Abins counts it, or as a harmonic oscillator has '
        'it (twice as much); higher orders follow.',
        choices=('abins', 'harmonic'),
    )
    isotopes: dict[str, str] = setting(
        'Nuclide of an element or of one atom (index in the primitive cell), as in "H: 2H" or '
        '"3: D"; "natural" for the mixture. Empty: by the masses of the crystal.'
    )
    imaginary: str = setting(
        'Imaginary modes: refuse; leave them out and report what is lost; or impose the acoustic '
        'sum rule first, and refuse what is left.',
        choices=('refuse', 'leave_out', 'asr'),
    )
    imaginary_tolerance: float = setting(
        'A mode below minus this is imaginary; nearer to zero it is noise.', '1/cm', minimum=0.0
    )
    asr_threshold: float = setting(
        'With the policy "asr": a mode below minus this is not noise of the acoustic sum rule, and '
        'is refused.',
        '1/cm',
        above=0.0,
    )
    q_step: float | None = setting(
        'Step of a map of intensity against Q and energy; absent for none.',
        '1/angstrom',
        above=0.0,
        optional=True,
    )


def combination_problems(settings: ScatteringSettings, where: str) -> list[str]:
    """Return what does not fit together of settings that are valid one by one."""
    instrument = INSTRUMENTS[settings.instrument]
    found = unknown_keys(settings.banks, instrument.banks, f'{where}.banks')
    if settings.banks and not any(settings.banks.values()):
        found.append(f'{where}.banks: all weights are zero; give one that counts')
    energy = settings.incident_energy
    if instrument.is_direct and energy is None:
        found.append(
            f"{where}: 'incident_energy' (meV) is missing, which {settings.instrument} needs"
        )
    if not instrument.is_direct and energy is not None:
        found.append(
            f'{where}.incident_energy: {settings.instrument} has a fixed final energy; leave it out'
        )
    if energy is not None and settings.energy_max >= energy * PER_CM_PER_MEV:
        found.append(
            f'{where}.energy_max: {settings.energy_max:g} 1/cm is not below the incident energy of '
            f'{energy * PER_CM_PER_MEV:.0f} 1/cm ({energy:g} meV)'
        )
    if isinstance(settings, InsSettings):
        for key, nuclide in settings.isotopes.items():
            found += isotopes.nuclide_problems(key, nuclide, f'{where}.isotopes')
        if settings.q_step is not None and not instrument.is_direct:
            found.append(
                f'{where}.q_step: {settings.instrument} sees one Q for each energy; leave it out, '
                'or choose an instrument with direct geometry'
            )
    return found


def banks_of(settings: ScatteringSettings) -> dict[str, float]:
    """Return the banks that count, with their weights, in the order of the instrument."""
    own = INSTRUMENTS[settings.instrument].banks
    if not settings.banks:
        return {name: bank.weight for name, bank in own.items()}
    return {name: settings.banks[name] for name in own if settings.banks.get(name)}


def incident_per_cm(settings: ScatteringSettings) -> float | None:
    """Return the incident energy in 1/cm, ``None`` for indirect geometry."""
    energy = settings.incident_energy
    return None if energy is None else energy * PER_CM_PER_MEV


def energy_bins(settings: ScatteringSettings) -> np.ndarray:
    """Return the edges (n + 1,) of the bins in 1/cm; the last one may end below ``energy_max``."""
    steps = math.floor((settings.energy_max - settings.energy_min) / settings.bin_width + 1e-9)
    return settings.energy_min + settings.bin_width * np.arange(steps + 1)


def map_q(settings: InsSettings) -> np.ndarray:
    """Return the Q (n,) in 1/angstrom of a map: whole steps up to what the instrument reaches."""
    assert settings.q_step is not None
    limits = limits_of(INSTRUMENTS[settings.instrument], incident_per_cm(settings))
    edges = energy_bins(settings)
    largest = math.sqrt(limits.squared((edges[1:] + edges[:-1]) / 2).max())
    return settings.q_step * np.arange(1, math.floor(largest / settings.q_step) + 1)


def cut(
    axis: np.ndarray, values: np.ndarray, reachable: np.ndarray, low: float, high: float
) -> np.ndarray:
    """Return the mean of a map over a range of one of its axes; NaN-free, 0 where nothing is seen.

    :param axis: (n,) the axis that is averaged, the second but last of ``values``.
    :param values: (..., n, m).
    :param reachable: (n, m), what the instrument sees; the mean is over that.
    :raises ValueError: if the range holds no point of the axis.
    """
    inside = (axis >= low) & (axis <= high)
    if not inside.any():
        raise ValueError(
            f'no point between {low:g} and {high:g}: the axis runs from {axis[0]:g} to {axis[-1]:g}'
        )
    seen = reachable[inside].sum(axis=0)
    total = (values[..., inside, :] * reachable[inside]).sum(axis=-2)
    found: np.ndarray = np.divide(total, seen, out=np.zeros_like(total), where=seen > 0)
    return found


def change(before: np.ndarray, after: np.ndarray) -> float:
    """Return the area between two spectra (n,) on one grid as a share of the later one's area.

    :raises ValueError: if the later one is empty.
    """
    area = float(np.abs(after).sum())
    if area == 0:
        raise ValueError('the spectrum is empty in its range of energies')
    return float(np.abs(after - before).sum()) / area


def in_wider_bins(fine: np.ndarray, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the means (n,) of a density over bins.

    :param fine: (m + 1,) edges of the bins of the density, which reach as far as the others.
    :param values: (m,) density.
    :param edges: (n + 1,).
    """
    area = np.concatenate([[0.0], np.cumsum(values * np.diff(fine))])
    found: np.ndarray = np.diff(np.interp(edges, fine, area)) / np.diff(edges)
    return found


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
