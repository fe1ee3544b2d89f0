"""Spectra whose energies were moved on purpose."""

import numpy as np
import pytest

from aiida_mlip_ins.science.alignment import align
from aiida_mlip_ins.science.metrics import r_squared

ENERGY = np.arange(60.5, 1200.0)
PEAKS = np.array([90.0, 150.0, 230.0, 320.0, 450.0, 700.0, 735.0, 900.0, 1080.0])
HEIGHTS = np.array([1.0, 0.4, 0.9, 1.5, 0.3, 0.8, 1.1, 0.5, 0.7])
NUMBERS = {'width': 1.0, 'reach': 30.0, 'segment': 40.0, 'stretch': 0.125}


def spectrum(positions: np.ndarray, heights: np.ndarray = HEIGHTS) -> np.ndarray:
    distance = (ENERGY[:, None] - positions) / (4 + 0.01 * positions)
    return (heights * np.exp(-0.5 * distance**2)).sum(axis=1)


def test_energies_that_are_right_stay():
    found = align(ENERGY, 3 * spectrum(PEAKS) + 1, spectrum(PEAKS), 0, **NUMBERS)
    assert found.r_squared == pytest.approx(1.0)
    assert not found.move.any()
    assert found.energy[[0, -1]] == pytest.approx(ENERGY[[0, -1]])


@pytest.mark.parametrize('wrong', [lambda e: 1.02 * e, lambda e: e - 9, lambda e: 0.97 * e + 5])
def test_moves_are_those_that_the_energies_lack(wrong):
    """A smooth error is found where there are peaks; the rest is intensities, here none."""
    measured, simulated = 2 * spectrum(PEAKS) + 0.1, spectrum(wrong(PEAKS))
    found = align(ENERGY, measured, simulated, 0, **NUMBERS)
    assert found.r_squared > 0.98
    assert np.interp(wrong(PEAKS), found.energy, found.move) == pytest.approx(
        PEAKS - wrong(PEAKS), abs=3.0
    )


def test_intensities_are_not_mended():
    other = spectrum(PEAKS - 9, HEIGHTS[::-1])
    best = r_squared(spectrum(PEAKS), spectrum(PEAKS, HEIGHTS[::-1]), ENERGY, 0)
    found = align(ENERGY, spectrum(PEAKS), other, 0, **NUMBERS)
    assert best - 0.02 < found.r_squared < best + 0.05 < 0.9


def test_no_energy_moves_further_than_it_may_and_segments_stretch_as_far_as_they_may():
    found = align(ENERGY, spectrum(PEAKS), spectrum(PEAKS + 50), 0, **NUMBERS)
    assert abs(found.move).max() <= 30
    assert abs(np.diff(found.move)).max() <= 5
    other = align(ENERGY, spectrum(PEAKS), spectrum(PEAKS + 50), 0, **{**NUMBERS, 'reach': 60.0})
    assert other.r_squared > found.r_squared + 0.3


@pytest.mark.parametrize('count', range(3, 21))
@pytest.mark.parametrize('width', [0.1, 1.0, 5.0, 10.0])
def test_energies_keep_their_order_in_short_windows_and_wide_bins(count, width):
    generator = np.random.default_rng(count)
    energy = 62.4 + width * np.arange(count)
    found = align(
        energy, generator.random(count), generator.random(count), 0, **{**NUMBERS, 'width': width}
    )
    assert (np.diff(found.energy) > 0).all()
    slopes = np.diff(found.move) / np.diff(found.energy + found.move)
    assert abs(slopes).max() <= 0.125 + 1e-9
    assert abs(found.move).max() <= 30 + 1e-9


def test_rounding_takes_no_bin_from_what_is_allowed():
    energy = 62.4 + np.arange(600.0)  # 1 + 7e-15 apart
    first, second = (np.exp(-0.5 * ((energy - e) / 8) ** 2) for e in (330.4, 300.4))
    found = align(energy, first, second, 0, **NUMBERS)
    assert found.r_squared > 0.999
    assert abs(found.move).max() == pytest.approx(30.0)


def test_moves_go_straight_on_where_nothing_says_otherwise():
    generator = np.random.default_rng(2)
    measured = spectrum(PEAKS[:5], HEIGHTS[:5]) + 0.005 * generator.random(len(ENERGY))
    found = align(ENERGY, measured, spectrum(PEAKS[:5] - 6, HEIGHTS[:5]), 0, **NUMBERS)
    assert abs(found.move - 6).max() <= 3
    use = ENERGY < 600
    masked = align(ENERGY, measured, spectrum(PEAKS[:5] - 6, HEIGHTS[:5]), 0, use=use, **NUMBERS)
    assert abs(masked.move - 6).max() <= 3


def test_what_lies_beyond_the_window_may_come_in():
    inside = (ENERGY > 210) & (ENERGY < 610)
    before = int(np.argmax(inside))
    measured = spectrum(np.array([214.0, 320.0, 450.0]), np.ones(3))
    simulated = spectrum(np.array([202.0, 320.0, 450.0]), np.ones(3))
    given = ENERGY[inside], measured[inside]
    cut = align(*given, simulated[inside], 0, **NUMBERS)
    wide = align(*given, simulated[before - 30 :], 0, before=30, **NUMBERS)
    assert wide.r_squared > 0.98 > 0.93 > cut.r_squared


@pytest.mark.parametrize('changes', [{'reach': 0.4}, {'reach': 1.0, 'segment': 500.0}])
def test_small_reaches(changes):
    found = align(ENERGY, spectrum(PEAKS), spectrum(PEAKS - 5), 0, **{**NUMBERS, **changes})
    assert abs(found.move).max() <= changes['reach']
    plain = r_squared(spectrum(PEAKS), spectrum(PEAKS - 5), ENERGY, 0)
    assert plain <= found.r_squared <= plain + 0.2


def test_masked_bins_do_not_count():
    measured, use = spectrum(PEAKS), np.ones(len(ENERGY), dtype=bool)
    use[(ENERGY > 400) & (ENERGY < 500)] = False
    measured[~use] = 40.0
    found = align(ENERGY, measured, spectrum(PEAKS - 8), 0, use=use, **NUMBERS)
    assert found.r_squared > 0.98
    assert align(ENERGY, measured, spectrum(PEAKS - 8), 0, **NUMBERS).r_squared < 0.2


def test_it_is_never_worse_than_without_and_a_constant_has_none():
    generator = np.random.default_rng(3)
    noise = generator.random(len(ENERGY))
    plain = r_squared(spectrum(PEAKS), noise, ENERGY, 0)
    assert plain <= align(ENERGY, spectrum(PEAKS), noise, 0, **NUMBERS).r_squared < plain + 0.1
    with pytest.raises(ValueError, match='constant'):
        align(ENERGY, np.ones(len(ENERGY)), noise, 0, **NUMBERS)
