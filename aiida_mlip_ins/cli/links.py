"""The links of the chain as builders made from what the user typed, and how they are carried out.

Each function takes :class:`Inputs`, which collect the problems, and what its subcommand of
``launch`` was given. It returns a builder, or ``None`` if an input could not be understood.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import ProcessBuilder
from aiida_phonopy.data import ForceConstantsData

from aiida_mlip_ins.cli.inputs import Inputs
from aiida_mlip_ins.cli.nodes import Refusal
from aiida_mlip_ins.science.settings import nearest
from aiida_mlip_ins.workflows.protocols import PROTOCOLS

Pressures = Sequence[Sequence[float]]


def chain(
    inputs: Inputs, structure: str, pressures: Pressures, pw_code: str, engine_code: str,
    pseudo_family: str | None, dataset: str | None, model: str | None,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the whole chain, or what is left of it given a dataset or a model."""
    from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain

    return build(
        inputs,
        HighPressureInsWorkChain.get_builder_from_protocol,
        structure=inputs.structure(structure, require_hydrogen=True),
        pressures=inputs.pressures(pressures),
        pw_code=inputs.code('pw_code', pw_code),
        engine_code=inputs.code('engine_code', engine_code),
        pseudo_family=pseudo_family,
        dataset=inputs.dataset(dataset, None),
        model=inputs.model(model),
        protocol=protocol,
        overrides=inputs.overrides(overrides),
    )


