import numpy as np
import pytest

from aiida_mlip_ins.science.measured import MeasuredSpectrum
from aiida_mlip_ins.science.rebinning import as_density, bin_edges, onto, rebin


def histogram(edges, values, errors=None, density=False, mask=None) -> MeasuredSpectrum:
    return MeasuredSpectrum(
        energy=np.array(edges, dtype=float),
        intensity=np.array([values], dtype=float),
        errors=None if errors is None else np.array([errors], dtype=float),
        kind='histogram',
        density=density,
        labels=('a',),
        mask=mask,
    )


def test_counts_and_their_variance_are_conserved():
    before = histogram([0, 10, 30, 40], [100, 400, 25], [10, 20, 5])
    after = rebin(before, np.array([0.0, 5.0, 20.0, 40.0]))
    assert after.intensity[0] == pytest.approx([50, 50 + 200, 200 + 25])
    # counted events: the variance is the number of counts however the bins are cut
    assert after.errors[0] ** 2 == pytest.approx(after.intensity[0])
    assert after.intensity.sum() == pytest.approx(525)


def test_a_constant_density_stays_constant():
    before = histogram([0, 10, 30, 40], [2, 2, 2], [0.1, 0.1, 0.1], density=True)
    after = rebin(before, np.array([1.0, 3.0, 25.0, 39.0]))
    assert after.intensity[0] == pytest.approx([2, 2, 2])
    # the mean of m independent bins of one width has the error over sqrt(m)
    fine = histogram(np.arange(9), np.ones(8), np.full(8, 0.4), density=True)
    assert rebin(fine, np.array([0.0, 4.0, 8.0])).errors[0] == pytest.approx([0.2, 0.2])


def test_points_are_joined_by_straight_lines():
    energy = np.array([10.0, 20.0, 40.0])
    line = MeasuredSpectrum(energy, np.array([2 * energy + 1]), labels=('a',))
    after = rebin(line, np.array([10.0, 13.0, 26.0, 40.0]))
    assert after.kind == 'histogram'
    assert after.intensity[0] == pytest.approx(2 * after.centres + 1)
    assert after.errors is None


def test_bins_beyond_the_spectrum():
    with pytest.raises(ValueError, match='bins from 0 to 50 1/cm reach beyond'):
        rebin(histogram([0, 10, 40], [1, 1]), np.array([0.0, 50.0]))


def test_what_is_masked_spreads_no_further_than_its_bins():
    before = histogram([0, 10, 20, 30], [1, 9, 1], mask=np.array([False, True, False]))
    after = rebin(before, np.array([0.0, 10.0, 15.0, 25.0, 30.0]))
    assert after.mask.tolist() == [False, True, True, False]


def test_density_and_counts_on_the_grid_of_another():
    counts = histogram([0, 10, 30, 40], [100, 400, 100])
    assert as_density(counts).intensity[0].tolist() == [10, 20, 10]
    points = MeasuredSpectrum(np.array([5.0, 15.0, 25.0]), np.ones((1, 3)), labels=('a',))
    moved = onto(counts, points)
    assert moved.kind == 'points'
    assert moved.intensity[0] == pytest.approx([10, 20, 20])
    back = onto(points, histogram([10, 12, 20], [1, 1]))
    assert not back.density
    assert back.intensity[0] == pytest.approx([2, 8])
    assert onto(points, points) is points


def test_bin_edges():
    assert bin_edges(60, 61.05, 0.5).tolist() == [60, 60.5, 61]
    assert len(bin_edges(0.1, 0.4, 0.1)) == 4
    with pytest.raises(ValueError, match='no bin of 10'):
        bin_edges(60, 65, 10)
