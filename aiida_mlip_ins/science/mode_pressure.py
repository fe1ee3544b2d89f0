"""What pressure does to one mode: shift per GPa, Grueneisen parameter, and how bright it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import ArrayLike

from aiida_mlip_ins.science.modes import Modes

DEUTERIUM_FROM = 1.5
"""Hydrogen of at least this mass (u) is deuterium."""


def line_fit(x: ArrayLike, y: ArrayLike) -> tuple[float | None, float | None]:
    """Return the slope of the least-squares line, and its standard error from three points on.

    :return: ``None`` for what is not defined: a slope needs two different ``x``.
    """
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(a) < 2 or np.ptp(a) == 0:
        return None, None
    a, b = a - a.mean(), b - b.mean()
    spread = float(a @ a)
    slope = float(a @ b) / spread
    if len(a) < 3:
        return slope, None
    rest = b - slope * a
    return slope, float(np.sqrt(rest @ rest / (len(a) - 2) / spread))


def slope(
    pressures: Sequence[float], frequencies: Sequence[float | None]
) -> tuple[float | None, float | None]:
    """Return shift per GPa and its standard error (1/cm/GPa), see :func:`line_fit`.

    :param pressures: GPa.
    :param frequencies: 1/cm, ``None`` where they are unknown.
    """
    known = [(p, f) for p, f in zip(pressures, frequencies, strict=True) if f is not None]
    return line_fit([p for p, _ in known], [f for _, f in known])


def grueneisen(
    volumes: Sequence[float | None], frequencies: Sequence[float | None]
) -> tuple[float | None, float | None]:
    """Return the mode Grueneisen parameter ``-d ln w / d ln V`` and its standard error.

    Least squares of the logarithms over the pressures; with two of them the quotient of their
    differences. E. Grueneisen, Ann. Phys. 344, 257 (1912).

    :param volumes: angstrom^3, ``None`` where they are unknown.
    :param frequencies: 1/cm, likewise; imaginary or vanishing ones have no logarithm: then there is
        no parameter.
    """
    known = [
        (v, f) for v, f in zip(volumes, frequencies, strict=True) if v is not None and f is not None
    ]
    if any(f <= 0 for _, f in known):
        return None, None
    found, error = line_fit(np.log([v for v, _ in known]), np.log([f for _, f in known]))
    return (None if found is None else -found), error


def trend(
    slope: float | None, error: float | None, span: float, threshold: float, n_errors: float
) -> str | None:
    """Return ``blue`` or ``red`` for a mode that pressure shifts up or down, ``none`` otherwise.

    :param slope: 1/cm/GPa; ``error`` its standard error, if known.
    :param span: between the lowest and the highest pressure, GPa.
    :param threshold: over that span a smaller shift (1/cm) has no direction.
    :param n_errors: nor has a slope that is not beyond so many standard errors.
    """
    if slope is None:
        return None
    if abs(slope) * span < threshold or abs(slope) <= n_errors * (error or 0.0):
        return 'none'
    return 'blue' if slope > 0 else 'red'


def anomalous(trends: Sequence[str | None]) -> list[bool | None]:
    """Return which modes go red where more modes go blue than red; ``None`` without a trend."""
    usual = trends.count('blue') > trends.count('red')
    return [None if found is None else usual and found == 'red' for found in trends]


def intensity_shares(modes: Modes) -> dict[int, float]:
    """Return for each optical mode its share of the one-quantum intensity of all of them.

    Proportional to ``sum_i sigma_i |e_i|^2 / (m_i w)``: the one-quantum incoherent intensity at low
    temperature and small Q is the total cross section times Q^2 times the mean square displacement
    of the atom in the mode (P. C. H. Mitchell et al., "Vibrational Spectroscopy with Neutrons",
    World Scientific 2005, ch. 2). Imaginary modes have none.

    :return: by index of the mode, adding up to one.
    :raises ValueError: if an element has no known cross section.
    """
    sections = cross_sections(modes.symbols, modes.masses)
    moved = (np.abs(modes.eigenvectors) ** 2).sum(axis=2) @ (sections / modes.masses)
    optical = modes.optical()
    frequencies = modes.frequencies[optical]
    real = frequencies > 0
    strength = np.where(real, moved[optical] / np.where(real, frequencies, 1.0), 0.0)
    total = float(strength.sum())
    return {
        int(index): float(value) / total if total > 0 else 0.0
        for index, value in zip(optical, strength, strict=True)
    }


def cross_sections(symbols: Sequence[str], masses: np.ndarray) -> np.ndarray:
    """Return the total bound scattering cross sections (n_atoms,) in barn.

    :param masses: (n_atoms,) u, which tell deuterium from hydrogen.
    :raises ValueError: listing the elements that have none.
    """
    names = [
        'D' if symbol == 'H' and mass >= DEUTERIUM_FROM else symbol
        for symbol, mass in zip(symbols, masses, strict=True)
    ]
    unknown = sorted(set(names) - set(_table()))
    if unknown:
        raise ValueError(f'no neutron cross section is known for {", ".join(unknown)}')
    return np.array([_table()[name] for name in names])


@cache
def _table() -> dict[str, float]:
    """Return cross sections (barn) by symbol."""
    path = Path(__file__).parent / 'cross_sections.yaml'
    found: dict[str, float] = yaml.safe_load(path.read_text())
    return found
