"""Force constants and frequencies of displaced cells: what labels say, and what a potential does.

A force error over all frames does not decide frequencies (brucite: 6.8 meV/angstrom, and 20 1/cm
off at Gamma); the curvature at rest does. Frames that ``sampling.displaced`` made hold just that: a
whole set of them, as phonopy asks for it, gives the force constants of its cell, and so all modes
that are periodic in it. Forces of another origin on the same frames give others to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_mlip_ins.science.dataset import FORCES
from aiida_mlip_ins.science.phonons import (
    Phonon,
    acoustic_modes,
    gamma_modes,
    produce_force_constants,
)

FloatArray = NDArray[np.float64]

ATOM, DISPLACEMENT = 'displaced_atom', 'displacement'
"""Keys of ``info``: index of the one atom that was moved, and its way (3,) in angstrom."""
ALIKE = 1e-4
"""angstrom; cells that differ by less, having been through files, are one."""


@dataclass(frozen=True)
class DisplacedSet:
    """Displacements that give the force constants of one cell, and the labels of them."""

    members: list[int]
    """Places of the frames among those it was found in."""
    phonon: Phonon
    """Of the cell, with these displacements."""
    forces: FloatArray
    """(n_members, n_atoms, 3) the labels, eV/angstrom."""
    frequencies: FloatArray
    """(n_modes,) of the labels, 1/cm, ascending, without the three translations."""


def displaced_sets(frames: Sequence[Atoms]) -> list[DisplacedSet]:
    """Return the whole sets of displacements among labelled frames, in the order of the frames.

    Sets from which a displacement is missing are left out: they give no force constants.
    """
    groups: list[tuple[Atoms, list[int]]] = []
    for index, frame in enumerate(frames):
        if ATOM not in frame.info or DISPLACEMENT not in frame.info:
            continue
        rest = at_rest(frame)
        known = next((members for other, members in groups if _alike(rest, other)), None)
        if known is None:
            groups.append((rest, [index]))
        else:
            known.append(index)
    found = []
    for rest, members in groups:
        phonon = _with_displacements(rest, [frames[index] for index in members])
        if phonon is not None:
            forces = np.array([frames[index].arrays[FORCES] for index in members])
            found.append(DisplacedSet(members, phonon, forces, optical_frequencies(phonon, forces)))
    return found


def at_rest(frame: Atoms) -> Atoms:
    """Return the cell that a frame is a displacement of."""
    rest = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=True)
    rest.positions[int(frame.info[ATOM])] -= np.asarray(frame.info[DISPLACEMENT], dtype=float)
    return rest


def optical_frequencies(phonon: Phonon, forces: FloatArray) -> FloatArray:
    """Return the frequencies (1/cm, ascending) of a cell but for its three translations.

    :param forces: (n_displacements, n_atoms, 3), eV/angstrom.
    """
    produce_force_constants(phonon, forces, None, symmetrise=True)
    values, vectors = gamma_modes(phonon)
    return np.sort(np.delete(values, acoustic_modes(vectors, np.asarray(phonon.primitive.masses))))


def curvature_errors(
    sets: Sequence[DisplacedSet], forces: Sequence[FloatArray]
) -> list[dict[str, Any]]:
    """Return the errors that other forces make of the curvature, one row for each set.

    Modes are paired by their order, which hides two that are swapped.

    :param forces: of each frame that the sets were found in (n_atoms, 3), eV/angstrom.
    :return: ``frequency_mae`` and ``frequency_max`` (1/cm), ``force_constant_rmse`` (eV/angstrom^2;
        difference of forces over the length of the displacement), ``n_frames``, ``n_modes``. NaN
        where forces are.
    """
    rows = []
    for one in sets:
        given = np.array([forces[index] for index in one.members])
        lengths = np.linalg.norm([row[1:] for row in one.phonon.displacements], axis=1)
        errors = (given - one.forces) / lengths[:, None, None]
        wrong = np.full_like(one.frequencies, np.nan)
        if np.isfinite(given).all():
            wrong = np.abs(optical_frequencies(one.phonon, given) - one.frequencies)
        rows.append(
            {
                'frequency_mae': float(wrong.mean()),
                'frequency_max': float(wrong.max()),
                'force_constant_rmse': float(np.sqrt(np.mean(errors**2))),
                'n_frames': len(given),
                'n_modes': len(wrong),
            }
        )
    return rows


def frequency_mae(rows: Sequence[dict[str, Any]]) -> float:
    """Return the mean error (1/cm) over the modes of all sets, of which there is at least one."""
    weights = [row['n_modes'] for row in rows]
    return float(np.average([row['frequency_mae'] for row in rows], weights=weights))


def _alike(one: Atoms, two: Atoms) -> bool:
    return (
        np.array_equal(one.numbers, two.numbers)
        and np.allclose(one.cell.array, two.cell.array, rtol=0.0, atol=ALIKE)
        and np.allclose(one.positions, two.positions, rtol=0.0, atol=ALIKE)
    )


def _with_displacements(rest: Atoms, frames: Sequence[Atoms]) -> Phonon | None:
    """Return phonopy's object of a cell with displacements, ``None`` if some are missing."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        symbols=rest.get_chemical_symbols(),
        cell=rest.cell.array,
        scaled_positions=rest.get_scaled_positions(),
    )
    # The cell is its own supercell: its modes at Gamma are all that it holds exactly.
    phonon = Phonopy(cell, supercell_matrix=np.eye(3, dtype=int), primitive_matrix=np.eye(3))
    moves = [(int(f.info[ATOM]), np.asarray(f.info[DISPLACEMENT], dtype=float)) for f in frames]
    distance = float(np.linalg.norm(moves[0][1]))
    if len(rest) < 2 or not any(_whole(phonon, moves, distance, kind) for kind in (False, True)):
        return None
    phonon.dataset = {
        'natom': len(rest),
        'first_atoms': [{'number': atom, 'displacement': move} for atom, move in moves],
    }
    return phonon


def _whole(
    phonon: Phonon, moves: Sequence[tuple[int, FloatArray]], distance: float, diagonal: bool
) -> bool:
    """Return whether all that phonopy asks for is there, along single axes or several at once."""
    phonon.generate_displacements(distance=distance, is_diagonal=diagonal)
    return all(
        any(atom == int(row[0]) and np.allclose(move, row[1:], atol=ALIKE) for atom, move in moves)
        for row in phonon.displacements
    )
