"""Spectra whose energies were moved on purpose."""

import numpy as np
import pytest

from aiida_mlip_ins.science.alignment import align
from aiida_mlip_ins.science.metrics import r_squared

ENERGY = np.arange(60.5, 1200.0)
PEAKS = np.array([90.0, 150.0, 230.0, 320.0, 450.0, 700.0, 735.0, 900.0, 1080.0])
HEIGHTS = np.array([1.0, 0.4, 0.9, 1.5, 0.3, 0.8, 1.1, 0.5, 0.7])
NUMBERS = {'reach': 30.0, 'segment': 40.0, 'stretch': 0.125}


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
