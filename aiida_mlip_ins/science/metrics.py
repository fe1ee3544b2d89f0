"""Numbers that say how alike two spectra or two lists of frequencies are."""

from __future__ import annotations

from typing import Any

import numpy as np


def fitted_scale(reference: np.ndarray, other: np.ndarray) -> float:
    """Return the factor on ``other`` (n,) that brings it closest to ``reference`` (n,)."""
    square = float(other @ other)
    return float(reference @ other) / square if square > 0 else 0.0


def r_squared(reference: np.ndarray, other: np.ndarray) -> float:
    """Return the coefficient of determination of ``other`` with a fitted scale.

    ``1 - sum (r - s o)^2 / sum (r - mean r)^2``: one for equal shapes, below zero for a worse
    description than a constant. Intensities are (n,) on the same bins.

    :raises ValueError: if the reference is constant.
    """
    spread = float(((reference - reference.mean()) ** 2).sum())
    if spread == 0:
        raise ValueError('R2 is not defined for a constant reference')
    rest = reference - fitted_scale(reference, other) * other
    return 1.0 - float((rest**2).sum()) / spread


def wasserstein(edges: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Return how far (1/cm) area has to be moved to turn one spectrum's shape into the other's.

    The first Wasserstein distance of the spectra normalised to unit area, the area between their
    cumulative distributions. A peak that is shifted costs its shift, where R2 sees only a miss.

    :param edges: (n + 1,) edges of the bins, 1/cm.
    :param first: (n,), not negative; ``second`` likewise.
    :raises ValueError: if a spectrum is empty or negative somewhere.
    """
    shares = []
    widths = np.diff(edges)
    for spectrum in (first, second):
        area = spectrum * widths
        if (area < 0).any() or area.sum() <= 0:
            raise ValueError('a spectrum is empty or negative somewhere')
        shares.append(area / area.sum())
    # Area lies evenly within its bin, so the difference of the cumulative distributions is linear
    # between the edges, and its absolute value is a trapezium or, where it changes sign, two
    # triangles.
    difference = np.concatenate([[0.0], np.cumsum(shares[0] - shares[1])])
    left, right = difference[:-1], difference[1:]
    total = np.abs(left) + np.abs(right)
    crossing = left * right < 0
    triangles = (left**2 + right**2) / np.where(total > 0, total, 1.0)
    return float((np.where(crossing, triangles, total) * widths / 2).sum())


def frequency_errors(first: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """Return the mean absolute, mean and largest absolute difference in 1/cm of matched lists."""
    difference = first - reference
    return {
        'mae_per_cm': float(np.abs(difference).mean()),
        'mean_per_cm': float(difference.mean()),
        'max_per_cm': float(np.abs(difference).max()),
    }
