"""Crystals with force constants for tests that need no engine.

``Springs`` is a force model, ``brucite_dft`` has the force constants of a real DFT calculation.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from aiida_mlip_ins.science import phonons
from aiida_mlip_ins.science.modes import Modes

STRENGTH = 6.0
"""eV/angstrom^2 of a spring of 1 angstrom."""

BOND_STRENGTH = 48.0
"""eV/angstrom^2 of a bond to hydrogen."""

DFT = Path(__file__).parent / 'science' / 'fixtures' / 'brucite_dft.json'
MACE = DFT.with_name('brucite_mace_pressures.json')


class Springs:
    """Springs between near atoms, at rest in the given crystal, stiff for bonds to hydrogen."""

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
    return Atoms('MgO2H2', scaled_positions=places, cell=[a, a, c, 90, 90, 120], pbc=True)


def displaced_phonopy(atoms: Atoms, supercell: list[int], distance: float = 0.01) -> Any:
    """Return a phonopy object with displacements."""
    from phonopy import Phonopy
    from phonopy.structure.cells import PhonopyAtoms

    unit = PhonopyAtoms(
        cell=atoms.cell[:], positions=atoms.positions, symbols=atoms.get_chemical_symbols()
    )
    phonon = Phonopy(unit, np.diag(supercell), primitive_matrix=np.eye(3))
    phonon.generate_displacements(distance=distance, is_diagonal=False)
    return phonon


def soft_row(onsite: float, spring: float, multiples: int = 4) -> dict[str, Any]:
    """Return arrays of atoms of 1 u in a row along x, on springs to their neighbours and sites.

    On paper ``m w^2 = onsite + 2 spring (1 - cos(2 pi q))`` along x (eV/angstrom^2); y and z are
    stiff.
    """
    constants = np.zeros((multiples, multiples, 3, 3))
    for atom in range(multiples):
        constants[atom, atom] = np.diag([onsite + 2 * spring, 5.0, 5.0])
        for other in ((atom + 1) % multiples, (atom - 1) % multiples):
            constants[atom, other, 0, 0] -= spring
    atoms = Atoms('H', cell=[2.0, 9.0, 9.0], pbc=True, masses=[1.0])
    return phonopy_arrays(atoms, [multiples, 1, 1], constants)


def to_atoms(cell: Any) -> Atoms:
    """Return the atoms of one of phonopy's cells."""
    return Atoms(cell.symbols, positions=cell.positions, cell=cell.cell, pbc=True)


def spring_forces(phonon: Any, offset: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the forces (n, n_supercell, 3) of all displaced supercells, plus an offset."""
    rest = to_atoms(phonon.supercell)
    model = Springs()
    cells = phonon.supercells_with_displacements
    return np.array([model.forces(to_atoms(cell), rest) for cell in cells]) + offset


def phonopy_arrays(
    atoms: Atoms, supercell: list[int], force_constants: np.ndarray
) -> dict[str, Any]:
    """Return what ``phonons.make_phonopy`` and the driver's file take."""
    return {
        'cell': atoms.cell[:],
        'positions': atoms.positions,
        'symbols': np.array(atoms.get_chemical_symbols()),
        'masses': atoms.get_masses(),
        'supercell_matrix': np.diag(supercell).astype(float),
        'primitive_matrix': np.eye(3),
        'force_constants': force_constants,
    }


def spring_arrays() -> dict[str, Any]:
    """Return the arrays of brucite held by springs, in a supercell of 3 x 3 x 2."""
    return {name: np.array(value) for name, value in _spring_arrays().items()}


@cache
def _spring_arrays() -> dict[str, Any]:
    return spring_crystal(brucite_cell(), [3, 3, 2])


def spring_crystal(atoms: Atoms, supercell: list[int]) -> dict[str, Any]:
    """Return the arrays of any crystal held by springs; they reach 4 angstrom."""
    phonon = displaced_phonopy(atoms, supercell)
    constants = phonons.produce_force_constants(phonon, spring_forces(phonon), None, True)
    return phonopy_arrays(atoms, supercell, constants)


def modes_from(arrays: dict[str, Any]) -> Modes:
    """Return the modes at Gamma."""
    phonon = phonons.make_phonopy(**{**arrays, 'symbols': [str(s) for s in arrays['symbols']]})
    frequencies, vectors = phonons.gamma_modes(phonon)
    return Modes(
        frequencies,
        vectors,
        tuple(str(s) for s in arrays['symbols']),
        np.asarray(arrays['masses']),
        np.asarray(arrays['cell']),
        np.asarray(arrays['positions']),
    )


def brucite_dft(pressure: str) -> tuple[Atoms, np.ndarray, np.ndarray]:
    """Return the relaxed cell, force constants and Gamma frequencies (1/cm) at 0.0 or 1.5 GPa."""
    found = json.loads(DFT.read_text())['pressures'][pressure]
    atoms = Atoms(
        found['symbols'],
        scaled_positions=found['scaled_positions'],
        cell=found['cell'],
        pbc=True,
    )
    return atoms, np.array(found['force_constants']), np.array(found['gamma_per_cm'])


def dft_modes(pressure: str) -> Modes:
    """Return DFT's modes of brucite at 0.0 or 1.5 GPa."""
    atoms, constants, _ = brucite_dft(pressure)
    return modes_from(phonopy_arrays(atoms, [1, 1, 1], constants))


def mace_modes() -> tuple[list[float], list[Modes]]:
    """Return pressures (GPa) and modes of brucite from 0 to 5 GPa with a small MACE model."""
    found = json.loads(MACE.read_text())
    modes = [
        Modes(
            np.array(point['frequencies_per_cm']),
            np.array(point['eigenvectors']),
            tuple(found['symbols']),
            np.array(found['masses']),
            np.array(point['cell']),
            np.array(point['positions']),
        )
        for point in found['pressures']
    ]
    return [point['pressure_gpa'] for point in found['pressures']], modes
