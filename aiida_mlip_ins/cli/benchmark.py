"""``aiida-mlip-ins benchmark``: models side by side, crystals by models by pressures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aiida_mlip_ins.cli import options
from aiida_mlip_ins.cli.spectra import WINDOWS


def _spectra(name: str, what: str) -> Any:
    return click.option(
        name, type=options.SpectrumOf('crystal', 'hexane@1.5=run.dat or hexane=1234'),
        multiple=True, help=f'{what} of a crystal that the models are judged by.',
    )  # fmt: skip


@click.command('benchmark')
@click.argument('file', metavar='[FILE]', type=options.EXISTING_FILE, required=False)
@click.option(
    '-c',
    '--crystal',
    'crystals',
    type=options.Named(),
    multiple=True,
    help='Crystal; the name is that of the file unless given.',
)
@click.option(
    '-m',
    '--model',
    'models',
    type=options.Named(),
    multiple=True,
    help='Potential, a node or a model file.',
)
@options.PRESSURES
@_spectra('--measured', 'Measured spectrum')
@_spectra('--dft', 'DFT spectrum')
@WINDOWS
@options.ENGINE_CODE
@options.PROTOCOL
@options.OVERRIDES
@options.output('benchmark')
@options.DAEMON
@options.CHECK
@options.PROFILE
def benchmark(
    profile: str | None, daemon: bool, check: bool, output: Path, file: Path | None, **given: Any
) -> None:  # fmt: skip
    """Run every model on every crystal at every pressure, and write one table and one figure.

    What is asked for can stand in FILE (YAML: crystals, models, pressures, protocol, overrides), in
    options, or in both. The table says of each crystal, model and pressure whether the crystal
    relaxes, its volume, whether there are imaginary modes, how well the spectrum agrees with the
    measured and DFT spectra that are given, and what it cost. What fails is a row with its reason.
    """
    from aiida_mlip_ins.cli import profile as profiles

    profiles.load(profile)
    from aiida_mlip_ins.cli import links_benchmark
    from aiida_mlip_ins.cli.carry_out import carry_out
    from aiida_mlip_ins.cli.inputs import Inputs

    def show(node: Any) -> None:
        from aiida_mlip_ins.cli.report import write

        page, text = write(node, output)
        click.echo(f'\n{text}\n\n{page}')

    inputs = Inputs()
    builder = links_benchmark.benchmark(inputs, file=file, **given)
    carry_out(inputs, builder, daemon, check, show)
