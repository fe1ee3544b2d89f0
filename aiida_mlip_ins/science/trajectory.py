"""Trajectories of molecular dynamics: their arrays, the files of a running job, displacements.

Lengths in angstrom, times in ps, velocities in angstrom/ps, energies in eV, pressures in GPa.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import units
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

PATTERN = 'trajectory_*.npz'
CHECKPOINT = 'checkpoint.npz'
UNITS = {
    'times': 'ps',
    'positions': 'angstrom, not wrapped into the cell',
    'velocities': 'angstrom/ps',
    'cells': 'angstrom, vectors as rows',
    'potential_energy': 'eV',
    'conserved_energy': 'eV, NaN where the ensemble has none',
    'pressure': 'GPa, with the share of the motion',
}
ASE_PER_ANGSTROM_PER_PS = 1 / (1000 * units.fs)
"""1 angstrom/ps in the unit of velocity of ASE."""


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """Recorded frames, in the order of time."""

    symbols: list[str]
    steps: NDArray[np.int64]
    """(n_frames,), counted from the start of the run, restarts included."""
    times: FloatArray
    positions: FloatArray
    """(n_frames, n_atoms, 3)."""
    velocities: FloatArray
    cells: FloatArray
    """(n_frames, 3, 3)."""
    potential_energy: FloatArray
    conserved_energy: FloatArray
    pressure: FloatArray

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.steps)

    @property
    def masses(self) -> FloatArray:
        """Masses (n_atoms,) of the natural elements, u."""
        return np.asarray(atomic_masses[[atomic_numbers[s] for s in self.symbols]], dtype=float)

    @property
    def volumes(self) -> FloatArray:
        """Volumes (n_frames,), angstrom^3."""
        return np.abs(np.linalg.det(self.cells))

    def select(self, chosen: slice | NDArray[np.bool_]) -> Trajectory:
        """Return some of the frames."""
        return dataclasses.replace(self, **{n: getattr(self, n)[chosen] for n in ARRAYS})


ARRAYS = tuple(f.name for f in dataclasses.fields(Trajectory) if f.name != 'symbols')


def join(pieces: Iterable[Trajectory]) -> Trajectory:
    """Return one trajectory of the pieces; what a later one repeats is taken from that one.

    :raises ValueError: if there is nothing to join or the atoms differ.
    """
    pieces = list(pieces)
    if not pieces:
        raise ValueError('trajectory: there are no frames')
    if any(piece.symbols != pieces[0].symbols for piece in pieces):
        raise ValueError('trajectory: the pieces have different atoms')
    kept = []
    for piece, after in zip(pieces, [*pieces[1:], None], strict=True):
        if after is None or not len(after):
            kept.append(piece)
        else:
            kept.append(piece.select(piece.steps < after.steps[0]))
    arrays = {name: np.concatenate([getattr(p, name) for p in kept]) for name in ARRAYS}
    return Trajectory(symbols=pieces[0].symbols, **arrays)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an npz file in one step: a reader never sees half of it."""
    partial = path.with_suffix('.partial')
    with partial.open('wb') as handle:
        np.savez(handle, allow_pickle=False, **arrays)
    os.replace(partial, path)


def read_arrays(source: Path | bytes) -> dict[str, np.ndarray]:
    """Read an npz file; nothing in it is unpickled.

    :raises ValueError: if it is none.
    """
    name = source.name if isinstance(source, Path) else 'file'
    try:
        handle = io.BytesIO(source) if isinstance(source, bytes) else source
        with np.load(handle, allow_pickle=False) as content:
            return {key: content[key] for key in content.files}
    except Exception as error:
        # A damaged archive raises whatever zipfile or numpy stumble over.
        raise ValueError(f'{name} cannot be read: {type(error).__name__}: {error}') from error


def batch_name(first_step: int) -> str:
    """Return the name of the file of frames that begins with a step."""
    return PATTERN.replace('*', f'{first_step:010d}')


def read_batches(folder: Path, symbols: Sequence[str]) -> Trajectory | None:
    """Return the frames of a job's folder, ``None`` if there are none.

    :raises ValueError: if a file cannot be read or lacks an array.
    """
    pieces = []
    for path in sorted(folder.glob(PATTERN)):
        arrays = read_arrays(path)
        missing = sorted(set(ARRAYS) - set(arrays))
        if missing:
            raise ValueError(f'{path.name} lacks {", ".join(missing)}')
        pieces.append(Trajectory(symbols=list(symbols), **{n: arrays[n] for n in ARRAYS}))
    return join(pieces) if pieces else None


def without_drift(vectors: FloatArray, masses: FloatArray) -> FloatArray:
    """Return vectors (n_frames, n_atoms, 3) less that of the centre of mass of their frame.

    :param masses: (n_atoms,), u.
    """
    drift = np.einsum('i,fij->fj', masses, vectors) / masses.sum()
    found: FloatArray = vectors - drift[:, None]
    return found


def temperatures(velocities: FloatArray, masses: FloatArray) -> FloatArray:
    """Return the temperature (n_frames,; K) of each frame, the motion of the whole taken off.

    ``T = sum(m v^2) / (3 n - 3) k_B``: three degrees of freedom go with the centre of mass.

    :param velocities: (n_frames, n_atoms, 3), angstrom/ps.
    :param masses: (n_atoms,), u.
    """
    own = without_drift(velocities, masses) * ASE_PER_ANGSTROM_PER_PS
    twice_kinetic = np.einsum('i,fij,fij->f', masses, own, own)
    found: FloatArray = twice_kinetic / (max(3 * len(masses) - 3, 1) * units.kB)
    return found


def displacements(
    positions: FloatArray,
    cells: FloatArray,
    sites: FloatArray,
    site_cell: FloatArray,
    masses: FloatArray,
    followed: bool = False,
) -> FloatArray:
    """Return how far each atom is from its site (n_frames, n_atoms, 3), angstrom.

    Sites move along with the cell. The way of an atom is followed from frame to frame, so it does
    not matter whether positions are wrapped, and an atom that leaves its site for good is seen to.
    The motion of the centre of mass is taken off.

    :param positions: (n_frames, n_atoms, 3); no atom goes half a cell from one frame to the next.
    :param cells: (n_frames, 3, 3).
    :param sites: (n_atoms, 3).
    :param site_cell: (3, 3), the cell of the sites.
    :param masses: (n_atoms,), u.
    :param followed: whether the positions, as those of ASE's integrators, were never wrapped into
        the cell: their images are then taken as they are, and one frame is enough.
    """
    start = np.linalg.solve(site_cell.T, sites.T).T
    places = np.linalg.solve(np.swapaxes(cells, 1, 2), np.swapaxes(positions, 1, 2))
    moves = np.diff(np.swapaxes(places, 1, 2), axis=0, prepend=start[None])
    if not followed:
        moves -= np.rint(moves)
    return without_drift(np.cumsum(moves, axis=0) @ cells, masses)
