"""The modes under pressure, one row each: a potential, DFT and measured peaks side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aiida_mlip_ins.science import mode_pressure as under_pressure
from aiida_mlip_ins.science.character import Crystal
from aiida_mlip_ins.science.comparison import CompareSettings, direction, pair_modes
from aiida_mlip_ins.science.following import follow
from aiida_mlip_ins.science.irreps import irreps
from aiida_mlip_ins.science.modes import Match, Modes

Row = dict[str, Any]


def track(
    modes: Sequence[Modes | None], pressures: Sequence[float], settings: CompareSettings
) -> list[Row]:
    """Follow each optical mode of the first pressure through the others, see ``following``.

    :param modes: per pressure; ``None`` where they are unknown, but not for the first.
    :param pressures: GPa.
    :return: per mode, as lists over the pressures with ``None`` where modes are unknown:
        ``per_cm``, ``shift_per_cm`` (from the first pressure), ``direction``, ``overlap`` (of the
        ``route`` taken), ``direct_overlap`` (with the first pressure), ``direct_agrees``,
        ``ambiguous``, ``irrep``, ``irrep_reason`` (where the irrep is unknown); and as one value
        ``mode`` (its index at the first pressure), ``slope_per_cm_per_gpa`` and ``grueneisen`` (no
        unit), each with its standard error as ``slope_error_per_cm_per_gpa`` and
        ``grueneisen_error``, ``trend``, ``anomalous`` and ``intensity_share`` (see
        ``mode_pressure``).
    :raises ValueError: if the crystals do not hold the same atoms.
    """
    first = modes[0]
    lines = follow(modes, pressures, settings.degeneracy_tolerance, settings.min_overlap)
    assert first is not None
    named = [
        None if known is None else irreps(known, settings.symprec, settings.min_irrep_share)
        for known in modes
    ]
    volumes = volumes_of(modes)
    shares = under_pressure.intensity_shares(first)
    rows = []
    for index, line in lines.items():
        row: Row = {'mode': index}
        start = float(first.frequencies[index])
        frequencies = [
            None if place is None or known is None else float(known.frequencies[place.mode])
            for place, known in zip(line, modes, strict=True)
        ]
        shifts = [None if f is None else f - start for f in frequencies]
        found = [
            None if place is None or known is None else known[place.mode]
            for place, known in zip(line, named, strict=True)
        ]
        row |= {
            'per_cm': frequencies,
            'shift_per_cm': shifts,
            'direction': [
                None if shift is None else direction(shift, settings.shift_threshold)
                for shift in shifts
            ],
        }
        for name in ('overlap', 'route', 'direct_overlap', 'direct_agrees', 'ambiguous'):
            row[name] = [None if place is None else getattr(place, name) for place in line]
        row['irrep'] = [None if irrep is None else irrep.label for irrep in found]
        row['irrep_reason'] = [None if irrep is None else irrep.reason for irrep in found]
        row |= slopes(pressures, volumes, frequencies, settings)
        row['intensity_share'] = shares[index]
        rows.append(row)
    for row, odd in zip(rows, under_pressure.anomalous([r['trend'] for r in rows]), strict=True):
        row['anomalous'] = odd
    return rows


def volumes_of(modes: Sequence[Modes | None]) -> list[float | None]:
    """Return the volumes (angstrom^3) of the cells."""
    return [None if known is None else float(abs(np.linalg.det(known.cell))) for known in modes]


def slopes(
    pressures: Sequence[float],
    volumes: Sequence[float | None],
    frequencies: Sequence[float | None],
    settings: CompareSettings,
) -> Row:
    """Return shift per GPa and Grueneisen parameter with standard errors, and the trend."""
    slope, error = under_pressure.slope(pressures, frequencies)
    gamma, gamma_error = under_pressure.grueneisen(volumes, frequencies)
    known = [p for p, f in zip(pressures, frequencies, strict=True) if f is not None]
    span = max(known) - min(known) if known else 0.0
    return {
        'slope_per_cm_per_gpa': slope,
        'slope_error_per_cm_per_gpa': error,
        'grueneisen': gamma,
        'grueneisen_error': gamma_error,
        'trend': under_pressure.trend(
            slope, error, span, settings.shift_threshold, settings.slope_errors
        ),
    }


def shift_table(
    mace: Sequence[Modes | None],
    dft: Sequence[Modes | None],
    pressures: Sequence[float],
    settings: CompareSettings,
) -> list[Row]:
    """Return one row for each optical mode of the potential at the first pressure.

    Columns: ``mode``, ``kind``, ``description``, ``parts``, ``elements``; what :func:`track`
    returns of the potential under ``mace_``, and of DFT under ``dft_``. DFT's mode, ``dft_mode``,
    is the one that matches at the first pressure (``mace_dft_overlap``). What is unknown is
    ``None``.
    """
    first = mace[0]
    if first is None:
        return []
    crystal = Crystal(first)
    partners: dict[int, Match] = {}
    tracked: dict[int, Row] = {}
    if dft and dft[0] is not None:
        partners = {pair.first: pair for pair in pair_modes(first, dft[0], settings)}
        tracked = {row['mode']: row for row in track(dft, pressures, settings)}
    table = []
    for row in track(mace, pressures, settings):
        index = row['mode']
        character = crystal.characterise(first.eigenvectors[index])
        entry: Row = {
            'mode': index,
            'kind': character.kind,
            'description': character.description,
            'parts': character.parts,
            'elements': character.elements,
        }
        entry |= {f'mace_{name}': values for name, values in row.items() if name != 'mode'}
        if index in partners:
            other = tracked[partners[index].second]
            entry |= {f'dft_{name}': values for name, values in other.items() if name != 'mode'}
            entry['dft_mode'] = partners[index].second
            entry['mace_dft_overlap'] = partners[index].overlap
        table.append(entry)
    return table


def anomalies(table: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return per method the modes that go red where most go blue, and their weight together.

    :return: under ``mace`` and ``dft``: ``modes`` (rows of the table by ``mode``),
        ``intensity_share`` (0 to 1, of the one-quantum spectrum) and ``n_modes``; a method without
        slopes is left out.
    """
    found = {}
    for method in ('mace', 'dft'):
        rows = [row for row in table if row.get(f'{method}_anomalous') is not None]
        if not rows:
            continue
        odd = [row for row in rows if row[f'{method}_anomalous']]
        found[method] = {
            'n_modes': len(odd),
            'modes': [row['mode'] for row in odd],
            'intensity_share': float(sum(row[f'{method}_intensity_share'] for row in odd)),
        }
    return found
