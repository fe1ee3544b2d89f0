"""Compare any set of spectra: experiment, DFT, models, each at several pressures.

    verdi run examples/11_compare_spectra.py \
        --spectrum experiment 0 ambient.dat --spectrum experiment 1.5 clamp_cell.dat \
        --spectrum mace 0 PK --spectrum mace 1.5 PK --window 60 1600

A spectrum is a file of a measurement, whose format its content tells, or the PK of a node such as
the output ``spectrum`` of 07_ins.py. The report lies in the folder ``comparison`` afterwards.
"""

from pathlib import Path

import click
from aiida import orm
from aiida.engine import run_get_node

from aiida_mlip_ins.calculations.functions.measured import read_measured_spectrum
from aiida_mlip_ins.report.spectra_page import write_spectra_report
from aiida_mlip_ins.workflows.compare_spectra import CompareSpectraWorkChain


def load(text: str) -> orm.ArrayData:
    """Return the node of a spectrum; of a file one is made, with the file in its provenance."""
    path = Path(text)
    if path.is_file():
        return read_measured_spectrum(orm.SinglefileData(path.resolve()), orm.Dict({}))
    return orm.load_node(text)


@click.command()
@click.option(
    '--spectrum', 'spectra', type=(str, float, str), multiple=True, required=True,
    help='Role, pressure in GPa, file or PK.',
)  # fmt: skip
@click.option('--reference', help='Role to compare with; default: experiment, then dft.')
@click.option('--window', 'windows', type=(float, float), multiple=True, help='In 1/cm.')
def main(
    spectra: tuple[tuple[str, float, str], ...],
    reference: str | None,
    windows: tuple[tuple[float, float], ...],
) -> None:
    """Compare spectra and write the report."""
    labels = {f'spectrum_{index}': given for index, given in enumerate(spectra)}
    builder = CompareSpectraWorkChain.get_builder_from_protocol(
        spectra={label: load(text) for label, (_, _, text) in labels.items()},
        roles={label: role for label, (role, _, _) in labels.items()},
        pressures={label: pressure for label, (_, pressure, _) in labels.items()},
        reference=reference,
        windows=windows,
    )
    results, node = run_get_node(builder)
    click.echo(f'{node.process_label}<{node.pk}> {node.exit_message or "finished"}')
    for sentence in results['verdict']['sentences'] if 'verdict' in results else []:
        click.echo(sentence)
    click.echo(write_spectra_report(node, 'comparison'))


if __name__ == '__main__':
    main()
