"""Put the INS spectrum of molecular dynamics beside the harmonic one: what is anharmonic?

    verdi run examples/15_anharmonic.py RUN HARMONIC [--temperature 300] [--window 60 1200]

RUN is the PK of a stability test (examples/10) or of one job of molecular dynamics; of several runs
that at the pressure of HARMONIC, and at --temperature (K), is taken. HARMONIC is the PK of a
spectrum of the same crystal (examples/07): instrument, temperature of the quanta and resolution are
its own. The frames must be close enough in time, and the run long enough; if not, the message says
what is needed. The figure is in the folder ``anharmonic`` afterwards.
"""

import click
from aiida import orm
from aiida.engine import run_get_node

from aiida_mlip_ins.report.html import write_report
from aiida_mlip_ins.science.agreement import shift_sentence
from aiida_mlip_ins.workflows.md_ins import MdInsWorkChain
from aiida_mlip_ins.workflows.md_ins_inputs import trajectory_of


@click.command()
@click.argument('run', type=int)
@click.argument('harmonic', type=int)
@click.option('--temperature', type=float, help='Of the run, K, where there are several.')
@click.option('--window', 'windows', type=(float, float), multiple=True, help='In 1/cm.')
@click.option('--protocol', help='fast for 2 ps, balanced for 10, stringent for 50.')
@click.option('--code', default='mlip-ins-engines@localhost')
def main(
    run: int, harmonic: int, temperature: float | None, windows: tuple[tuple[float, float], ...],
    protocol: str | None, code: str,
) -> None:  # fmt: skip
    """Simulate, compare, and write the report."""
    spectrum = orm.load_node(harmonic)
    builder = MdInsWorkChain.get_builder_from_protocol(
        orm.load_code(code),
        trajectory_of(orm.load_node(run), spectrum.pressure_gpa, temperature),
        protocol=protocol,
        harmonic=spectrum,
        windows=windows,
    )
    outputs, node = run_get_node(builder)
    click.echo(f'MdInsWorkChain<{node.pk}>: {node.exit_message or "ended well"}')
    if 'metrics' not in outputs:
        return
    for row in outputs['metrics']['windows']:
        click.echo(shift_sentence(row, 'harmonic', 'in motion'))
    click.echo(write_report(node, 'anharmonic'))


if __name__ == '__main__':
    main()
