"""Neutron spectrometers: which Q goes with which energy transfer in which bank of detectors.

``Q^2 = k_i^2 + k_f^2 - 2 k_i k_f cos(angle)`` with ``E = hbar^2 k^2 / 2 m_n``. With indirect
geometry the final energy is fixed, with direct geometry the incident one. What a curve of Q
against energy sees is the mean of S(Q, w) over its angles; k_f / k_i is not multiplied in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aiida_mlip_ins.science.units import PER_CM_PER_MEV

Q2_PER_MEV = 0.48259640293390343
"""2 m_n / hbar^2 in 1/(angstrom^2 meV), CODATA 2018."""

N_ANGLES = 40
"""Angles that stand for the range of a detector with direct geometry."""


@dataclass(frozen=True)
class Bank:
    """Detectors whose counts are added up."""

    angles: tuple[float, ...]
    """Scattering angles, degrees; the spectrum is their mean."""
    weight: float = 1.0
    """Factor of its spectrum in the sum over banks."""


@dataclass(frozen=True)
class Instrument:
    """A spectrometer: one of its energies is fixed, and detectors sit at some angles."""

    banks: Mapping[str, Bank]
    """With direct geometry one bank of which only the range of angles is known."""
    source: str
    """Where the figures are from."""
    final_energy: float | None = None
    """1/cm; ``None`` for direct geometry."""

    @property
    def is_direct(self) -> bool:
        """Whether the incident energy is the fixed one."""
        return self.final_energy is None


ANGLES_OF_ABINS = 'Abins in Mantid, scripts/abins/parameters.py; the angles also in resins 0.1.0'
TWO_BANKS = {'forward': Bank((45.0,)), 'backward': Bank((134.98885653282196,))}
BOOK = (
    'Mitchell, Parker, Ramirez-Cuesta, Tomkinson, Vibrational Spectroscopy with Neutrons (2005), '
    'appendix 3, as kept in resins 0.1.0, instrument_data/tosca.yaml: one bank, backward'
)
PYCHOP = 'PyChop in Mantid, scripts/PyChop/{}.yaml, detector: tthlims'


def _range(first: float, last: float, source: str) -> Instrument:
    """Return an instrument with direct geometry; shares of angles follow their solid angle."""
    return Instrument({'all': Bank((first, last))}, source)


INSTRUMENTS = {
    'TOSCA': Instrument(TWO_BANKS, f'{ANGLES_OF_ABINS}. Both banks have the same weight.', 32.0),
    'TOSCA1': Instrument(
        {'backward': TWO_BANKS['backward']}, f'{BOOK}, 3.51 meV.', 3.51 * PER_CM_PER_MEV
    ),
    'TFXA': Instrument(
        {'backward': TWO_BANKS['backward']}, f'{BOOK}, 3.909 meV.', 3.909 * PER_CM_PER_MEV
    ),
    'VISION': Instrument(
        {'forward': Bank((45.0,)), 'backward': Bank((135.0,))},
        'OCLIMAX (Cheng, Daemen, Kolesnikov, Ramirez-Cuesta, J. Chem. Theory Comput. 15, 1974 '
        '(2019)), its default parameters for INSTR = 0 (VISION). Both banks have the same weight.',
        32.0,
    ),
    'Lagrange': Instrument(
        {'analyser': Bank((18.0, 34.0, 50.0, 66.0, 82.0))},
        'Abins in Mantid, scripts/abins/parameters.py and instruments/lagrangeinstrument.py: '
        '4.5 meV, five angles in the middle of equal parts of 10 to 90 degrees, equal weights.',
        4.5 * PER_CM_PER_MEV,
    ),
    'MAPS': _range(3.0, 59.8, PYCHOP.format('maps')),
    'MARI': _range(3.43, 134.14, PYCHOP.format('mari')),
    'MERLIN': _range(2.838, 135.69, PYCHOP.format('merlin')),
    'LET': _range(2.65, 140.0, PYCHOP.format('let')),
    'ARCS': _range(2.373, 135.955, PYCHOP.format('arcs')),
    'SEQUOIA': _range(1.997, 61.926, PYCHOP.format('sequoia')),
    'CNCS': _range(3.806, 132.609, PYCHOP.format('cncs')),
    'PANTHER': _range(5.0, 140.0, 'Abins in Mantid, scripts/abins/parameters.py: angle_range'),
}


def momentum_transfer_squared(incident: np.ndarray, final: np.ndarray, angle: float) -> np.ndarray:
    """Return Q^2 in 1/angstrom^2; 0 where one of the energies is not positive.

    :param incident: energy of the incident neutrons, 1/cm.
    :param final: energy of the detected neutrons, 1/cm.
    :param angle: scattering angle, degrees.
    """
    scale = Q2_PER_MEV / PER_CM_PER_MEV
    possible = (incident > 0) & (final > 0)
    before, after = np.where(possible, incident, 0.0), np.where(possible, final, 0.0)
    cosine = math.cos(math.radians(angle))
    return scale * (before + after - 2 * np.sqrt(before * after) * cosine)


@dataclass(frozen=True)
class AngularPath:
    """Curves of constant angle: a bank of an instrument."""

    angles: np.ndarray
    """(n_curves,) degrees."""
    shares: np.ndarray
    """(n_curves,) weight of each."""
    final_energy: float | None
    """1/cm; ``None`` for direct geometry."""
    incident_energy: float | None
    """1/cm; ``None`` for indirect geometry."""

    def squared(self, energy: np.ndarray) -> np.ndarray:
        """Return Q^2 in 1/angstrom^2 (n_curves, *shape); 0 where no neutron can be."""
        if self.final_energy is not None:
            incident, final = energy + self.final_energy, np.full_like(energy, self.final_energy)
        else:
            assert self.incident_energy is not None
            incident, final = (
                np.full_like(energy, self.incident_energy),
                (self.incident_energy - energy),
            )
        return np.array([momentum_transfer_squared(incident, final, a) for a in self.angles])


@dataclass(frozen=True)
class ConstantQ:
    """A line of constant Q, as far as an instrument reaches it; without one, everywhere."""

    q: float
    """1/angstrom."""
    limits: AngularPath | None = None
    """Its smallest and its largest angle."""

    shares = np.ones(1)

    def squared(self, energy: np.ndarray) -> np.ndarray:
        """Return Q^2 in 1/angstrom^2 (1, *shape); 0 where out of reach."""
        found = np.full_like(energy, self.q**2)
        if self.limits is not None:
            low, high = self.limits.squared(energy)
            found = np.where((found >= low) & (found <= high), found, 0.0)
        return found[None]


def path_of(instrument: Instrument, bank: str, incident_energy: float | None) -> AngularPath:
    """Return the curves that a bank sees.

    With direct geometry detectors fill the range of angles, with shares as the solid angle of a
    band around the beam; with indirect geometry all angles count alike.

    :param incident_energy: 1/cm, for direct geometry.
    """
    angles = np.array(instrument.banks[bank].angles)
    shares = np.full(len(angles), 1 / len(angles))
    if instrument.is_direct:
        edges = np.linspace(angles[0], angles[-1], N_ANGLES + 1)
        angles = (edges[1:] + edges[:-1]) / 2
        shares = -np.diff(np.cos(np.radians(edges)))
        shares /= shares.sum()
    return AngularPath(angles, shares, instrument.final_energy, incident_energy)


def limits_of(instrument: Instrument, incident_energy: float | None) -> AngularPath:
    """Return the curves of the smallest and the largest angle of any bank."""
    angles = [angle for bank in instrument.banks.values() for angle in bank.angles]
    ends = np.array([min(angles), max(angles)])
    return AngularPath(ends, np.ones(2), instrument.final_energy, incident_energy)
