"""Which candidates are labelled next, and the splits that they come into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_mlip_ins.science.active.settings import ActiveSettings
from aiida_mlip_ins.science.sampling.distances import separations
from aiida_mlip_ins.science.sampling.targeted import ALWAYS_TRAIN

FloatArray = NDArray[np.float64]


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


def _volumes(frames: Sequence[Atoms]) -> FloatArray:
    return np.array([frame.get_volume() / len(frame) for frame in frames])
