"""Active learning as a builder made from what the user typed; see ``links``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida.engine import ProcessBuilder

from aiida_mlip_ins.cli.inputs import Inputs
from aiida_mlip_ins.cli.links import Pressures, build, with_family


def active_learning(
    inputs: Inputs, structure: str, pressures: Pressures, pw_code: str, engine_code: str,
    pseudo_family: str | None, dataset: str | None, method: str | None, foundation: str | None,
    go_on: str | None, stop_after_round: int | None, frequencies: bool,
    frames_per_round: int | None, max_frames: int | None, max_rounds: int | None,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the active learning, from nothing, from a dataset, or from where another run ended."""
    from aiida_mlip_ins.workflows.active_learning import ActiveLearningWorkChain

    given = with_family(inputs.overrides(overrides) or {}, pseudo_family, 'reference')
    budget = {
        'frames_per_round': frames_per_round, 'max_frames': max_frames, 'max_rounds': max_rounds,
    }  # fmt: skip
    budget = {name: value for name, value in budget.items() if value is not None}
    if budget:
        given = {**given, 'settings': {**given.get('settings', {}), **budget}}
    if not frequencies:
        given = {**given, 'frequencies': False}
    if go_on is not None and dataset is not None:
        inputs.problems.append('dataset: the run that --go-on names has one; give one of the two')
    start = {'dataset': inputs.dataset(dataset, method)}
    if go_on is not None:
        start = _ended_with(inputs, go_on)
    return build(
        inputs,
        ActiveLearningWorkChain.get_builder_from_protocol,
        structure=inputs.structure(structure, require_hydrogen=False),
        pressures=inputs.pressures(pressures),
        engine_code=inputs.code('engine_code', engine_code),
        pw_code=inputs.code('pw_code', pw_code),
        foundation=inputs.model(foundation, 'foundation'),
        stop_after_round=stop_after_round,
        protocol=protocol,
        overrides=given,
        **start,
    )


def _ended_with(inputs: Inputs, text: str) -> dict[str, Any]:
    """Return what a run left to go on from, and the cells that it was given, if any."""
    process = inputs.process('go_on', text)
    if process is None:
        return {}
    start: dict[str, Any] = {
        'dataset': inputs.output(process, 'dataset'), 'history': inputs.output(process, 'rounds')
    }  # fmt: skip
    if 'cells' in process.inputs:
        start['cells'] = dict(process.inputs['cells'])
    return start
