"""Following an imaginary mode: which one, along which line, down to which structure.

A crystal with an imaginary mode is no minimum: along the mode its energy falls, in the simplest
case as the double well ``E(x) = -a x^2 + b x^4`` with its minima at ``x^2 = a / 2 b``, lower by
``a^2 / 4 b``. A mode at q is periodic in a supercell whose multiples times q are whole numbers, so
the structure in a minimum has that cell, and a part of the symmetry.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from ase import Atoms

from aiida_mlip_ins.science.phonons import Phonon, acoustic_modes, modes_at
from aiida_mlip_ins.science.settings import problems, setting

REMEDIES = ('relax', 'supercell', 'follow')
SOURCE = 'mode'
"""``info['source']`` of the frames along a mode."""
DEGENERATE = 0.1
"""Modes at a q-point closer than this (1/cm) are taken to be alike by symmetry."""
DEGREE = 4
"""Of the polynomial through the energies along a mode."""


@dataclass(frozen=True)
class CureSettings:
    """What is tried against imaginary modes, in which order, and for how long."""

    remedies: list[str] = setting(
        'What is tried, in this order, until no imaginary mode is left: a tighter relaxation, a '
        'larger supercell of the phonons, following the mode to a lower symmetry.',
        choices=REMEDIES,
    )
    tighter: float = setting(
        'Factor on the limits of force and stress of the tighter relaxation.',
        above=0.0,
        maximum=1.0,
    )
    added_multiples: int = setting(
        'Cells that the larger supercell has more along each axis.', minimum=1
    )
    max_follows: int = setting('Modes that are followed, one after another, at most.', minimum=1)
    max_multiple: int = setting(
        'Largest multiple of the cell along an axis that a mode may need: 1 for Gamma alone, 2 for '
        'the border of the zone too.',
        minimum=1,
        maximum=4,
    )
    amplitudes: list[float] = setting(
        'Displacements along the mode that are tried, of the atom that moves most, both ways.',
        'angstrom',
        above=0.0,
    )
    min_depth: float = setting(
        'A mode is followed if the energy falls by more than this.', 'meV/atom', minimum=0.0
    )
    keep_symmetry: bool = setting(
        'Whether the relaxation keeps the symmetry that the mode has left.'
    )


def cure_problems(values: Mapping[str, Any], where: str) -> list[str]:
    """Return every problem of the settings."""
    found = problems(CureSettings, values, where)
    if found:
        return found
    for name, least in (('remedies', 1), ('amplitudes', 2)):
        given = values[name]
        if len(set(given)) < len(given):
            found.append(f'{where}.{name}: some are given more than once: {list(given)}')
        if len(given) < least:
            found.append(f'{where}.{name}: give at least {least}')
    return found


@dataclass(frozen=True)
class SoftMode:
    """An imaginary mode that is periodic in a small supercell."""

    q: list[float]
    """In fractions of the reciprocal lattice of the primitive cell."""
    multiples: list[int]
    """Of the primitive cell, of the supercell in which it is periodic."""
    band: int
    frequency: float
    """1/cm, negative."""


def softest_mode(
    phonon: Phonon, max_multiple: int, tolerance: float, exact: bool
) -> SoftMode | None:
    """Return the lowest imaginary mode that is periodic in a small supercell, if there is one.

    Translations of the whole crystal do not count.

    :param max_multiple: of the cell along each axis.
    :param tolerance: modes below minus this (1/cm) are imaginary.
    :param exact: whether only those count that are periodic in the supercell of the force constants
        too; in between, frequencies are interpolated.
    """
    fractions = sorted({Fraction(k, n) for n in range(1, max_multiple + 1) for k in range(n)})
    triples = list(itertools.product(fractions, repeat=3))
    points = np.array(triples, dtype=float)
    if exact:
        turns = points @ np.linalg.inv(phonon.primitive.cell).T @ phonon.supercell.cell.T
        kept = np.flatnonzero(np.abs(turns - np.rint(turns)).max(axis=1) < 1e-6)
        triples, points = [triples[index] for index in kept], points[kept]
    frequencies, vectors = modes_at(phonon, points)
    frequencies = frequencies.copy()
    gamma = int(np.flatnonzero(~points.any(axis=1))[0])
    whole = acoustic_modes(vectors[gamma], np.asarray(phonon.primitive.masses))
    frequencies[gamma, whole] = np.inf
    # Of stars of equivalent points, rounding would choose: the first one within it is taken.
    index, band = np.argwhere(frequencies <= frequencies.min() + 1e-3)[0]
    if frequencies[index, band] >= -tolerance:
        return None
    return SoftMode(
        points[index].tolist(),
        [fraction.denominator for fraction in triples[index]],
        int(band),
        float(frequencies[index, band]),
    )


def mode_at(
    phonon: Phonon, q: Sequence[float], multiples: Sequence[int], tolerance: float
) -> SoftMode | None:
    """Return the lowest mode at a q-point away from Gamma if it is imaginary.

    :param multiples: of the primitive cell, of the supercell that q is periodic in.
    :param tolerance: below minus this (1/cm) it is.
    """
    if not any(q):
        return None
    frequencies = modes_at(phonon, np.array([q], dtype=float))[0][0]
    band = int(frequencies.argmin())
    if frequencies[band] >= -tolerance:
        return None
    return SoftMode(list(q), list(multiples), band, float(frequencies[band]))


def along(phonon: Phonon, mode: SoftMode, amplitudes: Sequence[float]) -> list[Atoms]:
    """Return the supercell of a mode as it is and displaced along it, both ways.

    Of degenerate modes, and of a travelling one, every mixture is a mode, and which one a solver
    returns is chance. All of them are looked at as one space; see :func:`first_direction`.

    :param amplitudes: displacements of the atom that moves most, angstrom.
    :return: frames with ``info['amplitude']`` (angstrom), ascending.
    """
    frequencies = modes_at(phonon, np.array([mode.q], dtype=float))[0][0]
    bands = np.flatnonzero(np.abs(frequencies - mode.frequency) < DEGENERATE)
    made = phonon.run_modulations(mode.multiples, [[mode.q, int(b), 1.0, 0.0] for b in bands])
    rest = made.supercell
    roots = np.sqrt(rest.masses)[:, None]
    weighted = np.concatenate([made.modulations.real, made.modulations.imag]) * roots
    moves = first_direction(weighted.reshape(len(weighted), -1)).reshape(-1, 3) / roots
    moves = moves / np.linalg.norm(moves, axis=1).max()
    frames = []
    for amplitude in sorted({0.0, *amplitudes, *(-a for a in amplitudes)}):
        frame = Atoms(rest.symbols, positions=rest.positions, cell=rest.cell, pbc=True)
        frame.positions += amplitude * moves
        frame.info.update(source=SOURCE, amplitude=amplitude)
        frames.append(frame)
    return frames


def first_direction(vectors: np.ndarray) -> np.ndarray:
    """Return a unit vector (n,) of the space of some vectors that is no choice of their basis.

    It is that along which the coordinate that can have the largest share has it, of several alike
    the first: an atom moves along an axis as far as the modes let it.

    :param vectors: (m, n), any that span the space.
    """
    _, sizes, basis = np.linalg.svd(vectors, full_matrices=False)
    basis = basis[sizes > 1e-3 * sizes[0]]
    shares = (basis**2).sum(axis=0)
    coordinate = int(np.flatnonzero(shares > shares.max() - 1e-6)[0])
    direction: np.ndarray = basis.T @ basis[:, coordinate]
    return direction / np.linalg.norm(direction)


def well(amplitudes: np.ndarray, energies: np.ndarray) -> tuple[float, float]:
    """Return where on a line the energy is lowest (angstrom), and by how much (eV) it falls.

    Between the points it is that of a polynomial of fourth degree through them, which a double well
    is exactly; if that is nowhere below all points, the lowest of these is taken.

    :param amplitudes: (n,) angstrom, with zero among them.
    :param energies: (n,) eV.
    """
    start = float(energies[np.argmin(np.abs(amplitudes))])
    lowest = int(np.argmin(energies))
    place, depth = float(amplitudes[lowest]), start - float(energies[lowest])
    if len(amplitudes) <= DEGREE:
        return place, depth
    scale = float(np.abs(amplitudes).max())
    fit = np.polynomial.Polynomial.fit(amplitudes / scale, energies - start, DEGREE, domain=[-1, 1])
    turns = np.asarray(fit.deriv().roots(), dtype=complex)
    turns = turns[np.abs(turns.imag) < 1e-9].real
    turns = turns[(turns > amplitudes.min() / scale) & (turns < amplitudes.max() / scale)]
    # Of two minima alike the positive one, whatever rounding says.
    for turn in sorted(turns, reverse=True):
        value = float(fit(turn))
        if -value > depth + 1e-9:
            place, depth = float(turn) * scale, -value
    return place, depth


def shared_out(counts: Sequence[int], multiples: Sequence[int]) -> list[int]:
    """Return multiples or q-points (3,) for a cell that is larger by multiples (3,)."""
    return [math.ceil(count / multiple) for count, multiple in zip(counts, multiples, strict=True)]


def describe(step: Mapping[str, Any]) -> str:
    """Return one step of a cure in words.

    :param step: ``remedy``, ``min_frequency_per_cm``, and what the remedy adds.
    """
    lowest = f'lowest frequency {step["min_frequency_per_cm"]:.1f} 1/cm'
    if step['imaginary_share']:
        lowest += f', {100 * step["imaginary_share"]:.2g} % of the modes imaginary'
    elif step['imaginary']:
        place = ', '.join(f'{value:g}' for value in step['min_frequency_q'])
        lowest += f' at q = ({place}), which the mesh passes by'
    remedy = step['remedy']
    if remedy == 'follow':
        q = ', '.join(f'{value:g}' for value in step['q'])
        done = (
            f'mode of {step["frequency_per_cm"]:.1f} 1/cm at q = ({q}) followed: the energy falls '
            f'by {step["depth_mev_per_atom"]:.2g} meV/atom, relaxed to {step["spacegroup"]} with '
            f'{step["n_atoms"]} atoms'
        )
    elif remedy == 'relax':
        done = f'relaxed further, to forces of {step["max_force_ev_per_angstrom"]:.1g} eV/angstrom'
    elif remedy == 'supercell':
        sizes = ' x '.join(str(row[i]) for i, row in enumerate(step['supercell_matrix']))
        done = f'larger supercell of the phonons, {sizes}'
    else:
        done = 'as given'
    return f'{done}: {lowest}'
