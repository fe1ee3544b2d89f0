import numpy as np
import pytest

from aiida_mlip_ins.science.peaks import Peak, assign, find_peaks, match_peaks

ENERGY = np.arange(0.5, 1000.0)


def gauss(position: float, height: float = 1.0, sigma: float = 8.0) -> np.ndarray:
    return height * np.exp(-0.5 * ((ENERGY - position) / sigma) ** 2)


def peak(position: float, area: float = 1.0) -> Peak:
    return Peak(position, 1.0, 10.0, area, 1.0)


def test_position_width_and_area_of_gaussians():
    one, other = find_peaks(ENERGY, gauss(300.2, 2.0) + gauss(700.7, 1.0, 15.0), 0.05)
    assert (one.position, other.position) == pytest.approx((300.2, 700.7), abs=0.02)
    assert (one.height, other.height) == pytest.approx((2.0, 1.0), rel=1e-2)
    fwhm = np.sqrt(8 * np.log(2))
    assert (one.width, other.width) == pytest.approx((8 * fwhm, 15 * fwhm), rel=2e-3)
    root = np.sqrt(2 * np.pi)
    assert (one.area, other.area) == pytest.approx((16 * root, 15 * root), rel=2e-3)


def test_a_constant_below_peaks_changes_only_their_height():
    plain = find_peaks(ENERGY, gauss(300), 0.05)[0]
    lifted = find_peaks(ENERGY, gauss(300) + 5.0, 0.05)[0]
    assert lifted.area == pytest.approx(plain.area)
    assert lifted.width == pytest.approx(plain.width)
    assert lifted.height == pytest.approx(plain.height + 5)


def test_what_is_too_small_or_uncertain_is_no_peak():
    both = gauss(300) + gauss(700, 0.2)
    assert len(find_peaks(ENERGY, both, 0.3)) == 1
    errors = np.full(len(ENERGY), 0.1)
    assert len(find_peaks(ENERGY, both, 0.05, errors, 1.0)) == 2
    assert len(find_peaks(ENERGY, both, 0.05, errors, 3.0)) == 1
    assert find_peaks(ENERGY, np.ones_like(ENERGY), 0.05) == []


def test_pairs_are_one_to_one_and_of_the_smallest_sum_of_shifts():
    found = match_peaks([peak(100), peak(120)], [peak(109), peak(130)], 30.0)
    assert [pair['shift'] for pair in found['matched']] == [9, 10]
    assert found['mean_absolute_shift'] == 9.5
    assert found['missing'] == found['extra'] == []


def test_missing_and_extra_peaks_are_named():
    reference, other = [peak(100), peak(300), peak(500, 2.0)], [peak(510, 3.0), peak(800)]
    found = match_peaks(reference, other, 30.0)
    assert [row['position'] for row in found['missing']] == [100, 300]
    assert [row['position'] for row in found['extra']] == [800]
    assert found['matched'][0]['shift'] == 10
    assert found['matched'][0]['area_ratio'] == 1.5


def test_no_peaks_at_all():
    found = match_peaks([], [], 30.0)
    assert found == {'matched': [], 'missing': [], 'extra': [], 'mean_absolute_shift': None}
    assert len(match_peaks([], [peak(1)], 30.0)['extra']) == 1


def test_assignment_names_the_modes_nearby_nearest_first():
    modes = {'torsion': 110.0, 'bend': 102.0, 'stretch': 3000.0}
    one, other = assign([peak(100), peak(500)], modes, 20.0)
    assert one.assignment == 'bend, torsion'
    assert other.assignment is None
    assert one.position == 100
