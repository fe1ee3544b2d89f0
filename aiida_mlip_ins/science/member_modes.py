"""The modes of the members of a committee: matched, followed through pressure, their spreads.

A mode of the first member, the reference, is matched with one of each other member by the overlap
of eigenvectors at the first pressure (``modes.match_modes``); from there each member's mode is
followed through its own pressures (``following.follow``). Where either step is not sure, that
member has no part in the numbers of that mode at that pressure, and is named in ``unmatched``: the
frequency of another mode would pass for a spread.

Eigenvectors say nothing of which is which among degenerate modes. They are matched as a whole, and
paired in order of energy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from aiida_mlip_ins.science import mode_pressure as under_pressure
from aiida_mlip_ins.science.character import Crystal
from aiida_mlip_ins.science.comparison import CompareSettings, pair_modes
from aiida_mlip_ins.science.error_bands import Calibration, Statistic, best_spread, statistic
from aiida_mlip_ins.science.following import follow
from aiida_mlip_ins.science.modes import Modes, degenerate
from aiida_mlip_ins.science.shift_table import volumes_of

Row = dict[str, Any]
Frequencies = list[float | None]
"""Of one mode of one member over the pressures, 1/cm; ``None`` where there is none for sure."""
Doubt = dict[str, Any]
"""``pressure_gpa`` and ``overlap`` where a mode was not matched or followed for sure."""


def member_table(
    members: Mapping[str, Sequence[Modes | None]],
    pressures: Sequence[float],
    settings: CompareSettings,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """Return volumes, frequencies and shifts with their spreads over the members.

    :param members: of each its modes per pressure, ``None`` where it has none. Those that have none
        at the first pressure, which shifts begin at, have only their volumes in the table.
    :param pressures: GPa.
    :return: ``members``, ``reference`` (the first member that has modes to match, or ``None``),
        ``left_out`` (why members are in no row), ``calibration`` (what there is of it),
        ``volume_angstrom3`` (per pressure, of the cell that the modes are of), and ``rows``, for
        each optical mode of the reference: ``mode`` (its index), ``description``,
        ``degenerate_with`` (indices), per pressure ``frequency_per_cm`` and ``shift_per_cm`` (from
        the first pressure), as one value ``slope_per_cm_per_gpa``, ``trend`` (of the mean slope,
        see ``mode_pressure.trend``, the spread being its error), and ``unmatched``. Numbers are as
        :func:`error_bands.statistic` returns them.
    """
    force = None if calibration is None else calibration.force
    volumes = np.array([volumes_of(modes) for modes in members.values()], dtype=object)
    table: dict[str, Any] = {
        'members': list(members),
        'pressures_gpa': list(pressures),
        'volume_angstrom3': [
            statistic(column, None if calibration is None else calibration.stress)
            for column in volumes.T
        ],
        'calibration': None if calibration is None else asdict(calibration),
        'left_out': {},
        'reference': None,
        'rows': [],
    }
    first: Modes | None = None
    lines: dict[str, dict[int, tuple[Frequencies, list[Doubt]]]] = {}
    for name, modes in members.items():
        start = modes[0]
        if start is None:
            table['left_out'][name] = f'no modes at {pressures[0]:g} GPa, where shifts begin'
            continue
        if first is None:
            first, table['reference'] = start, name
        try:
            lines[name] = _lines(first, modes, pressures, settings)
        except ValueError as error:
            table['left_out'][name] = str(error)
    if first is None:
        return table
    crystal = Crystal(first)
    optical = first.optical()
    for group in degenerate(first.frequencies[optical], settings.degeneracy_tolerance):
        for mode in optical[group]:
            row: Row = {
                'mode': int(mode),
                'description': crystal.characterise(first.eigenvectors[mode]).description,
                'degenerate_with': [int(other) for other in optical[group] if other != mode],
            }
            own = {name: found[int(mode)] for name, found in lines.items()}
            row |= _numbers([values for values, _ in own.values()], pressures, settings, force)
            row['unmatched'] = [
                {'member': name, **doubt} for name, (_, doubts) in own.items() for doubt in doubts
            ]
            table['rows'].append(row)
    return table


def _lines(
    first: Modes,
    modes: Sequence[Modes | None],
    pressures: Sequence[float],
    settings: CompareSettings,
) -> dict[int, tuple[Frequencies, list[Doubt]]]:
    """Return the frequencies of one member, by the mode of the reference that they belong to.

    :param first: of the reference at the first pressure.
    :param modes: of the member, per pressure; there are some at the first one.
    :raises ValueError: if crystals do not hold the same atoms.
    """
    start = modes[0]
    assert start is not None
    followed = follow(modes, pressures, settings.degeneracy_tolerance, settings.min_overlap)
    found: dict[int, tuple[Frequencies, list[Doubt]]] = {}
    for pair in pair_modes(first, start, settings):
        frequencies: Frequencies = []
        doubts: list[Doubt] = []
        for pressure, place, known in zip(pressures, followed[pair.second], modes, strict=True):
            sure = not pair.ambiguous and place is not None and not place.ambiguous
            if place is None or known is None or not sure:
                frequencies.append(None)
            else:
                frequencies.append(float(known.frequencies[place.mode]))
            if place is not None and not sure:
                overlap = pair.overlap if pair.ambiguous else place.overlap
                doubts.append({'pressure_gpa': float(pressure), 'overlap': overlap})
        found[pair.first] = frequencies, doubts
    return found


def _numbers(
    frequencies: Sequence[Frequencies],
    pressures: Sequence[float],
    settings: CompareSettings,
    factor: float | None,
) -> Row:
    """Return the numbers of a row from the frequencies of the members."""
    shifts = [
        [None if f is None or own[0] is None else f - own[0] for f in own] for own in frequencies
    ]
    slopes = [under_pressure.slope(pressures, own)[0] for own in frequencies]
    slope = statistic(slopes, factor)
    return {
        'frequency_per_cm': _per_pressure(frequencies, factor),
        'shift_per_cm': _per_pressure(shifts, factor),
        'slope_per_cm_per_gpa': slope,
        'trend': under_pressure.trend(
            slope['mean'], best_spread(slope), float(np.ptp(pressures)), settings.shift_threshold,
            settings.slope_errors,
        ),
    }  # fmt: skip


def _per_pressure(values: Sequence[Frequencies], factor: float | None) -> list[Statistic]:
    """Return the statistic over the members at each pressure."""
    return [statistic(column, factor) for column in zip(*values, strict=True)]


def sentences(table: Mapping[str, Any]) -> list[str]:
    """Return in words what the table amounts to."""
    pressures = table['pressures_gpa']
    found = [
        f'{pressure:g} GPa: volume {volume["mean"]:.3f} \u00b1 {best_spread(volume):.3f} '
        f'angstrom^3 ({volume["n_members"]} members)'
        for pressure, volume in zip(pressures, table['volume_angstrom3'], strict=True)
        if volume['mean'] is not None
    ]
    for index, pressure in enumerate(pressures):
        spreads = [_typical(table, name, index) for name in ('frequency_per_cm', 'shift_per_cm')]
        if spreads[0] is not None:
            found.append(f'{pressure:g} GPa: median spread of frequencies {spreads[0]:.2f} 1/cm')
            if index and spreads[1] is not None:
                found[-1] += f', of shifts {spreads[1]:.2f} 1/cm'
    trends = [row['trend'] for row in table['rows']]
    if len(pressures) > 1 and any(trends):
        found.append(
            f'{trends.count("blue")} modes go up with pressure, {trends.count("red")} down, '
            f'{trends.count("none")} neither beyond their spread'
        )
    factors = table['calibration'] or {}
    if any(factors.get(name) is not None for name in ('force', 'stress')):
        words = ', '.join(
            f'{factors[name]:.2f} ({name})' for name in ('stress', 'force') if factors[name]
        )
        found.append(f'spreads are calibrated on {factors["split"]}: {words}')
    found += [f'{member} is in no row: {why}' for member, why in table['left_out'].items()]
    for member in table['members']:
        count = sum(
            any(doubt['member'] == member for doubt in row['unmatched']) for row in table['rows']
        )
        if count:
            found.append(f'{member}: {count} of {len(table["rows"])} modes not matched for sure')
    return found


def _typical(table: Mapping[str, Any], name: str, index: int) -> float | None:
    """Return the median spread (calibrated, if it is) over the modes at one pressure."""
    known = [
        spread for row in table['rows'] if (spread := best_spread(row[name][index])) is not None
    ]
    return float(np.median(known)) if known else None
