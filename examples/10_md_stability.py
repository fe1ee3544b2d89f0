"""Run molecular dynamics of a crystal with a MACE potential, and see whether it is stable.

    verdi run examples/10_md_stability.py MODEL STRUCTURE --temperature 300
    verdi run examples/10_md_stability.py MODEL A.cif B.cif --pressure 0 --pressure 1.5 --ps 10

MODEL is the PK of a model node (made by examples/04). Each STRUCTURE is a file that ASE reads or
the PK of a structure: the crystal relaxed at the pressure (GPa) given in the same place. A figure
of each run is written as PNG.
"""

from pathlib import Path

import ase.io
import click
from aiida import orm
from aiida.engine import run_get_node, submit

from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.report.md import draw_stability
from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain


def load_structure(given: str) -> orm.StructureData:
    """Return the structure of a file or a PK."""
    return to_structure(ase.io.read(given)) if Path(given).is_file() else orm.load_node(int(given))


@click.command()
@click.argument('model', type=int)
@click.argument('structures', nargs=-1, required=True)
@click.option('--pressure', 'pressures', type=float, multiple=True, default=[0.0], help='GPa.')
@click.option(
    '--temperature', 'temperatures', type=float, multiple=True, default=[300.0], help='K.'
)
@click.option('--supercell', type=int, nargs=3, help='By the protocol if not given.')
@click.option('--ps', 'length', type=float, help='Length of the run, ps.')
@click.option('--nvt', is_flag=True, help='At constant volume.')
@click.option('--protocol')
@click.option('--code', default='mlip-ins-engines@localhost')
@click.option('--daemon', is_flag=True, help='Leave it to the daemon.')
def main(
    model: int, structures: tuple[str, ...], pressures: tuple[float, ...],
    temperatures: tuple[float, ...], supercell: tuple[int, ...] | None, length: float | None,
    nvt: bool, protocol: str | None, code: str, daemon: bool,
) -> None:  # fmt: skip
    """Run, then print the verdict and draw each run."""
    changes: dict = {'ensemble': 'nvt'} if nvt else {}
    if length is not None:
        changes |= {'duration_ps': length, 'settle_ps': length / 10}
    overrides: dict = {'md': {'parameters': changes}}
    if length is not None:
        overrides['criteria'] = {'equilibration_ps': length / 10}
    engines = orm.load_code(code)
    builder = MdStabilityWorkChain.get_builder_from_protocol(
        engines,
        [load_structure(given) for given in structures],
        orm.load_node(model),
        pressures,
        temperatures,
        supercell,
        protocol,
        overrides,
    )
    if daemon:
        click.echo(f'submitted {submit(builder)}')
        return
    outputs, node = run_get_node(builder)
    click.echo(f'stability <{node.pk}>: {node.exit_message or "ended well"}')
    if 'verdict' not in outputs:
        return
    verdict = outputs['verdict']
    click.echo('\n  '.join([verdict['verdict'], *verdict['reasons']]))
    for key in verdict['runs']:
        figure = draw_stability(outputs['analyses'][key], verdict, orm.Str(key))
        Path(figure.filename).write_bytes(figure.get_content(mode='rb'))
        click.echo(f'figure <{figure.pk}> in {figure.filename}')


if __name__ == '__main__':
    main()
