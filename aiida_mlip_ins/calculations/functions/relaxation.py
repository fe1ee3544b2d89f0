"""Calcfunctions of the relaxation by single points."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction
from ase import Atoms

from aiida_mlip_ins.calculations.functions.dataset import joined
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.science.relaxation import (
    RelaxationSettings,
    first_frames,
    is_relaxed,
    most_relaxed,
    next_frames,
)
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.structure import relaxed_cell


@calcfunction
def first_relaxation_frames(structure: orm.StructureData, settings: orm.Dict) -> FramesData:
    """Return the frames of the first round; see ``science.relaxation.first_frames``."""
    return FramesData.from_frames(first_frames(to_atoms(structure), _settings(settings)))


@calcfunction
def next_relaxation_frames(
    structure: orm.StructureData,
    pressures: orm.List,
    settings: orm.Dict,
    **datasets: DatasetData,
) -> dict[str, FramesData]:
    """Return ``frames`` for the pressures (GPa) that are not relaxed, nothing if all are.

    :param datasets: ``round_0``, ``round_1``, ...: the labelled frames of the rounds so far.
    """
    frames = next_frames(
        to_atoms(structure), _frames(datasets), pressures.get_list(), _settings(settings)
    )
    return {'frames': FramesData.from_frames(frames)} if frames else {}


@calcfunction
def collect_relaxation(
    structure: orm.StructureData,
    pressures: orm.List,
    settings: orm.Dict,
    **datasets: DatasetData,
) -> dict[str, orm.Data]:
    """Return the most relaxed crystal at each pressure, the table and all frames.

    :return: ``pressure_i`` (``StructureData``), ``results`` with a row for each pressure (see
        ``science.structure.relaxed_cell``), ``dataset`` with the frames of all rounds.
    """
    chosen = _settings(settings)
    frames = _frames(datasets)
    outputs: dict[str, orm.Data] = {'dataset': joined(datasets)}
    rows: list[dict[str, Any]] = []
    for index, pressure in enumerate(pressures.get_list()):
        frame = frames[most_relaxed(frames, pressure, chosen)]
        outputs[f'pressure_{index}'] = to_structure(frame)
        cell = relaxed_cell(
            frame,
            pressure,
            frame.info['REF_energy'],
            frame.arrays['REF_forces'],
            frame.info['REF_stress'],
            chosen.symprec,
        )
        converged = is_relaxed(frame, pressure, chosen)
        rows.append({'index': index, **cell, 'converged': converged, 'steps': len(datasets)})
    outputs['results'] = orm.Dict({'pressures': rows, 'frames': len(frames)})
    return outputs


def _settings(settings: orm.Dict) -> RelaxationSettings:
    return build(RelaxationSettings, settings.get_dict(), 'settings')


def _frames(datasets: dict[str, DatasetData]) -> list[Atoms]:
    """Return the frames of all rounds in their order."""
    return [
        frame for index in range(len(datasets)) for frame in datasets[f'round_{index}'].get_frames()
    ]
