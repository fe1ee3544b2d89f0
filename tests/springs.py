"""A force model without engines: springs between near atoms, at rest in the given crystal."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

STRENGTH = 6.0
"""eV/angstrom^2 of a spring of 1 angstrom."""

BOND_STRENGTH = 48.0
"""eV/angstrom^2 of a bond to hydrogen."""


class Springs:
    """Pair springs of a crystal, stiff for short bonds; forces are exactly harmonic in pairs."""

    def __init__(self, cutoff: float = 4.0, power: float = 2.5) -> None:
        self.cutoff = cutoff
        self.power = power

    def forces(self, displaced: Atoms, rest: Atoms) -> np.ndarray:
        """Return forces (n, 3) in eV/angstrom of atoms displaced from a supercell at rest."""
        first, second, vectors, lengths = neighbor_list('ijDd', rest, self.cutoff)
        moved = displaced.positions - rest.positions
        moved -= np.rint(moved @ np.linalg.inv(rest.cell)) @ rest.cell
        stiffness = np.where(lengths < 1.2, BOND_STRENGTH, STRENGTH * lengths**-self.power)
        directions = vectors / lengths[:, None]
        stretch = ((moved[second] - moved[first]) * directions).sum(axis=1)
        found = np.zeros_like(moved)
        np.add.at(found, first, (stiffness * stretch)[:, None] * directions)
        return found


def brucite_cell(a: float = 3.142, c: float = 4.766) -> Atoms:
    """Return brucite with the hydrogen at DFT's distance."""
    third = 1 / 3
    places = [
        (0, 0, 0), (third, 2 * third, 0.2203), (2 * third, third, -0.2203),
        (third, 2 * third, 0.4216), (2 * third, third, -0.4216),
    ]  # fmt: skip
    return Atoms(
        'MgO2H2', scaled_positions=places, cell=[a, a, c, 90, 90, 120], pbc=True
    )
