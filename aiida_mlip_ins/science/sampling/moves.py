"""Generators of distorted crystals: pure functions of a structure, numbers and a seed.

Units: angstrom, GPa. Every frame is a new ``ase.Atoms`` whose ``info`` has ``source`` (the kind of
frame) and the numbers of its generator. No global random state is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from scipy.linalg import expm, logm

from aiida_mlip_ins.science.structure import spglib_cell

FloatArray = NDArray[np.float64]


def bare_copy(atoms: Atoms, source: str, **numbers: Any) -> Atoms:
    """Bare copy: species, cell, positions, no calculator, no stale info or arrays."""
    new = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    new.info = {'source': source, **numbers}
    return new


def inherited(atoms: Atoms) -> dict[str, Any]:
    """What a changed copy keeps of ``info``: all but the kind of frame and its labels."""
    return {
        key: value
        for key, value in atoms.info.items()
        if key != 'source' and not key.startswith('REF_')
    }


def bonded_hydrogens(atoms: Atoms, factor: float = 1.25) -> list[tuple[int, int, FloatArray]]:
    """Return ``(hydrogen, parent, vector parent -> hydrogen in angstrom)`` for each X-H bond.

    The parent is the nearest heavier atom within `factor` times the sum of the covalent radii.
    """
    first, second, distance, vector = neighbor_list('ijdD', atoms, 2.5)
    nearest: dict[int, tuple[float, int, FloatArray]] = {}
    for i, j, d, v in zip(first, second, distance, vector, strict=True):
        if atoms.numbers[i] != 1 or atoms.numbers[j] == 1:
            continue
        reach = factor * (covalent_radii[1] + covalent_radii[atoms.numbers[j]])
        if d <= reach and (i not in nearest or d < nearest[i][0]):
            nearest[i] = (d, int(j), -v)
    return [(i, nearest[i][1], nearest[i][2]) for i in sorted(nearest)]


def with_bond_lengths(atoms: Atoms, length: Mapping[str, float]) -> Atoms:
    """Return a copy with its X-H bonds set to ``length[X]`` angstrom, their directions kept.

    X-rays see hydrogen 0.1 angstrom too close to its parent; a DFT or training run that starts
    there spends its first steps on that alone. Parents not in `length` keep their bonds.
    """
    new = bare_copy(atoms, str(atoms.info.get('source', 'input')), **inherited(atoms))
    for hydrogen, parent, vector in bonded_hydrogens(atoms):
        wanted = length.get(atoms.symbols[parent])
        if wanted is not None:
            new.positions[hydrogen] += vector * (wanted / np.linalg.norm(vector) - 1)
    return new


def along_pressure(structures: Mapping[float, Atoms], pressure: float) -> Atoms:
    """Inter- or extrapolate relaxed structures to `pressure` (GPa); atoms in the same order.

    Linear between neighbouring pressures (and beyond the ends) in the logarithm of the deformation
    and in the fractional coordinates. A single structure is returned as it is.
    """
    knots = sorted(structures)
    start = structures[knots[0]]
    if len(knots) == 1:
        return bare_copy(start, 'path', pressure=float(pressure))
    upper = int(np.clip(np.searchsorted(knots, pressure), 1, len(knots) - 1))
    low, high = structures[knots[upper - 1]], structures[knots[upper]]
    if not np.array_equal(low.numbers, high.numbers):
        raise ValueError('structures of different pressures need the same atoms in the same order')
    weight = (pressure - knots[upper - 1]) / (knots[upper] - knots[upper - 1])
    deformation = np.linalg.solve(low.cell.array, high.cell.array)
    cell = low.cell.array @ expm(weight * np.real(logm(deformation)))
    first, last = low.get_scaled_positions(wrap=False), high.get_scaled_positions(wrap=False)
    shift = last - first
    fractional = first + weight * (shift - np.round(shift))
    new = Atoms(low.numbers, scaled_positions=fractional, cell=cell, pbc=True)
    return bare_copy(new, 'path', pressure=float(pressure))


def pressure_path(structures: Mapping[float, Atoms], pressures: Sequence[float]) -> list[Atoms]:
    """Frames of :func:`along_pressure`: a volume scan along the cells the crystal really takes."""
    return [along_pressure(structures, pressure) for pressure in pressures]


def volume_scan(atoms: Atoms, factors: Sequence[float]) -> list[Atoms]:
    """Isotropic volume scan: volumes `factors` times the given one, fractional coordinates kept."""
    frames = []
    for factor in factors:
        new = bare_copy(atoms, 'volume', volume_factor=float(factor))
        new.set_cell(atoms.cell.array * factor ** (1 / 3), scale_atoms=True)
        frames.append(new)
    return frames


def strained(atoms: Atoms, sigma: float, count: int, seed: int) -> list[Atoms]:
    """`count` copies under random symmetric strains, each component normal with width `sigma`."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        strain = rng.normal(0.0, sigma, (3, 3))
        strain = np.triu(strain) + np.triu(strain, 1).T
        new = bare_copy(atoms, 'strain', **inherited(atoms), strain_sigma=float(sigma))
        new.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        frames.append(new)
    return frames


