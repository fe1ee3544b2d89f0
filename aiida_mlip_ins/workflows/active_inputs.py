"""Inputs of active learning: from protocols, and what is refused before anything is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.calculations.functions.frames import composed
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.structure import structure_problems, to_atoms
from aiida_mlip_ins.science import sampling
from aiida_mlip_ins.science.active import active_problems
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.structure import pressure_problems
from aiida_mlip_ins.science.text import shortened
from aiida_mlip_ins.science.training import split_problems
from aiida_mlip_ins.workflows import committee
from aiida_mlip_ins.workflows.composition import fill, gathered, tried
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.frame_inputs import frame_contact_problems, kpoint_problems
from aiida_mlip_ins.workflows.mace_inputs import evaluate_inputs_from_protocol
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.md_inputs import count_problem
from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain
from aiida_mlip_ins.workflows.pipeline_checks import node_problems, section_problems
from aiida_mlip_ins.workflows.pressures import pressure_key
from aiida_mlip_ins.workflows.protocols import load_protocol, merge
from aiida_mlip_ins.workflows.pw_inputs import pseudo_problems
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain

LINKS = ('reference', 'committee', 'mace_pressure_scan', 'mace_phonons', 'md', 'evaluate')
"""Links whose own protocols can be overridden, each under its name."""

CONNECTED = ('dataset', 'frames', 'structure', 'structures', 'pressures', 'model')
"""Inputs of links that a round puts in."""


def get_builder(
    cls: Any,
    structure: orm.StructureData,
    pressures: list[float],
    engine_code: orm.AbstractCode | str,
    pw_code: orm.AbstractCode | str,
    dataset: DatasetData | None = None,
    protocol: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    pw_options: Mapping[str, Any] | None = None,
    engine_options: Mapping[str, Any] | None = None,
    foundation: MaceModelData | None = None,
    cells: Mapping[str, orm.StructureData] | None = None,
    history: orm.Dict | None = None,
    stop_after_round: int | None = None,
) -> ProcessBuilder:
    """Return a builder with the numbers of a protocol.

    :param structure: the crystal.
    :param pressures: in GPa, ascending.
    :param engine_code: Python of the engines environment, as a node or its label.
    :param pw_code: pw.x, likewise.
    :param dataset: labelled frames to start from; without it the first ones are made and labelled.
    :param protocol: ``fast``, ``balanced`` or ``stringent``, for every link.
    :param overrides: values on top of those of ``protocols/active_learning.yaml``, and under the
        name of a link (``reference``, ``committee``, ``mace_pressure_scan``, ``mace_phonons``,
        ``md``, ``evaluate``) those on top of that link's protocol.
    :param pw_options: ``metadata.options`` of every pw.x job.
    :param engine_options: ``metadata.options`` of every engine job.
    :param foundation: model that every member of every round starts from.
    :param cells: ``pressure_i``: cell at the i-th pressure to make candidates around where the
        potential has none; guessed if not given.
    :param history: ``rounds`` of an earlier run, which this one goes on from.
    :param stop_after_round: number of the round after which to stop.
    :raises ValueError: listing everything that is wrong with the arguments, of all links.
    """
    given = dict(overrides or {})
    links = {name: dict(given.pop(name, {})) for name in LINKS}
    numbers = load_protocol('active_learning', protocol, given, LINKS)
    found = structure_problems(structure, require_hydrogen=False) + pressure_problems(pressures)
    found += count_problem(numbers['max_concurrent'], 1, 'max_concurrent')
    code, code_found = load_engine_code(engine_code)
    found += code_found
    if found:
        raise ValueError('\n'.join(found))
    made = {
        'reference': tried(
            found, 'reference', ReferenceWorkChain.get_builder_from_protocol,
            pw_code, None, protocol, links['reference'], pw_options, structure,
        ),
        'committee': tried(
            found, 'committee', committee.CommitteeWorkChain.get_builder_from_protocol,
            code, None, foundation, protocol, links['committee'], engine_options,
        ),
        'mace_pressure_scan': tried(
            found, 'mace_pressure_scan', MacePressureScanWorkChain.get_builder_from_protocol,
            code, structure, None, pressures, protocol, links['mace_pressure_scan'],
            engine_options,
        ),
    }  # fmt: skip
    if numbers['frequencies']:
        made['mace_phonons'] = tried(
            found, 'mace_phonons', MacePhononsWorkChain.get_builder_from_protocol,
            code, structure, None, protocol, links['mace_phonons'], engine_options,
        )  # fmt: skip
    if numbers['md_temperatures']:
        made['md'] = tried(
            found, 'md', MdStabilityWorkChain.get_builder_from_protocol,
            code, [structure] * len(pressures), None, pressures, numbers['md_temperatures'],
            links['md'].pop('supercell_matrix', None), protocol, links['md'], engine_options,
        )  # fmt: skip
    elif links['md']:
        found.append("md: no molecular dynamics is run without 'md_temperatures', such as [300.0]")
    evaluate = tried(found, 'evaluate', evaluate_inputs_from_protocol, protocol, links['evaluate'])
    builder = cls.get_builder()
    builder.structure = structure
    builder.pressures = orm.List([float(pressure) for pressure in pressures])
    builder.max_concurrent = orm.Int(numbers['max_concurrent'])
    builder.seed = orm.Int(numbers['seed'])
    for name, node in (('dataset', dataset), ('cells', cells), ('history', history)):
        if node is not None:
            builder[name] = node
    if stop_after_round is not None:
        builder.stop_after_round = orm.Int(stop_after_round)
    found += _own_numbers(builder, numbers, pressures, protocol)
    for name, link in made.items():
        fill(builder, name, CONNECTED, link)
    if evaluate:
        options = merge(evaluate['metadata']['options'], engine_options or {})
        builder.evaluate = {'code': code, **evaluate, 'metadata': {'options': options}}
    if not found:
        problem = input_problems(builder._inputs(prune=True), None)
        found += [] if problem is None else problem.splitlines()
    if found:
        raise ValueError('\n'.join(gathered(found, LINKS)))
    return builder


def _own_numbers(
    builder: ProcessBuilder,
    numbers: Mapping[str, Any],
    pressures: list[float],
    protocol: str | None,
) -> list[str]:
    """Put in the settings that belong to no link, or return what is wrong with them."""
    margin = numbers['pressure_margin']
    if isinstance(margin, bool) or not isinstance(margin, int | float) or margin <= 0:
        return [f'pressure_margin: expected a number above 0 (GPa), got {margin!r}']
    relaxation = load_protocol('pw_quadratic_scan', protocol)['relaxation']
    first = merge({'bond_lengths': relaxation['bond_lengths']}, numbers['first'])
    first['pressure'] = max(pressures) + margin
    first['sampling'] = sampling.spanned(first['sampling'], pressures, margin)
    candidates = sampling.spanned(numbers['sampling'], pressures, margin)
    found = active_problems(numbers['settings'], 'settings')
    found += sampling.first_problems(first, pressures)
    found += sampling.sampling_problems(candidates)
    if not found:
        builder.settings = orm.Dict(numbers['settings'])
        builder.first = orm.Dict(first)
        builder.sampling = orm.Dict(candidates)
    return found


def validate_settings(value: orm.Dict, _: Any) -> str | None:
    """Refuse settings that are unknown, missing or out of range, all at once."""
    return '\n'.join(active_problems(value.get_dict(), 'settings')) or None


def validate_sampling(value: orm.Dict, _: Any) -> str | None:
    """Refuse unknown sections and keys; shares of splits are in the settings."""
    return '\n'.join(sampling.sampling_problems(value.get_dict())) or None


def input_problems(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Refuse inputs from which not even the first round could be run, all problems at once."""
    if any(name not in inputs for name in ('structure', 'pressures', 'first', 'settings')):
        return None
    pressures = inputs['pressures'].get_list()
    structure = inputs['structure']
    found = structure_problems(structure, require_hydrogen=False) + pressure_problems(pressures)
    if found:
        return '\n'.join(found)
    train = inputs['committee']['member']['train']
    found = node_problems(
        {'structure': structure, 'dataset': inputs.get('dataset'), 'train': train}
    )
    pseudos = inputs['reference']['base']['pw']['pseudos']
    found += [f'reference.{p}' for p in pseudo_problems(pseudos, structure.get_symbols_set())]
    found += section_problems(
        inputs['sampling'].get_dict(), structure, inputs['reference']['kpoints_distance'].value
    )
    found += _motion_problems(inputs)
    wrong_cells = _cells_problems(inputs.get('cells'), len(pressures))
    found += wrong_cells + _history_problems(inputs)
    wrong_first = sampling.first_problems(inputs['first'].get_dict(), pressures)
    found += wrong_first
    if 'dataset' in inputs:
        found += _dataset_problems(inputs)
    elif not wrong_first + wrong_cells:
        found += _first_frame_problems(inputs)
    return '\n'.join(found) or None


