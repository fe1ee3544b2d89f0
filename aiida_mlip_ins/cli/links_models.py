"""Trainings, and the jobs that have to do with a single model, as builders: see ``links``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.cli.inputs import Inputs
from aiida_mlip_ins.cli.links import build
from aiida_mlip_ins.data.frames import DatasetData


def train(
    inputs: Inputs, dataset: str, method: str | None, foundation: str | None, replay: str | None,
    engine_code: str, protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the training of a potential."""
    from aiida_mlip_ins.workflows.train import MaceTrainWorkChain

    return _training(
        inputs, MaceTrainWorkChain, dataset, method, foundation, engine_code, protocol,
        replay=inputs.node('replay', replay, DatasetData),
        overrides=inputs.overrides(overrides),
    )  # fmt: skip


def committee(
    inputs: Inputs, dataset: str, method: str | None, foundation: str | None, size: int | None,
    max_concurrent: int | None, engine_code: str, protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the training of a committee of potentials."""
    from aiida_mlip_ins.workflows.committee import CommitteeWorkChain

    return _training(
        inputs, CommitteeWorkChain, dataset, method, foundation, engine_code, protocol,
        overrides=inputs.overrides(overrides, size=size, max_concurrent=max_concurrent),
    )  # fmt: skip


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


def fetch_model(inputs: Inputs, name: str, engine_code: str) -> ProcessBuilder | None:
    """Return the download of a foundation model."""
    from aiida_mlip_ins.calculations.mace_fetch import MaceFetchCalculation

    given = {'code': inputs.code('engine_code', engine_code), 'name': orm.Str(name)}
    return _job(inputs, MaceFetchCalculation, given, {})


def _training(
    inputs: Inputs, process: Any, dataset: str, method: str | None, foundation: str | None,
    engine_code: str, protocol: str | None, **own: Any,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the builder of a training of one potential or of several."""
    return build(
        inputs,
        process.get_builder_from_protocol,
        code=inputs.code('engine_code', engine_code),
        dataset=inputs.dataset(dataset, method),
        foundation=inputs.model(foundation, 'foundation'),
        protocol=protocol,
        **own,
    )


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
