"""How far frames are from one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SAME = 1e-4
"""angstrom; frames nearer than this are one and the same."""


def separations(frames: Sequence[Atoms]) -> FloatArray:
    """Return (n, n) distances (angstrom) between frames.

    The distance is the larger of the longest way of an atom, at fixed axes, and the largest change
    of a component of a lattice vector; infinite for frames that do not have the same atoms in the
    same order. Periodic images of an atom are one.
    """
    found = np.full((len(frames), len(frames)), np.inf)
    groups: dict[bytes, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        groups[np.asarray(frame.numbers, dtype=np.int64).tobytes()].append(index)
    for members in groups.values():
        cells = np.array([frames[index].cell.array for index in members])
        places = np.array([frames[index].get_scaled_positions(wrap=False) for index in members])
        for row, index in enumerate(members):
            gaps = places - places[row]
            moved = (gaps - np.round(gaps)) @ cells[row]
            moves = np.linalg.norm(moved, axis=2).max(axis=1, initial=0.0)
            strains = np.abs(cells - cells[row]).max(axis=(1, 2))
            found[index, members] = np.maximum(moves, strains)
    return np.minimum(found, found.T)


def without_duplicates(frames: Sequence[Atoms], tolerance: float = SAME) -> list[Atoms]:
    """Drop frames equal to an earlier one (atoms in the same order) within `tolerance` angstrom."""
    apart = separations(frames)
    kept: list[int] = []
    for index in range(len(frames)):
        if not np.any(apart[index, kept] <= tolerance):
            kept.append(index)
    return [frames[index] for index in kept]
