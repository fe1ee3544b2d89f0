"""Inputs of the whole chain made from the protocols of its links, and its checks at the door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.measured import MeasuredSpectrumData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.structure import structure_problems
from aiida_mlip_ins.science.dataset_checks import DatasetCheckSettings
from aiida_mlip_ins.science.sampling import sampling_problems
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.structure import pressure_problems
from aiida_mlip_ins.workflows.composition import gathered, tried
from aiida_mlip_ins.workflows.cure_inputs import remedy_inputs
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.mace_inputs import train_inputs_from_protocol
from aiida_mlip_ins.workflows.measured_inputs import (
    PORT,
    by_key,
    comparison_numbers,
    measured_problems,
)
from aiida_mlip_ins.workflows.pipeline_checks import node_problems, with_supercells
from aiida_mlip_ins.workflows.pipeline_links import add_dft, add_mace
from aiida_mlip_ins.workflows.protocols import load_known, load_protocol, merge

LINKS = (
    'pw_scan',
    'reference',
    'dataset_checks',
    'train',
    'pw_phonons',
    'mace_pressure_scan',
    'mace_phonons',
    'ins',
    'cure',
    PORT,
)
"""Links of the chain whose own protocols can be overridden, each under its name."""

POLICIES = ('ins', 'cure')
"""What meets imaginary modes: the policy of the spectrum (``imaginary`` in its settings), or a cure
before it."""


def get_builder(
    cls: Any,
    structure: orm.StructureData,
    pressures: list[float],
    engine_code: orm.AbstractCode | str,
    pw_code: orm.AbstractCode | str | None = None,
    protocol: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    pw_options: Mapping[str, Any] | None = None,
    engine_options: Mapping[str, Any] | None = None,
    dataset: DatasetData | None = None,
    model: MaceModelData | None = None,
    foundation: MaceModelData | None = None,
    measured: Mapping[float, MeasuredSpectrumData] | None = None,
    check: bool = True,
) -> ProcessBuilder:
    """Return a builder of the whole chain with the numbers of a protocol.

    :param structure: the crystal.
    :param pressures: in GPa, ascending.
    :param engine_code: Python of the engines environment, as a node or its label.
    :param pw_code: pw.x; not needed with a dataset or model if ``check`` is off.
    :param protocol: ``fast``, ``balanced`` or ``stringent``, for every link.
    :param overrides: values on top of those of ``protocols/pipeline.yaml``, and under the name of a
        link (``pw_scan``, ``reference``, ``dataset_checks``, ``train``, ``pw_phonons``,
        ``mace_pressure_scan``, ``mace_phonons``, ``ins``, ``cure``) those on top of that link's
        protocol; under
        ``compare_spectra`` those of the comparison with measured spectra, and its ``windows``.
    :param pw_options: ``metadata.options`` of every pw.x job.
    :param engine_options: ``metadata.options`` of every engine job.
    :param dataset: labelled frames to train on, in place of DFT.
    :param model: trained potential, in place of a training.
    :param foundation: model that the training starts from.
    :param measured: measured spectra by pressure (GPa), which the computed ones are compared with;
        their peaks stand beside the modes.
    :param check: whether DFT's cells and modes at Gamma are computed to check the potential.
    :raises ValueError: listing everything that is wrong with the arguments, of all links.
    """
    given = dict(overrides or {})
    links = {name: given.pop(name, {}) for name in LINKS}
    # The links' own protocols have the same names, so nothing else can be judged without them.
    numbers, unknown = load_known('pipeline', protocol, given, LINKS)
    found = structure_problems(structure) + pressure_problems(pressures)
    builder = cls.get_builder()
    builder.structure = structure
    builder.pressures = orm.List([float(pressure) for pressure in pressures])
    builder.max_concurrent = orm.Int(numbers['max_concurrent'])
    code, code_found = load_engine_code(engine_code)
    found += code_found
    engine = (code, structure, protocol, engine_options)
    needs_frames = dataset is None and model is None
    if pw_code is None and (needs_frames or check):
        found.append(
            'pw_code: without a dataset or model, and for the check, DFT is needed; give a code '
            'for pw.x, or a dataset or model and check=False'
        )
    elif not found and (needs_frames or check):
        dft = (pw_code, structure, protocol, pw_options)
        add_dft(builder, found, links, numbers, dft, needs_frames, check)
    if needs_frames:
        distance = builder.reference.kpoints_distance
        sections = numbers['sampling']
        splits = sections.pop('splits', {})
        wrong = sampling_problems(sections)
        found += [f'overrides.{line}' for line in wrong]
        if distance is not None and not wrong:
            below = numbers['short_axis']
            sections = with_supercells(sections, structure, distance.value, below)
        builder.sampling = orm.Dict({**sections, 'splits': splits})
        builder.seed = orm.Int(numbers['seed'])
    if model is None and numbers['check_dataset']:
        checks = tried(found, 'dataset_checks', _check_settings, protocol, links['dataset_checks'])
        if checks is not None:
            builder.dataset_checks = orm.Dict(checks)
    if model is None:
        train = tried(found, 'train', train_inputs_from_protocol, protocol, links['train'])
        if train:
            train['metadata']['options'] = merge(train['metadata']['options'], engine_options or {})
            builder.train = {'code': code, **train}
    for name, node in (('dataset', dataset), ('model', model)):
        if node is not None:
            builder[name] = node
    if foundation is not None:
        builder.train.foundation = foundation
    policy = numbers['imaginary_policy']
    if policy not in POLICIES:
        found.append(
            f"overrides.imaginary_policy: unknown policy '{policy}' (valid: ins, for what "
            'ins.parameters.imaginary says, and cure)'
        )
    if not code_found:
        add_mace(builder, found, links, engine)
        if policy == 'cure':
            cured = (code, structure, [*pressures, 0.0][0], protocol, links['cure'], engine_options)
            remedies = tried(found, 'cure', remedy_inputs, *cured)
            if remedies is not None:
                builder.cure = remedies
    if measured:
        builder.measured, wrong = by_key(measured, builder.pressures.get_list())
        found += wrong
        simulation = builder.ins.ins.parameters
        if simulation is not None:
            given_there = ([*measured.values()], simulation, protocol, links[PORT])
            settings = tried(found, PORT, comparison_numbers, *given_there) or {}
            builder[PORT] = {name: orm.Dict(values) for name, values in settings.items()}
        if not found:
            found += measured_problems(builder)
    found = unknown + found + node_problems(builder)
    if found:
        raise ValueError('\n'.join(gathered(found, LINKS)))
    return builder


def _check_settings(protocol: str | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the dataset's checks.

    :raises ValueError: listing every problem of them.
    """
    settings = load_protocol('dataset_checks', protocol, overrides)
    build(DatasetCheckSettings, settings, 'settings')
    return settings
