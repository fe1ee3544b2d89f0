"""Irreducible representations of the modes at Gamma.

An operation of the space group moves atoms onto atoms and turns displacements; on eigenvectors at
Gamma it is the same for all of a coset of the translations, so that the point group decides. The
share of a vector in an irreducible representation is the length of its projection,

    P = (chi(E) / <chi, chi>) (1 / |G|) sum_R chi(R)* R

(M. S. Dresselhaus, G. Dresselhaus, A. Jorio, "Group Theory", Springer 2008, ch. 4). Pairs of
complex-conjugate representations, which time reversal makes degenerate, count as one, whose
<chi, chi> is two. Labels and characters are those of phonopy's tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import spglib
from ase.data import atomic_numbers

from aiida_mlip_ins.science.modes import Modes

UNKNOWN = 'unknown'


@dataclass(frozen=True)
class Irrep:
    """The representation that one mode belongs to."""

    label: str
    """Mulliken's symbol, or ``unknown``."""
    point_group: str | None
    """Hermann-Mauguin symbol, ``None`` where no symmetry was found."""
    reason: str | None = None
    """Why it is unknown."""


def irreps(modes: Modes, symprec: float, min_share: float) -> list[Irrep]:
    """Return the irreducible representation of each mode at Gamma.

    :param symprec: tolerance of the symmetry search, angstrom.
    :param min_share: the share (0 to 1) of a mode in one representation from which it is called by
        that; a smaller one means an accidental degeneracy, or modes less symmetric than the atoms.
    """
    places = np.linalg.solve(modes.cell.T, modes.positions.T).T
    numbers = [atomic_numbers[symbol] for symbol in modes.symbols]
    found = spglib.get_symmetry_dataset(
        (modes.cell.tolist(), places.tolist(), numbers), symprec=symprec
    )
    count = len(modes.frequencies)
    if found is None:
        reason = f'no space group was found within {symprec:g} angstrom'
        return [Irrep(UNKNOWN, None, reason)] * count
    group = str(found.pointgroup)
    if len(np.unique(found.rotations.reshape(-1, 9), axis=0)) < len(found.rotations):
        reason = 'the cell holds several primitive cells, whose modes are not all of Gamma'
        return [Irrep(UNKNOWN, group, reason)] * count
    turn = np.array(found.transformation_matrix)
    conventional = np.rint(turn @ found.rotations @ np.linalg.inv(turn)).astype(int)
    characters = _characters(group, conventional)
    if characters is None:
        reason = f'the table of {group} has no such setting of the operations'
        return [Irrep(UNKNOWN, group, reason)] * count
    expected = _characters_of(modes, places, found.rotations, found.translations)
    labels = list(characters)
    table = np.array([characters[label] for label in labels])
    norms = (table**2).sum(axis=1)
    identity = int(np.flatnonzero((conventional == np.eye(3, dtype=int)).all(axis=(1, 2)))[0])
    shares = expected @ table.T * (table[:, identity] / norms)
    return [_named(dict(zip(labels, row, strict=True)), group, min_share) for row in shares]


def _named(shares: Mapping[str, float], group: str, min_share: float) -> Irrep:
    """Return the representation that holds enough of a mode."""
    label = max(shares, key=lambda name: shares[name])
    if shares[label] >= min_share:
        return Irrep(label, group)
    parts = ', '.join(
        f'{name} {100 * share:.0f} %'
        for name, share in sorted(shares.items(), key=lambda item: -item[1])
        if share > 0.01
    )
    return Irrep(UNKNOWN, group, f'an accidental degeneracy or broken symmetry mixes {parts}')


def _characters(group: str, rotations: np.ndarray) -> dict[str, np.ndarray] | None:
    """Return the characters (n_operations,) by label, ``None`` if no setting of the table fits.

    :param rotations: (n_operations, 3, 3) in the basis of the conventional cell.
    """
    # Phonopy takes seconds to import, and not every comparison needs it.
    from phonopy.phonon.character_table import character_table

    for entry in character_table.get(group, []):
        classes = {
            tuple(np.ravel(matrix)): name
            for name, matrices in entry['mapping_table'].items()
            for matrix in matrices
        }
        found = [classes.get(tuple(int(x) for x in rotation.ravel())) for rotation in rotations]
        if None in found:
            continue
        order = _listed(entry['rotation_list'])
        places = [order.index(name) for name in found]
        return {
            label: np.array(_listed(values), dtype=float)[places]
            for label, values in entry['character_table'].items()
        }
    return None


def _listed(value: Any) -> list[Any]:
    """Return the entries of a row; the tables write rows of one entry without a list."""
    return list(value) if isinstance(value, tuple | list) else [value]


def _characters_of(
    modes: Modes, places: np.ndarray, rotations: np.ndarray, translations: np.ndarray
) -> np.ndarray:
    """Return how much of each mode is left by each operation, ``<e|R e>``, (n_modes, n_operations).

    :param places: (n_atoms, 3) fractional, in which the operations are too.
    """
    found = np.empty((len(modes.frequencies), len(rotations)))
    to_cartesian, to_fractional = modes.cell.T, np.linalg.inv(modes.cell.T)
    different = np.array(modes.symbols)[:, None] != np.array(modes.symbols)[None, :]
    for number, (rotation, translation) in enumerate(zip(rotations, translations, strict=True)):
        apart = (places @ rotation.T + translation)[:, None] - places[None]
        apart -= np.rint(apart)
        images = (np.linalg.norm(apart @ modes.cell, axis=-1) + 1e6 * different).argmin(axis=1)
        turned = modes.eigenvectors @ (to_cartesian @ rotation @ to_fractional).T
        kept = (modes.eigenvectors[:, images].conj() * turned).sum(axis=(1, 2))
        found[:, number] = kept.real
    return found
