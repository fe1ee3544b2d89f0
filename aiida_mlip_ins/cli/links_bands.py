"""Error bands as a builder made from what the user typed; see ``links``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiida.engine import ProcessBuilder

from aiida_mlip_ins.cli.inputs import Inputs
from aiida_mlip_ins.cli.links import Pressures, build


def bands(
    inputs: Inputs, structure: str, committee: str | None, models: Sequence[str],
    pressures: Pressures, max_concurrent: int | None, engine_code: str, protocol: str | None,
    overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the error bands of a committee that has ended, or of several potentials."""
    from aiida_mlip_ins.workflows.error_bands import ErrorBandsWorkChain

    if committee is not None and models:
        inputs.problems.append('model: the committee has its own; give --committee or --model')
    members = {f'member_{index}': inputs.model(text) for index, text in enumerate(models)}
    given: dict[str, Any] = {'models': members}
    if committee is not None:
        given = _of_committee(inputs, committee)
    return build(
        inputs,
        ErrorBandsWorkChain.get_builder_from_protocol,
        structure=inputs.structure(structure, require_hydrogen=True),
        pressures=inputs.pressures(pressures),
        code=inputs.code('engine_code', engine_code),
        protocol=protocol,
        overrides=inputs.overrides(overrides, max_concurrent=max_concurrent),
        **given,
    )


def _of_committee(inputs: Inputs, text: str) -> dict[str, Any]:
    """Return the members of a committee, and its summary if it has one."""
    process = inputs.process('committee', text)
    if process is None:
        return {}
    given: dict[str, Any] = {'models': dict(inputs.output(process, 'models') or {})}
    if 'summary' in process.outputs:
        given['committee'] = process.outputs['summary']
    return given
