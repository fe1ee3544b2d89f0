"""Vibrational spectra of a trajectory: velocity autocorrelation and density of states.

Classical and at the temperature of the run, with all anharmonicity that is in the potential.
"""

from __future__ import annotations

import numpy as np
from ase import units

from aiida_mlip_ins.science.trajectory import ASE_PER_ANGSTROM_PER_PS, FloatArray
from aiida_mlip_ins.science.units import PER_CM_PER_THZ

WINDOW_REACH = 4.0
"""The window falls to exp(-8) at this many of its standard deviations, and is cut off there."""


def autocorrelation(velocities: FloatArray, n_lags: int) -> FloatArray:
    """Return ``C_i(t) = <v_i(0) . v_i(t)>`` of each atom (n_lags, n_atoms).

    All pairs of frames ``t`` apart count (Wiener and Khinchin, with zeros appended so that the end
    is not joined to the beginning).

    :param velocities: (n_frames, n_atoms, 3), frames evenly spaced in time.
    :param n_lags: number of times, from zero on.
    """
    count, atoms, _ = velocities.shape
    n_lags = min(n_lags, count)
    length = 1 << int(np.ceil(np.log2(2 * count)))
    found = np.empty((n_lags, atoms))
    for atom in range(atoms):
        spectrum = np.fft.rfft(velocities[:, atom], length, axis=0)
        power = (spectrum.real**2 + spectrum.imag**2).sum(axis=1)
        found[:, atom] = np.fft.irfft(power, length)[:n_lags]
    found /= (count - np.arange(n_lags))[:, None]
    return found


def density_of_states(
    velocities: FloatArray,
    spacing: float,
    masses: FloatArray,
    temperature: float,
    energies: FloatArray,
    resolution: float,
) -> FloatArray:
    r"""Return the density of vibrational states of each atom (n_atoms, n_energies), per 1/cm.

    .. math:: g_i(\nu) = \frac{4 m_i}{k_B T} \int_0^\infty C_i(t) \, w(t) \cos(2 \pi \nu t) \, dt

    A classical crystal has three states for each atom: the integral over all energies is
    ``m <v^2> / k_B T``. The window ``w`` is the Gaussian that broadens lines by the resolution.

    :param velocities: (n_frames, n_atoms, 3), angstrom/ps, motion of the whole taken off.
    :param spacing: of the frames, ps.
    :param masses: (n_atoms,), u.
    :param temperature: K.
    :param energies: (n_energies,), 1/cm.
    :param resolution: standard deviation, 1/cm.
    :raises ValueError: if frames are too far apart for the energies, or the run is too short for
        the resolution.
    """
    highest = PER_CM_PER_THZ / (2 * spacing)
    if energies.max() > highest:
        raise ValueError(
            f'frames {1000 * spacing:g} fs apart show vibrations up to {highest:.0f} 1/cm, not up '
            f'to {energies.max():.0f} 1/cm: keep more frames'
        )
    width = PER_CM_PER_THZ / (2 * np.pi * resolution)
    n_lags = int(np.ceil(WINDOW_REACH * width / spacing)) + 1
    if n_lags > len(velocities):
        raise ValueError(
            f'a resolution of {resolution:g} 1/cm needs {n_lags * spacing:.2f} ps, the run has '
            f'{len(velocities) * spacing:.2f} ps'
        )
    times = np.arange(n_lags) * spacing
    window = np.exp(-((times / width) ** 2) / 2) * spacing
    window[0] /= 2  # trapezoidal rule
    waves = np.cos(2 * np.pi * np.outer(energies / PER_CM_PER_THZ, times)) * window
    correlation = autocorrelation(velocities, n_lags)
    factor = 4 * masses * ASE_PER_ANGSTROM_PER_PS**2 / (units.kB * temperature)
    found: FloatArray = (waves @ correlation).T * factor[:, None] / PER_CM_PER_THZ
    return found


def by_element(states: FloatArray, symbols: list[str]) -> dict[str, FloatArray]:
    """Return the sums (n_energies,) over the atoms of each element."""
    names = np.array(symbols)
    return {str(el): states[names == el].sum(axis=0) for el in sorted(set(symbols))}
