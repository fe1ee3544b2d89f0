"""Spectra brought onto other bins, with errors propagated.

Errors are one standard deviation, taken as independent between bins. Where a bin is cut, the
variance of its counts is divided as the counts are, as for counted events, so that the variance of
a sum of bins does not depend on how they are cut (as Mantid's Rebin has it).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.sparse import csr_array

from aiida_mlip_ins.science.measured import MeasuredSpectrum


def bin_edges(low: float, high: float, width: float) -> np.ndarray:
    """Return edges from ``low`` in steps of ``width`` up to ``high`` (all 1/cm).

    :raises ValueError: if there is not even one bin.
    """
    count = int(np.floor((high - low) / width + 1e-9))
    if count < 1:
        raise ValueError(f'there is no bin of {width:g} 1/cm between {low:g} and {high:g} 1/cm')
    return low + width * np.arange(count + 1)


def same_grid(first: MeasuredSpectrum, second: MeasuredSpectrum) -> bool:
    """Return whether two spectra are on the same points or bins."""
    return (
        first.kind == second.kind
        and first.energy.shape == second.energy.shape
        and np.allclose(first.energy, second.energy, rtol=1e-9, atol=0.0)
    )


def rebin(spectrum: MeasuredSpectrum, edges: np.ndarray) -> MeasuredSpectrum:
    """Return a histogram on other bins, counts staying counts and a density staying a density.

    A histogram is shared out by overlap. Points are taken as straight lines between them, whose
    mean over each bin is the new intensity; their errors as those of bins that reach half way to
    the neighbours. A bin that a masked value has a part in is masked.

    :param edges: (n + 1,) ascending, 1/cm, within the spectrum.
    :raises ValueError: if the bins reach beyond the spectrum.
    """
    have = spectrum.edges if spectrum.kind == 'histogram' else spectrum.energy
    slack = 1e-9 * max(abs(have[0]), abs(have[-1]))
    if edges[0] < have[0] - slack or edges[-1] > have[-1] + slack:
        raise ValueError(
            f'rebin: bins from {edges[0]:g} to {edges[-1]:g} 1/cm reach beyond the spectrum, which '
            f'goes from {have[0]:g} to {have[-1]:g} 1/cm'
        )
    shares = _shares(spectrum.edges, edges)
    old, new = np.diff(spectrum.edges), np.diff(edges)
    if not spectrum.density:
        old, new = np.ones_like(old), np.ones_like(new)
    if spectrum.kind == 'points':
        intensity = _line_means(spectrum.energy, spectrum.intensity, edges)
    else:
        intensity = (shares @ (spectrum.intensity * old).T).T / new
    errors = None
    if spectrum.errors is not None:
        errors = np.sqrt((shares @ ((spectrum.errors * old) ** 2).T).T) / new
    return dataclasses.replace(
        spectrum,
        energy=np.array(edges, dtype=float),
        intensity=intensity,
        errors=errors,
        kind='histogram',
        mask=shares @ spectrum.masked.astype(float) > 0 if spectrum.masked.any() else None,
    )


def as_density(spectrum: MeasuredSpectrum) -> MeasuredSpectrum:
    """Return the spectrum per 1/cm, as it is if it is so already."""
    if spectrum.density:
        return spectrum
    widths = np.diff(spectrum.edges)
    return dataclasses.replace(
        spectrum,
        intensity=spectrum.intensity / widths,
        errors=None if spectrum.errors is None else spectrum.errors / widths,
        density=True,
        intensity_unit=f'{spectrum.intensity_unit} per 1/cm',
    )


def onto(spectrum: MeasuredSpectrum, like: MeasuredSpectrum) -> MeasuredSpectrum:
    """Return ``spectrum`` on the points or bins of ``like``, and as density or counts as that is.

    On the same points or bins nothing is interpolated.

    :raises ValueError: if ``like`` reaches beyond it.
    """
    if same_grid(spectrum, like) and spectrum.density == like.density:
        return spectrum
    moved = rebin(as_density(spectrum), _within(like.edges, spectrum, like))
    if not like.density:
        widths = np.diff(moved.energy)
        moved = dataclasses.replace(
            moved,
            intensity=moved.intensity * widths,
            errors=None if moved.errors is None else moved.errors * widths,
            density=False,
        )
    return dataclasses.replace(moved, energy=like.energy, kind=like.kind)


def _shares(old: np.ndarray, new: np.ndarray) -> csr_array:
    """Return which share (n_new, n_old) of each old bin lies in each new one, from their edges."""
    cuts = np.union1d(old, new)
    cuts = cuts[(cuts >= max(old[0], new[0])) & (cuts <= min(old[-1], new[-1]))]
    middle = (cuts[1:] + cuts[:-1]) / 2
    source = np.searchsorted(old, middle, side='right') - 1
    target = np.searchsorted(new, middle, side='right') - 1
    share = np.diff(cuts) / np.diff(old)[source]
    return csr_array((share, (target, source)), shape=(len(new) - 1, len(old) - 1))


def _line_means(energy: np.ndarray, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the means over bins (n_spectra, n) of straight lines between points."""
    steps = np.diff(energy)
    trapezia = (values[:, 1:] + values[:, :-1]) / 2 * steps
    total = np.concatenate([np.zeros((len(values), 1)), np.cumsum(trapezia, axis=1)], axis=1)
    index = np.clip(np.searchsorted(energy, edges, side='right') - 1, 0, len(steps) - 1)
    into = edges - energy[index]
    slope = np.diff(values, axis=1)[:, index] / steps[index]
    integral = total[:, index] + values[:, index] * into + slope * into**2 / 2
    means: np.ndarray = np.diff(integral, axis=1) / np.diff(edges)
    return means


def _within(edges: np.ndarray, have: MeasuredSpectrum, like: MeasuredSpectrum) -> np.ndarray:
    """Return edges whose outermost, if those of points, do not leave the range of the other."""
    if like.kind == 'histogram':
        return edges
    low, high = have.energy[0], have.energy[-1]
    inner = edges.copy()
    if like.energy[0] >= low:
        inner[0] = max(inner[0], low)
    if like.energy[-1] <= high:
        inner[-1] = min(inner[-1], high)
    return inner
