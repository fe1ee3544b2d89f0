"""``aiida-mlip-ins demo``: the whole chain on brucite, from nothing to a report."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
import yaml

from aiida_mlip_ins.cli import options
from aiida_mlip_ins.cli.environments import BuildError
from aiida_mlip_ins.cli.installation import ENGINES_LABEL, PW_LABEL
from aiida_mlip_ins.cli.setup import Wishes, prepare_codes, prepare_profile, show

if TYPE_CHECKING:
    from aiida import orm

    from aiida_mlip_ins.cli.daemon import Daemon

EXTRA = 'mlip_ins_demo'


@click.command('demo')
@options.PROFILE
@click.option('--new-profile', metavar='NAME', help='Work in this profile; made if not there.')
@click.option('--caching/--no-caching', default=None, help='Default: on in a --new-profile.')
@click.option('--engines-python', type=click.Path(path_type=Path), help='Python with the engines.')
@click.option('--pw', type=click.Path(path_type=Path), help='pw.x; default: on the PATH.')
@click.option('--pip', 'use_pip', is_flag=True, help='Build with plain pip, not uv.')
@click.option('--again', is_flag=True, help='Start anew even if a demo has not ended.')
@options.PROTOCOL
@options.OVERRIDES
@options.output('demo')
def demo(
    profile: str | None,
    new_profile: str | None,
    caching: bool | None,
    engines_python: Path | None,
    pw: Path | None,
    use_pip: bool,
    again: bool,
    protocol: str | None,
    overrides: Path | None,
    output: Path,
) -> None:
    """Run the whole chain on brucite and write a report.

    DFT, training, two pressures, phonons, INS spectra and the comparison with DFT run through the
    daemon, which is started for it and stopped afterwards. Interrupted, it goes on when run again;
    ended, it takes from the cache what has not changed, if caching is on.
    """
    from aiida_mlip_ins.cli.daemon import running_daemon
    from aiida_mlip_ins.cli.memory import MemoryWatch

    began = time.monotonic()
    if caching is None and new_profile:
        caching = True
    wishes = Wishes(
        profile=profile,
        new_profile=new_profile,
        caching=caching,
        engines_python=engines_python,
        pw=pw,
        use_pip=use_pip,
    )
    for item in prepare_profile(wishes):
        show(item)
    with MemoryWatch(f'{os.getpid()}-{time.time()}') as watch, running_daemon() as daemon:
        try:
            for item in prepare_codes(wishes):
                show(item)
        except BuildError as error:
            raise click.ClickException(str(error)) from None
        output.mkdir(parents=True, exist_ok=True)
        with (output / 'demo.log').open('a') as log:
            log.write(time.strftime('== %Y-%m-%d %H:%M:%S\n'))
            node = _run(again, protocol, overrides, log, daemon)
        daemon.ask_to_stop()
        finish(node, output, watch.peak_gb if daemon.started else None, began)


def _run(
    again: bool, protocol: str | None, overrides: Path | None, log: TextIO, daemon: Daemon
) -> orm.ProcessNode:
    """Submit the chain or go on with one that has not ended; return it when it has."""
    from aiida import orm

    from aiida_mlip_ins.cli.follow import Display, follow

    pk = None if again else find_unfinished()
    builder = None if pk is not None else make_builder(protocol, overrides)
    daemon.await_broker()
    try:
        if builder is None:
            click.echo(f'Going on with the process <{pk}>.')
        else:
            pk = submit(builder)
            click.echo(f'Submitted the chain as process <{pk}>.')
        follow(pk, Display(log=log), daemon.check)
    except KeyboardInterrupt:
        click.echo('\nInterrupted. Run the same command again to go on.')
        if daemon.started:
            click.echo('The daemon is being stopped; jobs that have begun go on until they end.')
        sys.exit(130)
    return orm.load_node(pk)


def make_builder(protocol: str | None, overrides: Path | None) -> Any:
    """Return the builder of the chain for the crystal and the pressures of ``demo.yaml``."""
    from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain

    settings = read_settings()
    try:
        return HighPressureInsWorkChain.get_builder_from_protocol(
            structure=crystal_of(settings['crystal']),
            pressures=settings['pressures'],
            engine_code=f'{ENGINES_LABEL}@localhost',
            pw_code=f'{PW_LABEL}@localhost',
            protocol=protocol or settings['protocol'],
            overrides=yaml.safe_load(overrides.read_text()) if overrides else None,
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def submit(builder: Any) -> int:
    """Hand the chain to the daemon, marked as the demo's; return its PK."""
    from aiida.engine import submit as hand_over

    node = hand_over(builder)
    node.base.extras.set(EXTRA, True)
    node.label = 'demo'
    return node.pk


