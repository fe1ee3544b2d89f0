"""Trajectories whose spectrum is known on paper."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from aiida_mlip_ins.science.trajectory import Trajectory

PER_PS = 0.0299792458
"""Periods per ps of 1 1/cm."""


def heavy_cell() -> Atoms:
    """Return a cell of hydrogen and lead."""
    return Atoms('HPb', positions=[(0, 0, 0), (1.5, 1.5, 1.5)], cell=[3.0, 3.0, 3.0], pbc=True)


def rattling(
    frequency: float, count: int = 2000, spacing: float = 0.004, per_frame: int = 8
) -> Trajectory:
    """Return eight cells in which hydrogen oscillates in all directions and phases, and lead rests.

    :param frequency: 1/cm.
    :param spacing: of the frames, ps; ``per_frame`` time steps each.
    """
    sites = heavy_cell().repeat(2)
    times = np.arange(count) * spacing
    angles = 2 * np.pi * PER_PS * frequency * times[:, None, None]
    phases = 2 * np.pi * np.arange(8)[:, None] / 8 * np.array([0, 1, 3])
    velocities = np.zeros((count, 16, 3))
    velocities[:, ::2] = 20.0 * np.cos(angles + phases)
    moves = np.zeros_like(velocities)
    moves[:, ::2] = 20.0 * np.sin(angles + phases) / (2 * np.pi * PER_PS * frequency)
    return Trajectory(
        symbols=sites.get_chemical_symbols(),
        steps=np.arange(count) * per_frame,
        times=times,
        positions=sites.positions + moves,
        velocities=velocities,
        cells=np.repeat(sites.cell.array[None], count, axis=0),
        potential_energy=np.zeros(count),
        conserved_energy=np.zeros(count),
        pressure=np.zeros(count),
    )
