"""Carry out a builder: check it, then run it here or hand it to the daemon."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.cli.inputs import Inputs
from aiida_mlip_ins.cli.nodes import Refusal
from aiida_mlip_ins.data.structure import to_atoms


def carry_out(
    inputs: Inputs,
    builder: ProcessBuilder | None,
    daemon: bool,
    check: bool,
    show: Callable[[orm.ProcessNode], None] | None = None,
) -> None:
    """Run or submit a builder, or only check it; refuse it with everything that is wrong.

    :param show: called with a process that ran here, whether it ended well or not.
    """
    if builder is not None and not inputs.problems:
        error = builder.process_class.spec().inputs.validate(builder._inputs(prune=True))
        if error is not None:
            inputs.problems += error.message.splitlines()
    if inputs.problems or builder is None:
        raise Refusal.of('submitted', dict.fromkeys(inputs.problems))
    name = builder.process_class.__name__
    if check:
        click.echo(f'The inputs of {name} are valid; nothing was stored.')
        for line in _remarks(builder._inputs(prune=True)):
            click.echo(f'  {line}')
        return
    inputs.import_files(builder)
    if daemon:
        _submit(builder, name)
    else:
        _run(builder, name, show)


def _remarks(given: Mapping[str, Any]) -> list[str]:
    """Return what inputs that are valid were read as, and what may not be meant."""
    from aiida_mlip_ins.science.orientation import description
    from aiida_mlip_ins.workflows.pw_numbers import low_cutoffs

    structure = given.get('structure')
    about = [] if structure is None else description(to_atoms(structure))
    return about + low_cutoffs(given)


def _submit(builder: ProcessBuilder, name: str) -> None:
    from aiida.engine import submit
    from aiida.engine.daemon.client import get_daemon_client

    node = submit(builder)
    click.echo(f'Submitted {name} <{node.pk}>.')
    if not get_daemon_client().is_daemon_running:
        click.echo('The daemon is not running: `verdi daemon start` starts it.', err=True)
    click.echo(f'`aiida-mlip-ins status {node.pk} --follow` shows how it goes.')


def _run(
    builder: ProcessBuilder, name: str, show: Callable[[orm.ProcessNode], None] | None
) -> None:
    from aiida.engine import run_get_node

    _, node = run_get_node(builder)
    made = node.base.links.get_outgoing(link_type=(LinkType.CREATE, LinkType.RETURN))
    for link in made.all():
        click.echo(f'{link.link_label.replace("__", "."):32} <{link.node.pk}>')
    if show is not None:
        show(node)
    if not node.is_finished_ok:
        click.echo(f'{name} <{node.pk}> failed: {node.exit_message or node.exception}', err=True)
        sys.exit(1)
    click.echo(f'{name} <{node.pk}> is done: `aiida-mlip-ins report {node.pk}`')
