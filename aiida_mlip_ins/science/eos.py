"""Equation of state: third-order Birch-Murnaghan, fitted to energies or to pressures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit

from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3

MINIMUM_POINTS = 4
"""Energies need more points than the four parameters' three that pressures need; both get four."""


def birch_murnaghan_energy(
    volume: np.ndarray, e0: float, v0: float, b0: float, b0_prime: float
) -> np.ndarray:
    """Return the energy (eV) at volumes (angstrom^3).

    Third order: F. Birch, Phys. Rev. 71, 809 (1947); with eta = (v0/v)^(2/3),
    E = e0 + 9 v0 b0 / 16 [(eta - 1)^3 b0' + (eta - 1)^2 (6 - 4 eta)].

    :param b0: bulk modulus in eV/angstrom^3.
    """
    eta = (v0 / np.asarray(volume)) ** (2 / 3)
    return e0 + 9 * v0 * b0 / 16 * ((eta - 1) ** 3 * b0_prime + (eta - 1) ** 2 * (6 - 4 * eta))


def birch_murnaghan_pressure(
    volume: np.ndarray, v0: float, b0: float, b0_prime: float
) -> np.ndarray:
    """Return the pressure, in the unit of ``b0``, at volumes (angstrom^3).

    P = 3/2 b0 (x^7 - x^5) [1 + 3/4 (b0' - 4) (x^2 - 1)] with x = (v0/v)^(1/3), which is -dE/dV of
    :func:`birch_murnaghan_energy`.
    """
    x = (v0 / np.asarray(volume)) ** (1 / 3)
    return 1.5 * b0 * (x**7 - x**5) * (1 + 0.75 * (b0_prime - 4) * (x**2 - 1))


def fit_pressures(volumes: np.ndarray, pressures: np.ndarray) -> dict[str, float]:
    """Return the equation of state from the volume at each pressure.

    :param volumes: (n,) relaxed volumes in angstrom^3, n >= 4.
    :param pressures: (n,) pressures in GPa.
    :return: ``volume_angstrom3`` (at no pressure), ``bulk_modulus_gpa``,
        ``bulk_modulus_derivative``, each with its standard error under ``..._error``, and
        ``residual_gpa`` (root mean square of the pressures), ``n_points``.
    :raises ValueError: for fewer than four points, volumes that do not fall as the pressure rises,
        or a fit that does not converge or has a bulk modulus that is not positive.
    """
    volumes, pressures = _checked(volumes, pressures, 'pressures')
    order = np.argsort(pressures)
    if np.any(np.diff(volumes[order]) >= 0):
        raise ValueError(
            'the volumes do not fall as the pressure rises: one of the relaxations found another '
            f'state (pressures {pressures[order].tolist()} GPa, volumes '
            f'{volumes[order].round(4).tolist()} angstrom^3)'
        )
    slope = np.polyfit(volumes, pressures, 1)[0]
    start = (float(volumes.max()), max(-slope * float(volumes.max()), 1.0), 4.0)
    values, errors = _fit(birch_murnaghan_pressure, volumes, pressures, start)
    residual = birch_murnaghan_pressure(volumes, *values) - pressures
    result = _parameters(values, errors, 1.0)
    result['residual_gpa'] = float(np.sqrt(np.mean(residual**2)))
    result['n_points'] = len(volumes)
    return result


def fit_energies(volumes: np.ndarray, energies: np.ndarray) -> dict[str, float]:
    """Return the equation of state from energies at volumes.

    :param volumes: (n,) volumes in angstrom^3, n >= 4 (and at least one more for an error).
    :param energies: (n,) energies in eV.
    :return: as :func:`fit_pressures`, with ``energy_ev`` (at the minimum) and ``residual_ev``.
    :raises ValueError: for fewer than four points or a fit that fails.
    """
    volumes, energies = _checked(volumes, energies, 'energies')
    quadratic = np.polyfit(volumes, energies, 2)
    if quadratic[0] <= 0:
        raise ValueError('the energies have no minimum over the volumes')
    v0 = float(np.clip(-quadratic[1] / (2 * quadratic[0]), volumes.min(), volumes.max()))
    start = (float(energies.min()), v0, 2 * quadratic[0] * v0, 4.0)
    values, errors = _fit(birch_murnaghan_energy, volumes, energies, start)
    residual = birch_murnaghan_energy(volumes, *values) - energies
    result = _parameters(values[1:], errors[1:], GPA_PER_EV_PER_ANGSTROM3)
    result['energy_ev'] = float(values[0])
    result['residual_ev'] = float(np.sqrt(np.mean(residual**2)))
    result['n_points'] = len(volumes)
    return result


