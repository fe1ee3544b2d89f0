"""What DFT made for a learning curve, in an archive beside its points: no machine makes it twice.

The cache of a profile knows the jobs of its own computer only. So the nodes that cost DFT (cells,
force constants, labels) carry a key of what they are, and are written to ``reference.aiida`` as
soon as there is a new one; what the archive has is imported, found by its key, and not computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from aiida import orm
from aiida.engine import calcfunction
from aiida.tools.archive import create_archive, import_archive
from ase import Atoms

from aiida_mlip_ins.calculations.functions.dataset import joined
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.science.sampling.distances import SAME, separations

KEPT = 'reference.aiida'
"""Name of the archive in a folder, unless another file is given."""
KEY = 'learning_curve'
"""Extra of the nodes that are kept."""
CELL = 'cell at {:g} GPa'
CONSTANTS = 'force constants of the cell at {:g} GPa'
kept_in_option = click.option(
    '--reference', metavar='FILE', type=click.Path(dir_okay=False, path_type=Path),
    help=f'What DFT made and makes; default: {KEPT} in the folder.',
)  # fmt: skip


def study_of(crystal: orm.StructureData, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides whether DFT made before serves a study.

    :param settings: those of them that are not of DFT are not looked at.
    """
    made_of = {'crystal': crystal.store().base.caching.compute_hash()}
    return made_of | {key: settings[key] for key in ('protocol', 'method', 'supercell')}


def labels_of(frames: Sequence[Atoms], labelled: Sequence[Atoms]) -> list[Atoms]:
    """Return the first frames, up to one without, as they were labelled.

    :param labelled: frames with labels, in any order.
    :return: atoms, places and labels of `labelled`, what is said of a frame (its split and so on)
        from `frames`. Cells relaxed on two machines differ by less than what makes two frames.
    """
    apart = separations([*frames, *labelled])[: len(frames), len(frames) :]
    found = []
    for index, (frame, distances) in enumerate(zip(frames, apart, strict=True)):
        if not len(labelled) or distances.min() > SAME:
            break
        same = labelled[int(distances.argmin())].copy()
        same.info = {**same.info, **frame.info, 'index': index}
        found.append(same)
    return found


@calcfunction
def with_labels(frames: FramesData, **labelled: DatasetData) -> DatasetData:
    """Return the first frames, up to one without, with the labels that they have in `labelled`."""
    every = joined(labelled)
    return DatasetData.from_frames(labels_of(frames.get_frames(), every.get_frames()), every.method)


class Reference:
    """The nodes that are kept of one study."""

    def __init__(self, path: Path, study: dict[str, Any]) -> None:
        """Take what the archive has, if there is one.

        :param study: what all these nodes were made of and with, as JSON has it.
        """
        self.path, self.study = path, json.dumps(study, sort_keys=True)
        if path.is_file():
            import_archive(path, create_group=False)

    def every(self, what: str | None = None) -> list[orm.Data]:
        """Return the nodes that are this, or all of the study, in the order of their making."""
        filters = {f'extras.{KEY}.study': self.study}
        if what is not None:
            filters[f'extras.{KEY}.what'] = what
        query = orm.QueryBuilder().append(orm.Data, filters=filters, tag='node')
        return query.order_by({'node': 'ctime'}).all(flat=True)

    def find(self, what: str) -> orm.Data | None:
        """Return the last node that is this."""
        return next(reversed(self.every(what)), None)

    def keep(self, what: str, node: orm.Data) -> orm.Data:
        """Mark a node, write it to the archive with all others of the study, and return it."""
        node.base.extras.set(KEY, {'study': self.study, 'what': what})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        create_archive(
            self.every(), self.path, overwrite=True, create_backward=False, return_backward=False
        )
        return node

    def labelled(self, frames: FramesData) -> DatasetData | None:
        """Return the first frames that there are labels of, up to one without."""
        known = {f'labels_{i:04d}': node for i, node in enumerate(self.every('labels'))}
        first = frames.get_frames()[:1]
        if not known or not labels_of(first, joined(known).get_frames()):
            return None
        return with_labels(frames, **known)
