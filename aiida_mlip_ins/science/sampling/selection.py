"""Few frames out of many: those that are least like one another and what is labelled already.

A frame is a point: for each element the mean and the width, over its atoms, of what a potential
sees around them, and the share of the element. Distances between points are in units of the width
that the surroundings of an element have over all frames, so elements count alike and 1 is a large
distance. The next frame is always the one farthest from all that are chosen or labelled, which at
each number of frames leaves the coverage radius within twice the smallest possible one (T. F.
Gonzalez, Theor. Comput. Sci. 38, 293 (1985)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

DUPLICATE = 1e-3
"""Frames nearer than this show a potential nothing that differs; single precision resolves 1e-4."""
RESOLUTION = 1e-3
"""Smallest width of an element that is taken for one, as a fraction of its mean features: where all
surroundings are alike, rounding must not look like variety."""


@dataclass(frozen=True)
class Selection:
    """What was chosen, and how well the frames to choose from are covered by it."""

    chosen: list[int]
    """Places in the pool, in the order of choice."""
    steps: list[float]
    """How far each was from all before it; infinite for the first one of all."""
    before: FloatArray
    """(n_pool,): distance of each frame of the pool to the labelled ones, infinite without any."""
    after: FloatArray
    """(n_pool,): the same to those and the chosen ones."""
    usable: NDArray[np.bool_]
    """(n_pool,): which frames could be chosen."""

    @property
    def duplicates(self) -> list[int]:
        """Frames that were not needed, as one like them is chosen or labelled."""
        near = self.usable & (self.after <= DUPLICATE)
        near[self.chosen] = False
        return np.flatnonzero(near).tolist()


def frame_points(
    descriptors: Sequence[NDArray[Any]], numbers: Sequence[NDArray[Any]]
) -> FloatArray:
    """Return one point (n_frames, n_columns) for each frame.

    :param descriptors: per frame (n_atoms, n_features), the same features for all.
    :param numbers: per frame the atomic numbers (n_atoms,).
    """
    everything = np.concatenate(descriptors).astype(float)
    kinds = np.concatenate(numbers)
    elements = np.unique(kinds)
    blocks = []
    for element in elements:
        own = everything[kinds == element]
        mean = own.mean(axis=0)
        width = float(np.sqrt(np.square(own - mean).sum(axis=1).mean()))
        width = max(width, RESOLUTION * float(np.linalg.norm(mean))) or 1.0
        block = np.zeros((len(descriptors), 2 * own.shape[1] + 1))
        for row, (features, atoms) in enumerate(zip(descriptors, numbers, strict=True)):
            mine = features[atoms == element].astype(float)
            if len(mine):
                parts = [(mine.mean(axis=0) - mean) / width, mine.std(axis=0) / width]
                block[row] = np.concatenate([*parts, [len(mine) / len(atoms)]])
        blocks.append(block)
    return np.hstack(blocks) / np.sqrt(len(elements))


def farthest_points(
    pool: FloatArray, labelled: FloatArray, budget: int, usable: Sequence[bool] | None = None
) -> Selection:
    """Choose up to `budget` frames, each the farthest from what is labelled and chosen before it.

    Without labelled frames the first is the one nearest to the middle of the pool. It ends early
    when all that is left is like something chosen or labelled (:data:`DUPLICATE`).

    :param pool: points (n_pool, n_columns) to choose from.
    :param labelled: points (n_labelled, n_columns) that are there already; n_labelled may be 0.
    :param usable: which of the pool may be chosen; all if not given.
    """
    free = np.ones(len(pool), dtype=bool) if usable is None else np.asarray(usable, dtype=bool)
    nearest = np.full(len(pool), np.inf)
    for point in labelled:
        nearest = np.minimum(nearest, np.linalg.norm(pool - point, axis=1))
    before = nearest.copy()
    chosen: list[int] = []
    steps: list[float] = []
    while len(chosen) < budget and free.any():
        if np.isinf(nearest).all():
            off = np.linalg.norm(pool - pool[free].mean(axis=0), axis=1)
            index = int(np.argmin(np.where(free, off, np.inf)))
        else:
            index = int(np.argmax(np.where(free, nearest, -1.0)))
        if nearest[index] <= DUPLICATE:
            break
        chosen.append(index)
        steps.append(float(nearest[index]))
        nearest = np.minimum(nearest, np.linalg.norm(pool - pool[index], axis=1))
    return Selection(chosen, steps, before, nearest, free)


def selection_report(selection: Selection, sources: Sequence[str]) -> dict[str, Any]:
    """Return what was chosen and covered, in JSON types.

    :param sources: kind of each frame of the pool.
    :return: ``n_pool``, ``n_chosen``, ``n_duplicates``, ``n_refused``; ``radius_before`` and
        ``radius_after`` (the farthest frame that could be chosen is this far from the nearest
        labelled or chosen one; before is ``None`` if none was labelled) and ``mean_before``,
        ``mean_after``; ``steps``, the radius before each choice but a first one of all;
        ``sources``: the same counts and radii for each kind of frame.
    """
    kinds = np.array(sources)
    duplicates = np.zeros(len(kinds), dtype=bool)
    duplicates[selection.duplicates] = True
    picked = np.zeros(len(kinds), dtype=bool)
    picked[selection.chosen] = True

    def counts(members: NDArray[np.bool_]) -> dict[str, Any]:
        covered = members & selection.usable
        found: dict[str, Any] = {
            'n_pool': int(members.sum()),
            'n_chosen': int((members & picked).sum()),
            'n_duplicates': int((members & duplicates).sum()),
            'n_refused': int((members & ~selection.usable).sum()),
        }
        for name, distances in (('before', selection.before), ('after', selection.after)):
            values = distances[covered]
            known = bool(len(values)) and bool(np.isfinite(values).all())
            found[f'radius_{name}'] = float(values.max()) if known else None
            found[f'mean_{name}'] = float(values.mean()) if known else None
        return found

    return {
        **counts(np.ones(len(kinds), dtype=bool)),
        'steps': [step for step in selection.steps if np.isfinite(step)],
        'chosen': selection.chosen,
        'duplicates': selection.duplicates,
        'sources': {kind: counts(kinds == kind) for kind in sorted(set(sources))},
        'unit': 'width of the surroundings of an element over all frames',
    }
