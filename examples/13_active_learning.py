"""Have a committee of potentials choose the frames that DFT labels, in rounds.

    verdi run examples/13_active_learning.py STRUCTURE 0 1.5 [--protocol fast] [--max-frames 40]

STRUCTURE is a file that ASE reads. `--dataset` is the PK of labelled frames to start from; without
it the first frames are made and labelled. `aiida-mlip-ins launch active-learning` does the same,
and goes on from a run that has ended.
"""

import ase.io
import click
from aiida import orm
from aiida.engine import run_get_node, submit

from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.query.tables import format_table
from aiida_mlip_ins.workflows.active_learning import ActiveLearningWorkChain

COLUMNS = {
    'round': 'round',
    'n_frames': 'frames',
    'n_labelled': 'new',
    'force_error': 'error on new (meV/A)',
    'rank_correlation': 'rank correlation',
    'force_spread': 'force spread (meV/A)',
    'frequency_spread': 'frequency spread (1/cm)',
}


@click.command()
@click.argument('structure', type=click.Path(exists=True))
@click.argument('pressures', type=float, nargs=-1, required=True)
@click.option('--protocol')
@click.option('--dataset', type=int, help='PK of labelled frames to start from.')
@click.option('--max-frames', type=int, help='Labelled frames in all.')
@click.option('--engine-code', default='mlip-ins-engines@localhost')
@click.option('--pw-code', default='pw@localhost')
@click.option('--daemon', is_flag=True, help='Leave it to the daemon.')
def main(
    structure: str, pressures: tuple[float, ...], protocol: str | None, dataset: int | None,
    max_frames: int | None, engine_code: str, pw_code: str, daemon: bool,
) -> None:  # fmt: skip
    """Run the rounds, then print a row for each."""
    builder = ActiveLearningWorkChain.get_builder_from_protocol(
        to_structure(ase.io.read(structure)),
        list(pressures),
        orm.load_code(engine_code),
        orm.load_code(pw_code),
        None if dataset is None else orm.load_node(dataset),
        protocol,
        {'settings': {'max_frames': max_frames}} if max_frames else None,
    )
    if daemon:
        click.echo(f'submitted {submit(builder)}')
        return
    outputs, node = run_get_node(builder)
    click.echo(f'active learning <{node.pk}>: {node.exit_message or "ended well"}')
    if 'rounds' in outputs:
        click.echo(format_table(outputs['rounds']['rounds'], COLUMNS))
        click.echo(outputs['rounds']['ended'])


if __name__ == '__main__':
    main()
