"""Train a committee of MACE potentials, and see what its spread says of the true errors.

    verdi run examples/12_committee.py DATASET [PROTOCOL] [--size 4] [--max-concurrent 2]

DATASET is the PK of a dataset node (examples/02 makes one) or an extended XYZ file as of
examples/04. The members differ in their seeds.
"""

from pathlib import Path

import click
from aiida import orm
from aiida.engine import run_get_node, submit

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.workflows.committee import CommitteeWorkChain


@click.command()
@click.argument('dataset')
@click.argument('protocol', required=False)
@click.option('--size', type=int, help='Number of potentials.')
@click.option('--max-concurrent', type=int, help='Trainings side by side.')
@click.option('--code', default='mlip-ins-engines@localhost')
@click.option('--daemon', is_flag=True, help='Leave it to the daemon.')
def main(
    dataset: str, protocol: str | None, size: int | None, max_concurrent: int | None, code: str,
    daemon: bool,
) -> None:  # fmt: skip
    """Train, then print how error and spread of each quantity are related."""
    path = Path(dataset)
    frames = (
        DatasetData(path.absolute(), method='from a file')
        if path.is_file()
        else orm.load_node(int(dataset))
    )
    given = {'size': size, 'max_concurrent': max_concurrent}
    builder = CommitteeWorkChain.get_builder_from_protocol(
        orm.load_code(code),
        frames,
        protocol=protocol,
        overrides={name: value for name, value in given.items() if value is not None},
    )
    if daemon:
        click.echo(f'submitted {submit(builder)}')
        return
    outputs, node = run_get_node(builder)
    click.echo(f'committee <{node.pk}>: {node.exit_message or "ended well"}')
    for key, model in outputs.get('models', {}).items():
        click.echo(f'{key} <{model.pk}>')
    if 'summary' not in outputs:
        return
    units = outputs['summary']['units']
    for split, found in outputs['summary']['splits'].items():
        for name, unit in units.items():
            keys = ('rms_error', 'rms_spread', 'calibration_factor', 'rank_correlation')
            error, spread, factor, rank = (
                '-' if found[name][key] is None else f'{found[name][key]:.3g}' for key in keys
            )
            click.echo(
                f'{split:6s} {name:6s} error {error}, spread {spread} {unit}, '
                f'calibration factor {factor}, rank correlation {rank}'
            )


if __name__ == '__main__':
    main()
