import dataclasses

import numpy as np
import pytest
from springs import dft_modes

from aiida_mlip_ins.science import mode_pressure


def test_slope_and_its_standard_error():
    # y = 2 x with residuals +1 -2 +1: SSE 6, one degree of freedom, Sxx 2, so sqrt(6 / 1 / 2).
    found, error = mode_pressure.slope([0.0, 1.0, 2.0], [11.0, 10.0, 15.0])
    assert found == pytest.approx(2.0)
    assert error == pytest.approx(np.sqrt(3.0))
    assert mode_pressure.slope([0.0, 1.5, 3.0], [100.0, None, 94.0]) == (pytest.approx(-2.0), None)
    assert mode_pressure.slope([0.0, 1.5], [100.0, None]) == (None, None)
    assert mode_pressure.slope([1.0, 1.0], [100.0, 101.0]) == (None, None)


def test_grueneisen_of_a_power_law_is_its_exponent():
    volumes = [40.0, 39.0, 38.2, 37.1]
    frequencies = [300.0 * (v / 40.0) ** -1.7 for v in volumes]
    found, error = mode_pressure.grueneisen(volumes, frequencies)
    assert found == pytest.approx(1.7)
    assert error == pytest.approx(0.0, abs=1e-9)
    pair = mode_pressure.grueneisen([40.0, None, 39.0], [300.0, 301.0, 306.0])
    assert pair == (pytest.approx(-np.log(306 / 300) / np.log(39 / 40)), None)
    assert mode_pressure.grueneisen(volumes, [-20.0, 1.0, 2.0, 3.0]) == (None, None)


@pytest.mark.parametrize(
    ('slope', 'error', 'expected'),
    [(2.0, 0.5, 'blue'), (-2.0, 0.5, 'red'), (-2.0, 1.5, 'none'), (-0.2, None, 'none'),
     (-0.3, None, 'red'), (None, None, None)],
)  # fmt: skip
def test_trend(slope, error, expected):
    assert mode_pressure.trend(slope, error, 2.0, 0.5, 2.0) == expected


def test_red_is_anomalous_only_where_blue_is_usual():
    assert mode_pressure.anomalous(['blue', 'blue', 'red', None]) == [False, False, True, None]
    assert mode_pressure.anomalous(['red', 'red', 'blue']) == [False, False, False]


def test_intensity_shares_follow_sigma_over_mass_and_frequency():
    modes = dft_modes('0.0')
    shares = mode_pressure.intensity_shares(modes)
    assert sum(shares.values()) == pytest.approx(1.0)
    by_hand = {}
    for index in shares:
        squared = (modes.eigenvectors[index] ** 2).sum(axis=1)
        power = sum(
            {'Mg': 3.71, 'O': 4.232, 'H': 82.02}[s] * e / m
            for s, e, m in zip(modes.symbols, squared, modes.masses, strict=True)
        )
        by_hand[index] = power / modes.frequencies[index]
    total = sum(by_hand.values())
    for index, share in shares.items():
        assert share == pytest.approx(by_hand[index] / total, rel=1e-3)
    imaginary = dataclasses.replace(modes, frequencies=modes.frequencies - 300.0)
    assert mode_pressure.intensity_shares(imaginary)[3] == 0.0


def test_deuterium_is_told_by_its_mass_and_unknown_elements_are_named():
    found = mode_pressure.cross_sections(['H', 'H', 'O'], np.array([1.008, 2.014, 15.999]))
    assert found == pytest.approx([82.02, 7.64, 4.232], abs=0.01)
    with pytest.raises(ValueError, match='At, Fm'):
        mode_pressure.cross_sections(['Fm', 'O', 'At'], np.array([257.0, 16.0, 210.0]))
