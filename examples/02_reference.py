"""Label frames with pw.x: energies, forces and stress, PBE-D3(BJ).

    verdi run examples/02_reference.py FRAMES_PK
    verdi run examples/02_reference.py FRAMES_PK --daemon

A brucite frame takes about 20 s on one core. Without the daemon the script waits for the dataset.
"""

import click
from aiida import orm
from aiida.engine import run_get_node, submit

from aiida_mlip_ins.workflows.reference import ReferenceWorkChain

CODE = 'pw@localhost'
PROTOCOL = 'fast'
OVERRIDES = {'max_concurrent': 2}
# With an MPI pw.x, for example:
# {'resources': {'num_machines': 1, 'num_mpiprocs_per_machine': 4}, 'withmpi': True}
OPTIONS: dict = {}


@click.command()
@click.argument('frames', type=int)
@click.option('--daemon', is_flag=True, help='Leave it to the daemon.')
def main(frames: int, daemon: bool) -> None:
    """Label the frames of a node of frames."""
    builder = ReferenceWorkChain.get_builder_from_protocol(
        CODE, orm.load_node(frames), PROTOCOL, OVERRIDES, OPTIONS
    )
    if daemon:
        click.echo(f'submitted {submit(builder)}')
        return
    results, node = run_get_node(builder)
    click.echo(f'{node.process_label}<{node.pk}> {node.exit_message or "finished"}')
    if 'dataset' in results:
        dataset = results['dataset']
        click.echo(f'DatasetData<{dataset.pk}>: {dataset.labels} by {dataset.method}')


if __name__ == '__main__':
    main()