def reference(
    inputs: Inputs, frames: str, pw_code: str, pseudo_family: str | None,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the DFT labels of frames."""
    from aiida_mlip_ins.workflows.reference import ReferenceWorkChain

    return build(
        inputs,
        ReferenceWorkChain.get_builder_from_protocol,
        code=inputs.code('pw_code', pw_code),
        frames=inputs.frames(frames),
        protocol=protocol,
        overrides=inputs.overrides(overrides, pseudo_family=pseudo_family),
    )


def pw_pressure_scan(
    inputs: Inputs, structure: str, pressures: Pressures, pw_code: str,
    pseudo_family: str | None, protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the relaxations with DFT at each pressure."""
    from aiida_mlip_ins.workflows.pw_pressure_scan import PwPressureScanWorkChain

    return build(
        inputs,
        PwPressureScanWorkChain.get_builder_from_protocol,
        code=inputs.code('pw_code', pw_code),
        structure=inputs.structure(structure, require_hydrogen=False),
        pressures=inputs.pressures(pressures),
        protocol=protocol,
        overrides=inputs.overrides(overrides, pseudo_family=pseudo_family),
    )


def train(
    inputs: Inputs, dataset: str, method: str | None, foundation: str | None, engine_code: str,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the training of a potential."""
    from aiida_mlip_ins.calculations.mace_train import MaceTrainCalculation
    from aiida_mlip_ins.workflows.mace_inputs import train_inputs_from_protocol

    given = {
        'code': inputs.code('engine_code', engine_code),
        'dataset': inputs.dataset(dataset, method),
        'foundation': inputs.model(foundation),
    }
    numbers = inputs.attempt(train_inputs_from_protocol, protocol, inputs.overrides(overrides))
    return _job(inputs, MaceTrainCalculation, given, numbers)


def evaluate(
    inputs: Inputs, frames: str, model: str, engine_code: str,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the labels that a potential gives to frames."""
    from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
    from aiida_mlip_ins.workflows.mace_inputs import evaluate_inputs_from_protocol

    given = {
        'code': inputs.code('engine_code', engine_code),
        'frames': inputs.frames(frames),
        'model': inputs.model(model),
    }
    numbers = inputs.attempt(evaluate_inputs_from_protocol, protocol, inputs.overrides(overrides))
    return _job(inputs, MaceEvaluateCalculation, given, numbers)


def inspect_model(inputs: Inputs, file: Path, engine_code: str) -> ProcessBuilder | None:
    """Return the inspection of a model file."""
    from aiida_mlip_ins.calculations.mace_inspect import MaceInspectCalculation
    from aiida_mlip_ins.data.model import looks_like_model

    if not looks_like_model(file):
        inputs.problems.append(
            f'file: {file} is not a model of mace (a file that torch.save writes)'
        )
    given = {
        'code': inputs.code('engine_code', engine_code),
        'file': orm.SinglefileData(file.resolve()),
    }
    return _job(inputs, MaceInspectCalculation, given, {})


def mace_pressure_scan(
    inputs: Inputs, structure: str, model: str, pressures: Pressures, engine_code: str,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the relaxations with the potential at each pressure."""
    from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain

    return build(
        inputs,
        MacePressureScanWorkChain.get_builder_from_protocol,
        code=inputs.code('engine_code', engine_code),
        structure=inputs.structure(structure, require_hydrogen=False),
        model=inputs.model(model),
        pressures=inputs.pressures(pressures),
        protocol=protocol,
        overrides=inputs.overrides(overrides),
    )


def mace_phonons(
    inputs: Inputs, structure: str, model: str | None, engine_code: str,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the phonons with the potential."""
    from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain

    if model is None:
        inputs.problems.append('model: --engine mace needs --model')
    return build(
        inputs,
        MacePhononsWorkChain.get_builder_from_protocol,
        code=inputs.code('engine_code', engine_code),
        structure=inputs.structure(structure, require_hydrogen=False),
        model=inputs.model(model),
        protocol=protocol,
        overrides=inputs.overrides(overrides),
    )


def pw_phonons(
    inputs: Inputs, structure: str, pw_code: str, pseudo_family: str | None,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the phonons with DFT."""
    from aiida_mlip_ins.workflows.phonons import PwPhononsWorkChain

    given = inputs.overrides(overrides) or {}
    if pseudo_family is not None:
        given['reference'] = {**given.get('reference', {}), 'pseudo_family': pseudo_family}
    return build(
        inputs,
        PwPhononsWorkChain.get_builder_from_protocol,
        code=inputs.code('pw_code', pw_code),
        structure=inputs.structure(structure, require_hydrogen=False),
        protocol=protocol,
        overrides=given,
    )


def ins(
    inputs: Inputs, force_constants: str, pressure: float | None, engine_code: str,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the INS spectrum of force constants."""
    from aiida_mlip_ins.workflows.ins import InsWorkChain

    return build(
        inputs,
        InsWorkChain.get_builder_from_protocol,
        code=inputs.code('engine_code', engine_code),
        force_constants=inputs.node('force_constants', force_constants, ForceConstantsData),
        pressure=pressure,
        protocol=protocol,
        overrides=inputs.overrides(overrides),
    )


def build(inputs: Inputs, method: Any, **arguments: Any) -> ProcessBuilder | None:
    """Call a ``get_builder_from_protocol`` unless something it needs is missing."""
    if not inputs.problems:
        return inputs.attempt(lambda: method(**arguments))
    protocol = arguments['protocol']
    if protocol is not None and protocol not in PROTOCOLS:
        inputs.problems.append(f"unknown protocol '{protocol}'{nearest(protocol, PROTOCOLS)}")
    return None


def _job(
    inputs: Inputs, process: Any, given: dict[str, Any], numbers: dict[str, Any] | None
) -> ProcessBuilder | None:
    """Return the builder of a job that has no workchain of its own."""
    if inputs.problems or numbers is None:
        return None
    builder = process.get_builder()
    for name, node in given.items():
        if node is not None:
            inputs.attempt(setattr, builder, name, node)
    for name, value in numbers.items():
        inputs.attempt(setattr, builder, name, value)
    return builder


def carry_out(inputs: Inputs, builder: ProcessBuilder | None, daemon: bool, check: bool) -> None:
    """Run or submit a builder, or only check it; refuse it with everything that is wrong."""
    if builder is not None and not inputs.problems:
        error = builder.process_class.spec().inputs.validate(builder._inputs(prune=True))
        if error is not None:
            inputs.problems += error.message.splitlines()
    if inputs.problems or builder is None:
        listed = '\n'.join(f'  - {problem}' for problem in dict.fromkeys(inputs.problems))
        raise Refusal(f'nothing was submitted, because\n{listed}')
    name = builder.process_class.__name__
    if check:
        click.echo(f'The inputs of {name} are valid; nothing was stored.')
    elif daemon:
        _submit(builder, name)
    else:
        _run(builder, name)


def _submit(builder: ProcessBuilder, name: str) -> None:
    from aiida.engine import submit
    from aiida.engine.daemon.client import get_daemon_client

    node = submit(builder)
    click.echo(f'Submitted {name} <{node.pk}>.')
    if not get_daemon_client().is_daemon_running:
        click.echo('The daemon is not running: `verdi daemon start` starts it.', err=True)
    click.echo(f'`aiida-mlip-ins status {node.pk} --follow` shows how it goes.')


def _run(builder: ProcessBuilder, name: str) -> None:
    from aiida.engine import run_get_node

    _, node = run_get_node(builder)
    made = node.base.links.get_outgoing(link_type=(LinkType.CREATE, LinkType.RETURN))
    for link in made.all():
        click.echo(f'{link.link_label.replace("__", "."):32} <{link.node.pk}>')
    if not node.is_finished_ok:
        click.echo(f'{name} <{node.pk}> failed: {node.exit_message or node.exception}', err=True)
        sys.exit(1)
    click.echo(f'{name} <{node.pk}> is done: `aiida-mlip-ins report {node.pk}`')
