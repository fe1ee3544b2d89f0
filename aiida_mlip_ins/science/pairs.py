"""Pairs of atoms in a trajectory: the network of bonds, and radial distributions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from aiida_mlip_ins.science.character import NON_METALS
from aiida_mlip_ins.science.trajectory import FloatArray


@dataclass(frozen=True)
class Bonds:
    """Bonds of a crystal, each once."""

    pairs: NDArray[np.int64]
    """(n_bonds, 2)."""
    images: NDArray[np.int64]
    """(n_bonds, 3): the cell in which the second atom is, counted from that of the first."""
    lengths: FloatArray
    """(n_bonds,), angstrom."""

    @property
    def keys(self) -> set[tuple[int, ...]]:
        """Pair and image of each bond, in a form to be looked up."""
        joined = np.hstack([self.pairs, self.images])
        return {tuple(int(number) for number in row) for row in joined}


def find_bonds(atoms: Atoms, factor: float) -> Bonds:
    """Return the pairs closer than ``factor`` times the sum of their covalent radii.

    Two metals are never bonded: there is no single contact whose loss would mean anything.
    """
    cutoffs = list(covalent_radii[atoms.numbers] * factor)
    first, second, image, length = neighbor_list('ijSd', atoms, cutoffs)
    non_metal = np.array([symbol in NON_METALS for symbol in atoms.symbols])
    # Of an atom and its own image, either direction is the same bond.
    forward = image @ np.array([10_000, 100, 1]) > 0
    once = (first < second) | ((first == second) & forward)
    kept = once & (non_metal[first] | non_metal[second])
    pairs = np.stack([first, second], axis=1)[kept].astype(np.int64)
    return Bonds(pairs, image[kept].astype(np.int64), length[kept])


def broken_bonds(
    bonds: Bonds,
    sites: Atoms,
    displacements: FloatArray,
    cells: FloatArray,
    times: FloatArray,
    factor: float,
) -> list[dict[str, object]]:
    """Return the bonds that were longer than ``factor`` times their length at the sites.

    :param displacements: (n_frames, n_atoms, 3) from the sites, angstrom.
    :param cells: (n_frames, 3, 3), angstrom.
    :param times: (n_frames,), ps.
    :return: for each, in the order of breaking: ``atoms`` (such as ``O12-H30``), its length at the
        sites ``length_angstrom``, ``time_ps`` when it was first seen broken, ``longest_angstrom``,
        and whether it has ``healed`` in the last frame.
    """
    if not len(bonds.lengths):
        return []
    first, second = bonds.pairs.T
    places = np.linalg.solve(sites.cell.array.T, sites.positions.T).T
    apart = places[second] - places[first] + bonds.images
    vectors = apart @ cells + displacements[:, second] - displacements[:, first]
    lengths = np.linalg.norm(vectors, axis=2)
    broken = lengths > factor * bonds.lengths
    found = []
    for index in np.flatnonzero(broken.any(axis=0)):
        found.append(
            {
                'atoms': _name(sites, first[index], second[index]),
                'length_angstrom': float(bonds.lengths[index]),
                'time_ps': float(times[np.argmax(broken[:, index])]),
                'longest_angstrom': float(lengths[:, index].max()),
                'healed': not broken[-1, index],
            }
        )
    return sorted(found, key=lambda bond: float(str(bond['time_ps'])))


def formed_bonds(
    bonds: Bonds, frames: Sequence[Atoms], times: Sequence[float], factor: float
) -> list[dict[str, object]]:
    """Return the pairs that are no bonds of ``bonds`` and came as close as if they were.

    :param frames: frames whose atoms have not been wrapped into the cell.
    :param times: of the frames, ps.
    :return: for each pair: ``atoms``, ``time_ps`` when it was first seen, ``length_angstrom`` then.
    """
    known = bonds.keys
    found: dict[tuple[int, ...], dict[str, object]] = {}
    for frame, time in zip(frames, times, strict=True):
        near = find_bonds(frame, factor)
        for row, length in zip(
            np.hstack([near.pairs, near.images]).tolist(), near.lengths, strict=True
        ):
            key = tuple(row)
            if key not in known and key not in found:
                found[key] = {
                    'atoms': _name(frame, row[0], row[1]),
                    'time_ps': float(time),
                    'length_angstrom': float(length),
                }
    return list(found.values())


def radial_distributions(
    frames: Sequence[Atoms], maximum: float, width: float
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Return the radial distribution functions of all pairs of elements, averaged over frames.

    ``g(r) = V n(r) / (N_a N_b 4 pi r^2 dr)``: one at all distances for atoms placed at random.

    :param maximum: range, angstrom; it may exceed the cell.
    :param width: of the bins, angstrom.
    :return: edges of the bins (n + 1,), angstrom, and g (n,) for each pair, such as ``H-O``.
    """
    symbols = np.array(frames[0].get_chemical_symbols())
    edges = np.arange(0.0, maximum + 0.5 * width, width)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    elements = sorted(set(symbols))
    sums = {
        f'{a}-{b}': np.zeros(len(shells))
        for a, b in itertools.combinations_with_replacement(elements, 2)
    }
    for frame in frames:
        first, second, distance = neighbor_list('ijd', frame, float(edges[-1]))
        for name, total in sums.items():
            a, b = name.split('-')
            chosen = (symbols[first] == a) & (symbols[second] == b)
            counts = np.histogram(distance[chosen], edges)[0]
            number = np.sum(symbols == a) * np.sum(symbols == b)
            total += counts * frame.get_volume() / (number * shells)
    return edges, {name: total / len(frames) for name, total in sums.items()}


def _name(atoms: Atoms, first: int, second: int) -> str:
    return f'{atoms.symbols[int(first)]}{int(first)}-{atoms.symbols[int(second)]}{int(second)}'
