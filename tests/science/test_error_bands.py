"""Bands, statistics and calibration of members whose spread is known on paper."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_mlip_ins.science.error_bands import (
    band,
    best_spread,
    calibration_of,
    difference_band,
    statistic,
)

EDGES = np.arange(0.0, 1001.0)
ENERGY = EDGES[:-1] + 0.5


def peak(place: float, width: float = 20.0, height: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    return EDGES, height * np.exp(-0.5 * ((ENERGY - place) / width) ** 2)


def summary(force: float | None = 2.0, stress: float | None = 3.0, split: str = 'test') -> dict:
    factors = {'energy': 1.0, 'force': force, 'stress': stress}
    return {'splits': {split: {n: {'calibration_factor': f} for n, f in factors.items()}}}


def test_a_peak_shifted_both_ways_has_the_band_of_its_slope() -> None:
    moved = 0.5
    made = band([peak(400.0 - moved), peak(400.0), peak(400.0 + moved)])
    # To first order the members are f - d f', f and f + d f': mean f, sample deviation d |f'|.
    slope = -(ENERGY - 400.0) / 20.0**2 * peak(400.0)[1]
    np.testing.assert_allclose(made.mean, peak(400.0)[1], atol=3e-4)
    np.testing.assert_allclose(made.spread, moved * np.abs(slope), atol=3e-4)
    assert made.spread.max() == pytest.approx(moved * np.exp(-0.5) / 20.0, rel=1e-2)
    np.testing.assert_array_equal(made.lower, np.minimum(peak(399.5)[1], peak(400.5)[1]).clip(
        max=peak(400.0)[1]))  # fmt: skip
    assert (made.upper >= made.mean).all()
    # Area of d |f'| is twice d, of f it is width sqrt(2 pi).
    assert made.share == pytest.approx(2 * moved / (20.0 * np.sqrt(2 * np.pi)), rel=1e-3)


def test_heights_give_their_sample_deviation() -> None:
    made = band([peak(400.0, height=h) for h in (1.0, 2.0, 3.0)])
    np.testing.assert_allclose(made.spread, peak(400.0)[1], atol=1e-12)
    np.testing.assert_allclose(made.mean, 2 * peak(400.0)[1], atol=1e-12)
    assert made.share == pytest.approx(0.5)
    assert band([(EDGES, np.zeros(1000))] * 2).share is None


def test_an_error_at_both_pressures_drops_out_of_the_difference() -> None:
    errors = [0.1 * np.sin(ENERGY / 30.0), 0.3 * np.cos(ENERGY / 50.0), 0.0 * ENERGY]
    low = [(EDGES, peak(400.0)[1] + error) for error in errors]
    high = [(EDGES, peak(410.0)[1] + error) for error in errors]
    assert band(low).spread.max() > 0.1
    made = difference_band(low, high)
    np.testing.assert_allclose(made.spread, 0.0, atol=1e-12)
    np.testing.assert_allclose(made.mean, peak(410.0)[1] - peak(400.0)[1], atol=1e-12)
    opposite = difference_band(low, [(EDGES, values - 2 * e) for (_, values), e in zip(
        high, errors, strict=True)])  # fmt: skip
    np.testing.assert_allclose(opposite.spread, 2 * band(low).spread, atol=1e-12)


def test_members_on_narrower_bins_are_brought_onto_the_widest() -> None:
    fine = np.arange(0.0, 1000.1, 0.5)
    values = np.repeat(peak(400.0)[1], 2)
    made = band([peak(400.0), (fine, values)])
    np.testing.assert_array_equal(made.edges, EDGES)
    np.testing.assert_allclose(made.spread, 0.0, atol=1e-12)
    with pytest.raises(ValueError, match='from 0 to 1000 and from 0 to 900 1/cm have no band'):
        band([peak(400.0), (EDGES[:901], peak(400.0)[1][:900])])
    with pytest.raises(ValueError, match='at least 2 members, not 1'):
        band([peak(400.0)])


def test_statistic_of_a_few_numbers() -> None:
    assert statistic([1.0, None, 3.0], 2.0) == {
        'mean': 2.0, 'spread': pytest.approx(np.sqrt(2.0)),
        'calibrated_spread': pytest.approx(2 * np.sqrt(2.0)), 'n_members': 2,
    }  # fmt: skip
    alone = statistic([None, 5.0], 2.0)
    assert alone == {'mean': None, 'spread': None, 'calibrated_spread': None, 'n_members': 1}
    assert best_spread(statistic([0.0, 2.0])) == pytest.approx(np.sqrt(2.0))
    assert best_spread(statistic([0.0, 2.0], 3.0)) == pytest.approx(3 * np.sqrt(2.0))


def test_calibration_is_that_of_the_frames_never_seen() -> None:
    both = {'splits': {**summary(4.0, split='valid')['splits'], **summary()['splits']}}
    found = calibration_of(both)
    assert (found.split, found.force, found.stress) == ('test', 2.0, 3.0)
    assert calibration_of(summary(4.0, None, 'valid')).force == 4.0
    assert calibration_of(summary(4.0, None, 'valid')).stress is None
    with pytest.raises(ValueError, match="no 'splits'"):
        calibration_of({'rounds': []})
    with pytest.raises(ValueError, match='no frames held out'):
        calibration_of({'splits': {'train': {}}})
    with pytest.raises(ValueError, match='has no energy, force, stress'):
        calibration_of({'splits': {'test': {}}})
