"""The equation of state: exact curves are found again, what cannot be fitted is refused."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_mlip_ins.science.eos import (
    birch_murnaghan_energy,
    birch_murnaghan_pressure,
    compare_curves,
    fit_energies,
    fit_pressures,
)

GPA = 160.21766208
VOLUMES = np.linspace(36.0, 42.0, 9)


def test_pressure_is_minus_the_slope_of_the_energy() -> None:
    step = 1e-4
    energies = [
        birch_murnaghan_energy(VOLUMES + shift, -5.0, 40.0, 0.3, 6.0) for shift in (-step, step)
    ]
    slope = (energies[1] - energies[0]) / (2 * step)
    np.testing.assert_allclose(birch_murnaghan_pressure(VOLUMES, 40.0, 0.3, 6.0), -slope, atol=1e-9)


def test_fit_of_pressures() -> None:
    result = fit_pressures(VOLUMES, birch_murnaghan_pressure(VOLUMES, 40.0, 45.0, 6.0))
    assert result['volume_angstrom3'] == pytest.approx(40.0)
    assert result['bulk_modulus_gpa'] == pytest.approx(45.0)
    assert result['bulk_modulus_derivative'] == pytest.approx(6.0)
    assert result['residual_gpa'] < 1e-8
    assert result['n_points'] == 9


def test_errors_cover_the_noise() -> None:
    noise = 0.01 * np.random.default_rng(3).normal(size=len(VOLUMES))
    pressures = birch_murnaghan_pressure(VOLUMES, 40.0, 45.0, 6.0) + noise
    result = fit_pressures(VOLUMES, pressures)
    assert 0 < result['bulk_modulus_gpa_error'] < 1.0
    assert abs(result['bulk_modulus_gpa'] - 45.0) < 4 * result['bulk_modulus_gpa_error']


def test_fit_of_energies() -> None:
    energies = birch_murnaghan_energy(VOLUMES, -5.0, 40.0, 0.3, 6.0)
    result = fit_energies(VOLUMES, energies)
    assert result['energy_ev'] == pytest.approx(-5.0)
    assert result['bulk_modulus_gpa'] == pytest.approx(0.3 * GPA)
    assert result['residual_ev'] < 1e-8


def test_curves_of_two_methods() -> None:
    """A constant between the energies is no error, a softer and larger crystal is."""
    dft = birch_murnaghan_energy(VOLUMES, -5.0, 40.0, 0.3, 6.0)
    mace = birch_murnaghan_energy(VOLUMES, -7.0, 40.4, 0.27, 6.0)
    order = np.random.default_rng(1).permutation(len(VOLUMES))
    found = compare_curves(VOLUMES[order], dft[order], mace[order])
    assert found['volume_error_percent'] == pytest.approx(1.0)
    assert found['bulk_modulus_error_percent'] == pytest.approx(-10.0)
    assert found['volumes'] == pytest.approx(VOLUMES)
    assert compare_curves(VOLUMES, dft, dft - 2.0)['rms_mev_per_atom'] < 1e-6
    assert compare_curves(VOLUMES[:3], dft[:3], mace[:3]) is None
    assert compare_curves([], [], []) is None
    assert 'minimum' in compare_curves(VOLUMES, dft, -dft)['problem']


def test_four_energies_leave_no_error() -> None:
    volumes = VOLUMES[::2][:4]
    result = fit_energies(volumes, birch_murnaghan_energy(volumes, -5.0, 40.0, 0.3, 6.0))
    assert 'bulk_modulus_gpa_error' not in result


@pytest.mark.parametrize(
    ('volumes', 'pressures', 'message'),
    [
        ([40.0, 39.0, 38.0], [0.0, 1.0, 2.0], '3 different volumes are too few'),
        ([40.0, 39.0, 39.5, 38.0], [0.0, 1.0, 2.0, 3.0], 'do not fall as the pressure rises'),
        ([40.0, 39.0, 38.0, -37.0], [0.0, 1.0, 2.0, 3.0], 'must be positive'),
        ([40.0, 39.0, 38.0, 37.0], [0.0, 1.0, 2.0], 'do not match'),
    ],
)
def test_refused(volumes: list[float], pressures: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_pressures(np.array(volumes), np.array(pressures))


def test_energies_without_minimum() -> None:
    with pytest.raises(ValueError, match='no minimum'):
        fit_energies(VOLUMES, -((VOLUMES - 39.0) ** 2))
