"""Operations on measured spectra: crop, subtract, mask, sum, and the settings of all operations.

Errors are one standard deviation, taken as independent between bins and between spectra.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aiida_mlip_ins.science.measured import MeasuredSpectrum, window_problems
from aiida_mlip_ins.science.rebinning import bin_edges, onto, same_grid
from aiida_mlip_ins.science.settings import setting

ROUNDS = 20
"""At most so many rounds until weights, which depend on the fitted scale, do not change."""


@dataclass(frozen=True)
class CropSettings:
    """What is kept of a spectrum."""

    energy_min: float = setting('Lower end.', '1/cm')
    energy_max: float = setting('Upper end.', '1/cm')


@dataclass(frozen=True)
class RebinSettings:
    """The bins, of one width."""

    energy_min: float = setting('Start of the first bin.', '1/cm')
    energy_max: float = setting('End; the last bin may end below it.', '1/cm')
    bin_width: float = setting('Width of a bin.', '1/cm', above=0.0)

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins (n + 1,), 1/cm."""
        return bin_edges(self.energy_min, self.energy_max, self.bin_width)


@dataclass(frozen=True)
class SubtractSettings:
    """How much of a background is taken off: either a scale or where to fit it."""

    scale: float | None = setting(
        'Factor on the background, such as a ratio of beam currents or a transmission.',
        minimum=0.0,
        optional=True,
    )
    fit_regions: list[list[float]] | None = setting(
        'Where sample and background are the same but for the scale (lower and upper end of each).',
        '1/cm',
        optional=True,
    )


@dataclass(frozen=True)
class MaskSettings:
    """What is not to be used."""

    regions: list[list[float]] = setting(
        'Lower and upper end of each region, such as the elastic line.', '1/cm'
    )


@dataclass(frozen=True)
class SumSettings:
    """How spectra are added."""

    weights: list[float] = setting(
        'Factor of each spectrum, in their order; one number is that of all.', above=0.0
    )


def crop(spectrum: MeasuredSpectrum, low: float, high: float) -> MeasuredSpectrum:
    """Return the points, or the bins that lie wholly, between ``low`` and ``high`` in 1/cm.

    :raises ValueError: if fewer than two are left.
    """
    if spectrum.kind == 'points':
        inside = (spectrum.energy >= low) & (spectrum.energy <= high)
        energy = spectrum.energy[inside]
    else:
        inside = (spectrum.energy[:-1] >= low) & (spectrum.energy[1:] <= high)
        energy = spectrum.energy[np.append(inside, False) | np.append(False, inside)]
    if inside.sum() < 2:
        raise ValueError(
            f'crop: there are {int(inside.sum())} values between {low:g} and {high:g} 1/cm; the '
            f'spectrum goes from {spectrum.energy[0]:g} to {spectrum.energy[-1]:g} 1/cm'
        )
    return dataclasses.replace(
        spectrum,
        energy=energy,
        intensity=spectrum.intensity[:, inside],
        errors=None if spectrum.errors is None else spectrum.errors[:, inside],
        mask=None if spectrum.mask is None else spectrum.mask[inside],
    )


def subtract(
    spectrum: MeasuredSpectrum,
    background: MeasuredSpectrum,
    scale: float | None,
    fit_regions: Sequence[Sequence[float]] | None,
) -> MeasuredSpectrum:
    """Return ``spectrum - scale * background``, such as a sample less its empty can.

    The background is brought onto the spectrum's points or bins first. A fitted scale minimises
    ``sum (sample - scale * background)^2 / (e_sample^2 + scale^2 e_background^2)`` over the
    regions, where the sample must scatter nothing itself; without errors all weights are one. The
    error of a fitted scale (of its weighted sum; from the scatter where there are no errors) enters
    those of the result. ``metadata['subtracted']`` has ``scale``, ``scale_error`` and the title of
    the background.

    :param scale: a fixed scale, or ``None`` to fit it in ``fit_regions`` (1/cm).
    :raises ValueError: if both or neither are given, the spectra are not as many or do not overlap,
        or there is nothing to fit.
    """
    found = subtract_problems(scale, fit_regions)
    if found:
        raise ValueError('\n'.join(found))
    under = onto(background, spectrum)
    if len(under.intensity) not in (1, len(spectrum.intensity)):
        raise ValueError(
            f'subtract: the background has {len(under.intensity)} spectra, neither one nor as '
            f'many as there are ({len(spectrum.intensity)})'
        )
    shape = spectrum.intensity.shape
    below = np.broadcast_to(under.intensity, shape)
    noise = np.zeros(shape) if under.errors is None else np.broadcast_to(under.errors, shape)
    own = np.zeros(shape) if spectrum.errors is None else spectrum.errors
    mask = spectrum.masked | under.masked
    scales, scale_errors = np.full(shape[0], scale or 0.0), np.zeros(shape[0])
    if fit_regions is not None:
        where = _inside(spectrum.centres, fit_regions) & ~mask
        for row in range(shape[0]):
            scales[row], scale_errors[row] = _fitted_scale(
                spectrum.intensity[row, where], below[row, where], own[row, where],
                noise[row, where],
            )  # fmt: skip
    variance = own**2 + (scales[:, None] * noise) ** 2 + (scale_errors[:, None] * below) ** 2
    without = spectrum.errors is None and under.errors is None
    return dataclasses.replace(
        spectrum,
        intensity=spectrum.intensity - scales[:, None] * below,
        errors=None if without else np.sqrt(variance),
        mask=mask if mask.any() else None,
        metadata={
            **spectrum.metadata,
            'subtracted': {
                'title': background.title,
                'scale': [float(value) for value in scales],
                'scale_error': [float(value) for value in scale_errors],
            },
        },
    )


