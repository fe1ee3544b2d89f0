"""A hypothetical packing of 2,5-diiodothiophene, for trying things out and for nothing else.

The real structure is in the literature (Parker, Parker and Jura, J. Phys. Chem. C 2017,
doi 10.1021/acs.jpcc.7b03803) and is not ours to invent. Here one molecule, its ring that of the
thiophene in ASE's g2 set with iodine 2.1 angstrom from carbon, stands alone in a box.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import molecule

LABEL = 'HYPOTHETICAL packing of 2,5-diiodothiophene'
CARBON_IODINE = 2.1
"""Angstrom, about that of iodine on an aromatic ring; a relaxation mends it."""


def isolated() -> Atoms:
    """Return the molecule: thiophene with iodine in place of both hydrogens next to sulphur."""
    ring = molecule('C4H4S')
    (sulphur,) = (atom.index for atom in ring if atom.symbol == 'S')
    distances = ring.get_all_distances()
    carbons = [atom.index for atom in ring if atom.symbol == 'C']
    alpha = sorted(carbons, key=lambda index: distances[sulphur, index])[:2]
    for carbon in alpha:
        hydrogens = [atom.index for atom in ring if atom.symbol == 'H']
        hydrogen = min(hydrogens, key=lambda index: distances[carbon, index])
        bond = ring.positions[hydrogen] - ring.positions[carbon]
        ring.positions[hydrogen] = ring.positions[carbon] + CARBON_IODINE * bond / np.linalg.norm(
            bond
        )
        ring.symbols[hydrogen] = 'I'
    return ring


def boxed(gap: float = 3.6) -> Atoms:
    """Return the molecule alone in a cell, its images this far from it (angstrom)."""
    atoms = isolated()
    size = np.ptp(atoms.positions, axis=0)
    atoms.set_cell(size + gap)
    atoms.center()
    atoms.pbc = True
    atoms.info['source'] = 'hypothetical'
    return atoms
