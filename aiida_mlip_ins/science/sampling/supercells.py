"""Supercells: made, displaced, and chosen so that the crystal's own k-points fold onto them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import make_supercell

from aiida_mlip_ins.science.sampling.moves import bare_copy, inherited

SHORT_AXES = 'short_axes'
"""In place of the supercells of a section: those along the short axes of the crystal."""


def supercells(atoms: Atoms, matrices: Sequence[Sequence[Sequence[int]]]) -> list[Atoms]:
    """Supercells of `atoms`, one per 3x3 integer matrix (rows: new axes in old ones)."""
    frames = []
    for matrix in matrices:
        large = make_supercell(atoms, np.asarray(matrix, dtype=int))
        frames.append(bare_copy(large, 'supercell', **inherited(atoms), matrix=matrix_text(matrix)))
    return frames


def multiples_of(given: Sequence[Any]) -> np.ndarray:
    """Return the 3 x 3 matrix of a supercell given by it or by three multiples."""
    matrix = np.array(given)
    return np.diag(matrix) if matrix.ndim == 1 else matrix


def matrix_problem(matrix: Any) -> str | None:
    """Return why this is no supercell, which is 3x3 whole numbers that span a right-handed cell."""
    rows = np.array(matrix, dtype=object)
    if rows.shape != (3, 3) or not all(
        isinstance(number, Real) and number == round(number) for number in rows.flat
    ):
        return f'expected 3x3 whole numbers that span a cell, got {matrix!r}'
    volume = np.linalg.det(rows.astype(float))
    if volume < 0.5:
        return f'its determinant is {volume:.3g}, it must be 1 or more, got {matrix!r}'
    return None


def matrix_text(matrix: Sequence[Sequence[int]] | np.ndarray) -> str:
    """Return a supercell's 3x3 matrix as ``info['matrix']`` has it, which files keep as it is."""
    return ' '.join(str(int(number)) for number in np.ravel(matrix))


def folded_mesh(matrix: Sequence[Sequence[int]], mesh: Sequence[int]) -> tuple[int, int, int]:
    """Return the Gamma-centred k-mesh of a supercell that samples just the points of `mesh`.

    Frames of different cells can only train one potential if their k-points are the same ones:
    brucite at 3x3x2 and a doubled cell at the nearest mesh, 2x3x2, differ by 21 meV/atom and 1 GPa.

    :param matrix: 3x3 integers, rows are the supercell's axes in those of the primitive cell.
    :raises ValueError: if no mesh of the supercell does, with what would.
    """
    rows = np.asarray(matrix, dtype=int)
    size = round(abs(np.linalg.det(rows)))
    points = np.array(list(np.ndindex(*mesh))) / np.asarray(mesh)
    folded = np.unique(np.round((points @ rows.T) % 1.0, 6) % 1.0, axis=0)
    found = tuple(len(np.unique(column)) for column in folded.T)
    if len(folded) * size != len(points) or np.prod(found) != len(folded):
        raise ValueError(
            f'k-mesh {"x".join(map(str, mesh))} does not fold onto a mesh of the supercell '
            f'{rows.tolist()}: take multiples that divide the mesh, or other axes for the supercell'
        )
    return found[0], found[1], found[2]


def short_axis_supercells(atoms: Atoms, mesh: Sequence[int], below: float) -> list[list[list[int]]]:
    """Return the supercells of two or three cells along each short axis, the smallest first.

    Along a short axis images of an atom feel each other, and in the crystal's own cell they all
    move alike. Of each axis it is the fewest cells that the k-points fold onto; an axis that has
    none is left out.

    :param mesh: k-points of the crystal.
    :param below: angstrom; axes at least as long are left as they are.
    """
    found = []
    for axis, length in enumerate(atoms.cell.lengths()):
        times = next((number for number in (2, 3) if mesh[axis] % number == 0), None)
        if length < below and times is not None:
            multiples = np.ones(3, dtype=int)
            multiples[axis] = times
            found.append((times, np.diag(multiples).tolist()))
    return [matrix for _, matrix in sorted(found, key=lambda each: each[0])]


def displaced(
    atoms: Atoms, distance: float, matrix: Sequence[Sequence[int]] | None = None
) -> list[Atoms]:
    """Displacements by `distance` (angstrom) that give the force constants of a cell.

    The symmetry-reduced set of phonopy (A. Togo, J. Phys. Soc. Jpn. 92, 012001 (2023)), each along
    one axis (why: protocols/phonons.yaml).

    :param matrix: 3x3 integers, rows are a supercell's axes in those of `atoms`; its frames have
        the atoms in phonopy's order. The cell itself if not given.
    :return: frames, each with ``info['displaced_atom']`` and ``info['displacement']`` (angstrom),
        from which ``science.curvature`` knows the cell at rest.
    """
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    crystal = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
    )
    # Phonopy has the axes as columns.
    columns = np.eye(3, dtype=int) if matrix is None else np.asarray(matrix, dtype=int).T
    phonon = Phonopy(crystal, supercell_matrix=columns, primitive_matrix=np.eye(3))
    phonon.generate_displacements(distance=distance, is_diagonal=False)
    rest, numbers = atoms, inherited(atoms)
    if matrix is not None:
        cell = phonon.supercell
        rest = Atoms(cell.symbols, positions=cell.positions, cell=cell.cell, pbc=True)
        numbers['matrix'] = matrix_text(matrix)
    frames = []
    for row in phonon.displacements:  # atom, then its displacement
        atom, move = int(row[0]), np.asarray(row[1:], dtype=float)
        new = bare_copy(rest, 'displaced', **numbers, distance=distance)
        new.info.update(displaced_atom=atom, displacement=move)
        new.positions[atom] += move
        frames.append(new)
    return frames
