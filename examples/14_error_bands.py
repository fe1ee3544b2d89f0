"""Carry the spread of a committee through relaxation, phonons and INS: error bands.

    verdi run examples/14_error_bands.py STRUCTURE COMMITTEE 0 1.5 [--protocol fast]

STRUCTURE is a file that ASE reads, COMMITTEE the PK of a committee (examples/12) that has ended.
The report lies in the folder `error_bands` afterwards.
"""

import ase.io
import click
from aiida import orm
from aiida.engine import run_get_node, submit

from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.report.error_bands_page import write_error_bands_report
from aiida_mlip_ins.workflows.error_bands import ErrorBandsWorkChain


@click.command()
@click.argument('structure', type=click.Path(exists=True))
@click.argument('committee', type=int)
@click.argument('pressures', type=float, nargs=-1, required=True)
@click.option('--protocol')
@click.option('--max-concurrent', type=int, help='Members worked on side by side.')
@click.option('--code', default='mlip-ins-engines@localhost')
@click.option('--daemon', is_flag=True, help='Leave it to the daemon.')
def main(
    structure: str, committee: int, pressures: tuple[float, ...], protocol: str | None,
    max_concurrent: int | None, code: str, daemon: bool,
) -> None:  # fmt: skip
    """Run every member, write the report, and print the table of shifts."""
    made = orm.load_node(committee).outputs
    builder = ErrorBandsWorkChain.get_builder_from_protocol(
        to_structure(ase.io.read(structure)),
        dict(made.models),
        list(pressures),
        orm.load_code(code),
        made.summary if 'summary' in made else None,
        protocol,
        {'max_concurrent': max_concurrent} if max_concurrent else None,
    )
    if daemon:
        click.echo(f'submitted {submit(builder)}')
        return
    _, node = run_get_node(builder)
    click.echo(f'error bands <{node.pk}>: {node.exit_message or "ended well"}')
    page, text = write_error_bands_report(node, 'error_bands')
    click.echo(f'{text}\n\n{page}')


if __name__ == '__main__':
    main()
