"""The peaks of a measured or simulated spectrum within windows of energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiida_mlip_ins.science.measured import MeasuredSpectrum, window_problems
from aiida_mlip_ins.science.peaks import Peak, find_peaks
from aiida_mlip_ins.science.rebinning import as_density, bin_edges, rebin
from aiida_mlip_ins.science.settings import setting


@dataclass(frozen=True)
class PeakSettings:
    """Where peaks are looked for, and which count."""

    windows: list[list[float]] = setting('Lower and upper end of each window.', '1/cm')
    bin_width: float = setting('Width of the bins spectra are brought onto.', '1/cm', above=0.0)
    peak_prominence: float = setting(
        'Smallest prominence of a peak, as a share of the range of intensity in the window.',
        above=0.0,
        maximum=1.0,
    )
    peak_significance: float = setting(
        'Smallest prominence of a measured peak in standard deviations.', minimum=0.0
    )


def range_problems(name: str, spectrum: MeasuredSpectrum, windows: list[list[float]]) -> list[str]:
    """Return why a spectrum cannot be looked at in these windows, an empty list if it can."""
    if len(spectrum.intensity) > 1:
        return [
            f'{name}: there are {len(spectrum.intensity)} spectra '
            f'({", ".join(spectrum.labels[:4])}, ...); choose one or sum them first'
        ]
    low, high = spectrum.energy[0], spectrum.energy[-1]
    return [
        f'{name}: the window from {window[0]:g} to {window[1]:g} 1/cm is not within the spectrum, '
        f'which goes from {low:g} to {high:g} 1/cm'
        for window in windows
        if window[0] < low or window[1] > high
    ]


def common_window(spectra: list[MeasuredSpectrum]) -> list[float]:
    """Return the lower and upper end (1/cm) of what all spectra cover.

    :raises ValueError: if there is no such range.
    """
    low = max(float(spectrum.energy[0]) for spectrum in spectra)
    high = min(float(spectrum.energy[-1]) for spectrum in spectra)
    if not low < high:
        raise ValueError(
            f'spectra: they do not overlap: one begins at {low:g} 1/cm, where another has ended at '
            f'{high:g} 1/cm'
        )
    return [low, high]


def peaks_of(spectrum: MeasuredSpectrum, settings: PeakSettings) -> list[Peak]:
    """Return the peaks of a single spectrum in all windows, in order of energy, each once.

    Of a peak that lies in several windows the first one is taken. See :func:`window_peaks`.

    :raises ValueError: listing why the spectrum cannot be looked at.
    """
    found = window_problems(settings.windows, 'windows')
    found = found or range_problems('spectrum', spectrum, settings.windows)
    if found:
        raise ValueError('\n'.join(found))
    spectrum = as_density(spectrum)
    peaks: list[Peak] = []
    for low, high in settings.windows:
        binned = rebin(spectrum, bin_edges(low, high, settings.bin_width))
        for peak in window_peaks(spectrum, binned, settings, binned.masked):
            if all(abs(peak.position - other.position) >= settings.bin_width for other in peaks):
                peaks.append(peak)
    return sorted(peaks, key=lambda peak: peak.position)


def window_peaks(
    spectrum: MeasuredSpectrum, binned: MeasuredSpectrum, settings: PeakSettings, mask: np.ndarray
) -> list[Peak]:
    """Return the peaks of one window, without those at masked bins.

    :param spectrum: as it was measured; its errors decide what is significant, as those of finer
        bins are larger than what was measured.
    :param binned: the same spectrum on the bins of the window.
    :param mask: (n,) of bool, true for bins not to be used.
    """
    energy = binned.centres
    errors = None
    if spectrum.errors is not None:
        errors = np.interp(energy, spectrum.centres, spectrum.errors[0])
    found = find_peaks(
        energy, binned.intensity[0], settings.peak_prominence, errors, settings.peak_significance
    )
    return [peak for peak in found if not mask[int(np.argmin(np.abs(energy - peak.position)))]]
