"""Calcfunction that says whether what is asked of a potential was trained on."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.structure import to_atoms
from aiida_mlip_ins.science.reach import ReachSettings, judge
from aiida_mlip_ins.science.settings import build


@calcfunction
def judge_reach(
    dataset: DatasetData, pressures: orm.List, settings: orm.Dict, **structures: orm.StructureData
) -> orm.Dict:
    """Say for each pressure whether it is inside, at the edge of, or outside what was trained on.

    :param dataset: the frames of the training.
    :param pressures: GPa.
    :param settings: ``ReachSettings``.
    :param structures: ``pressure_i`` as the potential relaxed it at the i-th pressure; pressures
        without are left out.
    :return: ``pressures``: what :func:`science.reach.judge` says of each, and its ``index``.
    """
    margins = build(ReachSettings, settings.get_dict(), 'settings')
    frames = dataset.get_frames()
    rows = [
        {'index': index, **judge(to_atoms(crystal), float(pressure), frames, margins)}
        for index, pressure in enumerate(pressures.get_list())
        if (crystal := structures.get(f'pressure_{index}')) is not None
    ]
    return orm.Dict({'pressures': rows})
