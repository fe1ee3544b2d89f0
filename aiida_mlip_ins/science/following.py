"""Modes followed from pressure to pressure, through crossings and degeneracies.

Each mode of one crystal is a line. From a pressure to the next one, lines are paired with modes by
the overlap of eigenvectors. A line carries a vector of its own through subspaces in which modes are
degenerate, because there the eigenvectors of the next crystal are any mixture: two modes that cross
are told apart beyond the crossing by what they were before it. Lines that were degenerate from the
beginning have nothing of their own until they split.

Where a step is not sure, as in the middle of an avoided crossing, the mode is compared directly
with the one that the line began with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aiida_mlip_ins.science.modes import Modes, align, assign, degenerate, subspace_overlaps


@dataclass(frozen=True)
class Place:
    """Where a line is at one pressure."""

    mode: int
    """Index of the mode in that crystal."""
    route: str
    """``start``; ``step``: by the overlap with the line at the pressure before; ``direct``: by the
    overlap with the mode that the line began with."""
    overlap: float
    """Of the route, 0 to 1."""
    direct_overlap: float
    """Overlap of the mode that the line began with and its best partner here."""
    direct_agrees: bool
    """Whether that partner is this mode, or degenerate with it."""
    ambiguous: bool
    """Whether the line cannot be told for sure here."""


@dataclass(frozen=True)
class _Lines:
    """The lines at one pressure."""

    vectors: np.ndarray
    """(n, 3 n_atoms), orthonormal."""
    classes: np.ndarray
    """(n,) numbers; lines that could never be told apart share one."""
    frequencies: np.ndarray
    doubt: np.ndarray
    """(n,) whether a step before was not sure."""

    def groups(self) -> list[np.ndarray]:
        """Return the indices of each class."""
        return [np.flatnonzero(self.classes == number) for number in np.unique(self.classes)]


def follow(
    modes: Sequence[Modes | None],
    pressures: Sequence[float],
    degeneracy_tolerance: float,
    min_overlap: float,
) -> dict[int, list[Place | None]]:
    """Follow each optical mode of the first crystal to every other pressure.

    Lines lead from the first crystal's pressure to the next higher one and so on, and likewise to
    lower ones, whatever the order of the list.

    :param modes: per pressure; ``None`` where they are unknown, but not for the first.
    :param pressures: GPa.
    :param degeneracy_tolerance: modes closer than this (1/cm) are one subspace.
    :param min_overlap: a smaller overlap is not sure.
    :return: per mode of the first crystal its places, ``None`` where modes are unknown.
    :raises ValueError: if the crystals do not hold the same atoms, or ``modes`` has no first one.
    """
    first = modes[0]
    if first is None:
        raise ValueError('modes cannot be followed from a pressure at which there are none')
    rows = first.optical()
    frequencies = first.frequencies[rows]
    classes = np.empty(len(rows), dtype=int)
    for number, group in enumerate(degenerate(frequencies, degeneracy_tolerance)):
        classes[group] = number
    origin = _Lines(
        first.eigenvectors[rows].reshape(len(rows), -1),
        classes,
        frequencies,
        np.zeros(len(rows), dtype=bool),
    )
    found: list[list[Place | None]] = [[None] * len(modes) for _ in rows]
    for line, row in zip(found, rows, strict=True):
        line[0] = Place(int(row), 'start', 1.0, 1.0, True, False)
    order = [int(i) for i in np.argsort(pressures, kind='stable')]
    begin = order.index(0)
    for walk in (order[begin + 1 :], order[:begin][::-1]):
        lines = origin
        for number in walk:
            other = modes[number]
            if other is None:
                continue
            columns = other.optical()
            target = align(first, other)[columns].reshape(len(columns), -1)
            lines, places = _step(
                origin, lines, target, other.frequencies[columns], degeneracy_tolerance, min_overlap
            )
            for line, place in zip(found, places, strict=True):
                line[number] = replace(place, mode=int(columns[place.mode]))
    return {int(row): line for row, line in zip(rows, found, strict=True)}


def _step(
    origin: _Lines,
    lines: _Lines,
    target: np.ndarray,
    frequencies: np.ndarray,
    tolerance: float,
    min_overlap: float,
) -> tuple[_Lines, list[Place]]:
    """Lead lines to the modes of the next crystal.

    :param origin: the lines where they began.
    :param target: (n, 3 n_atoms) eigenvectors of the next crystal in the first one's frame.
    :param frequencies: (n,) of the next crystal, 1/cm.
    :return: the lines there, and their places with indices into ``target``.
    """
    groups = degenerate(frequencies, tolerance)
    group_of = np.empty(len(frequencies), dtype=int)
    for number, group in enumerate(groups):
        group_of[group] = number
    each = np.arange(len(frequencies))
    scores = subspace_overlaps(lines.vectors, lines.groups(), target, groups)
    direct = subspace_overlaps(origin.vectors, origin.groups(), target, groups)
    chosen = assign(scores, lines.frequencies, frequencies)
    best = assign(direct, origin.frequencies, frequencies)
    doubt = lines.doubt | (scores[each, chosen] < min_overlap)
    back = doubt & (direct[each, best] >= min_overlap)
    if back.any():
        scores = np.where(back[:, None], direct, scores)
        chosen = assign(scores, np.where(back, origin.frequencies, lines.frequencies), frequencies)
    overlap = np.clip(scores[each, chosen], 0.0, 1.0)
    doubt = (doubt & ~back) | (overlap < min_overlap)
    places = [
        Place(
            mode=int(chosen[i]),
            route='direct' if back[i] else 'step',
            overlap=float(overlap[i]),
            direct_overlap=float(min(direct[i, best[i]], 1.0)),
            direct_agrees=bool(group_of[best[i]] == group_of[chosen[i]]),
            ambiguous=bool(doubt[i]),
        )
        for i in each
    ]
    source = np.where(back[:, None], origin.vectors, lines.vectors)
    vectors = _carry(source, lines.groups(), chosen, target, groups)
    pairs = np.stack([lines.classes, group_of[chosen]], axis=1)
    _, classes = np.unique(pairs, axis=0, return_inverse=True)
    return _Lines(vectors, classes.ravel(), frequencies[chosen], doubt), places


def _carry(
    vectors: np.ndarray,
    classes: Sequence[np.ndarray],
    chosen: np.ndarray,
    target: np.ndarray,
    groups: Sequence[np.ndarray],
) -> np.ndarray:
    """Return the lines' vectors (n, N) in the subspaces that the lines have come to.

    In each subspace: the directions in which each class of lines reaches furthest into it, made
    orthonormal symmetrically (P.-O. Loewdin, J. Chem. Phys. 18, 365 (1950)).
    """
    carried = np.empty_like(target, dtype=np.result_type(vectors, target))
    for group in groups:
        basis = target[group]
        members: list[int] = []
        parts = []
        for lines in classes:
            inside = lines[np.isin(chosen[lines], group)]
            if not len(inside):
                continue
            _, _, directions = np.linalg.svd(vectors[lines] @ basis.conj().T)
            members.extend(inside)
            parts.append(directions[: len(inside)])
        left, _, right = np.linalg.svd(np.concatenate(parts))
        carried[members] = left @ right @ basis
    return carried
