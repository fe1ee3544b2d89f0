"""Numbers that say how alike two spectra or two lists of frequencies are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import legendre

NO_BACKGROUND = -1
"""Degree of the polynomial where none is fitted."""


@dataclass(frozen=True)
class Fit:
    """One spectrum described by another: ``scale * other + background``."""

    scale: float
    scale_error: float | None
    """One standard deviation, from the errors of the reference; ``None`` without them."""
    background: np.ndarray
    """(n,), a polynomial in the energy."""
    model: np.ndarray
    """(n,), the whole description."""
    n_parameters: int


def fit(
    energy: np.ndarray,
    reference: np.ndarray,
    other: np.ndarray,
    degree: int = NO_BACKGROUND,
    errors: np.ndarray | None = None,
) -> Fit:
    """Return the least-squares description of ``reference`` by ``other`` and a polynomial.

    Minimises ``sum ((r - s o - p(E)) / e)^2``, with ``e = 1`` where no errors are given. A scale
    below zero would turn peaks into dips: it is set to zero and the polynomial fitted alone.

    :param energy: (n,) in 1/cm.
    :param reference: (n,), and ``other`` on the same bins.
    :param degree: of the polynomial; :data:`NO_BACKGROUND` for none.
    :param errors: (n,), all above zero.
    :raises ValueError: if there are no more values than parameters.
    """
    count = 2 + degree
    if len(reference) <= count:
        raise ValueError(f'{len(reference)} values do not determine {count} parameters')
    middle, half = (energy[0] + energy[-1]) / 2, (energy[-1] - energy[0]) / 2
    columns = np.empty((len(energy), count))
    size = float(np.abs(other).max()) or 1.0  # so that no column is lost to rounding
    columns[:, 0] = other / size
    if degree >= 0:
        columns[:, 1:] = legendre.legvander((energy - middle) / half, degree)
    weights = np.ones_like(reference) if errors is None else 1.0 / errors
    free = 0 if _scale(columns, reference, weights) >= 0 else 1
    design = columns[:, free:] * weights[:, None]
    solution = np.zeros(count)
    solution[free:] = np.linalg.lstsq(design, reference * weights, rcond=None)[0]
    scale_error = None
    if errors is not None and free == 0:
        scale_error = float(np.sqrt(np.linalg.pinv(design.T @ design)[0, 0])) / size
    background = columns[:, 1:] @ solution[1:]
    scale = float(solution[0]) / size
    return Fit(scale, scale_error, background, scale * other + background, count)


def _scale(columns: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> float:
    """Return the unconstrained factor on the first column."""
    solution = np.linalg.lstsq(columns * weights[:, None], reference * weights, rcond=None)[0]
    return float(solution[0])


def r_squared(
    reference: np.ndarray,
    other: np.ndarray,
    energy: np.ndarray | None = None,
    degree: int = NO_BACKGROUND,
) -> float:
    """Return the coefficient of determination of ``other`` with a fitted scale and background.

    ``1 - sum (r - s o - p)^2 / sum (r - mean r)^2`` by unweighted least squares: one for equal
    shapes; without a background below zero for a worse description than a constant. Intensities are
    (n,) on the same bins.

    :param energy: (n,) in 1/cm, which a background needs.
    :param degree: of the polynomial ``p``; see :func:`fit`.
    :raises ValueError: if the reference is constant.
    """
    spread = float(((reference - reference.mean()) ** 2).sum())
    if spread == 0:
        raise ValueError('R2 is not defined for a constant reference')
    axis = np.arange(len(reference), dtype=float) if energy is None else energy
    rest = reference - fit(axis, reference, other, degree).model
    return 1.0 - float((rest**2).sum()) / spread


def chi_square(
    energy: np.ndarray,
    reference: np.ndarray,
    other: np.ndarray,
    errors: np.ndarray,
    degree: int = NO_BACKGROUND,
    independent: int | None = None,
) -> dict[str, Any]:
    """Return the error-weighted misfit with fitted scale and background.

    ``chi^2 = sum ((r - s o - p) / e)^2`` with ``s`` and ``p`` at its minimum (:func:`fit`).
    ``reduced_chi_square`` divides it by the degrees of freedom: about one if errors are right and
    the description is (Bevington and Robinson, Data Reduction and Error Analysis, chapter 11).

    :param errors: (n,), one standard deviation; values without one (zero) are left out, counted in
        ``n_without_error``.
    :param independent: number of measured values behind the (n,) bins, if these are finer than the
        measurement; only so many count as degrees of freedom.
    :return: ``chi_square``, ``reduced_chi_square``, ``degrees_of_freedom``, ``weighted_scale``,
        ``weighted_scale_error``, ``n_without_error``.
    :raises ValueError: if there are no more values with errors than parameters.
    """
    use = errors > 0
    found = fit(energy[use], reference[use], other[use], degree, errors[use])
    total = float((((reference[use] - found.model) / errors[use]) ** 2).sum())
    count = int(use.sum()) if independent is None else min(int(use.sum()), independent)
    freedom = count - found.n_parameters
    if freedom < 1:
        raise ValueError(f'{count} measured values leave no degree of freedom')
    return {
        'chi_square': total,
        'reduced_chi_square': total / freedom,
        'degrees_of_freedom': freedom,
        'weighted_scale': found.scale,
        'weighted_scale_error': found.scale_error,
        'n_without_error': int((~use).sum()),
    }


def similarity(first: np.ndarray, second: np.ndarray, width: float) -> float:
    """Return how alike two spectra are where peaks may be shifted a little: one for equal shapes.

    The weighted cross-correlation of R. de Gelder, R. Wehrens and J. A. Hageman, J. Comput. Chem.
    22, 273 (2001): ``S = c_12 / sqrt(c_11 c_22)`` with ``c_ab = sum_r (1 - |r| / l) sum_i a_i
    b_(i+r)`` over shifts ``|r| < l``. Two sharp peaks at a distance ``d`` have ``1 - d / l``, and
    nothing in common from ``l`` on. A background makes everything alike: take it off before.

    :param first: (n,) on bins of one size, and ``second`` likewise.
    :param width: ``l`` in bins, at least one; at one it is the cosine between the spectra.
    :raises ValueError: if a spectrum is zero throughout.
    """
    from scipy.signal import fftconvolve  # slow to import, see science.peaks

    reach = int(np.ceil(width)) - 1
    kernel = 1.0 - np.abs(np.arange(-reach, reach + 1)) / width
    spread = [fftconvolve(item, kernel, mode='full')[reach : reach + len(item)]
              for item in (first, second)]  # fmt: skip
    norm = float(first @ spread[0]) * float(second @ spread[1])
    if not norm > 0:
        raise ValueError('a spectrum is zero throughout')
    return float(first @ spread[1]) / float(np.sqrt(norm))


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
