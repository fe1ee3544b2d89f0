"""Averages and trends of correlated series, with the errors that the correlation leaves."""

from __future__ import annotations

import numpy as np

from aiida_mlip_ins.science.trajectory import FloatArray

MIN_BLOCKS = 8
"""Fewer blocks say too little of their own scatter (Flyvbjerg and Petersen)."""


def standard_error(values: FloatArray) -> float:
    """Return the standard error of the mean of a correlated series (n,).

    Blocking (Flyvbjerg and Petersen, J. Chem. Phys. 91, 461, 1989): neighbours are averaged in
    pairs again and again, and the error of these averages grows until they are independent; the
    largest is taken. Infinite for fewer than two values.
    """
    blocks = np.asarray(values, dtype=float)
    if len(blocks) < 2:
        return float('inf')
    found = 0.0
    while True:
        found = max(found, float(blocks.std(ddof=1) / np.sqrt(len(blocks))))
        if len(blocks) < 2 * MIN_BLOCKS:
            return found
        even = len(blocks) // 2 * 2
        blocks = (blocks[0:even:2] + blocks[1:even:2]) / 2


def slope(times: FloatArray, values: FloatArray) -> tuple[float, float]:
    """Return slope and standard error of the least-squares line through a correlated series.

    The error is that of independent residuals, times what :func:`standard_error` says that their
    correlation adds. Zero and infinite for fewer than three values.
    """
    if len(times) < 3:
        return 0.0, float('inf')
    away = times - times.mean()
    spread = float((away**2).sum())
    found = float((away * values).sum() / spread)
    residuals = values - values.mean() - found * away
    independent = float(residuals.std(ddof=2))
    if independent == 0.0:
        return found, 0.0
    correlated = standard_error(residuals) * np.sqrt(len(times)) / float(residuals.std(ddof=1))
    return found, float(independent / np.sqrt(spread) * correlated)
