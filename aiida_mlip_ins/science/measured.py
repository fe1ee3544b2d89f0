"""A measured spectrum: intensities with errors on points or bins of energy transfer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aiida_mlip_ins.science.text import shortened
from aiida_mlip_ins.science.units import PER_CM_PER_MEV, PER_CM_PER_THZ

ENERGY_UNITS = {'1/cm': 1.0, 'meV': PER_CM_PER_MEV, 'THz': PER_CM_PER_THZ}
"""1/cm for one of each unit of energy transfer that is understood."""

PLAUSIBLE = (5.0, 20000.0)
"""1/cm: between these (0.6 meV and 2.5 eV) lies the largest energy of any vibrational spectrum."""

KINDS = ('points', 'histogram')


@dataclass(frozen=True)
class MeasuredSpectrum:
    """One or several spectra (banks, detectors) on one axis of energy transfer.

    Points are values of a density. A histogram is either a density too or counts in each bin.
    """

    energy: np.ndarray
    """Points (n,) or edges of bins (n + 1,), ascending, 1/cm; neutron energy loss is positive."""
    intensity: np.ndarray
    """(n_spectra, n), in ``intensity_unit``."""
    errors: np.ndarray | None = None
    """One standard deviation (n_spectra, n), ``None`` where the file has none."""
    kind: str = 'points'
    density: bool = True
    """Whether intensity is per energy; otherwise it is counted in each bin."""
    mask: np.ndarray | None = None
    """(n,) of bool, true where the spectrum is not to be used; ``None`` for nowhere."""
    labels: tuple[str, ...] = ()
    """One for each spectrum."""
    title: str = ''
    intensity_unit: str = 'arbitrary'
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What else the file says, and what operations found; plain values only."""

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins (n + 1,) in 1/cm; for points, half way to the neighbours."""
        if self.kind == 'histogram':
            return self.energy
        middle = (self.energy[1:] + self.energy[:-1]) / 2
        first, last = 2 * self.energy[0] - middle[0], 2 * self.energy[-1] - middle[-1]
        return np.concatenate([[first], middle, [last]])

    @property
    def centres(self) -> np.ndarray:
        """The points, or the centres of the bins (n,), in 1/cm."""
        if self.kind == 'points':
            return self.energy
        return (self.energy[1:] + self.energy[:-1]) / 2

    @property
    def masked(self) -> np.ndarray:
        """The mask (n,), all false where there is none."""
        if self.mask is None:
            return np.zeros(self.intensity.shape[-1], dtype=bool)
        return self.mask


def spectrum_problems(spectrum: MeasuredSpectrum) -> list[str]:
    """Return everything that is wrong with a spectrum, one sentence each."""
    found = _shape_problems(spectrum)
    if found:
        return found
    found += _energy_problems(spectrum.energy)
    for name, values in (('intensities', spectrum.intensity), ('errors', spectrum.errors)):
        if values is None:
            continue
        bad = ~np.isfinite(values)
        if bad.any():
            found.append(
                f'{int(bad.sum())} of the {name} are not finite numbers ({_where(spectrum, bad)})'
            )
    if spectrum.errors is not None and (spectrum.errors < 0).any():
        bad = spectrum.errors < 0
        found.append(f'{int(bad.sum())} of the errors are negative ({_where(spectrum, bad)})')
    return found


def _shape_problems(spectrum: MeasuredSpectrum) -> list[str]:
    """Return what does not fit together."""
    if spectrum.kind not in KINDS:
        return [f"kind '{spectrum.kind}' is none of {', '.join(KINDS)}"]
    found = []
    shape = spectrum.intensity.shape
    if len(shape) != 2 or spectrum.energy.ndim != 1:
        return [f'intensity has the shape {shape}, expected (number of spectra, number of values)']
    if not shape[0] or shape[1] < 2:
        return ['there are fewer than two values']
    expected = shape[1] + (spectrum.kind == 'histogram')
    if len(spectrum.energy) != expected:
        found.append(
            f'{len(spectrum.energy)} energies do not fit {shape[1]} values of {spectrum.kind}'
        )
    if spectrum.kind == 'points' and not spectrum.density:
        found.append('points are a density; only a histogram can be counts in each bin')
    if spectrum.errors is not None and spectrum.errors.shape != shape:
        found.append(f'errors have the shape {spectrum.errors.shape}, intensities {shape}')
    if spectrum.mask is not None and spectrum.mask.shape != shape[1:]:
        found.append(f'the mask has the shape {spectrum.mask.shape}, expected {shape[1:]}')
    if len(spectrum.labels) != shape[0]:
        found.append(f'{len(spectrum.labels)} labels for {shape[0]} spectra')
    return found


def _energy_problems(energy: np.ndarray) -> list[str]:
    """Return what is wrong with an axis of energies in 1/cm."""
    bad = ~np.isfinite(energy)
    if bad.any():
        return [f'{int(bad.sum())} of the energies are not finite numbers (the {_first(bad)})']
    found = []
    steps = np.diff(energy)
    if (steps == 0).any():
        repeated = [f'{value:g}' for value in energy[:-1][steps == 0]]
        found.append(f'energies are repeated: {shortened(repeated)} 1/cm')
    if (steps < 0).any():
        places = [f'{energy[i + 1]:g} after {energy[i]:g}' for i in np.flatnonzero(steps < 0)]
        found.append(f'energies are not in ascending order: {shortened(places, 3)} 1/cm')
    largest = float(np.abs(energy).max())
    if not PLAUSIBLE[0] <= largest <= PLAUSIBLE[1]:
        found.append(
            f'the largest energy transfer would be {largest:g} 1/cm '
            f'({largest / PER_CM_PER_MEV:g} meV), which no vibrational spectrum has: is the unit '
            f'right? (one of {", ".join(ENERGY_UNITS)})'
        )
    return found


def _where(spectrum: MeasuredSpectrum, bad: np.ndarray) -> str:
    """Return at which energies values (n_spectra, n) are bad."""
    places = [f'{value:g}' for value in spectrum.centres[bad.any(axis=0)]]
    return f'at {shortened(places, 3)} 1/cm'


def _first(bad: np.ndarray) -> str:
    """Return which values are bad, counted from one."""
    return shortened([f'{index + 1}.' for index in np.flatnonzero(bad)], 3)


def checked(spectrum: MeasuredSpectrum, where: str) -> MeasuredSpectrum:
    """Return the spectrum, or raise a ``ValueError`` that lists every problem after ``where``."""
    found = spectrum_problems(spectrum)
    if found:
        raise ValueError('\n'.join(f'{where}: {problem}' for problem in found))
    return spectrum


def window_problems(windows: Sequence[Sequence[float]], where: str) -> list[str]:
    """Return what is wrong with windows of energy, each a lower and an upper end in 1/cm."""
    if not windows:
        return [f'{where}: at least one window (lower and upper end in 1/cm) is needed']
    return [
        f'{where}[{index}]: expected a lower and a larger upper end in 1/cm, got {list(window)}'
        for index, window in enumerate(windows)
        if len(window) != 2 or not window[0] < window[1]
    ]
