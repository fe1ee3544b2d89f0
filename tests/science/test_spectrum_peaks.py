"""Peaks of spectra within windows."""

import dataclasses

import numpy as np
import pytest
from spectra_nodes import measured_spectrum

from aiida_mlip_ins.science.measured import MeasuredSpectrum
from aiida_mlip_ins.science.spectrum_peaks import PeakSettings, common_window, peaks_of

SETTINGS = PeakSettings([[50.0, 800.0]], 1.0, 0.1, 3.0)


def places(spectrum: MeasuredSpectrum, **changes: object) -> list[float]:
    found = peaks_of(spectrum, dataclasses.replace(SETTINGS, **changes))
    return [peak.position for peak in found]


def test_peaks_are_where_they_were_put():
    assert places(measured_spectrum()) == pytest.approx([200, 400, 650], abs=0.5)


def test_a_peak_in_two_windows_is_one_and_they_are_in_order():
    windows = [[300.0, 800.0], [50.0, 500.0]]
    assert places(measured_spectrum(), windows=windows) == pytest.approx([200, 400, 650], abs=0.5)


def test_masked_and_insignificant_peaks_do_not_count():
    spectrum = measured_spectrum()
    mask = np.abs(spectrum.energy - 400) < 30
    masked = dataclasses.replace(spectrum, mask=mask)
    assert places(masked) == pytest.approx([200, 650], abs=0.5)
    loud = dataclasses.replace(spectrum, errors=np.full_like(spectrum.intensity, 2.0))
    assert places(loud) == []


def test_counts_in_bins_are_made_a_density():
    edges = np.concatenate([np.arange(0.0, 300.0, 2.0), np.arange(300.0, 1001.0, 4.0)])
    middle = (edges[1:] + edges[:-1]) / 2
    counts = np.exp(-0.5 * ((middle - 400) / 15) ** 2) * np.diff(edges) + np.diff(edges)
    spectrum = MeasuredSpectrum(edges, counts[None], kind='histogram', density=False, labels=('a',))
    assert places(spectrum, bin_width=4.0) == pytest.approx([400.0], abs=1.0)


def test_what_cannot_be_looked_at():
    with pytest.raises(ValueError, match='the window from 1 to 2 1/cm is not within'):
        places(measured_spectrum(), windows=[[1.0, 2.0]])
    with pytest.raises(ValueError, match='at least one window'):
        places(measured_spectrum(), windows=[])


def test_common_window():
    first = measured_spectrum()
    second = dataclasses.replace(first, energy=first.energy + 100)
    assert common_window([first, second]) == [120.0, 900.0]
    far = dataclasses.replace(first, energy=first.energy + 1000)
    with pytest.raises(ValueError, match='one begins at 1020 1/cm, where another has ended at 900'):
        common_window([first, far])
