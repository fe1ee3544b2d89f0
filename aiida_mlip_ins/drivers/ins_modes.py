"""What the INS driver makes of force constants: nuclides, modes, and a policy for imaginary ones.

Cross sections and masses are those of V. F. Sears, Neutron News 3, 26 (1992), as euphonic has them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from aiida_mlip_ins.drivers.common import DriverError
from aiida_mlip_ins.science import ins, isotopes, phonons
from aiida_mlip_ins.science.vibrations import Vibrations

HINT = (
    'Relax the structure further, use a larger supercell or train on frames near it; or give '
    '`imaginary: leave_out` for a spectrum without these modes, which says how much is missing'
)
COLUMNS = {
    'total': 'scattering_cross_section (barn)',
    'incoherent': 'incoherent_cross_section (barn)',
    'coherent': 'coherent_cross_section (barn)',
}
MASS_TOLERANCE = 0.3
"""Largest difference (u) between a mass of the crystal and that of a nuclide, as in euphonic."""


@dataclass(frozen=True)
class Crystal:
    """Modes of a crystal with the nuclides that it is made of, and what had to be done to it."""

    symbols: list[str]
    vibrations: Vibrations
    cross_sections: np.ndarray
    """(n_atoms,) barn."""
    report: dict[str, Any]
    """JSON types, for the results."""
    remarks: list[str]
    """Sentences that belong to the spectrum."""


def read_force_constants(path: Path) -> Any:
    """Return a phonopy object with the force constants of an ``npz`` file."""
    with np.load(path, allow_pickle=False) as file:
        content = dict(file)
    content['symbols'] = [str(symbol) for symbol in content['symbols']]
    try:
        return phonons.make_phonopy(**content)
    except ValueError as error:
        raise DriverError('BAD_INPUT', str(error)) from error


def crystal_of(phonon: Any, settings: ins.InsSettings) -> Crystal:
    """Return the modes on the mesh, after nuclides are put in and imaginary modes are dealt with.

    :raises DriverError: for nuclides that are not known, and for modes that the policy refuses.
    """
    symbols = [str(symbol) for symbol in phonon.primitive.symbols]
    nuclides = choose_nuclides(
        symbols, phonon.primitive.masses, settings.isotopes, settings.cross_section
    )
    masses = [
        own if number is None else float(nuclide['mass (amu)'])
        for own, number, nuclide in zip(
            phonon.primitive.masses,
            isotopes.mass_numbers(settings.isotopes, symbols),
            nuclides,
            strict=True,
        )
    ]
    phonon.masses = masses
    report: dict[str, Any] = {}
    remarks: list[str] = []
    points, weights = phonons.mesh_points(settings.mesh, settings.gamma_centred)
    frequencies, vectors = phonons.modes_at(phonon, points)
    translations = find_translations(points, vectors, np.array(masses))
    if settings.imaginary == 'asr':
        before = np.where(translations, np.inf, frequencies).min()
        if before < -settings.asr_threshold:
            refuse(points, weights, frequencies, translations, settings.asr_threshold)
        violation = phonons.sum_rule_violation(phonon)
        phonons.impose_sum_rule(phonon)
        changed, vectors = phonons.modes_at(phonon, points)
        translations = find_translations(points, vectors, np.array(masses))
        report['sum_rule'] = {
            'violation_before_ev_per_angstrom2': violation,
            'violation_after_ev_per_angstrom2': phonons.sum_rule_violation(phonon),
            'lowest_before_per_cm': float(before),
            'largest_shift_per_cm': float(np.abs(changed - frequencies).max()),
        }
        remarks.append(
            f'acoustic sum rule imposed: it was broken by {violation:.2g} eV/angstrom^2, and '
            f'frequencies changed by up to {np.abs(changed - frequencies).max():.2g} 1/cm'
        )
        frequencies = changed
    values = np.where(translations, np.inf, frequencies)
    imaginary = values < -settings.imaginary_tolerance
    if imaginary.any() and settings.imaginary != 'leave_out':
        refuse(points, weights, frequencies, translations, settings.imaginary_tolerance)
    excluded = translations | (frequencies <= settings.frequency_min)
    vibrations = Vibrations(
        frequencies, vectors, weights, np.array(masses), settings.temperature, excluded
    )
    sections = cross_sections(nuclides, settings.cross_section)
    report |= {
        'n_qpoints': len(points),
        'n_modes': frequencies.shape[1],
        'min_frequency_per_cm': float(frequencies.min()),
        'max_frequency_per_cm': float(frequencies.max()),
        'n_modes_excluded': int(excluded.sum()),
        'excluded_share': float((weights @ excluded).sum() / frequencies.shape[1]),
        'n_modes_imaginary': int(imaginary.sum()),
        'nuclides': [describe(n, m) for n, m in zip(nuclides, masses, strict=True)],
    }
    if imaginary.any():
        lost = weight_lost(vibrations, imaginary, sections, symbols)
        report['imaginary_weight_lost'] = lost
        remarks.append(
            f'{imaginary.sum()} imaginary modes left out, the lowest at {values.min():.1f} 1/cm: '
            f'{100 * lost["total"]:.2g} % of the recoil-weighted scattering power is missing'
        )
    return Crystal(symbols, vibrations, sections, report, remarks)


def find_translations(points: np.ndarray, vectors: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Return which modes (n_q, n_modes) are translations of the whole crystal at Gamma.

    They may come out at any small frequency, imaginary too, without harm.
    """
    found = np.zeros(vectors.shape[:2], dtype=bool)
    for index in np.flatnonzero(np.all(np.abs(points) < 1e-8, axis=1)):
        found[index, phonons.acoustic_modes(vectors[index], masses)] = True
    return found


