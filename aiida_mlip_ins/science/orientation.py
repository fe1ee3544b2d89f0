"""What a crystal was read as: its cell, its symmetry, and how much of that pw.x sees."""

from __future__ import annotations

import numpy as np
import spglib
from ase import Atoms

from aiida_mlip_ins.science.sampling.moves import space_group
from aiida_mlip_ins.science.structure import spacegroup, spglib_cell

SYMPREC = 0.01
"""angstrom; places in published structures have three or four digits."""


def description(atoms: Atoms) -> list[str]:
    """Return a line on the crystal, and one for each thing that makes its DFT dearer than needed.

    These are a cell that is not primitive, and axes along which pw.x sees part of the symmetry.
    """
    lines = [
        f'{atoms.get_chemical_formula()}: {len(atoms)} atoms, {atoms.get_volume():.1f} '
        f'angstrom^3, {spacegroup(atoms, SYMPREC)}'
    ]
    primitive = spglib.find_primitive(spglib_cell(atoms), symprec=SYMPREC)
    if primitive is not None and len(primitive[2]) < len(atoms):
        lines.append(f'its primitive cell has {len(primitive[2])} atoms and would do')
    seen, every = operations_seen(atoms)
    if seen < every:
        lines.append(
            f'pw.x sees {seen} of the {every} rotations of its point group, along these axes; '
            'along standard ones it needs fewer k-points'
        )
    return lines


def operations_seen(atoms: Atoms) -> tuple[int, int]:
    """Return how many rotations of the point group pw.x sees, and how many spglib finds.

    pw.x looks for those of a cube along the Cartesian axes and of a hexagon about z only (Quantum
    ESPRESSO, ``PW/src/symm_base.f90``), so a crystal that is turned has fewer for it.

    :raises ValueError: if spglib finds no space group.
    """
    rotations, _ = space_group(atoms, SYMPREC)
    lattice = atoms.cell.array.T
    turns = [lattice @ turn @ np.linalg.inv(lattice) for turn in np.unique(rotations, axis=0)]
    return sum(map(_is_seen, turns)), len(turns)


def _is_seen(turn: np.ndarray) -> bool:
    """Whether a Cartesian rotation (3, 3), proper or not, is one of the cube or the hexagon."""
    sizes = np.abs(turn)
    if np.allclose(sizes, np.round(sizes), atol=1e-3):
        return True
    sixths = np.degrees(np.arctan2(turn[1, 0], turn[0, 0])) / 60
    return bool(abs(sizes[2, 2] - 1) < 1e-3 and abs(sixths - round(sixths)) < 1e-2)
