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


def series(conserved: float = 0.5) -> dict[str, np.ndarray]:
    """Return what the analysis of a run of 1 ps says, as far as figures and pages need it."""
    time = np.linspace(0, 1, 101)
    return {
        'time': time,
        'temperature': 300 + 20 * np.sin(9 * time),
        'volume': np.full(101, 80.0),
        'pressure': np.zeros(101),
        'potential_energy': time,
        'conserved_energy': np.full(101, conserved),
        'rmsd': time,
        'rmsd_H': time,
        'rmsd_O': time / 2,
        'rdf_edges': np.linspace(0, 6, 61),
        'rdf_H_O': np.ones(60),
        'dos_energy': np.linspace(0, 4000, 401),
        'dos_H': np.ones(401),
    }
