"""A measured spectrum against a simulated one, window by window."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_mlip_ins.science.alignment import Alignment, align
from aiida_mlip_ins.science.measured import MeasuredSpectrum, window_problems
from aiida_mlip_ins.science.metrics import (
    NO_BACKGROUND,
    Fit,
    chi_square,
    fit,
    r_squared,
    similarity,
    wasserstein,
)
from aiida_mlip_ins.science.peaks import assign, match_peaks
from aiida_mlip_ins.science.rebinning import as_density, bin_edges, rebin
from aiida_mlip_ins.science.settings import setting
from aiida_mlip_ins.science.spectrum_peaks import PeakSettings, range_problems, window_peaks

BASELINES = ('minimum', 'minima', 'background', 'none')


@dataclass(frozen=True)
class AgreementSettings(PeakSettings):
    """How a measurement and a simulation are compared."""

    background_degree: int = setting(
        'Degree of the polynomial fitted with the scale; 0 is a constant, -1 none.',
        minimum=NO_BACKGROUND,
        maximum=8,
    )
    baseline: str = setting(
        'What is taken off the measurement for the Wasserstein distance and the similarity: its '
        'minimum over the window (`minima`: and off the simulation its own, which several quanta '
        'keep above zero), the fitted background (what is negative then counts as zero), or '
        'nothing.',
        choices=BASELINES,
    )
    similarity_width: float = setting(
        'Shift from which peaks have nothing in common.', '1/cm', above=0.0
    )
    peak_max_shift: float = setting(
        'Peaks further apart are not the same, and no energy is moved further to align spectra.',
        '1/cm',
        above=0.0,
    )
    align_segment: float = setting(
        'Distance of the energies whose moves align spectra.', '1/cm', above=0.0
    )
    align_stretch: float = setting(
        'By which share of its length a segment may become longer or shorter then.',
        above=0.0,
        maximum=0.5,
    )
    assignments: dict[str, float] = setting(
        'Energy of each mode by name, for naming the simulated peaks; empty for none.', '1/cm'
    )


@dataclass(frozen=True)
class Overlay:
    """What a figure of one window shows: (n,) each on the bins between ``edges`` (n + 1, 1/cm)."""

    edges: np.ndarray
    measured: np.ndarray
    errors: np.ndarray | None
    model: np.ndarray
    """Scaled simulation and background, by unweighted least squares."""
    background: np.ndarray
    mask: np.ndarray
    """True where the measurement is not used."""


def agreement_problems(
    measured: MeasuredSpectrum, simulated: MeasuredSpectrum, settings: AgreementSettings
) -> list[str]:
    """Return why two spectra cannot be compared, an empty list if they can."""
    found = window_problems(settings.windows, 'windows')
    windows = [] if found else settings.windows
    for name, spectrum in (('measured', measured), ('simulated', simulated)):
        found += range_problems(name, spectrum, windows)
    return found


def compare(
    measured: MeasuredSpectrum, simulated: MeasuredSpectrum, settings: AgreementSettings
) -> tuple[list[dict[str, Any]], list[Overlay]]:
    """Return the metrics of each window and what its figure shows.

    Both are brought onto bins of one width. ``r_squared`` and ``scale``: unweighted least squares
    with a polynomial background. ``chi_square`` and what belongs to it: weighted with the errors of
    the measurement, ``None`` without them. ``wasserstein_per_cm`` and ``similarity``: shapes above
    the baseline; ``wasserstein_floor_per_cm``: the distance that a measurement would have which is
    the fitted simulation. ``r_squared_aligned``: with the energies of the simulation moved to where
    they fit best, ``alignment`` (:func:`alignment.align`). ``peaks``: matched, missing (measured
    only) and extra (simulated only). A number that is not defined is ``None``, and ``problems``
    says why; masked bins are left out.

    :raises ValueError: listing all problems of the input.
    """
    found = agreement_problems(measured, simulated, settings)
    if found:
        raise ValueError('\n'.join(found))
    measured, simulated = as_density(measured), as_density(simulated)
    rows, overlays = [], []
    for window in settings.windows:
        row, overlay = _window(measured, simulated, window, settings)
        rows.append(row)
        overlays.append(overlay)
    return rows, overlays


def shift_sentence(row: Mapping[str, Any], reference: str, other: str) -> str:
    """Return in words how far the peaks of a window have moved.

    :param row: of :func:`compare`.
    :param reference: what the first spectrum is called, and ``other`` the second.
    """
    low, high = row['window_per_cm']
    peaks = row['peaks']
    matched, count = peaks['matched'], len(peaks['matched']) + len(peaks['missing'])
    words = f'{low:g} to {high:g} 1/cm: {len(matched)} of {count} peaks ({reference}) are there '
    words += f'{other}, and {len(peaks["extra"])} more'
    if not matched:
        return words
    far = max(matched, key=lambda match: abs(match['shift']))
    return (
        f'{words}; off by {peaks["mean_absolute_shift"]:.1f} 1/cm, most of all '
        f'{far["reference"]["position"]:.1f} to {far["other"]["position"]:.1f} 1/cm'
    )


class Guard:
    """Turns a number that is not defined into ``None`` and a sentence."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def __call__(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what the function returns, or note under ``name`` why there is nothing."""
        try:
            return function(*arguments)
        except ValueError as error:
            self.problems.append(f'{name}: {error}')
            return None


