"""Relax brucite with pw.x at 0 and 1.5 GPa, cell and positions, symmetry kept.

    verdi run examples/03_pw_pressure_scan.py
    verdi run examples/03_pw_pressure_scan.py --crystal MY.cif --daemon

pw.x needs some ten minutes for each pressure on one core; `PwQuadraticScanWorkChain` gets there by
a few single points where the symmetry leaves few coordinates free.
"""

import click
from aiida.engine import run_get_node, submit
from ase.spacegroup import crystal

from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.science.structure import read_crystal
from aiida_mlip_ins.workflows.pw_pressure_scan import PwPressureScanWorkChain

CODE = 'pw@localhost'
PROTOCOL = 'fast'
PRESSURES = [0.0, 1.5]  # GPa
OVERRIDES = {'max_concurrent': 2}
OPTIONS: dict = {}
BRUCITE = crystal(
    ('Mg', 'O', 'H'),
    [(0, 0, 0), (1 / 3, 2 / 3, 0.2203), (1 / 3, 2 / 3, 0.4216)],
    spacegroup=164,
    cellpar=[3.142, 3.142, 4.766, 90, 90, 120],
)


@click.command()
@click.option('--crystal', 'path', type=click.Path(exists=True), help='CIF or what ASE reads.')
@click.option('--daemon', is_flag=True, help='Leave it to the daemon.')
def main(path: str | None, daemon: bool) -> None:
    """Relax a crystal at each pressure."""
    atoms = read_crystal(path) if path else BRUCITE
    builder = PwPressureScanWorkChain.get_builder_from_protocol(
        CODE, to_structure(atoms), PRESSURES, PROTOCOL, OVERRIDES, OPTIONS
    )
    if daemon:
        click.echo(f'submitted {submit(builder)}')
        return
    results, node = run_get_node(builder)
    click.echo(f'{node.process_label}<{node.pk}> {node.exit_message or "finished"}')
    rows = results['results']['pressures'] if 'results' in results else []
    for row in rows:
        click.echo(
            f'{row["pressure_gpa"]:6.2f} GPa {row["volume_angstrom3"]:9.3f} angstrom^3 '
            f'{row["spacegroup"]} after {row["repeats"]} relaxations, {row["steps"]} steps'
        )


if __name__ == '__main__':
    main()
