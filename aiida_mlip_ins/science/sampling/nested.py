"""Nested sets of frames: the first ten of sixty are those of a set of ten.

So sets of several sizes share their labels, and differ by what was added alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from aiida_mlip_ins.science.sampling.moves import rattled, strained
from aiida_mlip_ins.science.sampling.targeted import ALWAYS_TRAIN, refuse_overlaps, targeted_set

HELD_OUT = 10
"""Of so many frames one is not trained on."""


def targeted_frames(
    cells: Mapping[float, Atoms], sections: Mapping[str, Mapping[str, Any]], seed: int, count: int
) -> list[Atoms]:
    """Return the first frames of an endless mixture of targeted ones.

    :param cells: by pressure (GPa).
    :param sections: of :func:`targeted_set`; those with a ``count`` go on in the shares that the
        counts give, between them the cells of ``path``, from both ends in turn.
    """
    path = sorted(sections['path']['pressures'])
    both_ends = [path.pop(-(index % 2)) for index in range(len(path))]
    shares = {name: options['count'] for name, options in sections.items() if 'count' in options}
    shares = {'path': len(both_ends), **{name: n for name, n in shares.items() if n}}
    enough: dict[str, Any] = {name: {**sections[name], 'count': count} for name in shares}
    enough['path'] = {'pressures': both_ends}
    found: dict[str, list[Atoms]] = {name: [] for name in shares}
    for frame in targeted_set(cells, enough, seed):
        found[str(frame.info['source'])].append(frame)
    order = sorted(
        ((index + 0.5) / shares[name], name, index)
        for name, frames in found.items()
        for index in range(len(frames))
    )
    return [found[name][index] for _, name, index in order[:count]]


def random_frames(
    cells: Sequence[Atoms], sigma: float, strain: float, seed: int, count: int
) -> list[Atoms]:
    """Return Gaussian rattles (angstrom) in randomly strained cells, the cells taken in turn."""
    frames = []
    for index in range(count):
        strain_seed, rattle_seed = np.random.default_rng([seed, index]).integers(0, 2**31, 2)
        cell = strained(cells[index % len(cells)], strain, 1, int(strain_seed))[0]
        frames += rattled(cell, sigma, 1, int(rattle_seed))
    refuse_overlaps(frames)
    return frames


def with_nested_splits(frames: Sequence[Atoms]) -> list[Atoms]:
    """Name the split of each frame: the last that may be held out of each ten is ``valid``."""
    for begin in range(0, len(frames), HELD_OUT):
        block = frames[begin : begin + HELD_OUT]
        free = [frame for frame in block if frame.info['source'] not in ALWAYS_TRAIN]
        for frame in block:
            held_out = len(block) == HELD_OUT and bool(free) and frame is free[-1]
            frame.info['split'] = 'valid' if held_out else 'train'
    return list(frames)