def compare_curves(
    volumes: Sequence[float], reference: Sequence[float], model: Sequence[float]
) -> dict[str, Any] | None:
    """Return the energy-volume curves of labels and of a potential, and the errors of the latter.

    :param volumes: (n,) of cells, angstrom^3 per atom.
    :param reference: (n,) energies in eV per atom; ``model`` likewise.
    :return: ``volumes``, ``reference`` and ``model`` in the order of the volumes, and for each of
        the two its ``..._fit`` (see :func:`fit_energies`; or ``problem``); of the model
        ``volume_error_percent``, ``bulk_modulus_error_percent`` and ``rms_mev_per_atom``, of the
        energies but for a common shift. ``None`` for fewer than four volumes.
    """
    if len(np.unique(np.round(volumes, 6))) < MINIMUM_POINTS:
        return None
    order = np.argsort(volumes, kind='stable')
    x, y, z = (np.asarray(values, dtype=float)[order] for values in (volumes, reference, model))
    found: dict[str, Any] = {
        'volumes': x.tolist(), 'reference': y.tolist(), 'model': z.tolist(),
        'rms_mev_per_atom': 1e3 * float(np.std(z - y)),
    }  # fmt: skip
    try:
        fits = [fit_energies(x, energies) for energies in (y, z)]
    except ValueError as error:
        return found | {'problem': str(error)}
    true, own = fits
    return found | {
        'reference_fit': true,
        'model_fit': own,
        **{
            f'{name}_error_percent': 100 * (own[key] / true[key] - 1)
            for name, key in (('volume', 'volume_angstrom3'), ('bulk_modulus', 'bulk_modulus_gpa'))
        },
    }


def _checked(volumes: np.ndarray, values: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    volumes, values = np.asarray(volumes, dtype=float), np.asarray(values, dtype=float)
    if volumes.shape != values.shape or volumes.ndim != 1:
        raise ValueError(f'{volumes.shape} volumes do not match {values.shape} {name}')
    if len(np.unique(volumes)) < MINIMUM_POINTS:
        raise ValueError(
            f'{len(np.unique(volumes))} different volumes are too few for an equation of state, '
            f'at least {MINIMUM_POINTS} are needed'
        )
    if not (np.isfinite(volumes).all() and np.isfinite(values).all() and volumes.min() > 0):
        raise ValueError(f'volumes must be positive, and volumes and {name} finite')
    return volumes, values


def _fit(
    function: object, x: np.ndarray, y: np.ndarray, start: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the parameters and their standard errors (NaN where the points leave no freedom)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', OptimizeWarning)
            values, covariance = curve_fit(function, x, y, p0=start, maxfev=20000)
    except RuntimeError as error:
        raise ValueError(f'the fit of the equation of state failed: {error}') from error
    if values[-2] <= 0:
        raise ValueError(f'the fit gave a bulk modulus of {values[-2]:.4g}, which is not positive')
    with np.errstate(invalid='ignore'):
        errors = np.sqrt(np.diag(covariance))
    return values, np.where(len(x) > len(start), errors, np.nan)


def _parameters(values: np.ndarray, errors: np.ndarray, modulus_unit: float) -> dict[str, float]:
    names = ('volume_angstrom3', 'bulk_modulus_gpa', 'bulk_modulus_derivative')
    result: dict[str, float] = {}
    for name, value, error, unit in zip(
        names, values, errors, (1.0, modulus_unit, 1.0), strict=True
    ):
        result[name] = float(value * unit)
        if np.isfinite(error):
            result[f'{name}_error'] = float(error * unit)
    return result