def refuse(
    points: np.ndarray,
    weights: np.ndarray,
    frequencies: np.ndarray,
    translations: np.ndarray,
    limit: float,
) -> None:
    """Raise the error of a crystal that is no minimum: where, how many, how low."""
    values = np.where(translations, np.inf, frequencies)
    q_index, _ = np.unravel_index(values.argmin(), values.shape)
    imaginary = values < -limit
    share = float((weights @ imaginary).sum() / values.shape[1])
    raise DriverError(
        'IMAGINARY_MODES',
        f'the lowest frequency is {values.min():.1f} 1/cm at q = '
        f'{np.round(points[q_index], 4).tolist()}; {imaginary.sum()} modes '
        f'({100 * share:.2g} % of all) are below -{limit:g} 1/cm',
        HINT,
    )


def weight_lost(
    vibrations: Vibrations, lost: np.ndarray, cross_sections: np.ndarray, symbols: list[str]
) -> dict[str, float]:
    """Return which share of the scattering power of each element, and of all, modes carry.

    The power of an atom in a mode is ``sigma |e|^2 / m``, which is what the first moment of the
    one-quantum scattering measures (Placzek's sum rule) whatever the frequency.

    :param lost: (n_q, n_modes), the modes.
    """
    shares = (np.abs(vibrations.vectors) ** 2).sum(axis=-1)
    each = np.einsum('q,qm,qma->a', vibrations.weights, lost, shares) / 3
    power = cross_sections / vibrations.masses
    found = {'total': float(each @ power / power.sum())}
    for symbol in sorted(set(symbols)):
        of = np.array([other == symbol for other in symbols])
        found[symbol] = float(each[of] @ power[of] / power[of].sum())
    return found


def choose_nuclides(
    symbols: list[str], masses: np.ndarray, asked_for: Mapping[str, str], kind: str
) -> list[dict[str, str]]:
    """Return the row of Sears' table for each atom: the one asked for, or the nearest in mass.

    :param masses: (n_atoms,), u.
    :param asked_for: nuclides by element or index of an atom.
    :param kind: of the cross section that has to be known.
    """
    found = isotopes.crystal_problems(asked_for, symbols, 'parameters.isotopes')
    if found:
        raise DriverError('BAD_INPUT', '\n'.join(found))
    wanted = isotopes.mass_numbers(asked_for, symbols)
    chosen: list[dict[str, str]] = []
    for index, (symbol, mass, number) in enumerate(zip(symbols, masses, wanted, strict=True)):
        rows = [row for row in table() if row['symbol'] == symbol]
        if number is not None:
            label = '' if number == isotopes.NATURAL else str(number)
            rows = [row for row in rows if row['a_number'] == label]
        else:
            rows = sorted(rows, key=lambda row: abs(float(row['mass (amu)']) - mass))[:1]
            rows = [r for r in rows if abs(float(r['mass (amu)']) - mass) <= MASS_TOLERANCE]
        if not rows or cross_section(rows[0], kind) is None:
            known = [row['a_number'] or isotopes.NATURAL for row in table()
                     if row['symbol'] == symbol]  # fmt: skip
            asked = f'of mass {mass:g} u' if number is None else f'{number}'
            found.append(
                f'atom {index}: {symbol} {asked} has no known {kind} cross '
                f'section (known: {", ".join(known) or "none"})'
            )
            continue
        chosen.append(rows[0])
    if found:
        raise DriverError('BAD_INPUT', '\n'.join(found))
    return chosen


def cross_sections(nuclides: list[dict[str, str]], kind: str) -> np.ndarray:
    """Return the cross sections (n_atoms,; barn) of nuclides that have them."""
    return np.array([cross_section(nuclide, kind) for nuclide in nuclides], dtype=float)


def cross_section(nuclide: dict[str, str], kind: str) -> float | None:
    """Return a cross section (barn), ``None`` if it is not known.

    The table leaves the incoherent one empty where it is nothing, as for nuclei without spin.
    """
    values = {name: float(nuclide[key]) if nuclide[key] else None for name, key in COLUMNS.items()}
    total, coherent = values['total'], values['coherent']
    if kind == 'incoherent' and values[kind] is None and total is not None and coherent is not None:
        return max(0.0, total - coherent)
    return values[kind]


def describe(nuclide: dict[str, str], mass: float) -> dict[str, Any]:
    """Return what the results say of an atom's nucleus."""
    return {
        'nuclide': f'{nuclide["a_number"] or isotopes.NATURAL + " "}{nuclide["symbol"]}',
        'mass_u': float(mass),
        **{f'{kind}_barn': cross_section(nuclide, kind) for kind in COLUMNS},
    }


@cache
def table() -> list[dict[str, str]]:
    """Return the rows of Sears' table; the second line of the file holds types."""
    with (files('euphonic.isotopes') / 'data' / 'sears-1992.csv').open() as handle:
        return list(csv.DictReader(handle))[1:]
