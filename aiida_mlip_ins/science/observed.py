"""Measured peaks assigned to the modes of the shift table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_mlip_ins.science.comparison import CompareSettings, direction
from aiida_mlip_ins.science.modes import degenerate
from aiida_mlip_ins.science.peaks import pair_positions
from aiida_mlip_ins.science.settings import problems, setting
from aiida_mlip_ins.science.shift_table import slopes

Row = dict[str, Any]


@dataclass(frozen=True)
class ObservedPeak:
    """One measured peak; the fields are those of ``peaks.Peak``."""

    position: float = setting('Of the peak.', '1/cm', above=0.0)
    height: float = setting('Of the peak.', minimum=0.0, optional=True)
    width: float = setting('Full width at half maximum.', '1/cm', minimum=0.0, optional=True)
    area: float = setting('Above the base, in the unit of the spectrum.', optional=True)
    prominence: float = setting('Height above the base.', minimum=0.0, optional=True)
    assignment: str = setting('Who says what the peak is.', optional=True)


def peak_problems(peaks: Sequence[Any], where: str) -> list[str]:
    """Return every problem of a list of measured peaks, an empty list if there is none."""
    found = []
    for index, peak in enumerate(peaks):
        place = f'{where}[{index}]'
        if isinstance(peak, Mapping):
            found.extend(problems(ObservedPeak, peak, place))
        else:
            found.append(f'{place}: expected a mapping with a position in 1/cm, got {peak!r}')
    return found


def assign_peaks(
    table: Sequence[Row],
    peaks: Sequence[Sequence[Mapping[str, Any]] | None],
    pressures: Sequence[float],
    volumes: Sequence[float | None],
    settings: CompareSettings,
) -> tuple[list[Row], list[Row]]:
    """Assign the peaks of each pressure to the potential's modes there, one to one by position.

    Modes that are degenerate have one peak together. Of two modes near a peak the brighter one
    is preferred, see ``peaks.pair_positions``; a mode's brightness is its ``intensity_share``.

    :param table: of :func:`shift_table`.
    :param peaks: per pressure, each a mapping with the fields of :class:`ObservedPeak`; ``None``
        where there was no measurement.
    :param pressures: GPa.
    :param volumes: of the potential's cells, angstrom^3; Grueneisen parameters need them.
    :return: the table with ``experiment_per_cm``, ``experiment_width_per_cm``, ``experiment_area``,
        ``experiment_shift_per_cm`` and ``experiment_direction`` as lists over the pressures, slope,
        Grueneisen parameter and trend under the same names as the potential's; and per pressure
        ``matched``, ``missing`` (modes without a peak) and ``extra`` (peaks without a mode).
    :raises ValueError: listing all problems of the peaks.
    """
    found = [
        problem
        for number, given in enumerate(peaks)
        for problem in peak_problems(given or [], f'experiment.peaks.pressure_{number}')
    ]
    if found:
        raise ValueError('\n'.join(found))
    matched: list[dict[int, Mapping[str, Any]]] = []
    summary = []
    for number, given in enumerate(peaks):
        partners: dict[int, Mapping[str, Any]] = {}
        if given is not None:
            partners, row = _at_one_pressure(table, given, number, settings)
            summary.append({'pressure_gpa': float(pressures[number]), **row})
        matched.append(partners)
    return [
        {**row, **_columns(place, matched, pressures, volumes, settings)}
        for place, row in enumerate(table)
    ], summary


def _at_one_pressure(
    table: Sequence[Row],
    peaks: Sequence[Mapping[str, Any]],
    number: int,
    settings: CompareSettings,
) -> tuple[dict[int, Mapping[str, Any]], Row]:
    """Return the peak of each row of the table (by its place), and who has no partner."""
    known = [
        place
        for place, row in enumerate(table)
        if row['mace_per_cm'][number] is not None and row['mace_per_cm'][number] > 0
    ]
    frequencies = np.array([table[place]['mace_per_cm'][number] for place in known])
    groups = degenerate(frequencies, settings.degeneracy_tolerance) if known else []
    candidates = [[known[i] for i in group] for group in groups]
    centres = [float(frequencies[group].mean()) for group in groups]
    shares = [sum(table[i]['mace_intensity_share'] for i in places) for places in candidates]
    pairs = pair_positions(
        centres, [peak['position'] for peak in peaks], settings.peak_max_shift, shares
    )
    taken, used = {i for i, _ in pairs}, {j for _, j in pairs}

    def named(i: int) -> Row:
        """Return what a mode, or some that are degenerate, are called."""
        return {
            'modes': [table[place]['mode'] for place in candidates[i]],
            'description': table[candidates[i][0]]['description'],
            'mace_per_cm': centres[i],
            'mace_intensity_share': shares[i],
        }

    partners = {place: peaks[j] for i, j in pairs for place in candidates[i]}
    return partners, {
        'matched': [
            {
                **named(i),
                'peak': dict(peaks[j]),
                'mace_less_experiment_per_cm': centres[i] - peaks[j]['position'],
            }
            for i, j in pairs
        ],
        'missing': [named(i) for i in range(len(candidates)) if i not in taken],
        'extra': [dict(peak) for j, peak in enumerate(peaks) if j not in used],
    }


def _columns(
    place: int,
    matched: Sequence[Mapping[int, Mapping[str, Any]]],
    pressures: Sequence[float],
    volumes: Sequence[float | None],
    settings: CompareSettings,
) -> Row:
    """Return what was measured of one row of the table."""
    own = [partners.get(place) for partners in matched]
    positions = [None if peak is None else float(peak['position']) for peak in own]
    begin = positions[0]
    shifts = [
        None if begin is None or position is None else position - begin for position in positions
    ]
    return {
        'experiment_per_cm': positions,
        'experiment_width_per_cm': [None if peak is None else peak.get('width') for peak in own],
        'experiment_area': [None if peak is None else peak.get('area') for peak in own],
        'experiment_shift_per_cm': shifts,
        'experiment_direction': [
            None if shift is None else direction(shift, settings.shift_threshold)
            for shift in shifts
        ],
        **{
            f'experiment_{name}': value
            for name, value in slopes(pressures, volumes, positions, settings).items()
        },
    }
