"""How far the modes of a potential are from those of its reference, from frames in motion.

Force constants of DFT cost six frames for each atom that symmetry leaves. Frames in thermal motion
that are labelled already hold the same curvature, one point of it for each mode and frame.

Along mode ``v`` (eigenvector ``e``, mass-weighted) a frame has the displacement
``Q = sum_i sqrt(m_i) e_i u_i`` and the force ``P = sum_i e_i f_i / sqrt(m_i)``, and a harmonic
crystal ``P = -w^2 Q``. What is between two sets of forces is then ``dP = -d(w^2) Q`` and a
constant (a cell is at rest for one of them only), and the slope of that line over the frames gives
``dw = -slope / (2 w)``. What couples the modes, and what is not harmonic, is noise of that fit,
from which its error follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_mlip_ins.science.phonons import Phonon, acoustic_modes, gamma_modes, per_cm

FloatArray = NDArray[np.float64]

MINIMUM_FRAMES = 3


def mode_shifts(
    phonon: Phonon, displacements: FloatArray, differences: FloatArray
) -> dict[str, FloatArray]:
    """Return by how much each mode at Gamma would move with other forces.

    :param phonon: force constants of the potential; its primitive cell is that of the frames.
    :param displacements: (n_frames, n_atoms, 3) from the cell at rest, angstrom.
    :param differences: (n_frames, n_atoms, 3) other forces less the potential's, eV/angstrom.
    :return: ``frequencies`` of the potential (n,), ``shifts`` to be added to them (n,) and
        ``errors`` (n,), one standard deviation, all in 1/cm, of the modes that are neither
        translations nor imaginary.
    :raises ValueError: for fewer than three frames, or arrays that do not fit the cell.
    """
    masses = np.asarray(phonon.primitive.masses)
    shape = (len(displacements), len(masses), 3)
    if len(displacements) < MINIMUM_FRAMES:
        raise ValueError(f'{len(displacements)} frames are no line, {MINIMUM_FRAMES} are needed')
    if displacements.shape != shape or differences.shape != shape:
        raise ValueError(
            f'displacements {displacements.shape} and forces {differences.shape} are not {shape}'
        )
    frequencies, vectors = gamma_modes(phonon)
    kept = np.setdiff1d(np.flatnonzero(frequencies > 0), acoustic_modes(vectors, masses))
    frequencies, vectors = frequencies[kept], vectors[kept]
    weights = np.sqrt(masses)
    places = np.einsum('vai,fai,a->vf', vectors, displacements, weights)
    forces = np.einsum('vai,fai,a->vf', vectors, differences, 1 / weights)
    places = places - places.mean(axis=1, keepdims=True)
    forces = forces - forces.mean(axis=1, keepdims=True)
    spread = np.sum(places**2, axis=1)
    slopes = np.sum(forces * places, axis=1) / spread
    left = np.sum((forces - slopes[:, None] * places) ** 2, axis=1) / (len(displacements) - 2)
    to_shift = per_cm() ** 2 / (2 * frequencies)
    return {
        'frequencies': frequencies,
        'shifts': -slopes * to_shift,
        'errors': np.sqrt(left / spread) * to_shift,
    }


def shifts_by_window(
    found: dict[str, FloatArray], windows: Sequence[Sequence[float]]
) -> list[dict[str, Any]]:
    """Return the mean shift (1/cm) of the modes of each window.

    Modes count alike: the error of one, from as few frames, is no weight. ``scatter_per_cm`` is the
    root mean square of the single shifts, ``noise_per_cm`` what the errors alone would make it.
    ``None`` in a window without modes.

    :param windows: pairs of energies, 1/cm.
    """
    rows = []
    for low, high in windows:
        inside = (found['frequencies'] >= low) & (found['frequencies'] < high)
        row: dict[str, Any] = {'window': [low, high], 'n_modes': int(inside.sum())}
        if not inside.any():
            names = ('mean_shift_per_cm', 'error_per_cm', 'scatter_per_cm', 'noise_per_cm')
            rows.append({**row, **dict.fromkeys(names)})
            continue
        shifts, errors = found['shifts'][inside], found['errors'][inside]
        rows.append(
            {
                **row,
                'mean_shift_per_cm': float(shifts.mean()),
                'error_per_cm': float(np.linalg.norm(errors) / len(errors)),
                'scatter_per_cm': float(np.sqrt(np.mean(shifts**2))),
                'noise_per_cm': float(np.sqrt(np.mean(errors**2))),
            }
        )
    return rows
