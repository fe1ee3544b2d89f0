"""What pressure changes in a spectrum, and whether two methods say the same of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_mlip_ins.science.agreement import (
    AgreementSettings,
    Guard,
    Overlay,
    best_fit,
    overlay_of,
)
from aiida_mlip_ins.science.measured import MeasuredSpectrum
from aiida_mlip_ins.science.metrics import chi_square, r_squared
from aiida_mlip_ins.science.rebinning import as_density, bin_edges, rebin

NORMALISATIONS = ('spread', 'area', 'none')
FLAT = 1e-9
"""A spectrum that varies by less than this share of itself is constant but for rounding."""


@dataclass(frozen=True)
class Difference:
    """A spectrum less another one in a window, (n,) each on the bins between ``edges``."""

    edges: np.ndarray
    """(n + 1,), 1/cm."""
    difference: np.ndarray
    errors: np.ndarray | None
    """One standard deviation, ``None`` unless both spectra have errors."""
    mask: np.ndarray
    """True where either spectrum is not used; the difference is zero there."""
    n_measured: int
    """Number of values behind the bins, in the spectrum that has fewer."""


def difference(
    low: MeasuredSpectrum,
    high: MeasuredSpectrum,
    windows: list[list[float]],
    bin_width: float,
    normalisation: str,
) -> list[Difference]:
    """Return ``high - low`` in each window.

    Beam time, size of the sample and a constant background drop out with a normalisation, whose
    own error is neglected: ``spread`` divides each spectrum by the standard deviation of its
    intensity over the window, which shifts of peaks leave as it is and noise hardly changes;
    ``area`` by the area above its minimum in the window, which widths of peaks leave as it is and
    noise makes larger (the result is per 1/cm). With ``none`` spectra are taken as they are.

    :param windows: 1/cm, within both spectra.
    :param bin_width: 1/cm.
    :raises ValueError: if a spectrum is flat or nothing of it is unmasked in a window.
    """
    found = []
    spectra = [as_density(low), as_density(high)]
    for window in windows:
        edges = bin_edges(window[0], window[1], bin_width)
        parts = [rebin(spectrum, edges) for spectrum in spectra]
        mask = parts[0].masked | parts[1].masked
        if (~mask).sum() < 3:
            raise ValueError(
                f'windows: nothing unmasked between {window[0]:g} and {window[1]:g} 1/cm'
            )
        values, errors = [], []
        for part in parts:
            used = part.intensity[0][~mask]
            if normalisation != 'none' and np.ptp(used) <= FLAT * np.abs(used).max():
                raise ValueError(
                    f"difference: '{part.title}' is flat between {window[0]:g} and {window[1]:g} "
                    '1/cm'
                )
            base, size = _origin_and_size(used, bin_width, normalisation)
            values.append((part.intensity[0] - base) / size)
            errors.append(None if part.errors is None else part.errors[0] / size)
        first, second = errors
        inside = [(s.centres >= edges[0]) & (s.centres <= edges[-1]) & ~s.masked for s in spectra]
        found.append(
            Difference(
                edges=edges,
                difference=np.where(mask, 0.0, values[1] - values[0]),
                errors=None if first is None or second is None else np.hypot(first, second),
                mask=mask,
                n_measured=min(int(item.sum()) for item in inside),
            )
        )
    return found


def _origin_and_size(
    values: np.ndarray, bin_width: float, normalisation: str
) -> tuple[float, float]:
    """Return what is taken off a spectrum (n,), and what it is then divided by."""
    if normalisation == 'spread':
        return float(values.mean()), float(values.std())
    if normalisation == 'area':
        low = float(values.min())
        return low, float((values - low).sum()) * bin_width
    return 0.0, 1.0


def compare_differences(
    reference: list[Difference], other: list[Difference], settings: AgreementSettings
) -> tuple[list[dict[str, Any]], list[Overlay]]:
    """Return how alike two changes are, for each window.

    ``scale`` and ``r_squared``: unweighted least squares with a polynomial background; a scale of
    one means that the other's change is as large as the reference's. ``correlation``: Pearson's, of
    which a scale below zero cannot hide the sign. ``same_sign_share``: share of the reference's
    absolute change where both go the same way. ``chi_square`` and what belongs to it: weighted with
    the errors of the reference, ``None`` without them.

    :raises ValueError: if windows or bins differ.
    """
    rows, overlays = [], []
    for own, theirs in zip(reference, other, strict=True):
        if own.edges.shape != theirs.edges.shape or not np.allclose(own.edges, theirs.edges):
            raise ValueError('the differences are not on the same bins')
        mask = own.mask | theirs.mask
        use = ~mask
        if use.sum() < 3:
            raise ValueError('windows: nothing is unmasked in both differences')
        energy = ((own.edges[1:] + own.edges[:-1]) / 2)[use]
        one, two = own.difference[use], theirs.difference[use]
        degree, guard = settings.background_degree, Guard()
        fitted = best_fit(guard, energy, one, two, degree)
        weighted = None
        if own.errors is not None:
            weighted = guard(
                'chi_square', chi_square, energy, one, two, own.errors[use], degree, own.n_measured
            )
        rows.append(
            {
                'window_per_cm': [float(own.edges[0]), float(own.edges[-1])],
                'n_bins': int(use.sum()),
                'scale': fitted.scale,
                'r_squared': guard('r_squared', r_squared, one, two, energy, degree),
                'correlation': guard('correlation', _correlation, one, two),
                'same_sign_share': guard('same_sign_share', _same_sign, one, two),
                'chi_square': None,
                'reduced_chi_square': None,
                **(weighted or {}),
                'problems': guard.problems,
            }
        )
        overlays.append(overlay_of(own.edges, own.difference, own.errors, fitted, mask))
    return rows, overlays


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Pearson's correlation of two changes (n,)."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        raise ValueError('not defined where nothing changes')
    return float(np.corrcoef(first, second)[0, 1])


def _same_sign(first: np.ndarray, second: np.ndarray) -> float:
    """Return the share of the first's absolute change where the second has its sign."""
    total = float(np.abs(first).sum())
    if total == 0:
        raise ValueError('not defined where nothing changes')
    return float(np.abs(first)[first * second > 0].sum()) / total
