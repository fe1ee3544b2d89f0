"""Compare a potential with DFT at each pressure, and the pressures with each other.

    verdi run examples/08_compare.py --pressure 0 --pressure 1.5 \
        --mace PHONONS_PK --mace PHONONS_PK --pw PHONONS_PK --pw PHONONS_PK \
        --ins INS_PK --ins INS_PK

Each option is given once for each pressure, in their order: processes of 06_phonons.py with MACE
and with pw.x, and of 07_ins.py. DFT and spectra may be left out.
"""

import click
from aiida import orm
from aiida.engine import run_get_node

from aiida_mlip_ins.workflows.compare import CompareWorkChain


def collect(phonons: tuple[int, ...], spectra: tuple[int, ...] = ()) -> dict[str, dict]:
    """Return the nodes to compare, by kind and pressure."""
    kinds = ('modes', 'phonons', 'structures', 'spectra', 'force_constants')
    found: dict[str, dict] = {kind: {} for kind in kinds}
    for index, pk in enumerate(phonons):
        node = orm.load_node(pk)
        key = f'pressure_{index}'
        found['modes'][key] = node.outputs.modes
        found['phonons'][key] = node.outputs.summary
        found['force_constants'][key] = node.outputs.force_constants
        found['structures'][key] = node.inputs.structure
    for index, pk in enumerate(spectra):
        found['spectra'][f'pressure_{index}'] = orm.load_node(pk).outputs.spectrum
    return found


def number(value: float | None) -> str:
    """Return a frequency or a shift, or a dash."""
    return '-' if value is None else f'{value:8.1f}'


@click.command()
@click.option('--pressure', 'pressures', type=float, multiple=True, required=True, help='In GPa.')
@click.option('--mace', type=int, multiple=True, required=True, help='PK of phonons with MACE.')
@click.option('--pw', type=int, multiple=True, help='PK of phonons with pw.x.')
@click.option('--ins', type=int, multiple=True, help='PK of spectra.')
def main(
    pressures: tuple[float, ...], mace: tuple[int, ...], pw: tuple[int, ...], ins: tuple[int, ...]
) -> None:
    """Compare processes that have run."""
    builder = CompareWorkChain.get_builder_from_protocol(
        pressures, collect(mace, ins), collect(pw) if pw else None
    )
    results, node = run_get_node(builder)
    click.echo(f'{node.process_label}<{node.pk}> {node.exit_message or "finished"}')
    if 'table' not in results:
        return
    click.echo('modes (1/cm): MACE at each pressure, its shift, DFT at each pressure, its shift')
    for row in results['table'].get_dict()['rows']:
        cells = [*row['mace_per_cm'], row['mace_shift_per_cm'][-1]]
        cells += [*row.get('dft_per_cm', []), *row.get('dft_shift_per_cm', [])[-1:]]
        click.echo(' '.join(number(cell) for cell in cells) + f'  {row["description"]}')


if __name__ == '__main__':
    main()