def subtract_problems(
    scale: float | None, fit_regions: Sequence[Sequence[float]] | None
) -> list[str]:
    """Return why a subtraction is not defined by these."""
    if (scale is None) == (fit_regions is None):
        return ['subtract: give either `scale` or `fit_regions`, not both']
    return [] if fit_regions is None else window_problems(fit_regions, 'subtract.fit_regions')


def mask(spectrum: MeasuredSpectrum, regions: Sequence[Sequence[float]]) -> MeasuredSpectrum:
    """Return the spectrum with the points in, or bins that touch, the regions (1/cm) masked.

    :raises ValueError: if a region is none, or nothing is left.
    """
    found = window_problems(regions, 'mask.regions')
    if found:
        raise ValueError('\n'.join(found))
    masked = spectrum.masked.copy()
    for low, high in regions:
        if spectrum.kind == 'points':
            masked |= (spectrum.energy >= low) & (spectrum.energy <= high)
        else:
            masked |= (spectrum.energy[1:] > low) & (spectrum.energy[:-1] < high)
    if masked.all():
        raise ValueError('mask: nothing of the spectrum is left')
    return dataclasses.replace(spectrum, mask=masked)


def sum_spectra(spectra: Sequence[MeasuredSpectrum], weights: Sequence[float]) -> MeasuredSpectrum:
    """Return the weighted sum of all spectra, such as banks of detectors, as one.

    :param spectra: on the same points or bins; each may hold several.
    :param weights: one factor for each single spectrum, or one for all.
    :raises ValueError: if grids or units differ, only some have errors, or weights do not fit.
    """
    first = spectra[0]
    found = []
    for index, other in enumerate(spectra[1:], start=1):
        if not same_grid(first, other):
            found.append(f'sum: spectrum {index} is on another grid; rebin it first')
        if other.density != first.density:
            found.append(f'sum: of spectrum {index} and the first only one is per energy')
        if (other.errors is None) != (first.errors is None):
            found.append(f'sum: of spectrum {index} and the first only one has errors')
    count = sum(len(item.intensity) for item in spectra)
    factors = np.full(count, weights[0]) if len(weights) == 1 else np.array(weights, dtype=float)
    if len(factors) != count:
        found.append(f'sum: {len(factors)} weights for {count} spectra')
    if found:
        raise ValueError('\n'.join(found))
    intensity = factors @ np.concatenate([item.intensity for item in spectra])
    errors = None
    if first.errors is not None:
        rows = [item.errors for item in spectra if item.errors is not None]
        errors = np.sqrt(factors**2 @ np.concatenate(rows) ** 2)[None, :]
    masked = np.any([item.masked for item in spectra], axis=0)
    return dataclasses.replace(
        first,
        intensity=intensity[None, :],
        errors=errors,
        mask=masked if masked.any() else None,
        labels=(' + '.join(label for item in spectra for label in item.labels[:4])[:200],),
        metadata={**first.metadata, 'summed': count, 'weights': [float(f) for f in factors]},
    )


def _inside(energy: np.ndarray, regions: Sequence[Sequence[float]]) -> np.ndarray:
    """Return which energies (n,) lie in one of the regions."""
    return np.any([(energy >= low) & (energy <= high) for low, high in regions], axis=0)


def _fitted_scale(
    sample: np.ndarray, below: np.ndarray, own: np.ndarray, noise: np.ndarray
) -> tuple[float, float]:
    """Return the scale of a background (n,) that fits the sample (n,), and its error.

    :raises ValueError: if there are too few values, or the scale is not positive.
    """
    if len(sample) < 3 or not (below**2).sum() > 0:
        raise ValueError('subtract: fewer than three values, or no background, in the fit regions')
    scale, weights = 1.0, np.ones_like(sample)
    with_errors = bool((own**2 + noise**2 > 0).all())
    for _ in range(ROUNDS):
        if with_errors:
            weights = 1.0 / (own**2 + (scale * noise) ** 2 + np.finfo(float).tiny)
        before, scale = scale, float((weights * sample * below).sum() / (weights * below**2).sum())
        if abs(scale - before) <= 1e-12 * abs(scale):
            break
    if scale <= 0:
        raise ValueError(f'subtract: the fitted scale is {scale:g}; are the fit regions right?')
    variance = 1.0 / float((weights * below**2).sum())
    if not with_errors:
        variance *= float(((sample - scale * below) ** 2).sum()) / (len(sample) - 1)
    return scale, float(np.sqrt(variance))
