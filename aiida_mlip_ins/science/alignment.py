"""How alike two spectra would be if every energy were right: what is left is intensities.

Energies that are a little off and intensities that are wrong both cost R2. Moving the energies of
one spectrum to where it fits the other best, without a change of their order, tells them apart, and
the move itself says where in the spectrum energies are off, and by how much. This is the
correlation optimised warping of N.-P. V. Nielsen, J. M. Carstensen and J. Smedsgaard, J.
Chromatogr. A 805, 17 (1998), with the sum of squares in place of the correlation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from aiida_mlip_ins.science.metrics import fit, r_squared

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MIN_GAIN = 1e-6
"""Of R2; with less the moves are final."""


@dataclass(frozen=True)
class Alignment:
    """Moves of the energies of one spectrum that make it most like another."""

    energy: FloatArray
    """(k,) 1/cm, knots in the other spectrum's axis; between them the move is linear."""
    move: FloatArray
    """(k,) 1/cm, what is added to the energies."""
    r_squared: float


def align(
    energy: FloatArray,
    reference: FloatArray,
    other: FloatArray,
    degree: int,
    *,
    reach: float,
    segment: float,
    stretch: float,
    use: NDArray[np.bool_] | None = None,
) -> Alignment:
    """Return the moves of the energies of ``other`` that describe ``reference`` best.

    Moves at the knots, ``segment`` apart, are whole bins; the best of all combinations is found by
    dynamic programming for one scale and background, and these are then fitted anew, until R2 no
    longer rises. It is never below that without moves.

    :param energy: (n,) centres of bins of one width, 1/cm.
    :param reference: (n,), and ``other`` on the same bins.
    :param degree: of the background, see ``metrics.fit``.
    :param reach: 1/cm; no energy is moved further.
    :param segment: 1/cm.
    :param stretch: by which share a segment may become longer or shorter.
    :param use: (n,), false for bins of the reference that do not count.
    :raises ValueError: if R2 is not defined.
    """
    use = np.ones(len(energy), bool) if use is None else use
    width = float(energy[1] - energy[0])
    knots = _knots(len(energy), max(2, round(segment / width)))
    moves = np.arange(-int(reach / width), int(reach / width) + 1)
    bend = max(1, int(stretch * segment / width))
    best = np.zeros(len(knots), dtype=np.int64)
    gain = r_squared(reference[use], other[use], energy[use], degree)
    # Peaks that miss each other have a fitted scale of zero: begin with that of spectra as high.
    scale = float(reference[use].std() / (other[use].std() or 1.0))
    background = reference[use].mean() - scale * other[use].mean() if degree >= 0 else 0.0
    while True:
        found = _path(reference - background, scale * other, use, knots, moves, bend)
        moved = _moved(other, knots, found)
        new = r_squared(reference[use], moved[use], energy[use], degree)
        if new <= gain + MIN_GAIN:
            break
        gain, best = new, found
        fitted = fit(energy[use], reference[use], moved[use], degree)
        scale, background = fitted.scale, np.zeros(len(energy))
        background[use] = fitted.background
    # The energy at a knot of the reference is that of the other spectrum `best` bins on.
    shift: FloatArray = best.astype(np.float64) * width
    return Alignment(energy[knots] + shift, -shift, gain)


def _knots(count: int, apart: int) -> IntArray:
    """Return the bins (k,) between which moves are linear, both ends among them."""
    return np.linspace(0, count - 1, max(2, round((count - 1) / apart) + 1)).astype(np.int64)


def _moved(other: FloatArray, knots: IntArray, bins: IntArray) -> FloatArray:
    """Return the spectrum with its energies moved; its ends go on as they are."""
    here = np.arange(len(other), dtype=float)
    return np.interp(here + np.interp(here, knots, bins), here, other)


def _path(
    reference: FloatArray,
    other: FloatArray,
    use: NDArray[np.bool_],
    knots: IntArray,
    moves: IntArray,
    bend: int,
) -> IntArray:
    """Return the moves (k,) in bins of least squares, those of neighbours within ``bend``."""
    count = len(moves)
    cost = np.zeros(count)
    before = []
    for begin, end in pairwise(knots):
        bins = np.arange(begin, end + (end == knots[-1]))
        bins = bins[use[bins]]
        least, origin = np.full(count, np.inf), np.zeros(count, dtype=np.int64)
        for change, squares in _segment(reference, other, bins, begin, end, moves, bend):
            first, last = max(0, -change), min(count, count - change)
            total = squares[first:last] + cost[first:last]
            target = slice(first + change, last + change)
            better = total < least[target]
            least[target][better] = total[better]
            origin[target][better] = np.arange(first, last)[better]
        before.append(origin)
        cost = least
    place = int(np.argmin(cost))
    path = [place]
    for origin in reversed(before):
        place = int(origin[place])
        path.append(place)
    return moves[np.array(path[::-1])]


def _segment(
    reference: FloatArray,
    other: FloatArray,
    bins: IntArray,
    begin: int,
    end: int,
    moves: IntArray,
    bend: int,
) -> Iterator[tuple[int, FloatArray]]:
    """Yield each change of the move along a segment and, by move at its begin, the squares."""
    share = (bins - begin) / max(1, end - begin)
    # No change first: of equal moves the straight one is kept.
    for change in sorted(range(-bend, bend + 1), key=abs):
        whole = np.floor(change * share).astype(np.int64)
        part = change * share - whole
        place = bins + whole + moves[:, None]
        low = other.take(place, mode='clip')
        high = other.take(place + 1, mode='clip')
        yield change, ((reference[bins] - low - part * (high - low)) ** 2).sum(axis=1)