def rattled(atoms: Atoms, sigma: float, count: int, seed: int) -> list[Atoms]:
    """`count` copies, every coordinate displaced by a normal deviate, width `sigma` angstrom."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        new = bare_copy(atoms, 'rattle', **inherited(atoms), sigma=float(sigma))
        new.positions += rng.normal(0.0, sigma, (len(atoms), 3))
        frames.append(new)
    return frames


def bond_rattled(
    atoms: Atoms,
    heavy: float,
    tilt: float,
    stretch: float,
    count: int,
    seed: int,
    swing: float = 0.0,
) -> list[Atoms]:
    """Rattle that treats X-H bonds as stiff sticks.

    Other atoms move by `heavy` (angstrom, width per coordinate); a bonded hydrogen follows its
    parent, turns about it by `tilt` (angstrom at the hydrogen, per perpendicular direction, bond
    length kept) and stretches by `stretch`; `swing` turns all bonds the same way. Widths in the
    ratio of the thermal amplitudes make the forces of stiff and soft coordinates comparable.
    """
    rng = np.random.default_rng(seed)
    bonds = bonded_hydrogens(atoms)
    frames = []
    for _ in range(count):
        new = bare_copy(
            atoms,
            'rattle',
            **inherited(atoms),
            heavy=heavy,
            tilt=tilt,
            swing=swing,
            stretch=stretch,
        )
        moves = rng.normal(0.0, heavy, (len(atoms), 3))
        shared = rng.normal(0.0, swing, 3) if swing else np.zeros(3)
        for hydrogen, parent, vector in bonds:
            length = float(np.linalg.norm(vector))
            axis = vector / length
            sideways = rng.normal(0.0, tilt, 3) + shared
            turned = vector + sideways - axis * (axis @ sideways)
            turned *= (length + rng.normal(0.0, stretch)) / np.linalg.norm(turned)
            moves[hydrogen] = moves[parent] + turned - vector
        new.positions += moves
        frames.append(new)
    return frames


def space_group(atoms: Atoms, symprec: float = 1e-3) -> tuple[FloatArray, FloatArray]:
    """Return the rotations (n, 3, 3) and translations (n, 3) in fractional coordinates."""
    found = spglib.get_symmetry(spglib_cell(atoms), symprec=symprec)
    if found is None:
        raise ValueError(f'spglib finds no space group for {atoms.symbols} at symprec={symprec}')
    return found['rotations'], found['translations']


def symmetrized(frame: Atoms, parent: Atoms, symprec: float = 1e-3) -> Atoms:
    """Project a distortion of `parent` (same atom order) on its totally symmetric part.

    The strain (fractional coordinates' metric) and the displacements are averaged over the space
    group of `parent`. A symmetric frame costs pw.x a fraction of a general one.
    """
    rotations, translations = space_group(parent, symprec)
    fractional = parent.get_scaled_positions(wrap=False)
    moved = frame.get_scaled_positions(wrap=False) - fractional
    moved -= np.round(moved)
    metric = frame.cell.array @ frame.cell.array.T
    metric = np.mean([r.T @ metric @ r for r in rotations], axis=0)
    average = np.zeros_like(moved)
    for rotation, translation in zip(rotations, translations, strict=True):
        images = fractional @ rotation.T + translation
        gap = images[:, None] - fractional[None]
        gap -= np.round(gap)
        order = np.argmin(np.linalg.norm(gap @ parent.cell.array, axis=-1), axis=1)
        average[order] += moved @ rotation.T
    average /= len(rotations)
    # The polar decomposition keeps the orientation of the parent's axes.
    stretch = _root(np.linalg.solve(parent.cell.array, metric) @ np.linalg.inv(parent.cell.array.T))
    new = Atoms(
        parent.numbers,
        scaled_positions=fractional + average,
        cell=parent.cell.array @ stretch,
        pbc=True,
    )
    return bare_copy(new, 'symmetric', **inherited(frame))


def _root(matrix: FloatArray) -> FloatArray:
    """Square root of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(values)) @ vectors.T
