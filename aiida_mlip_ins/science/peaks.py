"""Peaks of a spectrum, and which peak of one is which of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class Peak:
    """One peak; energies in 1/cm."""

    position: float
    height: float
    width: float
    """Full width at half prominence, 1/cm."""
    area: float
    """Above the peak's base and between the lowest points towards its neighbours."""
    prominence: float
    """Height above the base, the higher of the lowest points towards higher peaks."""
    assignment: str | None = None


def find_peaks(
    energy: np.ndarray,
    intensity: np.ndarray,
    min_prominence: float,
    errors: np.ndarray | None = None,
    significance: float = 0.0,
) -> list[Peak]:
    """Return the peaks of a spectrum in order of energy.

    A peak is a local maximum whose prominence is large enough. Its position is the vertex of the
    parabola through the highest bin and its neighbours.

    :param energy: (n,) centres of bins of one size, 1/cm.
    :param intensity: (n,).
    :param min_prominence: as a share of the range of the intensity.
    :param errors: (n,) one standard deviation, ``None`` if unknown.
    :param significance: the prominence must be at least so many standard deviations.
    """
    # Half a second, for all of scipy.stats, which every daemon worker would pay at its start.
    from scipy.signal import find_peaks as local_maxima
    from scipy.signal import peak_widths

    span = float(intensity.max() - intensity.min())
    if span <= 0:
        return []
    indices, found = local_maxima(intensity, prominence=min_prominence * span)
    prominences = found['prominences']
    if errors is not None:
        sure = prominences >= significance * errors[indices]
        indices, prominences = indices[sure], prominences[sure]
    if not len(indices):
        return []
    step = float(energy[1] - energy[0])
    widths = peak_widths(intensity, indices)[0] * step
    valleys = [int(left + np.argmin(intensity[left:right])) for left, right in pairwise(indices)]
    starts, ends = [0, *valleys], [*valleys, len(intensity) - 1]
    peaks = []
    for index, prominence, width, start, end in zip(
        indices, prominences, widths, starts, ends, strict=True
    ):
        above = np.clip(intensity[start : end + 1] - (intensity[index] - prominence), 0.0, None)
        peaks.append(
            Peak(
                position=float(energy[index]) + step * _vertex(intensity[index - 1 : index + 2]),
                height=float(intensity[index]),
                width=float(width),
                area=float(above.sum() * step),
                prominence=float(prominence),
            )
        )
    return peaks


def assign(peaks: Sequence[Peak], modes: Mapping[str, float], max_shift: float) -> list[Peak]:
    """Return the peaks with the names of the modes (1/cm) within ``max_shift`` of each."""
    named = []
    for peak in peaks:
        near = sorted(
            (abs(energy - peak.position), label)
            for label, energy in modes.items()
            if abs(energy - peak.position) <= max_shift
        )
        text = ', '.join(label for _, label in near) or None
        named.append(Peak(**{**asdict(peak), 'assignment': text}))
    return named


def match_peaks(
    reference: Sequence[Peak], other: Sequence[Peak], max_shift: float
) -> dict[str, Any]:
    """Return which peaks of two lists are the same, one to one, and which have no partner.

    The pairing with the smallest sum of shifts in which a peak without a partner costs half of
    ``max_shift``, see :func:`pair_positions`.

    :param max_shift: 1/cm.
    :return: ``matched``: rows with ``reference`` and ``other`` (the peaks as mappings), ``shift``
        (other less reference, 1/cm) and ``area_ratio`` (other over reference); ``missing``: peaks
        of the reference alone; ``extra``: of the other alone; ``mean_absolute_shift`` of the
        matched (1/cm), ``None`` if there are none.
    """
    pairs = pair_positions(
        [peak.position for peak in reference], [peak.position for peak in other], max_shift
    )
    rows = [
        {
            'reference': asdict(reference[i]),
            'other': asdict(other[j]),
            'shift': other[j].position - reference[i].position,
            'area_ratio': other[j].area / reference[i].area if reference[i].area > 0 else None,
        }
        for i, j in pairs
    ]
    taken, used = {i for i, _ in pairs}, {j for _, j in pairs}
    shifts = [abs(other[j].position - reference[i].position) for i, j in pairs]
    return {
        'matched': rows,
        'missing': [asdict(peak) for i, peak in enumerate(reference) if i not in taken],
        'extra': [asdict(peak) for j, peak in enumerate(other) if j not in used],
        'mean_absolute_shift': float(np.mean(shifts)) if shifts else None,
    }


def pair_positions(
    reference: Sequence[float],
    other: Sequence[float],
    max_shift: float,
    weights: Sequence[float] | None = None,
) -> list[tuple[int, int]]:
    """Return the pairing, one to one, with the smallest sum of distances (linear sum assignment).

    No pair is further apart than ``max_shift`` (1/cm). What has no partner costs half of that.
    With weights of the reference, one without a partner costs ``max_shift`` times its weight over
    the largest one, and an other one ``max_shift``: of two candidates the heavier one is taken
    unless it is further away by more than the difference of the costs.
    """
    n, m = len(reference), len(other)
    alone, left = np.full(n, max_shift / 2), max_shift / 2
    if weights is not None:
        heights = np.asarray(weights, dtype=float)
        alone = max_shift * heights / max(float(heights.max(initial=0.0)), 1e-300)
        left = max_shift
    cost = np.full((n + m, m + n), 4.0 * max_shift)
    distance = np.abs(np.asarray(other)[None, :] - np.asarray(reference)[:, None])
    cost[:n, :m] = np.where(distance <= max_shift, distance, 4.0 * max_shift)
    cost[np.arange(n), m + np.arange(n)] = alone
    cost[n + np.arange(m), np.arange(m)] = left
    cost[n:, m:] = 0.0
    return [
        (int(row), int(column))
        for row, column in zip(*linear_sum_assignment(cost), strict=True)
        if row < n and column < m
    ]


def _vertex(three: np.ndarray) -> float:
    """Return where the parabola through three bins has its vertex, in bins from the middle one."""
    bend = float(three[0] - 2 * three[1] + three[2])
    return 0.5 * float(three[0] - three[2]) / bend if bend < 0 else 0.0