def knots(inputs: Mapping[str, Any]) -> list[float]:
    """Return the pressures (GPa) of the cells, given or guessed, that first frames are between."""
    pressures = [float(pressure) for pressure in inputs['pressures'].get_list()]
    return pressures if inputs.get('cells') else [*pressures, float(inputs['first']['pressure'])]


def first_splits(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the first frames as ``targeted_configurations`` takes them."""
    return {**inputs['first']['sampling'], 'splits': inputs['settings']['splits']}


def _dataset_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return why a given dataset cannot be trained on, or joined with new frames."""
    dataset, method = inputs['dataset'], inputs['reference']['method'].value
    problem = committee.validate({**inputs['committee'], 'dataset': dataset}, None)
    found = [] if problem is None else problem.splitlines()
    if dataset.method != method:
        found.append(
            f"dataset: its labels are of '{dataset.method}', those of new frames would be of "
            f"'{method}', and labels of two methods cannot be joined; label its frames with these "
            "settings of `reference`, or, if they were, say so in the dataset's method"
        )
    return found


def _first_frame_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Make the first frames, and return why they cannot be labelled or trained on."""
    settings, structure = inputs['settings'].get_dict(), inputs['structure']
    first = build(sampling.FirstSettings, inputs['first'].get_dict(), 'first')
    pressures = inputs['pressures'].get_list()
    given = inputs.get('cells') or {}
    cells = [to_atoms(given[pressure_key(index)]) for index in range(len(given))]
    cells = cells or sampling.first_cells(to_atoms(structure), pressures, first)
    around = dict(zip(knots(inputs), cells, strict=True))
    try:
        frames = composed(around, first_splits(inputs), inputs['seed'].value)
        node = FramesData.from_frames(frames)
    except ValueError as error:
        return [f'first: {line}' for line in str(error).splitlines()]
    found = frame_contact_problems(node)
    found += kpoint_problems(node, inputs['reference']['kpoints_distance'].value, structure)
    splits = [frame.info['split'] for frame in frames]
    values = inputs['committee']['member']['train']['parameters'].get_dict()
    found += split_problems({name: splits.count(name) for name in set(splits)}, values, 'frames')
    if len(frames) > settings['max_frames']:
        found.append(
            f'settings.max_frames: {settings["max_frames"]}, but there are {len(frames)} first '
            'frames; raise it, or lower the counts in `first.sampling`'
        )
    return [f'first: {line}' for line in found]


def _motion_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return why frames of molecular dynamics could not be labelled."""
    if 'md' not in inputs or inputs['settings'].get('motion_apart', None) is None:
        return []
    matrix = sampling.multiples_of(inputs['md']['supercell_matrix'].get_list())
    frames = FramesData.from_frames(sampling.supercells(to_atoms(inputs['structure']), [matrix]))
    distance = inputs['reference']['kpoints_distance'].value
    found = kpoint_problems(frames, distance, inputs['structure'])
    return [f'md.supercell_matrix: {line.removeprefix("frames: ")}' for line in found]


def _cells_problems(cells: Mapping[str, Any] | None, count: int) -> list[str]:
    """Return which of the given cells are missing or too many."""
    wanted = [pressure_key(index) for index in range(count)]
    if not cells or sorted(cells) == sorted(wanted):
        return []
    return [
        f'cells: there are {shortened(sorted(cells))}, but the pressures need {shortened(wanted)}'
    ]


def _history_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return why a run cannot go on from the given table, or stop after the given round."""
    begin = 0
    if 'history' in inputs:
        rows = inputs['history'].get('rounds', None)
        if not isinstance(rows, list) or not all('round' in row for row in rows):
            return ['history: give the output `rounds` of an active learning']
        begin = next_round(inputs['history'])
        if 'dataset' not in inputs:
            return ['history: it needs the `dataset` that the earlier run ended with']
    last = inputs['stop_after_round'].value if 'stop_after_round' in inputs else begin
    if last < begin:
        return [f'stop_after_round: {last}, but the first round to come is {begin}']
    return []


def next_round(history: orm.Dict | None) -> int:
    """Return the number of the round that follows those of a table."""
    rows = [] if history is None else history['rounds']
    return 1 + max((int(row['round']) for row in rows), default=-1)
