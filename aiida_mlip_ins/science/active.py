"""Active learning: which frames to compute next, how a round went, and whether that is enough.

The disagreement of a committee about a frame is the spread of its forces and stress as it counts in
the training: divided by ``sqrt(1 + (f / force_scale)^2)``, f being the root mean square force, as
frames with large forces are weighted down there in the same way. Without it the most distorted
frames would always be chosen, and small displacements, which decide curvatures, never.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_mlip_ins.science.committee import Labels, mean_and_spread, sizes
from aiida_mlip_ins.science.sampling.distances import separations
from aiida_mlip_ins.science.sampling.targeted import ALWAYS_TRAIN
from aiida_mlip_ins.science.settings import problems, setting, unknown_keys

FloatArray = NDArray[np.float64]

UNITS = {
    'energy': 'meV/atom', 'force': 'meV/angstrom', 'stress': 'GPa', 'frequency': '1/cm',
    'volume': 'angstrom^3', 'pressure': 'GPa',
}  # fmt: skip
"""Units of the rows of rounds, by the quantity in the name of a column."""


@dataclass(frozen=True)
class ActiveSettings:
    """Budget, targets, and which frames are taken. A target that is not given is not asked for."""

    frames_per_round: int = setting('Frames labelled in a round.', minimum=1)
    max_frames: int = setting('Labelled frames in all, the first ones included.', minimum=1)
    max_rounds: int = setting('Rounds that label frames.', minimum=1)
    splits: Mapping[str, float] = setting(
        'Share of the frames in each split other than `train`.', minimum=0.0, maximum=0.9
    )
    stress_weight: float = setting(
        'Spread of forces that a spread of the stress of 1 GPa counts like.',
        'meV/angstrom',
        minimum=0.0,
    )
    min_separation: float = setting(
        'A frame nearer than this to one that is labelled or chosen is not taken: no atom moves '
        'farther, and no component of a lattice vector.',
        'angstrom',
        minimum=0.0,
    )
    volume_margin: float = setting(
        'How far beyond the volumes per atom of the labelled frames a frame may be, as a fraction: '
        'farther out every committee disagrees, and little is learned.',
        minimum=0.0,
        maximum=0.5,
    )
    force_scale: float | None = setting(
        'Root mean square force above which a frame counts less; all count alike if not given.',
        'eV/angstrom',
        above=0.0,
        optional=True,
    )
    relaxation_apart: float | None = setting(
        "Distance between steps of the potential's own relaxations that are candidates; none if "
        'not given.',
        'angstrom',
        above=0.0,
        optional=True,
    )
    motion_apart: float | None = setting(
        'Time between frames of molecular dynamics that are candidates; none if not given.',
        'ps',
        above=0.0,
        optional=True,
    )
    target_force_error: float | None = setting(
        'Force error (rms, mean over the members) on the new frames before they are trained on.',
        'meV/angstrom',
        above=0.0,
        optional=True,
    )
    target_stress_error: float | None = setting(
        'The same of the stress.', 'GPa', above=0.0, optional=True
    )
    target_force_spread: float | None = setting(
        'Spread of the forces (rms) over the candidates.', 'meV/angstrom', above=0.0, optional=True
    )
    target_frequency_spread: float | None = setting(
        'Spread of the frequencies, mean over the modes, at the worst pressure.',
        '1/cm',
        above=0.0,
        optional=True,
    )


NO_FORCE = 1e-5
"""eV/angstrom; forces that symmetry takes away are below. Every potential has them right, so errors
and spreads of forces leave them out."""

TARGETS = {
    'target_force_error': ('force_error', 'force error on the new frames', UNITS['force']),
    'target_stress_error': ('stress_error', 'stress error on the new frames', UNITS['stress']),
    'target_force_spread': ('force_spread', 'spread of forces', UNITS['force']),
    'target_frequency_spread': (
        'frequency_spread', 'spread of frequencies', UNITS['frequency'],
    ),
}  # fmt: skip
"""Of each target the column of a row that it is for, its name and its unit."""


def active_problems(values: Mapping[str, Any], where: str) -> list[str]:
    """Return every problem of the settings, those between fields included."""
    found = problems(ActiveSettings, values, where)
    splits = values.get('splits')
    if found or splits is None:
        return found
    found += unknown_keys(splits, ('valid', 'test'), f'{where}.splits')
    if sum(splits.values()) >= 1:
        found.append(f'{where}.splits: {dict(splits)} leave nothing to train on')
    return found


def frame_spreads(members: Sequence[Labels], n_atoms: NDArray[np.int64]) -> dict[str, FloatArray]:
    """Return the spread of a committee for each frame, (n_frames,) each.

    :param members: labels of the same frames, of two members or more.
    :param n_atoms: (n_frames,) atoms of each frame.
    :return: ``energy`` (meV/atom), ``force`` (meV/angstrom, root mean square over the atoms),
        ``stress`` (GPa; NaN where there is none) and ``mean_force``, the root mean square force.
    """
    mean, spread = mean_and_spread(members)
    found = sizes(spread, n_atoms)
    frame = np.repeat(np.arange(len(n_atoms)), n_atoms)

    def over_atoms(values: FloatArray) -> FloatArray:
        squares = np.bincount(frame, values**2, minlength=len(n_atoms))
        return np.asarray(np.sqrt(squares / n_atoms))

    return {
        'energy': found['energy'],
        'force': over_atoms(found['force']),
        'stress': found['stress'],
        'mean_force': over_atoms(sizes(mean, n_atoms)['force']),
    }


def pool_spreads(spreads: Mapping[str, FloatArray]) -> dict[str, float | None]:
    """Return the root mean square over the frames of each spread, ``None`` where there is none.

    :param spreads: of :func:`frame_spreads`; that of forces is of frames that have any.
    """
    moving = spreads['mean_force'] > 1e3 * NO_FORCE
    kept = {'energy': spreads['energy'], 'force': spreads['force'][moving]}
    return {name: rms(values) for name, values in (*kept.items(), ('stress', spreads['stress']))}


def rms(values: FloatArray) -> float | None:
    """Return the root mean square of what is known, ``None`` if nothing is."""
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else None


def without_symmetric_zeros(reference: Labels, members: Sequence[Labels]) -> Labels:
    """Return the reference without the forces (now NaN) that vanish in it and in all members.

    :param reference: labels of some frames.
    :param members: labels of the same frames.
    """
    lengths = [np.linalg.norm(one.forces, axis=1) for one in (reference, *members)]
    forces = np.array(reference.forces)
    forces[np.max(lengths, axis=0) < NO_FORCE] = np.nan
    return Labels(reference.energies, forces, reference.stresses)


def disagreement(spreads: Mapping[str, FloatArray], settings: ActiveSettings) -> FloatArray:
    """Return by how much a committee disagrees on each frame (n_frames,), meV/angstrom.

    :param spreads: of :func:`frame_spreads`; stresses that are not known count nothing.
    """
    stress = np.nan_to_num(spreads['stress'])
    size = np.hypot(spreads['force'], settings.stress_weight * stress)
    if settings.force_scale is None:
        return size
    return size / np.sqrt(1.0 + (spreads['mean_force'] / (1e3 * settings.force_scale)) ** 2)


@dataclass(frozen=True)
class Choice:
    """Places in the pool: ``chosen`` in the order of choice, and those that could not be."""

    chosen: list[int]
    near: list[int]
    """Like a frame that is labelled, or like one chosen before, as far as it got."""
    outside: list[int]
    """Of a volume that is too far from those of the labelled frames."""


def most_disputed(
    pool: Sequence[Atoms],
    labelled: Sequence[Atoms],
    scores: FloatArray,
    count: int,
    settings: ActiveSettings,
) -> Choice:
    """Choose up to `count` frames, those of the highest score first, none like another one.

    :param pool: to choose from.
    :param labelled: frames that are labelled already, at least one.
    :param scores: (n_pool,) of :func:`disagreement`.
    """
    apart = separations([*pool, *labelled])[: len(pool)]
    low, high = volume_range(labelled, settings.volume_margin)
    volumes = _volumes(pool)
    inside = (volumes >= low) & (volumes <= high)
    chosen: list[int] = []
    near: list[int] = []
    for place in np.argsort(-scores, kind='stable').tolist():
        if len(chosen) == count or not inside[place]:
            continue
        taken = [*chosen, *range(len(pool), len(pool) + len(labelled))]
        if apart[place, taken].min() <= settings.min_separation:
            near.append(place)
        else:
            chosen.append(place)
    return Choice(chosen, near, np.flatnonzero(~inside).tolist())


def volume_range(labelled: Sequence[Atoms], margin: float) -> tuple[float, float]:
    """Return the volumes per atom (angstrom^3) of labelled frames, with a margin (a fraction)."""
    known = _volumes(labelled)
    return float(known.min() * (1 - margin)), float(known.max() * (1 + margin))


def new_splits(
    existing: Mapping[str, int], frames: Sequence[Atoms], fractions: Mapping[str, float], seed: int
) -> list[str]:
    """Name the split of each new frame, so that the shares are right in all frames together.

    As in ``sampling.assign_splits`` frames of :data:`ALWAYS_TRAIN` and of trajectories are trained
    on; so is at least half of the new frames.

    :param existing: frames there are in each split.
    :param fractions: share of each split other than ``train``.
    """
    names = ['train'] * len(frames)
    free = [
        place
        for place, frame in enumerate(frames)
        if frame.info['source'] not in ALWAYS_TRAIN and 'trajectory' not in frame.info
    ]
    waiting = np.random.default_rng(seed).permutation(free)[: len(frames) // 2].tolist()
    total = sum(existing.values()) + len(frames)
    for name, fraction in fractions.items():
        owed = round(fraction * total) - existing.get(name, 0)
        for _ in range(min(owed, len(waiting))):
            names[int(waiting.pop())] = name
    return names


def frequency_spread(frequencies: Sequence[FloatArray], weights: FloatArray) -> float:
    """Return the spread (1/cm) of the frequencies of a committee's members, mean over all modes.

    Modes are compared by their place in the order of frequencies, so where members swap two modes
    the spread comes out too small.

    :param frequencies: of each member (n_qpoints, n_modes), 1/cm.
    :param weights: (n_qpoints,) of the q-points.
    """
    ordered = np.sort(np.array(frequencies), axis=2)
    return float(np.average(ordered.std(axis=0, ddof=1).mean(axis=1), weights=weights))


def asked(settings: ActiveSettings) -> dict[str, float]:
    """Return the targets that are asked for."""
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {name: values[name] for name in TARGETS if values[name] is not None}


def verdict(row: Mapping[str, Any], settings: ActiveSettings) -> tuple[bool, list[str]]:
    """Return whether all targets are reached, and a sentence on each of them.

    :param row: numbers of a round; those that are missing or ``None`` are not known, which reaches
        nothing. No targets are never reached. A crystal that molecular dynamics (``motion``) finds
        not ``stable`` has reached none.
    """
    targets = asked(settings)
    sentences = []
    reached = bool(targets)
    for name, limit in targets.items():
        column, words, unit = TARGETS[name]
        value = row.get(column)
        reached = reached and value is not None and value <= limit
        number = 'not known' if value is None else f'{value:.3g} {unit}'
        sentences.append(f'{words} {number}, at most {limit:g} {unit} asked')
    motion = row.get('motion')
    if motion is not None:
        reached = reached and motion == 'stable'
        sentences.append(f'{motion} in molecular dynamics')
    return reached, sentences


def needs_labels(row: Mapping[str, Any], settings: ActiveSettings) -> bool:
    """Whether labels of new frames could change anything: not if all is known and reached."""
    return not verdict(row, settings)[0]


def _volumes(frames: Sequence[Atoms]) -> FloatArray:
    return np.array([frame.get_volume() / len(frame) for frame in frames])