def best_fit(
    guard: Guard, energy: np.ndarray, one: np.ndarray, other: np.ndarray, degree: int
) -> Fit:
    """Return the fit of :func:`metrics.fit` (n,), that of nothing where it is not defined."""
    found: Fit | None = guard('fit', fit, energy, one, other, degree)
    return found or Fit(0.0, None, np.zeros_like(one), np.zeros_like(one), 0)


def overlay_of(
    edges: np.ndarray,
    measured: np.ndarray,
    errors: np.ndarray | None,
    fitted: Fit,
    mask: np.ndarray,
) -> Overlay:
    """Return what a figure shows of a fit to the bins (n,) that are not masked."""
    model, background = np.zeros(len(mask)), np.zeros(len(mask))
    model[~mask], background[~mask] = fitted.model, fitted.background
    return Overlay(edges, measured, errors, model, background, mask)


def _window(
    measured: MeasuredSpectrum,
    simulated: MeasuredSpectrum,
    window: list[float],
    settings: AgreementSettings,
) -> tuple[dict[str, Any], Overlay]:
    """Return the metrics of one window and what its figure shows."""
    edges = bin_edges(window[0], window[1], settings.bin_width)
    first, second = rebin(measured, edges), rebin(simulated, edges)
    mask = first.masked | second.masked
    use = ~mask
    if use.sum() < 3:
        raise ValueError(f'windows: nothing unmasked between {window[0]:g} and {window[1]:g} 1/cm')
    energy, one, other = first.centres[use], first.intensity[0][use], second.intensity[0][use]
    errors = None if first.errors is None else first.errors[0]
    degree, guard = settings.background_degree, Guard()
    fitted = best_fit(guard, energy, one, other, degree)
    if fitted.scale == 0 and other.any():
        guard.problems.append('scale: the best one is below zero; the background alone is fitted')
    inside = (measured.centres >= edges[0]) & (measured.centres <= edges[-1]) & ~measured.masked
    weighted = None
    if errors is None:
        guard.problems.append('chi_square: the measurement has no errors')
    else:
        weighted = guard(
            'chi_square', chi_square, energy, one, other, errors[use], degree, int(inside.sum())
        )

    def whole(values: np.ndarray) -> np.ndarray:
        placed = np.zeros(len(mask))
        placed[use] = values
        return placed

    lifted = whole(_above(one, fitted, settings.baseline))
    shape = whole(other - other.min() if settings.baseline == 'minima' else other)
    floor = None
    if fitted.scale > 0:
        model = _above(fitted.scale * other + fitted.background, fitted, settings.baseline)
        floor = guard('wasserstein_floor_per_cm', wasserstein, edges, whole(model), shape)
    width = settings.similarity_width / settings.bin_width
    plain = guard('r_squared', r_squared, one, other, energy, degree)
    moves = None
    if plain is not None:
        moves = guard('r_squared_aligned', _aligned, first, simulated, use, settings)
    row = {
        'window_per_cm': [float(edges[0]), float(edges[-1])],
        'n_bins': int(use.sum()),
        'n_measured': int(inside.sum()),
        'scale': fitted.scale,
        'background_at_ends': [float(fitted.background[0]), float(fitted.background[-1])],
        'r_squared': plain,
        'r_squared_aligned': None if moves is None else moves.r_squared,
        'alignment': None if moves is None else _moves_of(moves),
        'wasserstein_per_cm': guard('wasserstein_per_cm', wasserstein, edges, lifted, shape),
        'wasserstein_floor_per_cm': floor,
        'similarity': guard('similarity', similarity, lifted, shape, max(width, 1.0)),
        'chi_square': None,
        'reduced_chi_square': None,
        **(weighted or {}),
        'peaks': _peaks(measured, first, simulated, second, fitted.scale, mask, settings),
        'problems': guard.problems,
    }
    return row, overlay_of(edges, first.intensity[0], errors, fitted, mask)


