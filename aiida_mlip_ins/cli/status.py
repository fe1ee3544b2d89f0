"""``aiida-mlip-ins status``: what a process has done, is doing and has left to do."""

from __future__ import annotations

import click

from aiida_mlip_ins.cli import options


@click.command('status')
@options.PROFILE
@options.PROCESS
@options.FOLLOW
def status(profile: str | None, process: str, follow: bool) -> None:
    """Show the tree of stages of PROCESS (its PK or UUID): state, counts, epochs, time left.

    Below a stage, what is running or has failed is shown. It works on any process, also on one
    that has ended.
    """
    from aiida_mlip_ins.cli import profile as profiles
    from aiida_mlip_ins.cli.daemon import warn_without_daemon
    from aiida_mlip_ins.cli.follow import Display, render
    from aiida_mlip_ins.cli.follow import follow as go_on
    from aiida_mlip_ins.cli.nodes import load_process
    from aiida_mlip_ins.cli.progress import Progress

    profiles.load(profile)
    node = load_process(process)
    if not follow:
        for row in render(Progress(node.pk).lines()):
            click.echo(row)
        return
    try:
        go_on(node.pk, Display(), warn_without_daemon())
    except KeyboardInterrupt:
        click.echo(f'\nNo longer followed; the process <{node.pk}> is not stopped by this.')
