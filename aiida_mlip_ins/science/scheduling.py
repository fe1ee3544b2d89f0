"""What to know before many calculations run side by side: their k-points, cost and division."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import spglib
from ase import Atoms
from numpy.typing import NDArray

from aiida_mlip_ins.science.sampling import folded_mesh
from aiida_mlip_ins.science.structure import spglib_cell

SAME_CELL = 0.1
"""Reciprocal lengths within this fraction: the same cell, strained."""


def kpoint_meshes(
    frames: Sequence[Atoms], distance: float, crystal: Atoms | None = None
) -> list[tuple[int, int, int]]:
    """Return the k-point mesh of each frame, the same points for all that train one potential.

    A mesh is the smallest whose points are at most ``distance`` apart, ``ceil(|b_i| / distance)``
    as in aiida-quantumespresso. Frames of one composition whose reciprocal lengths agree within
    :data:`SAME_CELL` share the mesh of the first of them: a mesh that jumps with a small strain
    puts a step into the energies and stresses that a potential is trained on. For the same reason
    a supercell (``info['matrix']``) has the mesh of its unit cell, folded; if that is strained so
    far that its own mesh does not fold, the mesh of the cell before it that it is most like.

    :param distance: 1/angstrom, with the factor 2 pi.
    :param crystal: comes before the first frame, so that sets of frames of one crystal that are
        computed apart share its mesh too.
    :raises ValueError: for a supercell onto which the mesh of its unit cell does not fold.
    """
    groups: list[tuple[str, NDArray[np.float64], tuple[int, int, int]]] = []
    meshes = []
    for frame in ([] if crystal is None else [crystal]) + list(frames):
        given = frame.info.get('matrix', np.eye(3))
        # Extended XYZ turns the text of nine integers into an array.
        matrix = np.array(given.split() if isinstance(given, str) else given, int).reshape(3, 3)
        unit_cell = np.linalg.solve(matrix, frame.cell.array)
        lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(unit_cell), axis=0)
        formula = frame.get_chemical_formula(empirical=True)
        alike = [
            (float(np.abs(lengths / reference - 1).max()), mesh)
            for known, reference, mesh in groups
            if known == formula
        ]
        own = next((mesh for far, mesh in alike if far < SAME_CELL), None)
        if own is None:
            first, second, third = (max(1, int(np.ceil(round(x / distance, 5)))) for x in lengths)
            own = (first, second, third)
            groups.append((formula, lengths, own))
        meshes.append(_first_folded(matrix.tolist(), [own, *(mesh for _, mesh in sorted(alike))]))
    return meshes[len(meshes) - len(frames) :]


def _first_folded(
    matrix: list[list[int]], meshes: Sequence[tuple[int, int, int]]
) -> tuple[int, int, int]:
    """Return the first of the meshes that folds onto a supercell, folded."""
    refusals = []
    for mesh in meshes:
        try:
            return folded_mesh(matrix, mesh)
        except ValueError as error:
            refusals.append(error)
    raise refusals[0]


def relative_cost(atoms: Atoms, mesh: Sequence[int]) -> float:
    """Return an estimate of the plane-wave cost in arbitrary units, for balancing only.

    Irreducible k-points times (number of atoms)^2: at fixed cutoff the FFTs of N bands over a
    volume that grows with N dominate small cells.
    """
    mapping, _ = spglib.get_ir_reciprocal_mesh(list(mesh), spglib_cell(atoms), symprec=1e-5)
    return float(len(set(mapping.tolist())) * len(atoms) ** 2)


def divided(costs: Mapping[str, float], lanes: int) -> list[list[str]]:
    """Divide tasks into at most ``lanes`` lists that take about equally long.

    The longest task goes first and each to the lane with least to do (Graham, SIAM J. Appl. Math.
    1969, 17, 416: within 4/3 of the best); ties keep the given order.

    :param costs: task -> cost in any unit.
    """
    count = max(1, min(lanes, len(costs)))
    loads = [0.0] * count
    shares: list[list[str]] = [[] for _ in range(count)]
    for task in sorted(costs, key=lambda name: -costs[name]):
        lane = loads.index(min(loads))
        shares[lane].append(task)
        loads[lane] += costs[task]
    return [share for share in shares if share]
