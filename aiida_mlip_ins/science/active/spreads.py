"""What a committee disagrees on, frame by frame and mode by mode.

The disagreement about a frame is the spread of its forces and stress as it counts in the training:
divided by ``sqrt(1 + (f / force_scale)^2)``, f being the root mean square force, as frames with
large forces are weighted down there in the same way. Without it the most distorted frames would
always be chosen, and small displacements, which decide curvatures, never.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_mlip_ins.science.active.settings import ActiveSettings
from aiida_mlip_ins.science.committee import Labels, mean_and_spread, sizes

FloatArray = NDArray[np.float64]

NO_FORCE = 1e-5
"""eV/angstrom; forces that symmetry takes away are below. Every potential has them right, so errors
and spreads of forces leave them out."""


def frame_spreads(members: Sequence[Labels], n_atoms: NDArray[np.int64]) -> dict[str, FloatArray]:
    """Return the spread of a committee for each frame, (n_frames,) each.

    :param members: labels of the same frames, of two members or more.
    :param n_atoms: (n_frames,) atoms of each frame.
    :return: ``energy`` (meV/atom), ``force`` (meV/angstrom, root mean square over the atoms),
        ``stress`` (GPa; NaN where there is none) and ``mean_force``, the root mean square force.
    """
    mean, spread = mean_and_spread(members)
    found = sizes(spread, n_atoms)
    frame = np.repeat(np.arange(len(n_atoms)), n_atoms)

    def over_atoms(values: FloatArray) -> FloatArray:
        squares = np.bincount(frame, values**2, minlength=len(n_atoms))
        return np.asarray(np.sqrt(squares / n_atoms))

    return {
        'energy': found['energy'],
        'force': over_atoms(found['force']),
        'stress': found['stress'],
        'mean_force': over_atoms(sizes(mean, n_atoms)['force']),
    }


def pool_spreads(spreads: Mapping[str, FloatArray]) -> dict[str, float | None]:
    """Return the root mean square over the frames of each spread, ``None`` where there is none.

    :param spreads: of :func:`frame_spreads`; that of forces is of frames that have any.
    """
    moving = spreads['mean_force'] > 1e3 * NO_FORCE
    kept = {'energy': spreads['energy'], 'force': spreads['force'][moving]}
    return {name: rms(values) for name, values in (*kept.items(), ('stress', spreads['stress']))}


def rms(values: FloatArray) -> float | None:
    """Return the root mean square of what is known, ``None`` if nothing is."""
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else None


def without_symmetric_zeros(reference: Labels, members: Sequence[Labels]) -> Labels:
    """Return the reference without the forces (now NaN) that vanish in it and in all members.

    :param reference: labels of some frames.
    :param members: labels of the same frames.
    """
    lengths = [np.linalg.norm(one.forces, axis=1) for one in (reference, *members)]
    forces = np.array(reference.forces)
    forces[np.max(lengths, axis=0) < NO_FORCE] = np.nan
    return Labels(reference.energies, forces, reference.stresses)


def disagreement(spreads: Mapping[str, FloatArray], settings: ActiveSettings) -> FloatArray:
    """Return by how much a committee disagrees on each frame (n_frames,), meV/angstrom.

    :param spreads: of :func:`frame_spreads`; stresses that are not known count nothing.
    """
    stress = np.nan_to_num(spreads['stress'])
    size = np.hypot(spreads['force'], settings.stress_weight * stress)
    if settings.force_scale is None:
        return size
    return size / np.sqrt(1.0 + (spreads['mean_force'] / (1e3 * settings.force_scale)) ** 2)


def frequency_spread(frequencies: Sequence[FloatArray], weights: FloatArray) -> float:
    """Return the spread (1/cm) of the frequencies of a committee's members, mean over all modes.

    Modes are compared by their place in the order of frequencies, so where members swap two modes
    the spread comes out too small.

    :param frequencies: of each member (n_qpoints, n_modes), 1/cm.
    :param weights: (n_qpoints,) of the q-points.
    """
    ordered = np.sort(np.array(frequencies), axis=2)
    return float(np.average(ordered.std(axis=0, ddof=1).mean(axis=1), weights=weights))
