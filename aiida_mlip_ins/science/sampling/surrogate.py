"""Relax a crystal with few reference calculations: a quadratic model of its symmetric coordinates.

A relaxation that keeps the space group moves only the totally symmetric strains and displacements:
four numbers for brucite. Each labelled frame gives the energy and its whole gradient there, so a
handful of single points fixes a quadratic model whose minimum of enthalpy is the next frame. Why
not pw.x's ``vc-relax``: serial pw.x 7.2 needs 40 s for each of its steps on brucite and 15 s for a
single point (with a moving cell it tabulates every G vector by itself), it needs about ten steps,
and its frames keep the first cell's plane waves.

Units: eV, angstrom, eV/angstrom^3 (tension positive), GPa for pressures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.units import GPa
from numpy.typing import NDArray
from scipy.optimize import minimize

from aiida_mlip_ins.science.sampling.moves import space_group

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SymmetricCoordinates:
    """Totally symmetric deformations of `parent`, orthonormal.

    `strains` (n, 3, 3): dimensionless; `moves` (m, atoms, 3): angstrom in the parent's cell. A
    point x has n + m components: cell = parent's (1 + sum x strains), fractional coordinates =
    parent's plus those of sum x moves.
    """

    parent: Atoms
    strains: FloatArray
    moves: FloatArray

    def __len__(self) -> int:
        return len(self.strains) + len(self.moves)

    def structure(self, point: FloatArray) -> Atoms:
        """Return the crystal at `point`."""
        count = len(self.strains)
        cell = self.parent.cell.array @ (np.eye(3) + np.tensordot(point[:count], self.strains, 1))
        moved = np.tensordot(point[count:], self.moves, 1)
        fractional = (self.parent.positions + moved) @ np.linalg.inv(self.parent.cell.array)
        return Atoms(self.parent.numbers, scaled_positions=fractional, cell=cell, pbc=True)

    def point(self, atoms: Atoms) -> FloatArray:
        """Return the coordinates of `atoms` (same atom order and orientation as the parent)."""
        base = self.parent.cell.array
        strain = np.linalg.solve(base, atoms.cell.array) - np.eye(3)
        gap = atoms.get_scaled_positions(wrap=False) - self.parent.get_scaled_positions(wrap=False)
        moved = (gap - np.round(gap)) @ base
        return np.concatenate(
            [np.tensordot(self.strains, strain, 2), np.tensordot(self.moves, moved, 2)]
        )

    def gradient(self, point: FloatArray, forces: FloatArray, stress: FloatArray) -> FloatArray:
        """Energy gradient (eV per unit) from forces (atoms, 3) and the 3x3 stress tensor."""
        atoms = self.structure(point)
        inverse = np.linalg.inv(atoms.cell.array)
        # dE = V tr(stress d) at fixed fractional coordinates, d the change as seen from this cell.
        strain = [
            atoms.get_volume() * np.trace(stress @ inverse @ self.parent.cell.array @ direction)
            for direction in self.strains
        ]
        ratio = np.linalg.solve(self.parent.cell.array, atoms.cell.array)
        return np.array(strain + [-np.sum(forces * (move @ ratio)) for move in self.moves])


def symmetric_coordinates(parent: Atoms, symprec: float = 1e-3) -> SymmetricCoordinates:
    """Find the totally symmetric strains and displacements of `parent` with spglib."""
    fractional = parent.get_scaled_positions(wrap=False)
    rotations, translations = space_group(parent, symprec)
    cell, size = parent.cell.array, len(parent)
    strain_average = np.zeros((9, 9))
    move_average = np.zeros((3 * size, 3 * size))
    for rotation, translation in zip(rotations, translations, strict=True):
        turn = cell.T @ rotation @ np.linalg.inv(cell.T)
        images = fractional @ rotation.T + translation
        gap = images[:, None] - fractional[None]
        order = np.argmin(np.linalg.norm((gap - np.round(gap)) @ cell, axis=-1), axis=1)
        permutation = np.zeros((size, size))
        permutation[order, np.arange(size)] = 1.0
        strain_average += np.kron(turn, turn)
        move_average += np.kron(permutation, turn)
    swap = np.eye(9).reshape(3, 3, 3, 3).transpose(1, 0, 2, 3).reshape(9, 9)
    strain_average = strain_average @ (np.eye(9) + swap) / 2
    # A common shift of all atoms costs nothing and is left out.
    shift = np.kron(np.full((size, size), 1 / size), np.eye(3))
    move_average = move_average @ (np.eye(3 * size) - shift)
    count = len(rotations)
    return SymmetricCoordinates(
        parent.copy(),
        _range(strain_average / count).reshape(-1, 3, 3),
        _range(move_average / count).reshape(-1, size, 3),
    )


def _range(projector: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh((projector + projector.T) / 2)
    kept = vectors[:, values > 0.5].T
    # An eigenvector's sign is arbitrary; fixed, the same crystal gives the same points.
    largest = np.argmax(np.abs(kept).round(9), axis=1)
    return kept * np.sign(kept[np.arange(len(kept)), largest])[:, None]


def starting_frames(
    coordinates: SymmetricCoordinates, strain: float = 0.01, move: float = 0.02
) -> list[Atoms]:
    """Return the parent and one step along each coordinate: what a first quadratic model needs."""
    count = len(coordinates.strains)
    frames = [coordinates.parent.copy()]
    for index in range(len(coordinates)):
        point = np.zeros(len(coordinates))
        point[index] = strain if index < count else move
        frames.append(coordinates.structure(point))
    return frames


def propose(
    coordinates: SymmetricCoordinates,
    frames: Sequence[Atoms],
    energies: Sequence[float],
    forces: Sequence[FloatArray],
    stresses: Sequence[FloatArray],
    pressure: float,
    reach: float = 1.0,
) -> Atoms:
    """Return the structure of least enthalpy at `pressure` (GPa) of a quadratic model of `frames`.

    `stresses` are 3x3 tensors. The model is a least-squares fit of energies and gradients, the
    frames near the minimum counting most, and it is fitted again about each new minimum. No step
    leaves the box of the frames by more than `reach` of its size.
    """
    points = np.array([coordinates.point(frame) for frame in frames])
    gradients = np.array(
        [coordinates.gradient(*data) for data in zip(points, forces, stresses, strict=True)]
    )
    width = np.maximum(np.ptp(points, axis=0), 1e-4)
    low, high = points.min(axis=0) - reach * width, points.max(axis=0) + reach * width

    def enthalpy(point: FloatArray, model: FloatArray, origin: FloatArray) -> float:
        rows = _energy_row((point - origin) / width)
        return float(rows @ model + pressure * GPa * coordinates.structure(point).get_volume())

    centre = points[np.argmin([np.abs(g).max() for g in gradients])]
    for _ in range(6):
        model = _fit(points, np.asarray(energies), gradients, centre, width)
        bounds = list(zip(low, high, strict=True))
        found = minimize(
            enthalpy, centre, (model, centre.copy()), bounds=bounds, method='L-BFGS-B', tol=1e-13
        )
        moved, centre = np.abs((found.x - centre) / width).max(), found.x
        if moved < 1e-5:
            break
    return coordinates.structure(centre)


def _energy_row(scaled: FloatArray) -> FloatArray:
    first, second = np.triu_indices(len(scaled))
    return np.concatenate([[1.0], scaled, scaled[first] * scaled[second]])


def _fit(
    points: FloatArray,
    energies: FloatArray,
    gradients: FloatArray,
    centre: FloatArray,
    width: FloatArray,
) -> FloatArray:
    """Weighted least squares for the coefficients of :func:`_energy_row` about `centre`."""
    scaled = (points - centre) / width
    first, second = np.triu_indices(scaled.shape[1])
    rows, values = [], []
    squares = np.sum(scaled**2, axis=1)
    # As frames close in on the minimum the nearest take over: the fit becomes Newton's step.
    weights = 1.0 / (squares + max(float(squares.min()), 1e-6))
    for x, weight, energy, gradient in zip(scaled, weights, energies, gradients, strict=True):
        rows.append(weight * _energy_row(x))
        values.append(weight * (energy - energies.min()))
        for i in range(len(x)):
            slope = (first == i) * x[second] + (second == i) * x[first]
            rows.append(weight * np.concatenate([[0.0], np.eye(len(x))[i], slope]))
            values.append(weight * gradient[i] * width[i])
    # The ridge only matters while there are fewer data than coefficients.
    matrix, target = np.array(rows), np.array(values)
    ridge = 1e-6 * np.abs(matrix).max() * np.eye(matrix.shape[1])
    matrix, target = np.vstack([matrix, ridge]), np.append(target, np.zeros(matrix.shape[1]))
    return np.linalg.lstsq(matrix, target, rcond=None)[0]
