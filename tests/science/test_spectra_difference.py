"""Differences of spectra whose values are known on paper."""

import dataclasses

import numpy as np
import pytest
from spectra_nodes import measured_spectrum

from aiida_mlip_ins.science.agreement import AgreementSettings
from aiida_mlip_ins.science.measured import MeasuredSpectrum
from aiida_mlip_ins.science.spectra_difference import (
    NORMALISATIONS,
    compare_differences,
    difference,
)

EDGES = np.arange(0.0, 101.0)
SETTINGS = AgreementSettings(
    windows=[[0.0, 100.0]], bin_width=1.0, background_degree=0, baseline='minimum',
    similarity_width=30.0, peak_prominence=0.05, peak_significance=3.0, peak_max_shift=30.0,
    align_segment=40.0, align_stretch=0.125,
    assignments={},
)  # fmt: skip


def boxes(*places: int, scale: float = 1.0, level: float = 0.0) -> MeasuredSpectrum:
    """Return a histogram that is flat but for bins of a height."""
    values = np.full(100, level)
    values[list(places)] += scale
    return MeasuredSpectrum(EDGES, values[None], kind='histogram', labels=('a',))


def made(low: MeasuredSpectrum, high: MeasuredSpectrum, how: str = 'spread'):
    return difference(low, high, [[0.0, 100.0]], 1.0, how)


def test_without_normalisation_it_is_what_is_subtracted():
    (found,) = made(boxes(10), boxes(12, scale=2.0, level=0.5), 'none')
    expected = np.full(100, 0.5)
    expected[10] -= 1.0
    expected[12] += 2.0
    assert found.difference == pytest.approx(expected)
    assert found.errors is None
    assert found.n_measured == 100


@pytest.mark.parametrize('how', ['spread', 'area'])
def test_scale_and_constant_background_drop_out(how):
    (first,) = made(boxes(10), boxes(12), how)
    (second,) = made(boxes(10, scale=7.0, level=3.0), boxes(12, scale=0.1, level=-1.0), how)
    assert second.difference == pytest.approx(first.difference)
    # of one bin in a hundred, the area is one and the variance is 0.01 * 0.99
    height = {'spread': 1 / np.sqrt(0.01 * 0.99), 'area': 1.0}[how]
    assert first.difference[12] == pytest.approx(height)
    assert first.difference[10] == pytest.approx(-height)


def test_errors_add_in_quadrature():
    spectrum = dataclasses.replace(boxes(10), errors=np.full((1, 100), 0.3))
    other = dataclasses.replace(boxes(12), errors=np.full((1, 100), 0.4))
    (found,) = made(spectrum, other, 'none')
    assert found.errors == pytest.approx(np.full(100, 0.5))


@pytest.mark.parametrize('how', NORMALISATIONS)
def test_a_spectrum_less_itself_is_nothing(how):
    (found,) = made(boxes(10, 40), boxes(10, 40), how)
    assert found.difference == pytest.approx(np.zeros(100))


def test_masked_bins_are_left_out():
    mask = np.zeros(100, dtype=bool)
    mask[:50] = True
    (found,) = made(dataclasses.replace(boxes(10, 70), mask=mask), boxes(72, level=0.2))
    assert found.mask[:50].all()
    assert not found.mask[50:].any()
    assert (found.difference[:50] == 0).all()
    with pytest.raises(ValueError, match='nothing unmasked'):
        made(dataclasses.replace(boxes(10), mask=np.ones(100, dtype=bool)), boxes(12))
    with pytest.raises(ValueError, match='is flat between 0 and 100'):
        made(boxes(), boxes(12))


def test_the_same_change_the_opposite_and_another_one():
    own = made(boxes(10), boxes(12))
    (row,), (overlay,) = compare_differences(own, made(boxes(10), boxes(12)), SETTINGS)
    assert row['r_squared'] == pytest.approx(1.0)
    assert row['scale'] == pytest.approx(1.0)
    assert row['correlation'] == pytest.approx(1.0)
    assert row['same_sign_share'] == pytest.approx(1.0)
    assert row['chi_square'] is None
    assert overlay.model == pytest.approx(own[0].difference)
    (row,), _ = compare_differences(own, made(boxes(12), boxes(10)), SETTINGS)
    assert row['correlation'] == pytest.approx(-1.0)
    assert row['same_sign_share'] == 0.0
    assert row['scale'] == 0.0
    (row,), _ = compare_differences(own, made(boxes(10), boxes(60)), SETTINGS)
    assert row['correlation'] == pytest.approx(0.5)
    assert row['same_sign_share'] == pytest.approx(0.5)


def test_half_the_change_is_scaled_by_two():
    own = made(boxes(10), boxes(12, scale=3.0), 'none')
    theirs = [dataclasses.replace(own[0], difference=0.5 * own[0].difference)]
    (row,), _ = compare_differences(own, theirs, SETTINGS)
    assert row['scale'] == pytest.approx(2.0)


def test_noise_alone_leaves_a_chi_square_of_one():
    low = measured_spectrum(noise=0.02, seed=1)
    high = measured_spectrum(places=[210, 412, 660], noise=0.02, seed=2)
    exact = [
        measured_spectrum(places=places, noise=1e-9)
        for places in ((200.0, 400.0, 650.0), (210.0, 412.0, 660.0))
    ]
    window = [[21.0, 899.0]]
    own = difference(low, high, window, 2.0, 'none')
    theirs = difference(*exact, window, 2.0, 'none')
    (row,), _ = compare_differences(own, theirs, SETTINGS)
    # bins of a line between points carry half of the noise of the points
    assert 0.3 < row['reduced_chi_square'] < 1.2
    assert row['scale'] == pytest.approx(1.0, abs=0.01)


def test_nothing_changes_is_not_defined_and_said():
    own = made(boxes(10), boxes(10))
    (row,), _ = compare_differences(own, made(boxes(10), boxes(12)), SETTINGS)
    assert row['correlation'] is None
    assert 'correlation: not defined where nothing changes' in row['problems']


def test_other_bins_are_refused():
    own = made(boxes(10), boxes(12))
    other = difference(boxes(10), boxes(12), [[0.0, 100.0]], 2.0, 'none')
    with pytest.raises(ValueError, match='not on the same bins'):
        compare_differences(own, other, SETTINGS)
