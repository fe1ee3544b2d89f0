import numpy as np
import pytest

from aiida_mlip_ins.science import reduction
from aiida_mlip_ins.science.measured import MeasuredSpectrum

ENERGY = np.arange(10.0, 110.0, 10.0)


def points(values, errors=None, energy=ENERGY, **keywords) -> MeasuredSpectrum:
    values = np.atleast_2d(values)
    errors = None if errors is None else np.broadcast_to(errors, values.shape).copy()
    labels = tuple(f's{i}' for i in range(len(values)))
    return MeasuredSpectrum(energy, values, errors, labels=labels, **keywords)


def test_crop_points_and_bins():
    kept = reduction.crop(points(ENERGY, 1.0), 20, 45)
    assert kept.energy.tolist() == [20, 30, 40]
    assert kept.errors.shape == (1, 3)
    edges = MeasuredSpectrum(ENERGY, ENERGY[None, :-1], kind='histogram', labels=('a',))
    kept = reduction.crop(edges, 15, 50)
    assert kept.energy.tolist() == [20, 30, 40, 50]
    assert kept.intensity.tolist() == [[20, 30, 40]]
    with pytest.raises(ValueError, match='there are 0 values between 200 and 300 1/cm'):
        reduction.crop(points(ENERGY), 200, 300)


def test_subtract_with_a_fixed_scale():
    can = points(np.full(10, 4.0), 0.3)
    rest = reduction.subtract(points(np.full(10, 10.0), 0.4), can, 0.5, None)
    assert rest.intensity == pytest.approx(np.full((1, 10), 8.0))
    assert rest.errors == pytest.approx(np.full((1, 10), np.hypot(0.4, 0.15)))
    assert rest.metadata['subtracted']['scale'] == [0.5]


@pytest.mark.parametrize('errors', [None, 0.01])
def test_a_fitted_scale_is_found_on_another_grid(errors):
    fine = np.arange(5.0, 120.0, 1.0)
    can = points(fine, errors, energy=fine)
    signal = np.where(ENERGY < 60, 0.0, 5.0)
    rest = reduction.subtract(points(0.7 * ENERGY + signal, errors), can, None, [[10, 50]])
    assert rest.metadata['subtracted']['scale'][0] == pytest.approx(0.7, rel=1e-6)
    assert rest.intensity[0] == pytest.approx(signal, abs=1e-6)
    if errors:
        # error of a weighted slope through zero, from the five points of the region
        below = ENERGY[:5]
        one = 1 / (errors**2 * (1 + 0.7**2 / 10))
        expected = 1 / np.sqrt((one * below**2).sum())
        assert rest.metadata['subtracted']['scale_error'][0] == pytest.approx(expected, rel=0.05)


def test_what_cannot_be_subtracted():
    one = points(np.ones(10))
    for scale, regions in ((None, None), (1.0, [[10, 50]])):
        with pytest.raises(ValueError, match='either `scale` or `fit_regions`'):
            reduction.subtract(one, one, scale, regions)
    with pytest.raises(ValueError, match='a lower and a larger upper end'):
        reduction.subtract(one, one, None, [[50, 10]])
    with pytest.raises(ValueError, match='fewer than three values'):
        reduction.subtract(one, one, None, [[10, 25]])
    with pytest.raises(ValueError, match='the fitted scale is -1'):
        reduction.subtract(points(-np.ones(10)), one, None, [[10, 100]])
    with pytest.raises(ValueError, match='neither one nor as many'):
        reduction.subtract(one, points(np.ones((3, 10))), 1.0, None)
    with pytest.raises(ValueError, match='reach beyond'):
        reduction.subtract(points(np.ones(10)), points(np.ones(10), energy=ENERGY + 60), 1.0, None)


def test_mask():
    masked = reduction.mask(points(ENERGY), [[0, 15], [35, 55]])
    assert masked.energy[~masked.masked].tolist() == [20, 30, 60, 70, 80, 90, 100]
    again = reduction.mask(masked, [[90, 200]])
    assert again.masked.sum() == 5
    with pytest.raises(ValueError, match='nothing of the spectrum is left'):
        reduction.mask(points(ENERGY), [[0, 200]])


def test_sum_of_banks():
    both = points([ENERGY, 2 * ENERGY], 0.3)
    total = reduction.sum_spectra([both], [1.0])
    assert total.intensity[0] == pytest.approx(3 * ENERGY)
    assert total.errors[0] == pytest.approx(np.full(10, 0.3 * np.sqrt(2)))
    weighted = reduction.sum_spectra([points(ENERGY, 0.3), points(2 * ENERGY, 0.4)], [1.0, 0.5])
    assert weighted.intensity[0] == pytest.approx(2 * ENERGY)
    assert weighted.errors[0] == pytest.approx(np.full(10, np.hypot(0.3, 0.2)))


def test_what_cannot_be_summed_is_all_told():
    with pytest.raises(ValueError, match='another grid') as caught:
        reduction.sum_spectra([points(ENERGY, 0.3), points(ENERGY, energy=ENERGY + 1)], [1, 1, 1])
    assert 'only one has errors' in str(caught.value)
    assert '3 weights for 2 spectra' in str(caught.value)
