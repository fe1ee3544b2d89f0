"""Calcfunction that chooses the frames to be labelled out of a pool."""

from __future__ import annotations

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction
from ase import Atoms

from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.science.descriptors import by_frame
from aiida_mlip_ins.science.sampling.selection import (
    farthest_points,
    frame_points,
    selection_report,
)
from aiida_mlip_ins.science.structure import contact_problems

Described = list[tuple[Atoms, np.ndarray]]
"""Frames, each with the features (n_atoms, n_features) of its atoms."""


@calcfunction
def select_frames(
    pool: FramesData,
    descriptors: orm.ArrayData,
    budget: orm.Int,
    labelled: FramesData | None = None,
    labelled_descriptors: orm.ArrayData | None = None,
) -> dict[str, orm.Data] | ExitCode:
    """Choose up to `budget` frames that are least like one another and what is labelled.

    Frames with atoms too close are never chosen.

    :param pool: frames to choose from.
    :param descriptors: of the pool, made by ``MaceDescribeCalculation``.
    :param labelled: frames that are labelled already, if any.
    :param labelled_descriptors: of them, made with the same model.
    :return: ``frames`` in the order of choice, ``info['pool_index']`` being the place in the pool,
        and ``report``, see ``science.sampling.selection.selection_report``.
    """
    try:
        if budget.value < 1:
            raise ValueError(f'budget: {budget.value}; at least one frame has to be chosen')
        known = _known(descriptors, labelled, labelled_descriptors)
        described = _described(pool, descriptors)
    except ValueError as error:
        return ExitCode(400, str(error))
    frames = [frame for frame, _ in described]
    both = described + known
    points = frame_points([features for _, features in both], [frame.numbers for frame, _ in both])
    usable = [not contact_problems(frame) for frame in frames]
    found = farthest_points(points[: len(frames)], points[len(frames) :], budget.value, usable)
    if not found.chosen:
        refused = sum(not each for each in usable)
        return ExitCode(
            401,
            f'nothing to choose: of {len(frames)} frames {len(found.duplicates)} are like labelled '
            f'ones and {refused} have atoms too close',
        )
    for index in found.chosen:
        frames[index].info['pool_index'] = index
    report = selection_report(found, [str(frame.info['source']) for frame in frames])
    report['n_labelled'] = len(known)
    report['model_sha256'] = _model_of(descriptors)
    chosen = FramesData.from_frames([frames[index] for index in found.chosen])
    return {'frames': chosen, 'report': orm.Dict(report)}


def _known(
    descriptors: orm.ArrayData, labelled: FramesData | None, of_them: orm.ArrayData | None
) -> Described:
    """Return what is labelled already.

    :raises ValueError: if it cannot be compared with the pool.
    """
    if labelled is None and of_them is None:
        return []
    if labelled is None or of_them is None:
        raise ValueError('labelled: give the frames and their descriptors, or neither')
    if _model_of(descriptors) != _model_of(of_them):
        raise ValueError('labelled_descriptors: made with another model than those of the pool')
    return _described(labelled, of_them)


def _described(frames: FramesData, descriptors: orm.ArrayData) -> Described:
    """Return frames and features together; ``ValueError`` if they do not belong together."""
    given = frames.get_frames()
    return list(zip(given, by_frame(dict(descriptors.get_iterarrays()), given), strict=True))


def _model_of(descriptors: orm.ArrayData) -> str | None:
    """Return the checksum of the model that features are of."""
    found: str | None = descriptors.base.attributes.get('model_sha256', None)
    return found
