"""Calcfunction for a committee of potentials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase import Atoms

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.science import dataset as labelled
from aiida_mlip_ins.science.committee import UNITS, Labels, compare

ARRAY_UNITS = {
    **{f'{name}_{kind}': unit for name, unit in UNITS.items() for kind in ('error', 'spread')},
    **{
        f'{kind}_{name}': unit
        for name, unit in (
            ('energies', 'eV'), ('forces', 'eV/angstrom'), ('stresses', 'eV/angstrom^3'),
        )
        for kind in ('mean', 'spread')
    },
    'index': '', 'frame': '',
}  # fmt: skip
"""Units of the arrays of :func:`calibrate_committee`."""


@calcfunction
def calibrate_committee(dataset: DatasetData, **members: DatasetData) -> dict[str, orm.Data]:
    """Return ``summary`` and ``spread`` of a committee on the frames that it has not seen.

    :param dataset: what the members were trained on, with the true labels of the frames held out.
    :param members: ``member_i``: labels of the frames held out; ``index`` is the position in the
        dataset.
    :return: ``summary``: per split and quantity (see :func:`~science.committee.compare`);
        ``spread``: the arrays, with ``index``: the position in the dataset of each frame.
    :raises ValueError: if the members have not labelled the same frames.
    """
    keys = sorted(members, key=lambda key: int(key.rpartition('_')[2]))
    predicted = {key: members[key].get_frames() for key in keys}
    positions = {
        key: [int(frame.info['index']) for frame in frames] for key, frames in predicted.items()
    }
    index = positions[keys[0]]
    others = [key for key in keys if positions[key] != index]
    if others:
        raise ValueError(f'members: {", ".join(others)} have other frames than {keys[0]}')
    frames = dataset.get_frames()
    chosen = [frames[position] for position in index]
    table, arrays = compare(
        labels_of(chosen),
        [labels_of(predicted[key]) for key in keys],
        np.array([len(frame) for frame in chosen]),
        [str(frame.info['split']) for frame in predicted[keys[0]]],
    )
    node = orm.ArrayData()
    for name, values in {'index': np.array(index), **arrays}.items():
        node.set_array(name, values)
    node.base.attributes.set('units', ARRAY_UNITS)
    summary = {'members': keys, 'units': UNITS, 'splits': table}
    return {'summary': orm.Dict(summary), 'spread': node}


def labels_of(frames: Sequence[Atoms]) -> Labels:
    """Return the labels of frames one after another, NaN for those that a frame does not have."""
    return Labels(
        np.array([frame.info.get(labelled.ENERGY, np.nan) for frame in frames], dtype=float),
        np.concatenate([frame.arrays[labelled.FORCES] for frame in frames]),
        np.array(
            [np.asarray(frame.info.get(labelled.STRESS, [np.nan] * 6)) for frame in frames],
            dtype=float,
        ),
    )
