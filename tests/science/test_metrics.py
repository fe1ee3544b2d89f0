import numpy as np
import pytest

from aiida_mlip_ins.science import metrics

EDGES = np.linspace(0, 100, 201)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2


def peak(centre: float, width: float = 3.0) -> np.ndarray:
    return np.exp(-0.5 * ((CENTRES - centre) / width) ** 2)


def test_r_squared_is_one_for_the_same_shape():
    assert metrics.r_squared(peak(50), 7.5 * peak(50)) == pytest.approx(1.0)


def test_r_squared_of_a_missed_peak_is_not_above_zero():
    assert metrics.r_squared(peak(20), peak(80)) <= 0
    with pytest.raises(ValueError, match='constant'):
        metrics.r_squared(np.ones(200), peak(50))


@pytest.mark.parametrize('shift', [0.5, 7.0, 30.0, 0.25])
def test_wasserstein_is_the_shift_of_a_peak(shift):
    found = metrics.wasserstein(EDGES, peak(30), 4 * peak(30 + shift))
    assert found == pytest.approx(shift, rel=1e-4)


def test_wasserstein_is_zero_for_the_same_shape_and_symmetric():
    assert metrics.wasserstein(EDGES, peak(40), 2 * peak(40)) == pytest.approx(0, abs=1e-12)
    one, other = peak(40, 2) + peak(70), peak(45, 6)
    forward = metrics.wasserstein(EDGES, one, other)
    assert forward == pytest.approx(metrics.wasserstein(EDGES, other, one))


def test_wasserstein_agrees_with_scipy_on_fine_bins():
    from scipy.stats import wasserstein_distance

    one, other = peak(40, 2) + peak(70), peak(45, 6)
    expected = wasserstein_distance(CENTRES, CENTRES, one, other)
    assert metrics.wasserstein(EDGES, one, other) == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize('bad', [np.zeros(200), -peak(50)])
def test_wasserstein_refuses_what_has_no_area(bad):
    with pytest.raises(ValueError, match='empty or negative'):
        metrics.wasserstein(EDGES, peak(50), bad)


def test_frequency_errors():
    found = metrics.frequency_errors(np.array([10.0, 20.0]), np.array([11.0, 15.0]))
    assert found == {'mae_per_cm': 3.0, 'mean_per_cm': 2.0, 'max_per_cm': 5.0}


def test_scale_and_background_do_not_matter_where_they_are_fitted():
    reference = 3.0 * peak(50) + 2.0 + 0.1 * CENTRES - 0.002 * CENTRES**2
    assert metrics.r_squared(reference, peak(50), CENTRES, 2) == pytest.approx(1.0)
    assert metrics.r_squared(reference, peak(50), CENTRES, 0) < 0.9
    found = metrics.fit(CENTRES, reference, 1e-9 * peak(50), 2)
    assert found.scale == pytest.approx(3e9)
    assert found.background == pytest.approx(reference - 3.0 * peak(50))


def test_a_scale_is_never_negative():
    found = metrics.fit(CENTRES, 1.0 - peak(50), peak(50), 0)
    assert found.scale == 0.0
    assert found.model == pytest.approx(np.full(200, (1.0 - peak(50)).mean()))
    assert metrics.r_squared(1.0 - peak(50), peak(50), CENTRES, 0) == pytest.approx(0.0)


def test_more_parameters_than_values():
    with pytest.raises(ValueError, match='2 values do not determine 3 parameters'):
        metrics.fit(CENTRES[:2], np.ones(2), np.ones(2), 1)


def test_chi_square_counts_errors_in_standard_deviations():
    errors = np.full(200, 0.1)
    errors[::2] = 0.2
    off = np.where(np.arange(200) % 4 < 2, 1.0, -1.0) * errors
    found = metrics.chi_square(CENTRES, 2 * peak(50) + off, peak(50), errors)
    # each value is one standard deviation off, in a way that no scale can mend
    assert found['chi_square'] == pytest.approx(200, rel=0.01)
    assert found['degrees_of_freedom'] == 199
    assert found['weighted_scale'] == pytest.approx(2.0, abs=3 * found['weighted_scale_error'])
    # the error of a scale on paper: one over the root of the weighted sum of squares
    expected = 1 / np.sqrt(((peak(50) / errors) ** 2).sum())
    assert found['weighted_scale_error'] == pytest.approx(expected)


def test_chi_square_does_not_count_bins_finer_than_the_measurement():
    errors = np.full(200, 0.1)
    found = metrics.chi_square(CENTRES, peak(50), peak(50), errors, 0, independent=50)
    assert found['chi_square'] == pytest.approx(0, abs=1e-20)
    assert found['degrees_of_freedom'] == 48
    with pytest.raises(ValueError, match='2 measured values leave no degree of freedom'):
        metrics.chi_square(CENTRES, peak(50), peak(50), errors, 0, independent=2)


def test_chi_square_leaves_out_what_has_no_error():
    errors = np.full(200, 0.1)
    errors[100:] = 0
    reference = peak(25)
    reference[100:] = 77
    found = metrics.chi_square(CENTRES, reference, peak(25), errors)
    assert found['chi_square'] == pytest.approx(0, abs=1e-20)
    assert found['n_without_error'] == 100


@pytest.mark.parametrize(('shift', 'expected'), [(0, 1.0), (5, 0.5), (8, 0.2), (10, 0), (40, 0)])
def test_similarity_falls_with_the_shift_of_a_sharp_peak(shift, expected):
    one, other = np.zeros(100), np.zeros(100)
    one[30], other[30 + shift] = 1.0, 7.0
    assert metrics.similarity(one, other, 10.0) == pytest.approx(expected, abs=1e-12)


def test_similarity_of_width_one_is_the_cosine():
    one, other = peak(40) + peak(70), peak(45, 6)
    cosine = one @ other / np.sqrt((one @ one) * (other @ other))
    assert metrics.similarity(one, other, 1.0) == pytest.approx(cosine)
    assert metrics.similarity(one, 3 * one, 25.0) == pytest.approx(1.0)
    with pytest.raises(ValueError, match='zero throughout'):
        metrics.similarity(one, np.zeros(200), 5.0)


def test_wasserstein_of_peaks_at_300_and_900_is_600():
    edges = np.arange(0.0, 1201.0)
    one, other = np.zeros(1200), np.zeros(1200)
    one[300], other[900] = 5.0, 2.0
    assert metrics.wasserstein(edges, one, other) == pytest.approx(600.0)