def find_unfinished() -> int | None:
    """Return the PK of the newest demo that has neither ended nor been killed."""
    from aiida import orm

    from aiida_mlip_ins.cli.progress import ENDED

    query = orm.QueryBuilder().append(
        orm.WorkChainNode,
        filters={
            f'extras.{EXTRA}': True,
            'attributes.process_state': {'!in': list(ENDED)},
        },
        project='id',
    )
    query.order_by({orm.WorkChainNode: {'id': 'desc'}})
    return query.first(flat=True)


def finish(node: orm.ProcessNode, output: Path, memory_gb: float | None, began: float) -> None:
    """Write the report, print the numbers and how to go on; exit with 1 if the chain failed.

    :param began: when the command did, by the monotonic clock.
    """
    from aiida_mlip_ins.cli.follow import duration
    from aiida_mlip_ins.cli.summary_text import summary_text
    from aiida_mlip_ins.query.summary import summary
    from aiida_mlip_ins.report.html import write_report

    page = write_report(node, output, measured_memory_gb=memory_gb)
    click.echo(f'\n{summary_text(summary(node, memory_gb))}')
    click.echo(f'This command took {duration(time.monotonic() - began)}.')
    click.echo(how_to_go_on(node, page))
    if not node.is_finished_ok:
        reason = node.exit_message or node.exception or f'it was {node.process_state.value}'
        click.echo(f'\nThe chain did not end well: {reason}', err=True)
        click.echo(f'`verdi process report {node.pk}` tells where.', err=True)
        sys.exit(1)


def how_to_go_on(node: orm.ProcessNode, page: Path) -> str:
    """Return the commands that show more of a run."""
    prefix = f'export AIIDA_PATH={os.environ["AIIDA_PATH"]}' if 'AIIDA_PATH' in os.environ else ''
    scripts = Path(sys.executable).parent
    lines = [
        '',
        f'report:      {page}',
        f'numbers:     {page.parent / "summary.json"}',
        '',
        'To look further:',
        *([f'  {prefix}'] if prefix else []),
        f'  export PATH={scripts}:$PATH',
        f'  aiida-mlip-ins status {node.pk}',
        f'  verdi process status {node.pk}',
        f'  verdi node graph generate {node.pk}',
        '  verdi restapi        # then: curl http://127.0.0.1:5000/api/v4/nodes',
    ]
    return '\n'.join(lines)


def read_settings() -> dict[str, Any]:
    """Return the content of ``demo.yaml``."""
    settings: dict[str, Any] = yaml.safe_load(Path(__file__).with_name('demo.yaml').read_text())
    return settings


def crystal_of(settings: dict[str, Any]) -> orm.StructureData:
    """Return the crystal of ``demo.yaml`` as an unstored node."""
    from ase.spacegroup import crystal

    from aiida_mlip_ins.data.structure import to_structure

    sites = settings['sites']
    node = to_structure(
        crystal(
            list(sites),
            list(sites.values()),
            spacegroup=settings['spacegroup'],
            cellpar=settings['cell'],
        )
    )
    node.label = settings['label']
    return node
