"""Whole molecules of a crystal, and their rigid motion.

In a molecular crystal the soft modes are molecules that turn and shift as a whole. Atoms moved at
random stretch bonds instead, whose forces are a hundred times those of the contacts between
molecules; frames of rigid motion have the contacts' forces alone. Lengths in angstrom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from aiida_mlip_ins.science.character import BOND_FACTOR
from aiida_mlip_ins.science.pairs import find_bonds
from aiida_mlip_ins.science.sampling.moves import FloatArray, bare_copy, inherited


@dataclass(frozen=True)
class Molecule:
    """Atoms that hang together, in one piece."""

    indices: NDArray[np.int64]
    """(n,), ascending."""
    positions: FloatArray
    """(n, 3), with periodic images chosen so that no bond is cut."""
    masses: FloatArray
    """(n,), u."""

    @property
    def centre(self) -> FloatArray:
        """Centre of mass (3,)."""
        found: FloatArray = self.masses @ self.positions / self.masses.sum()
        return found


def find_molecules(atoms: Atoms, factor: float = BOND_FACTOR) -> list[Molecule]:
    """Return the finite groups of bonded atoms, in the order of their first atoms.

    Bonds are followed across the borders of the cell. What is bonded to its own image, such as a
    layer or a framework, is no molecule and is left out. A lone ion or atom is one.
    """
    bonds = find_bonds(atoms, factor)
    neighbours: list[list[tuple[int, NDArray[np.int64]]]] = [[] for _ in atoms]
    for (first, second), image in zip(bonds.pairs, bonds.images, strict=True):
        neighbours[first].append((int(second), image))
        neighbours[second].append((int(first), -image))
    images = np.zeros((len(atoms), 3), dtype=np.int64)
    seen = np.zeros(len(atoms), dtype=bool)
    found = []
    for start in range(len(atoms)):
        if seen[start]:
            continue
        members, finite = [start], True
        seen[start] = True
        for atom in members:  # grows while it is walked
            for other, image in neighbours[atom]:
                if not seen[other]:
                    seen[other] = True
                    images[other] = images[atom] + image
                    members.append(other)
                elif np.any(images[other] != images[atom] + image):
                    finite = False
        if finite:
            indices = np.sort(np.array(members, dtype=np.int64))
            positions = atoms.positions[indices] + images[indices] @ atoms.cell.array
            found.append(Molecule(indices, positions, atoms.get_masses()[indices]))
    return found


def molecule_problems(atoms: Atoms) -> list[str]:
    """Return why a crystal has no molecules of two or more atoms to move as a whole."""
    if any(len(found.indices) > 1 for found in find_molecules(atoms)):
        return []
    return [
        f'molecules: {atoms.get_chemical_formula()} has none: its atoms are alone or bonded into '
        'layers, chains or a framework without end; leave this section out and use rattles'
    ]


def with_rigid_molecules(strained: Atoms, parent: Atoms) -> Atoms:
    """Undo what a strain did to the shape of molecules; their centres stay where it took them.

    A strain of half a percent stretches a C-H bond by 0.005 angstrom, whose force would drown those
    of the contacts.

    :param strained: `parent` in another cell, fractional coordinates kept.
    """
    new = bare_copy(strained, str(strained.info.get('source', 'strain')), **inherited(strained))
    for molecule in find_molecules(parent):
        centre = parent.cell.scaled_positions(molecule.centre[None]) @ strained.cell.array
        new.positions[molecule.indices] = molecule.positions - molecule.centre + centre
    return new


def rigidly_moved(
    atoms: Atoms, translation: float, rotation: float, count: int, seed: int
) -> list[Atoms]:
    """`count` copies, each molecule shifted, and turned about its centre of mass, at random.

    :param translation: width of each component of the shift, angstrom. Where the crystal is all
        molecules, their mean shift is taken off, as it changes nothing; a cell of one molecule is
        thus only turned, and needs a supercell for molecules to shift against each other.
    :param rotation: width of each component of the rotation vector, degrees.
    :raises ValueError: if the crystal has no molecules.
    """
    problems = molecule_problems(atoms)
    if problems:
        raise ValueError('\n'.join(problems))
    rng = np.random.default_rng(seed)
    molecules = find_molecules(atoms)
    all_are = sum(len(molecule.indices) for molecule in molecules) == len(atoms)
    frames = []
    for _ in range(count):
        new = bare_copy(
            atoms, 'molecules', **inherited(atoms), translation=translation, rotation=rotation
        )
        shifts = rng.normal(0.0, translation, (len(molecules), 3))
        turns = np.radians(rng.normal(0.0, rotation, (len(molecules), 3)))
        if all_are:
            shifts -= shifts.mean(axis=0)
        for molecule, shift, turn in zip(molecules, shifts, turns, strict=True):
            arms = molecule.positions - molecule.centre
            turned = Rotation.from_rotvec(turn).apply(arms)
            new.positions[molecule.indices] += turned - arms + shift
        frames.append(new)
    return frames
