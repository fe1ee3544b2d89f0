"""``aiida-mlip-ins launch`` of trainings and of jobs that have to do with a single model."""

from __future__ import annotations

from typing import Any

import click

from aiida_mlip_ins.cli import options
from aiida_mlip_ins.cli.link_command import FOUNDATION, METHOD, NUMBERS, link


@link(
    click.argument('dataset', metavar='DATASET'), METHOD, FOUNDATION,
    click.option('--replay', metavar='NODE',
                 help='Frames with labels of the foundation model that it is not to forget; needs '
                      'the loss `universal`.'),
    options.ENGINE_CODE, *NUMBERS,
)  # fmt: skip
def train(inputs: Any, **given: Any) -> Any:
    """Train a potential on DATASET (a node, or an extended XYZ file with REF_... labels)."""
    from aiida_mlip_ins.cli import links_models

    return links_models.train(inputs, **given)


@link(
    click.argument('dataset', metavar='DATASET'), METHOD, FOUNDATION,
    click.option('--size', type=int, help='Number of potentials.'),
    click.option('--max-concurrent', type=int, help='Trainings side by side.'),
    options.ENGINE_CODE, *NUMBERS,
)  # fmt: skip
def committee(inputs: Any, **given: Any) -> Any:
    """Train a committee of potentials on DATASET, and calibrate its spread."""
    from aiida_mlip_ins.cli import links_models

    return links_models.committee(inputs, **given)


@link(
    click.argument('frames', metavar='FRAMES'),
    click.option('--model', metavar='NODE', required=True, help='Potential.'),
    options.ENGINE_CODE, *NUMBERS,
)  # fmt: skip
def evaluate(inputs: Any, **given: Any) -> Any:
    """Label FRAMES (a node or a file that ASE reads) with a potential."""
    from aiida_mlip_ins.cli import links_models

    return links_models.evaluate(inputs, **given)


@link(click.argument('file', metavar='FILE', type=options.EXISTING_FILE), options.ENGINE_CODE)
def inspect_model(inputs: Any, **given: Any) -> Any:
    """Make a node of the model in FILE, opened by an engine job and nowhere else."""
    from aiida_mlip_ins.cli import links_models

    return links_models.inspect_model(inputs, **given)


@link(click.argument('name', metavar='NAME'), options.ENGINE_CODE)
def fetch_model(inputs: Any, **given: Any) -> Any:
    """Download a foundation model where the engines are, and make a node of it.

    NAME is a family and a name as mace has them, such as mace_mp:medium-mpa-0 or mace_off:small.
    """
    from aiida_mlip_ins.cli import links_models

    return links_models.fetch_model(inputs, **given)
