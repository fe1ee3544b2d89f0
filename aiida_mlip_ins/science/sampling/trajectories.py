"""Frames out of molecular dynamics and out of relaxations, thinned so that each adds something.

Frames of one run carry the same ``info['trajectory']``, so that a split never has some of them on
either side. Lengths in angstrom, times in ps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from ase import Atoms

from aiida_mlip_ins.science.sampling.distances import separations
from aiida_mlip_ins.science.sampling.moves import bare_copy, inherited
from aiida_mlip_ins.science.trajectory import Trajectory

ROUNDING = 1e-9
"""ps; times are sums of steps."""


def snapshots(trajectory: Trajectory, apart: float, after: float) -> list[Atoms]:
    """Frames of molecular dynamics that are at least `apart` ps from one another.

    :param after: the first one is taken at this time (ps) or later, once the run has settled.
    :raises ValueError: if the run has no frame that late.
    """
    label = _label(trajectory.positions, trajectory.cells)
    frames: list[Atoms] = []
    last = -np.inf
    for index, time in enumerate(trajectory.times):
        if time < after - ROUNDING or time - last < apart - ROUNDING:
            continue
        last = time
        atoms = Atoms(
            trajectory.symbols, positions=trajectory.positions[index], cell=trajectory.cells[index]
        )
        frames.append(bare_copy(atoms, 'md', time_ps=float(time), trajectory=label))
    if not frames:
        end = trajectory.times[-1] if len(trajectory) else 0.0
        raise ValueError(f'trajectory: it ends at {end:g} ps, no frame is at {after:g} ps or later')
    return frames


def along_relaxation(path: Sequence[Atoms], apart: float) -> list[Atoms]:
    """Frames of a relaxation, each at least `apart` angstrom from the one kept before it.

    The first frame and the last one, which is the relaxed crystal, are always kept, and so is the
    last one of each pressure where ``info['pressure_index']`` tells them.

    :param path: the steps in their order, the same atoms in each.
    :raises ValueError: if there are none.
    """
    if not path:
        raise ValueError('relaxation: there are no steps')
    label = _label(
        np.array([step.positions for step in path]), np.array([step.cell.array for step in path])
    )
    runs = [step.info.get('pressure_index') for step in path]
    ends = {i for i in range(len(path)) if i + 1 == len(path) or runs[i] != runs[i + 1]}
    kept = [0]
    for index in range(1, len(path)):
        far = separations([path[kept[-1]], path[index]])[0, 1] >= apart
        if far or index in ends:
            kept.append(index)
    return [
        bare_copy(path[index], 'relaxation', **{**inherited(path[index]), 'trajectory': label})
        for index in kept
    ]


def _label(positions: np.ndarray, cells: np.ndarray) -> str:
    """Return a name that only this run has, the same whenever it is read."""
    digest = hashlib.sha256(np.ascontiguousarray(positions, dtype=float).tobytes())
    digest.update(np.ascontiguousarray(cells, dtype=float).tobytes())
    return f'run-{digest.hexdigest()[:10]}'
