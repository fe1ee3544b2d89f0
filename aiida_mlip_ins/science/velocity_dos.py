"""Vibrational spectra of a trajectory: power spectra of velocities and density of states.

Classical and at the temperature of the run, with all anharmonicity that is in the potential. A
power spectrum is the Fourier transform of the velocities' autocorrelation (Wiener and Khinchin). It
is the mean over overlapping pieces of the run, each under a Gaussian (P. D. Welch, IEEE Trans.
Audio Electroacoust. 15, 70, 1967): it is negative nowhere, and a line of one frequency becomes a
Gaussian of the width asked for, without wings.
"""

from __future__ import annotations

import numpy as np
from ase import units
from scipy.fft import next_fast_len, rfft

from aiida_mlip_ins.science.trajectory import ASE_PER_ANGSTROM_PER_PS, FloatArray
from aiida_mlip_ins.science.units import PER_CM_PER_THZ

REACH = 3.5
"""Standard deviations after which the Gaussian over a piece is cut off, at 0.002."""

PADDING = 8
"""A piece is padded with zeros to this many times its length: six points of the transform to a
standard deviation of a line, between which straight lines are true to 0.3 %."""

_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def piece_frames(spacing: float, resolution: float) -> int:
    """Return the number of frames of a piece.

    :param spacing: of the frames, ps.
    :param resolution: standard deviation of a line, 1/cm.
    """
    return 2 * int(np.ceil(REACH * _taper_width(resolution) / spacing)) + 1


def run_problems(n_frames: int, spacing: float, highest: float, resolution: float) -> list[str]:
    """Return why there is no power spectrum of a run.

    :param spacing: of the frames, ps.
    :param highest: end of the spectrum, 1/cm.
    :param resolution: standard deviation of a line, 1/cm.
    """
    found = []
    limit = PER_CM_PER_THZ / (2 * spacing)
    if highest > limit:
        found.append(
            f'frames {1000 * spacing:g} fs apart show vibrations up to {limit:.0f} 1/cm, not up '
            f'to {highest:.0f} 1/cm: keep more frames'
        )
    needed = piece_frames(spacing, resolution)
    if needed > n_frames:
        found.append(
            f'a resolution of {resolution:g} 1/cm needs {needed * spacing:.2f} ps, the run has '
            f'{n_frames * spacing:.2f} ps'
        )
    return found


def power_spectrum(
    velocities: FloatArray, spacing: float, energies: FloatArray, resolution: float
) -> FloatArray:
    r"""Return the power spectrum of each atom as tensors (n_atoms, n_energies, 6).

    .. math:: P_{\alpha\beta}(\nu) = 4 \int_0^\infty \langle v_\alpha(0) v_\beta(t) \rangle
        \cos(2 \pi \nu t) \, dt, \qquad \int_0^\infty P \, d\nu = \langle v_\alpha v_\beta \rangle

    in (angstrom/ps)^2 per 1/cm, xx, yy, zz, yz, xz, xy, symmetrised in the two directions.

    :param velocities: (n_frames, n_atoms, 3), angstrom/ps, motion of the whole taken off, frames
        evenly spaced in time.
    :param spacing: of the frames, ps.
    :param energies: (n_energies,), 1/cm.
    :param resolution: standard deviation of a line, 1/cm.
    :raises ValueError: if frames are too far apart for the energies, or the run is too short for
        the resolution.
    """
    count, atoms, _ = velocities.shape
    found = run_problems(count, spacing, float(energies.max()), resolution)
    if found:
        raise ValueError('; '.join(found))
    frames = piece_frames(spacing, resolution)
    width = _taper_width(resolution)
    times = (np.arange(frames) - frames // 2) * spacing
    taper = np.exp(-((times / width) ** 2) / 2)
    number = int((count - frames) * spacing / width) + 1
    starts = np.unique(np.linspace(0, count - frames, number).round().astype(int))
    pieces = starts[:, None] + np.arange(frames)
    length = next_fast_len(PADDING * frames, real=True)
    places = energies * length * spacing / PER_CM_PER_THZ
    lower = np.minimum(places.astype(int), length // 2 - 1)
    part = places - lower
    scale = 2 * spacing / ((taper**2).sum() * PER_CM_PER_THZ * len(starts))
    spectra = np.empty((atoms, len(energies), 6))
    for atom in range(atoms):
        waves = rfft(velocities[pieces, atom] * taper[:, None], length, axis=1)
        for index, (first, second) in enumerate(_PAIRS):
            one, other = waves[..., first], waves[..., second]
            power = (one.real * other.real + one.imag * other.imag).sum(axis=0) * scale
            spectra[atom, :, index] = (1 - part) * power[lower] + part * power[lower + 1]
    return spectra


def density_of_states(
    velocities: FloatArray,
    spacing: float,
    masses: FloatArray,
    temperature: float,
    energies: FloatArray,
    resolution: float,
) -> FloatArray:
    r"""Return the density of vibrational states of each atom (n_atoms, n_energies), per 1/cm.

    ``m tr P / k_B T`` with the power spectrum P: a classical crystal has three states for each
    atom, as the integral over all energies is ``m <v^2> / k_B T``.

    :param velocities: (n_frames, n_atoms, 3), angstrom/ps, motion of the whole taken off.
    :param spacing: of the frames, ps.
    :param masses: (n_atoms,), u.
    :param temperature: K.
    :param energies: (n_energies,), 1/cm.
    :param resolution: standard deviation, 1/cm.
    :raises ValueError: if frames are too far apart for the energies, or the run is too short for
        the resolution.
    """
    spectra = power_spectrum(velocities, spacing, energies, resolution)
    factor = masses * ASE_PER_ANGSTROM_PER_PS**2 / (units.kB * temperature)
    found: FloatArray = spectra[..., :3].sum(axis=-1) * factor[:, None]
    return found


def by_element(states: FloatArray, symbols: list[str]) -> dict[str, FloatArray]:
    """Return the sums (n_energies,) over the atoms of each element."""
    names = np.array(symbols)
    return {str(el): states[names == el].sum(axis=0) for el in sorted(set(symbols))}


def _taper_width(resolution: float) -> float:
    """Return the standard deviation (ps) of the Gaussian over a piece.

    The square of its transform is a Gaussian with the standard deviation ``resolution`` (1/cm).
    """
    return float(PER_CM_PER_THZ / (2 * np.sqrt(2) * np.pi * resolution))
