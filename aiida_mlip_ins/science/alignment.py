"""How alike two spectra would be if energies were right.

Energies that are a little off and intensities that are wrong both cost R2. Moving the energies of
one spectrum to where it fits the other best, without a change of their order, tells them apart, and
the move itself says where in the spectrum energies are off, and by how much. This is the
correlation optimised warping of N.-P. V. Nielsen, J. M. Carstensen and J. Smedsgaard, J.
Chromatogr. A 805, 17 (1998), with the sum of squares in place of the correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from aiida_mlip_ins.science.metrics import fit, r_squared

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MIN_GAIN = 1e-6
"""Of R2; with less the moves are final."""
BENDING = 3e-4
"""Price of a segment that is as long or short as it may be, in R2: where there is nothing to align,
moves go straight on from where there is."""
ROUNDING = 1e-9


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
    width: float,
    reach: float,
    segment: float,
    stretch: float,
    use: NDArray[np.bool_] | None = None,
    before: int = 0,
) -> Alignment:
    """Return the moves of the energies of ``other`` that describe ``reference`` best.

    Moves at the knots, at least ``segment`` apart, are whole bins; the best of all combinations is
    found by dynamic programming for one scale and background, and these are then fitted anew, until
    R2 no longer rises. It is never below that without moves.

    :param energy: (n,) centres of bins, 1/cm.
    :param reference: (n,).
    :param other: (m,) with m >= ``before + n``: what may move into the window is there too. Beyond
        its ends it goes on as it ends.
    :param degree: of the background, see ``metrics.fit``.
    :param width: of the bins, 1/cm.
    :param reach: 1/cm; no energy is moved further.
    :param segment: 1/cm; where ``stretch`` of it is less than a bin, it is taken longer.
    :param stretch: by which share a segment may become longer or shorter, below 1, so that energies
        keep their order. A window that is too short for a bin of it is moved as a whole.
    :param use: (n,), false for bins of the reference that do not count.
    :param before: bins of ``other`` that lie below the window.
    :raises ValueError: if R2 is not defined.
    """
    use = np.ones(len(energy), bool) if use is None else use
    apart = max(segment / width, 1 / stretch)
    knots = _knots(len(energy), int(np.ceil(apart - ROUNDING)))
    most = int(reach / width + ROUNDING)
    path = _Path(reference, use, knots, np.arange(-most, most + 1), stretch)
    here = other[before : before + len(energy)]
    best = np.zeros(len(knots), dtype=np.int64)
    gain = r_squared(reference[use], here[use], energy[use], degree)
    # Peaks that miss each other have a fitted scale of zero: begin with that of spectra as high.
    scale = float(reference[use].std() / (here[use].std() or 1.0))
    background = np.full(len(energy), reference[use].mean() - scale * here[use].mean())
    if degree < 0:
        background[:] = 0.0
    while True:
        found = path.best(background, scale * other, before)
        moved = _moved(other, len(energy), knots, found, before)
        new = r_squared(reference[use], moved[use], energy[use], degree)
        if not new > gain + MIN_GAIN:
            break
        gain, best = new, found
        fitted = fit(energy[use], reference[use], moved[use], degree)
        scale, background[use] = fitted.scale, fitted.background
    # The energy at a knot of the reference is that of the other spectrum `best` bins on.
    shift = best.astype(np.float64) * width
    return Alignment(energy[knots] + shift, 0.0 - shift, gain)


def _knots(count: int, apart: int) -> IntArray:
    """Return the bins (k,) between which moves are linear, both ends among them."""
    return np.linspace(0, count - 1, max(1, (count - 1) // apart) + 1).astype(np.int64)


def _moved(
    other: FloatArray, count: int, knots: IntArray, bins: IntArray, before: int
) -> FloatArray:
    """Return the spectrum (count,) in the window, with its energies moved."""
    here = np.arange(count, dtype=float)
    there = before + here + np.interp(here, knots, bins)
    return np.interp(there, np.arange(len(other)), other)


@dataclass(frozen=True)
class _Path:
    """The search for moves of least squares."""

    reference: FloatArray
    use: NDArray[np.bool_]
    knots: IntArray
    moves: IntArray
    stretch: float

    def best(self, background: FloatArray, other: FloatArray, before: int) -> IntArray:
        """Return the moves (k,) in bins, for a background (n,) and a scaled spectrum (m,)."""
        rest = self.reference - background
        used = self.reference[self.use]
        price = BENDING * float(((used - used.mean()) ** 2).sum())
        cost = np.zeros(len(self.moves))
        origins = []
        for begin, end in pairwise(self.knots):
            bins = np.arange(begin, end + (end == self.knots[-1]))
            bins = bins[self.use[bins]]
            share = (bins - begin) / (end - begin)
            bend = min(int(self.stretch * (end - begin) + ROUNDING), len(self.moves) - 1)
            least = np.full(len(self.moves), np.inf)
            origin = np.zeros(len(self.moves), dtype=np.int64)
            for change in range(-bend, bend + 1):
                squares = self._squares(rest[bins], other, before + bins, change * share)
                squares += cost + price * (change / max(bend, 1)) ** 2
                first, last = max(0, -change), len(self.moves) - max(0, change)
                target = slice(first + change, last + change)
                better = squares[first:last] < least[target]
                least[target][better] = squares[first:last][better]
                origin[target][better] = np.arange(first, last)[better]
            origins.append(origin)
            cost = least
        # Of equal ones the smallest move.
        place = int(np.lexsort((abs(self.moves), cost))[0])
        path = [place]
        for origin in reversed(origins):
            place = int(origin[place])
            path.append(place)
        return self.moves[np.array(path[::-1])]

    def _squares(
        self, rest: FloatArray, other: FloatArray, bins: IntArray, more: FloatArray
    ) -> FloatArray:
        """Return the sums of squares over a segment, by the move at its begin.

        :param more: (bins,), what is added to that move along the segment.
        """
        whole = np.floor(more).astype(np.int64)
        place = bins + whole + self.moves[:, None]
        low = other.take(place, mode='clip')
        high = other.take(place + 1, mode='clip')
        found: FloatArray = ((rest - low - (more - whole) * (high - low)) ** 2).sum(axis=1)
        return found
