"""A relaxation by single points, round by round: where it stands and which frames it needs next.

The steps are those of ``science.sampling.surrogate``; each labelled frame serves all pressures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from aiida_mlip_ins.science.sampling import (
    SymmetricCoordinates,
    propose,
    starting_frames,
    symmetric_coordinates,
    with_bond_lengths,
)
from aiida_mlip_ins.science.settings import setting
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3

SOURCE = 'relax'
"""``info['source']`` of the frames of a relaxation."""
SAME = 1e-6
"""Difference of positions and cells that is rounding, angstrom."""


@dataclass(frozen=True)
class RelaxationSettings:
    """When a crystal counts as relaxed, and how far the first and the later steps go."""

    bond_lengths: Mapping[str, float] = setting(
        'Length that X-H bonds start from, by X; X-rays see hydrogen too close to its parent.',
        'angstrom',
        above=0.0,
    )
    strain: float = setting('Size of the first steps of the cell.', above=0.0)
    move: float = setting('Size of the first steps of the atoms.', 'angstrom', above=0.0)
    reach: float = setting(
        'How far beyond the frames a step may go, in sizes of the box of the frames.', minimum=0.0
    )
    max_force: float = setting('Largest force left on any atom.', 'eV/angstrom', above=0.0)
    max_stress: float = setting(
        'Largest element of the stress tensor plus pressure that is left.', 'GPa', above=0.0
    )
    max_rounds: int = setting('Rounds of frames after the first.', minimum=1)
    symprec: float = setting('Tolerance of the space group search.', 'angstrom', above=0.0)


def residuals(frame: Atoms, pressure: float) -> tuple[float, float]:
    """Return the largest force (eV/angstrom) and element of stress plus pressure (GPa).

    :param frame: with ``REF_forces`` (n, 3) and ``REF_stress`` (6, tension positive).
    :param pressure: in GPa.
    """
    stress = voigt_6_to_full_3x3_stress(frame.info['REF_stress']) * GPA_PER_EV_PER_ANGSTROM3
    force = np.linalg.norm(frame.arrays['REF_forces'], axis=1).max()
    return float(force), float(np.abs(stress + pressure * np.eye(3)).max())


def most_relaxed(frames: Sequence[Atoms], pressure: float, settings: RelaxationSettings) -> int:
    """Return the index of the frame whose residuals are smallest beside what is tolerated."""

    def excess(frame: Atoms) -> float:
        force, stress = residuals(frame, pressure)
        return max(force / settings.max_force, stress / settings.max_stress)

    return min(range(len(frames)), key=lambda index: excess(frames[index]))


def is_relaxed(frame: Atoms, pressure: float, settings: RelaxationSettings) -> bool:
    """Whether both residuals of a frame are tolerated."""
    force, stress = residuals(frame, pressure)
    return force <= settings.max_force and stress <= settings.max_stress


def coordinates_of(structure: Atoms, settings: RelaxationSettings) -> SymmetricCoordinates:
    """Return the totally symmetric coordinates about the crystal with its bonds corrected."""
    return symmetric_coordinates(
        with_bond_lengths(structure, settings.bond_lengths), settings.symprec
    )


def first_frames(structure: Atoms, settings: RelaxationSettings) -> list[Atoms]:
    """Return the frames of the first round: the crystal and a step along each coordinate."""
    frames = starting_frames(coordinates_of(structure, settings), settings.strain, settings.move)
    return [_marked(frame) for frame in frames]


def next_frames(
    structure: Atoms,
    frames: Sequence[Atoms],
    pressures: Sequence[float],
    settings: RelaxationSettings,
) -> list[Atoms]:
    """Return the next frames for the pressures (GPa) at which no labelled frame is relaxed yet.

    Pressures far outside the frames end at the same border of what a step may reach; one frame then
    serves them all.
    """
    coordinates = coordinates_of(structure, settings)
    stresses = [voigt_6_to_full_3x3_stress(frame.info['REF_stress']) for frame in frames]
    energies = [frame.info['REF_energy'] for frame in frames]
    forces = [frame.arrays['REF_forces'] for frame in frames]
    proposed: list[Atoms] = []
    for pressure in pressures:
        best = frames[most_relaxed(frames, pressure, settings)]
        if is_relaxed(best, pressure, settings):
            continue
        frame = propose(coordinates, frames, energies, forces, stresses, pressure, settings.reach)
        if not any(_same(frame, other) for other in proposed):
            proposed.append(_marked(frame, pressure))
    return proposed


def _same(frame: Atoms, other: Atoms) -> bool:
    """Whether two frames of one crystal are the same but for rounding."""
    return np.allclose(frame.cell, other.cell, rtol=0, atol=SAME) and np.allclose(
        frame.positions, other.positions, rtol=0, atol=SAME
    )


def _marked(frame: Atoms, pressure: float | None = None) -> Atoms:
    frame.info['source'] = SOURCE
    if pressure is not None:
        frame.info['pressure'] = float(pressure)
    return frame
