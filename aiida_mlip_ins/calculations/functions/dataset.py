"""Calcfunctions that turn finished pw.x calculations into datasets and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_mlip_ins.calculations.functions.frames import frame_key
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.structure import to_atoms
from aiida_mlip_ins.science.dataset import labelled, stress_from_pw
from aiida_mlip_ins.science.structure import relaxed_cell


@calcfunction
def collect_dataset(
    frames: FramesData, method: orm.Str, **trajectories: orm.TrajectoryData
) -> DatasetData:
    """Label the frames with what pw.x computed for them.

    Frames without a trajectory are left out; ``info['index']`` tells which ones were kept.

    :param frames: all frames that were to be labelled.
    :param method: label of the method.
    :param trajectories: ``frame_0000``, the ``output_trajectory`` of frame 0, and so on: the
        dataset's provenance goes through them to each calculation.
    """
    kept = []
    for index, frame in enumerate(frames.get_frames()):
        trajectory = trajectories.get(frame_key(index))
        if trajectory is not None:
            kept.append(labelled(frame, *pw_labels(trajectory), index))
    return DatasetData.from_frames(kept, method.value)


@calcfunction
def collect_pressure_scan(
    structure: orm.StructureData,
    pressures: orm.List,
    volume_tolerance: orm.Float,
    symprec: orm.Float,
    **outputs: orm.Data,
) -> orm.Dict:
    """Tabulate the relaxation at each pressure.

    :param structure: what all relaxations started from.
    :param pressures: in GPa.
    :param volume_tolerance: a pressure has converged when the last repeat changed the volume by
        less than this fraction.
    :param symprec: tolerance of the space group search in angstrom.
    :param outputs: for pressure i and repeat n, ``parameters_i_n``, ``trajectory_i_n`` and
        ``structure_i_n``. Pressures without are left out.
    :return: ``pressures``, a list of rows; see ``science.structure.relaxed_cell`` and below.
    """
    rows = []
    for index, pressure in enumerate(pressures.get_list()):
        repeats = 0
        while f'structure_{index}_{repeats}' in outputs:
            repeats += 1
        if not repeats:
            continue
        cells = [to_atoms(structure)]
        cells += [to_atoms(outputs[f'structure_{index}_{n}']) for n in range(repeats)]
        volumes = [float(cell.get_volume()) for cell in cells]
        last = repeats - 1
        energy, forces, stress = pw_labels(outputs[f'trajectory_{index}_{last}'])
        change = abs(volumes[-1] / volumes[-2] - 1)
        rows.append(
            {
                'index': index,
                **relaxed_cell(cells[-1], pressure, energy, forces, stress, symprec.value),
                'volumes_angstrom3': volumes,
                'last_volume_change': change,
                'converged': bool(change < volume_tolerance.value),
                'repeats': repeats,
                'steps': sum(
                    int(outputs[f'parameters_{index}_{n}'].get('number_ionic_steps', 0))
                    for n in range(repeats)
                ),
            }
        )
    return orm.Dict({'pressures': rows})


@calcfunction
def join_datasets(**datasets: DatasetData) -> DatasetData:
    """Return one dataset with the frames of several, in the order of their names.

    :raises ValueError: if they were labelled by different methods.
    """
    return joined(datasets)


def joined(datasets: Mapping[str, DatasetData]) -> DatasetData:
    """Return an unstored dataset with the frames of all, in the order of their names.

    :raises ValueError: if they were labelled by different methods, which must not be mixed.
    """
    methods = {dataset.method for dataset in datasets.values()}
    if len(methods) != 1:
        raise ValueError(f'datasets of different methods cannot be joined: {sorted(methods)}')
    frames = [frame for name in sorted(datasets) for frame in datasets[name].get_frames()]
    for index, frame in enumerate(frames):
        frame.info['index'] = index
    return DatasetData.from_frames(frames, methods.pop())


def pw_labels(trajectory: orm.TrajectoryData) -> tuple[float, np.ndarray, np.ndarray | None]:
    """Return energy (eV), forces (n, 3; eV/angstrom) and stress (6; eV/angstrom^3, or ``None``).

    All are of the last ionic step. The stress has tension positive, xx yy zz yz xz xy.

    :raises KeyError: if there are no energies or forces.
    """
    names = trajectory.get_arraynames()
    stress: Any = None
    if 'stress' in names:
        stress = stress_from_pw(trajectory.get_array('stress')[-1])
    forces = np.asarray(trajectory.get_array('forces')[-1], dtype=float)
    return float(trajectory.get_array('energy')[-1]), forces, stress
