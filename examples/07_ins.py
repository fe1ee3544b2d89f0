"""INS spectrum of a crystal on TOSCA at 10 K, from its force constants.

    verdi run examples/07_ins.py FORCE_CONSTANTS_PK --pressure 1.5

It writes spectrum.csv: energy (1/cm), the total and what each element adds (barn/(1/cm)/cell).
"""

from pathlib import Path

import click
import numpy as np
from aiida import orm
from aiida.engine import run_get_node, submit

from aiida_mlip_ins.workflows.ins import InsWorkChain

ENGINES = 'mlip-ins-engines@localhost'
PROTOCOL = 'fast'
# Another resolution recomputes the broadening alone if caching is enabled, for example
# {'resolution': {'instrument': 'IDEAL', 'model': 'gaussian', 'arguments': {'sigma': 0.5}}}.
OVERRIDES: dict = {}


@click.command()
@click.argument('force_constants', type=int)
@click.option('--pressure', type=float, help='In GPa, kept with the spectrum.')
@click.option('--daemon', is_flag=True, help='Leave it to the daemon.')
def main(force_constants: int, pressure: float | None, daemon: bool) -> None:
    """Simulate the spectrum of a node of force constants."""
    builder = InsWorkChain.get_builder_from_protocol(
        ENGINES, orm.load_node(force_constants), pressure, PROTOCOL, OVERRIDES
    )
    if daemon:
        click.echo(f'submitted {submit(builder)}')
        return
    results, node = run_get_node(builder)
    click.echo(f'{node.process_label}<{node.pk}> {node.exit_message or "finished"}')
    if 'spectrum' in results:
        spectrum = results['spectrum']
        parts = [spectrum.select(element=element) for element in spectrum.elements]
        columns = np.column_stack([spectrum.energy, spectrum.total(), *parts])
        header = ','.join(['energy_per_cm', 'total', *spectrum.elements])
        np.savetxt('spectrum.csv', columns, delimiter=',', header=header, comments='')
        click.echo(f'InsSpectrumData<{spectrum.pk}> in {Path("spectrum.csv").resolve()}')


if __name__ == '__main__':
    main()
