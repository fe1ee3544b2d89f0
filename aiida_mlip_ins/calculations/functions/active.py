"""Calcfunctions of active learning: guessed cells, choice by disagreement, the table of rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction
from ase import Atoms

from aiida_mlip_ins.calculations.functions.committee import labels_of
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.data.trajectory import from_node
from aiida_mlip_ins.science import active, sampling
from aiida_mlip_ins.science.committee import compare
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.structure import contact_problems

NEW = 'new'
"""Name of the frames of a round in its table of errors."""


@calcfunction
def guessed_cells(
    structure: orm.StructureData, pressures: orm.List, first: orm.Dict
) -> dict[str, orm.StructureData]:
    """Return ``pressure_i``, a guess of the crystal at the i-th pressure, and one above them all.

    :param pressures: in GPa.
    :param first: ``science.sampling.FirstSettings``.
    """
    settings = build(sampling.FirstSettings, first.get_dict(), 'first')
    cells = sampling.first_cells(to_atoms(structure), pressures.get_list(), settings)
    return {f'pressure_{index}': to_structure(cell) for index, cell in enumerate(cells)}


@calcfunction
def select_by_disagreement(
    candidates: FramesData,
    labelled: DatasetData,
    settings: orm.Dict,
    count: orm.Int,
    number: orm.Int,
    seed: orm.Int,
    **members: DatasetData,
) -> dict[str, orm.Data]:
    """Choose up to `count` of the candidates, those on which a committee disagrees most.

    :param labelled: frames that are labelled already.
    :param settings: ``science.active.ActiveSettings``.
    :param number: of the round, kept in ``info['round']`` of the frames.
    :param seed: of which of them are held out (``info['split']``).
    :param members: ``member_i``: its labels of all candidates.
    :return: ``report``, and ``frames`` if there are any, in the order of choice,
        ``info['pool_index']`` being the place among the candidates.
    :raises ValueError: if the members have not labelled all candidates.
    """
    chosen = build(active.ActiveSettings, settings.get_dict(), 'settings')
    frames = candidates.get_frames()
    n_atoms = np.array([len(frame) for frame in frames])
    spreads = active.frame_spreads(
        [labels_of(member) for member in _by_member(members, len(frames))], n_atoms
    )
    scores = active.disagreement(spreads, chosen)
    found = active.most_disputed(frames, labelled.get_frames(), scores, count.value, chosen)
    taken = [frames[place] for place in found.chosen]
    splits = active.new_splits(labelled.splits, taken, chosen.splits, seed.value)
    for place, frame, split in zip(found.chosen, taken, splits, strict=True):
        frame.info.update(
            split=split,
            round=number.value,
            pool_index=place,
            force_spread=float(spreads['force'][place]),
        )
    report = {
        'members': sorted(members),
        'n_candidates': len(frames),
        'n_chosen': len(taken),
        'n_near': len(found.near),
        'n_outside': len(found.outside),
        'chosen': found.chosen,
        **{f'{name}_spread': value for name, value in active.pool_spreads(spreads).items()},
        'chosen_force_spread': active.rms(spreads['force'][found.chosen]),
        'disagreement': scores.tolist(),
        'sources': _by_source(frames, found.chosen, spreads['force']),
        'units': active.UNITS,
    }
    made: dict[str, orm.Data] = {'report': orm.Dict(report)}
    if taken:
        made['frames'] = FramesData.from_frames(taken)
    return made


@calcfunction
def frames_of_motion(
    trajectory: orm.TrajectoryData, supercell_matrix: orm.List, apart: orm.Float
) -> FramesData | ExitCode:
    """Return frames of molecular dynamics, `apart` ps from one another, until atoms overlap.

    Where a potential loses the crystal, the frames before tell it what it does not know.

    :param supercell_matrix: of the run, three multiples or a matrix, which k-points are folded by.
    """
    matrix = sampling.multiples_of(supercell_matrix.get_list())
    try:
        frames = sampling.snapshots(from_node(trajectory), apart.value, apart.value)
    except ValueError as error:
        return ExitCode(400, str(error))
    sound = list(takewhile(lambda frame: not contact_problems(frame), frames))
    if not sound:
        return ExitCode(400, 'trajectory: atoms overlap from the first frame on')
    for frame in sound:
        frame.info['matrix'] = sampling.matrix_text(matrix)
    return FramesData.from_frames(sound)


@calcfunction
def frequency_spreads(**modes: orm.ArrayData) -> orm.Dict:
    """Return the spread of the frequencies (1/cm) of a committee at each pressure.

    :param modes: ``member_i_pressure_j``: of a phonon workchain; those of one pressure are of one
        crystal and on one mesh.
    :return: ``pressure_j``: the spread, mean over all modes on the mesh; only pressures for which
        there are two members.
    """
    nodes: dict[str, list[orm.ArrayData]] = {}
    for name in sorted(modes):
        nodes.setdefault(name[name.index('pressure_') :], []).append(modes[name])
    return orm.Dict(
        {
            pressure: active.frequency_spread(
                [node.get_array('mesh_frequencies') for node in found],
                found[0].get_array('mesh_weights'),
            )
            for pressure, found in nodes.items()
            if len(found) > 1
        }
    )


@calcfunction
def round_row(
    number: orm.Int,
    settings: orm.Dict,
    pressures: orm.List,
    dataset: DatasetData,
    selection: orm.Dict,
    relaxation: orm.Dict | None = None,
    committee: orm.Dict | None = None,
    frequencies: orm.Dict | None = None,
    labelled: DatasetData | None = None,
    motion: orm.Dict | None = None,
    **members: DatasetData,
) -> orm.Dict:
    """Return the row of a round in the table of an active learning; what is not known is ``None``.

    :param pressures: in GPa.
    :param dataset: what the committee was trained on.
    :param selection: ``report`` of :func:`select_by_disagreement`.
    :param relaxation: ``results`` of the pressure scan with the first member.
    :param committee: ``summary`` of the committee.
    :param frequencies: of :func:`frequency_spreads`.
    :param labelled: the frames that were chosen, with the labels that they got.
    :param motion: ``verdict`` of molecular dynamics with the first member.
    :param members: ``member_i``: labels of all candidates.
    :return: numbers with units as in ``science.active.UNITS``. ``force_error`` and ``stress_error``
        are of the new frames, which the committee was not trained on: root mean square over the
        members; ``new`` also has the errors of their mean, see ``science.committee.compare``.
    """
    chosen = build(active.ActiveSettings, settings.get_dict(), 'settings')
    report = selection.get_dict()
    count = len(pressures.get_list())
    row: dict[str, Any] = {
        'round': number.value,
        'n_frames': dataset.n_frames,
        'splits': dataset.splits,
        'n_members': len(report['members']),
        **{name: report[name] for name in ('n_candidates', 'n_chosen')},
        'n_labelled': labelled.n_frames if labelled is not None else 0,
        **{f'{name}_spread': report[f'{name}_spread'] for name in ('energy', 'force', 'stress')},
        'chosen_force_spread': report['chosen_force_spread'],
        **_frequencies(frequencies, count),
        **_motion(motion),
        'volumes': _volumes(relaxation, count),
        'valid_force_error': _valid_error(committee),
    }
    row |= _new_errors(labelled, members)
    row['reached'], row['sentences'] = active.verdict(row, chosen)
    return orm.Dict(row)


@calcfunction
def collect_rounds(ended: orm.Str, history: orm.Dict | None = None, **rows: orm.Dict) -> orm.Dict:
    """Return the table of an active learning.

    :param ended: why there are no more rounds.
    :param history: the table of the run that this one goes on from.
    :param rows: ``round_i``.
    :return: ``rounds``, ``ended`` and ``units``.
    """
    before = [] if history is None else history['rounds']
    ordered = sorted((row.get_dict() for row in rows.values()), key=lambda row: row['round'])
    return orm.Dict({'rounds': [*before, *ordered], 'ended': ended.value, 'units': active.UNITS})


def spread_columns(
    selection: orm.Dict, frequencies: orm.Dict | None, count: int, motion: orm.Dict | None
) -> dict[str, Any]:
    """Return the columns of a row that are known before any frame is labelled.

    :param count: number of pressures.
    :param motion: verdict of molecular dynamics.
    """
    known = {'force_spread': selection['force_spread'], **_motion(motion)}
    return known | _frequencies(frequencies, count)


def _motion(node: orm.Dict | None) -> dict[str, Any]:
    """Return the verdict of molecular dynamics with its reasons."""
    return {
        'motion': None if node is None else node['verdict'],
        'motion_reasons': [] if node is None else node['reasons'],
    }


def _frequencies(node: orm.Dict | None, count: int) -> dict[str, Any]:
    """Return the spread at each pressure, and the largest if it is known at all of them."""
    spreads = [None if node is None else node.get(f'pressure_{i}', None) for i in range(count)]
    known = [spread for spread in spreads if spread is not None]
    return {
        'frequency_spreads': spreads,
        'frequency_spread': max(known) if len(known) == count else None,
    }


def _volumes(relaxation: orm.Dict | None, count: int) -> list[float | None]:
    """Return the relaxed volume at each pressure, ``None`` where it did not converge."""
    rows = [] if relaxation is None else relaxation['pressures']
    found = [row['volume_angstrom3'] if row['converged'] else None for row in rows]
    return found + [None] * (count - len(found))


def _valid_error(committee: orm.Dict | None) -> float | None:
    """Return the force error (rms, mean over the members) on the frames held out in training."""
    splits = {} if committee is None else committee['splits']
    error: float | None = splits.get('valid', {}).get('force', {}).get('rms_error_of_members')
    return error


def _new_errors(labelled: DatasetData | None, members: Mapping[str, DatasetData]) -> dict[str, Any]:
    """Return what the labels of new frames say of the committee that had not seen them."""
    row: dict[str, Any] = dict.fromkeys(('force_error', 'stress_error', 'rank_correlation', 'new'))
    if labelled is None:
        return row
    frames = labelled.get_frames()
    places = [int(frame.info['pool_index']) for frame in frames]
    predicted = [labels_of([member[place] for place in places]) for member in _by_member(members)]
    table, _ = compare(
        active.without_symmetric_zeros(labels_of(frames), predicted),
        predicted,
        np.array([len(frame) for frame in frames]),
        [NEW] * len(frames),
    )
    force = table[NEW]['force']
    row['force_error'] = force['rms_error_of_members']
    row['stress_error'] = table[NEW]['stress']['rms_error_of_members']
    row['rank_correlation'] = force['rank_correlation']
    row['new'] = table[NEW]
    return row


def _by_member(members: Mapping[str, DatasetData], count: int | None = None) -> list[list[Atoms]]:
    """Return the frames of each member; refuse one that has not `count` of them."""
    found = {name: members[name].get_frames() for name in sorted(members)}
    wrong = [name for name, frames in found.items() if len(frames) != (count or len(frames))]
    if wrong:
        raise ValueError(f'members: {", ".join(wrong)} have not labelled all {count} candidates')
    return list(found.values())


def _by_source(
    frames: Sequence[Atoms], chosen: Sequence[int], spread: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Return how many frames of each kind there are and are chosen, and their spread of forces."""
    kinds = np.array([str(frame.info['source']) for frame in frames])
    return {
        str(kind): {
            'n_candidates': int((kinds == kind).sum()),
            'n_chosen': int((kinds[list(chosen)] == kind).sum()),
            'force_spread': active.rms(spread[kinds == kind]),
        }
        for kind in sorted(set(kinds))
    }
