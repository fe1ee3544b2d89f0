import numpy as np
import pytest

from aiida_mlip_ins.science import metrics

EDGES = np.linspace(0, 100, 201)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2


def peak(centre: float, width: float = 3.0) -> np.ndarray:
    return np.exp(-0.5 * ((CENTRES - centre) / width) ** 2)


def test_r_squared_is_one_for_the_same_shape():
    assert metrics.r_squared(peak(50), 7.5 * peak(50)) == pytest.approx(1.0)
    assert metrics.fitted_scale(peak(50), 7.5 * peak(50)) == pytest.approx(1 / 7.5)


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
