"""The shift table of spectra: peaks followed through pressures, methods side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aiida_mlip_ins.science import mode_pressure
from aiida_mlip_ins.science.comparison import direction
from aiida_mlip_ins.science.peaks import Peak, assign, pair_positions

Line = list[Peak | None]


def follow_peaks(lists: Sequence[Sequence[Peak] | None], max_shift: float) -> list[Line]:
    """Return each peak of the first known list with the peaks it becomes at later pressures.

    From list to list the pairing with the smallest sum of shifts (``peaks.pair_positions``). A peak
    without a partner at one pressure is looked for again, from where it was last, at the next. What
    appears only later has no line.

    :param lists: per pressure; ``None`` where there is no spectrum.
    :param max_shift: of a peak from one list to the next, 1/cm.
    :return: per peak, over the pressures.
    """
    lines: list[Line] = []
    begun = False
    for number, peaks in enumerate(lists):
        if peaks is None:
            for line in lines:
                line.append(None)
        elif not begun:
            lines, begun = [[*[None] * number, peak] for peak in peaks], True
        else:
            last = [next(p for p in reversed(line) if p is not None).position for line in lines]
            found = dict(pair_positions(last, [peak.position for peak in peaks], max_shift))
            for place, line in enumerate(lines):
                line.append(peaks[found[place]] if place in found else None)
    return lines


def peak_shifts(
    peaks: Mapping[str, Sequence[Sequence[Peak] | None]],
    reference: str,
    pressures: Sequence[float],
    max_shift: float,
    shift_threshold: float,
    assignments: Mapping[str, float],
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return the table of peaks with their shifts, and how far the others agree on the shifts.

    Lines of another role belong to those of the reference whose peaks are nearest, one to one, at
    the first pressure where both have a spectrum.

    :param peaks: by role, per pressure; ``None`` where there is no spectrum.
    :param pressures: GPa, ascending.
    :param max_shift: of a peak between two pressures, and between two roles, 1/cm.
    :param shift_threshold: a smaller shift (1/cm) has no direction.
    :param assignments: energy (1/cm) of each mode by name.
    :return: rows in order of energy, each by role over the pressures: ``per_cm``,
        ``shift_per_cm`` (from the first pressure that it has), ``width_per_cm``, ``area``, and as
        one value ``slope_per_cm_per_gpa``; ``assignment``. Under the name of each other role
        ``n_shifts`` (that both have, between the first and the last pressure they share),
        ``n_same_direction``, ``mean_absolute_difference_per_cm``, ``mean_shift_per_cm`` and
        ``reference_mean_shift_per_cm``, and ``relative_difference``, the mean absolute difference
        over the mean absolute shift of the reference (``None`` if there are none).
    """
    lines = {role: follow_peaks(lists, max_shift) for role, lists in peaks.items()}
    rows: list[dict[str, Line]] = [{reference: line} for line in lines[reference]]
    for role, found in lines.items():
        if role == reference:
            continue
        shared = [
            index for index in range(len(pressures))
            if peaks[reference][index] is not None and peaks[role][index] is not None
        ]  # fmt: skip
        partners = _partners(lines[reference], found, shared[0], max_shift) if shared else {}
        for place, line in enumerate(found):
            if place in partners:
                rows[partners[place]][role] = line
            else:
                rows.append({role: line})
    table = [_row(row, list(peaks), pressures, max_shift, assignments) for row in rows]
    table.sort(key=_begin)
    agreement = {
        role: _agreement(rows, reference, role, shift_threshold)
        for role in peaks
        if role != reference
    }
    return table, agreement


def _partners(
    reference: list[Line], other: list[Line], index: int, max_shift: float
) -> dict[int, int]:
    """Return which line of the reference belongs to which of the other, by peaks at a pressure."""
    own = [(place, line[index]) for place, line in enumerate(reference)]
    theirs = [(place, line[index]) for place, line in enumerate(other)]
    left = [(place, peak.position) for place, peak in own if peak is not None]
    right = [(place, peak.position) for place, peak in theirs if peak is not None]
    pairs = pair_positions([p for _, p in left], [p for _, p in right], max_shift)
    return {right[j][0]: left[i][0] for i, j in pairs}


def _row(
    row: Mapping[str, Line],
    roles: Sequence[str],
    pressures: Sequence[float],
    max_shift: float,
    assignments: Mapping[str, float],
) -> dict[str, Any]:
    """Return one row of the table."""
    entry: dict[str, Any] = {
        name: {} for name in ('per_cm', 'shift_per_cm', 'width_per_cm', 'area')
    }
    entry['slope_per_cm_per_gpa'] = {}
    for role in roles:
        line = row.get(role, [None] * len(pressures))
        places = [None if peak is None else peak.position for peak in line]
        start = next((place for place in places if place is not None), None)
        entry['per_cm'][role] = places
        entry['shift_per_cm'][role] = [
            None if place is None or start is None else place - start for place in places
        ]
        entry['width_per_cm'][role] = [None if peak is None else peak.width for peak in line]
        entry['area'][role] = [None if peak is None else peak.area for peak in line]
        entry['slope_per_cm_per_gpa'][role] = mode_pressure.slope(pressures, places)[0]
    first = next(peak for line in row.values() for peak in line if peak is not None)
    entry['assignment'] = assign([first], assignments, max_shift)[0].assignment
    return entry


def _begin(row: Mapping[str, Any]) -> float:
    """Return where (1/cm) a row begins, by the first role that it has."""
    return float(next(p for places in row['per_cm'].values() for p in places if p is not None))


def _agreement(
    rows: Sequence[Mapping[str, Line]], reference: str, role: str, threshold: float
) -> dict[str, Any]:
    """Return how far another role has the shifts of the reference."""
    pairs = []
    for row in rows:
        if reference not in row or role not in row:
            continue
        both = [
            (own.position, theirs.position)
            for own, theirs in zip(row[reference], row[role], strict=True)
            if own is not None and theirs is not None
        ]
        if len(both) > 1:
            pairs.append((both[-1][0] - both[0][0], both[-1][1] - both[0][1]))
    own, theirs = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    same = [direction(a, threshold) == direction(b, threshold) for a, b in pairs]
    size = float(np.abs(own).mean()) if pairs else 0.0
    return {
        'n_shifts': len(pairs),
        'n_same_direction': sum(same),
        'mean_absolute_difference_per_cm': float(np.abs(theirs - own).mean()) if pairs else None,
        'relative_difference': float(np.abs(theirs - own).mean()) / size if size > 0 else None,
        'mean_shift_per_cm': float(theirs.mean()) if pairs else None,
        'reference_mean_shift_per_cm': float(own.mean()) if pairs else None,
    }