def _aligned(
    first: MeasuredSpectrum,
    simulated: MeasuredSpectrum,
    use: np.ndarray,
    settings: AgreementSettings,
) -> Alignment:
    """Return how the energies of a simulation have to move onto the bins (n,) that are used."""
    width, reach = settings.bin_width, settings.peak_max_shift
    low, high = first.edges[0], first.edges[-1]
    # What may move into the window, as far as there is something.
    room = [low - simulated.edges[0], simulated.edges[-1] - high]
    below, above = (max(0, int(min(reach, each) / width - 1e-6)) for each in room)
    wide = rebin(simulated, bin_edges(low - below * width, high + above * width, width))
    values, known = wide.intensity[0], ~wide.masked
    return align(
        first.centres,
        first.intensity[0],
        # A masked bin has what its neighbours say, wherever it is moved to.
        np.interp(wide.centres, wide.centres[known], values[known]),
        settings.background_degree,
        width=width,
        reach=reach,
        segment=settings.align_segment,
        stretch=settings.align_stretch,
        use=use,
        before=below,
    )


def _moves_of(found: Alignment) -> dict[str, list[float]]:
    """Return what a figure shows of an alignment."""
    return {'energy_per_cm': found.energy.tolist(), 'move_per_cm': found.move.tolist()}


def _above(values: np.ndarray, fitted: Fit, baseline: str) -> np.ndarray:
    """Return a measurement (n,) above its baseline."""
    if baseline in ('minimum', 'minima'):
        return values - values.min()
    if baseline == 'background':
        return np.clip(values - fitted.background, 0.0, None)
    return values


def _peaks(
    measured: MeasuredSpectrum,
    first: MeasuredSpectrum,
    simulated: MeasuredSpectrum,
    second: MeasuredSpectrum,
    scale: float,
    mask: np.ndarray,
    settings: AgreementSettings,
) -> dict[str, Any]:
    """Return the matched peaks of the binned spectra, the simulated ones on the measured scale."""
    factor = scale if scale > 0 else 1.0
    own = window_peaks(measured, first, settings, mask)
    theirs = [
        dataclasses.replace(
            peak,
            height=factor * peak.height,
            area=factor * peak.area,
            prominence=factor * peak.prominence,
        )
        for peak in window_peaks(simulated, second, settings, mask)
    ]
    named = assign(theirs, settings.assignments, settings.peak_max_shift)
    return match_peaks(own, named, settings.peak_max_shift)
