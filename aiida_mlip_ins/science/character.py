"""What a mode is: stretch, bend, libration or lattice mode, and which atoms move in it.

The crystal is divided into units: molecules and molecular ions, found through covalent bonds
between non-metals (an OH group in a hydroxide, a whole molecule in a molecular crystal), and single
metal atoms. A mass-weighted displacement is then split into orthogonal parts: rigid translations of
the units (lattice), rigid rotations (libration), and the deformation of the units, of which the
parts along and across the bonds to hydrogen are stretch and bend.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.formula import Formula

from aiida_mlip_ins.science.modes import Modes

BOND_FACTOR = 1.15
"""Atoms are bonded if closer than this times the sum of their covalent radii (Cordero 2008)."""

NON_METALS = frozenset(
    ('H', 'He', 'B', 'C', 'N', 'O', 'F', 'Ne', 'Si', 'P', 'S', 'Cl', 'Ar', 'Ge', 'As', 'Se', 'Br',
     'Kr', 'Te', 'I', 'Xe')
)  # fmt: skip

KINDS = ('stretch', 'bend', 'skeletal', 'libration', 'lattice')


@dataclass(frozen=True)
class Unit:
    """A molecule, a molecular ion or a single atom."""

    atoms: np.ndarray
    """Indices (n,)."""
    places: np.ndarray
    """(n, 3) Cartesian positions of the atoms as one piece, angstrom."""
    finite: bool
    """Whether it ends: a chain, layer or framework of bonds does not, and cannot rotate."""


@dataclass(frozen=True)
class Character:
    """What one mode is."""

    kind: str
    """The largest of ``parts``."""
    description: str
    parts: dict[str, float]
    """Share (0 to 1) of each of ``KINDS`` in the kinetic energy."""
    elements: dict[str, float]
    """Share of each element in the kinetic energy."""
    atoms: list[float]
    """Share of each atom in the kinetic energy."""


class Crystal:
    """The units of a crystal and the directions in which they move."""

    def __init__(self, modes: Modes) -> None:
        """Find bonds and units.

        :param modes: any modes of the crystal; only its atoms and cell are used.
        """
        self.symbols = modes.symbols
        self.masses = modes.masses
        self.cell = modes.cell
        self.positions = modes.positions
        self.bonds = self._bonds()
        self.units = self._units()

    def _bonds(self) -> dict[int, list[tuple[int, np.ndarray]]]:
        """Return for each atom its bonded partners with the vectors (3,) to them, angstrom."""
        count = len(self.symbols)
        radii = covalent_radii[[atomic_numbers[symbol] for symbol in self.symbols]]
        bonds: dict[int, list[tuple[int, np.ndarray]]] = {atom: [] for atom in range(count)}
        heights = 1.0 / np.linalg.norm(np.linalg.inv(self.cell), axis=0)
        wrapped = np.linalg.solve(self.cell.T, self.positions.T).T
        shift = np.floor(wrapped)
        reach = np.ceil(2 * BOND_FACTOR * radii.max() / heights).astype(int)
        images = np.stack(
            np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing='ij'), -1
        ).reshape(-1, 3)
        for first in range(count):
            if self.symbols[first] not in NON_METALS:
                continue
            for second in range(count):
                if self.symbols[second] not in NON_METALS:
                    continue
                # Images are counted from the cell that both atoms are wrapped into.
                offsets = (images + shift[first] - shift[second]) @ self.cell
                vectors = self.positions[second] - self.positions[first] + offsets
                lengths = np.linalg.norm(vectors, axis=1)
                limit = BOND_FACTOR * (radii[first] + radii[second])
                for index in np.flatnonzero((lengths > 1e-3) & (lengths < limit)):
                    bonds[first].append((second, vectors[index]))
        return bonds

    def _units(self) -> list[Unit]:
        """Return the connected pieces, with their atoms put together across the cell's faces."""
        units = []
        placed: dict[int, np.ndarray] = {}
        for start in range(len(self.symbols)):
            if start in placed:
                continue
            placed[start] = self.positions[start]
            members, waiting, finite = [start], [start], True
            while waiting:
                atom = waiting.pop()
                for partner, vector in self.bonds[atom]:
                    place = placed[atom] + vector
                    if partner not in placed:
                        placed[partner] = place
                        members.append(partner)
                        waiting.append(partner)
                    elif np.linalg.norm(placed[partner] - place) > 1e-3:
                        finite = False
            atoms = np.sort(members)
            units.append(Unit(atoms, np.array([placed[atom] for atom in atoms]), finite))
        return units

    @cached_property
    def translations(self) -> np.ndarray:
        """Orthonormal mass-weighted rigid translations (n, n_atoms * 3) of the units."""
        rows = []
        for unit in self.units:
            for axis in np.eye(3):
                vector = np.zeros((len(self.symbols), 3))
                vector[unit.atoms] = axis
                rows.append(self._weighted(vector))
        return np.array(rows)

    @cached_property
    def rotations(self) -> np.ndarray:
        """Orthonormal mass-weighted rigid rotations (n, n_atoms * 3) of the units that end."""
        rows: list[np.ndarray] = []
        for unit in self.units:
            if not unit.finite or len(unit.atoms) == 1:
                continue
            masses = self.masses[unit.atoms]
            arms = unit.places - masses @ unit.places / masses.sum()
            vectors = np.zeros((3, len(self.symbols), 3))
            for number, axis in enumerate(np.eye(3)):
                vectors[number][unit.atoms] = np.cross(axis, arms)
            weighted = (vectors * np.sqrt(self.masses)[None, :, None]).reshape(3, -1)
            # A linear unit has two rotations: the third has no length.
            _, lengths, basis = np.linalg.svd(weighted, full_matrices=False)
            rows.extend(basis[lengths > 1e-6 * lengths.max()])
        return np.array(rows).reshape(-1, 3 * len(self.symbols))

    @cached_property
    def stretches(self) -> dict[str, np.ndarray]:
        """Mass-weighted changes of length of the bonds to hydrogen, by partner element."""
        found: dict[str, list[np.ndarray]] = {}
        for atom, symbol in enumerate(self.symbols):
            if symbol != 'H':
                continue
            for partner, vector in self.bonds[atom]:
                if self.symbols[partner] == 'H':
                    continue
                direction = vector / np.linalg.norm(vector)
                # Momenta of the two atoms cancel, so nothing of a rigid motion is in it.
                motion = np.zeros((len(self.symbols), 3))
                motion[atom] -= direction / self.masses[atom]
                motion[partner] += direction / self.masses[partner]
                found.setdefault(self.symbols[partner], []).append(self._weighted(motion))
        return {partner: _orthonormal(rows) for partner, rows in found.items()}

    @cached_property
    def hydrogen(self) -> np.ndarray:
        """Whether each mass-weighted coordinate (n_atoms * 3) is one of hydrogen."""
        return np.repeat(np.array(self.symbols) == 'H', 3)

    def _weighted(self, motion: np.ndarray) -> np.ndarray:
        """Return a displacement (n_atoms, 3) mass-weighted, flat and of length one."""
        weighted = (motion * np.sqrt(self.masses)[:, None]).ravel()
        return np.asarray(weighted / np.linalg.norm(weighted))

    def characterise(self, eigenvector: np.ndarray) -> Character:
        """Return what a mode is.

        :param eigenvector: (n_atoms, 3), mass-weighted, of length one.
        """
        vector = eigenvector.ravel()
        lattice, rest = _split(vector, self.translations)
        libration, rest = _split(rest, self.rotations)
        stretches = {partner: _split(rest, basis)[0] for partner, basis in self.stretches.items()}
        # Stretches to different partners overlap only through a shared unit's recoil, a little.
        inside = float(np.vdot(rest, rest).real)
        stretch = min(sum(stretches.values()), inside)
        left = inside - stretch
        moving = float((np.abs(rest[self.hydrogen]) ** 2).sum()) / inside if inside > 1e-12 else 0.0
        bend = left * min(1.0, moving)
        parts = dict(zip(KINDS, (stretch, bend, left - bend, libration, lattice), strict=True))
        shares = (np.abs(eigenvector) ** 2).sum(axis=1)
        elements = {
            symbol: float(shares[np.array(self.symbols) == symbol].sum())
            for symbol in sorted(set(self.symbols))
        }
        kind = max(parts, key=lambda name: parts[name])
        return Character(
            kind=kind,
            description=self._describe(kind, shares, stretches, elements),
            parts={name: round(value, 6) for name, value in parts.items()},
            elements={symbol: round(share, 6) for symbol, share in elements.items()},
            atoms=[round(float(share), 6) for share in shares],
        )

    def _describe(
        self,
        kind: str,
        shares: np.ndarray,
        stretches: dict[str, float],
        elements: dict[str, float],
    ) -> str:
        """Return a few words on a mode, with the elements that carry at least a tenth of it."""
        carriers = sorted(elements.items(), key=lambda item: -item[1])
        who = ', '.join(
            f'{symbol} {100 * share:.0f} %' for symbol, share in carriers if share > 0.1
        )
        if kind == 'stretch':
            partner = max(stretches, key=lambda name: stretches[name])
            return f'{partner}-H stretch ({who})'
        if kind == 'libration':
            moving = max(
                (unit for unit in self.units if len(unit.atoms) > 1),
                key=lambda unit: shares[unit.atoms].sum(),
            )
            names = [self.symbols[atom] for atom in moving.atoms]
            formula = Formula.from_list(names).format('hill')
            return f'{"OH" if formula == "HO" else formula} libration ({who})'
        names_of = {'bend': 'bend with hydrogen', 'skeletal': 'skeletal mode', 'lattice': 'lattice'}
        return f'{names_of[kind]} ({who})'


def _split(vector: np.ndarray, basis: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the squared length of a vector's part in an orthonormal basis, and the rest of it."""
    if not len(basis):
        return 0.0, vector
    coefficients = basis @ vector
    return float(np.vdot(coefficients, coefficients).real), vector - basis.T @ coefficients


def _orthonormal(rows: list[np.ndarray]) -> np.ndarray:
    """Return an orthonormal basis of the span of some vectors of length one."""
    _, lengths, basis = np.linalg.svd(np.array(rows), full_matrices=False)
    return np.asarray(basis[lengths > 1e-6])
