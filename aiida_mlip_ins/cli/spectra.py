"""``aiida-mlip-ins import-spectrum`` and ``compare-spectra``: measured spectra."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from aiida_mlip_ins.cli import options


class Listed(click.ParamType):
    """Words or whole numbers, separated by commas."""

    def __init__(self, kind: type, name: str) -> None:
        self.kind, self.name = kind, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a list; what the words may be is checked with all other settings."""
        if isinstance(value, list):
            return value
        try:
            return [self.kind(item.strip()) for item in str(value).split(',')]
        except ValueError:
            self.fail(f"'{value}' is not a list of whole numbers", param, ctx)


class Window(click.ParamType):
    """A range of energies."""

    name = 'LOW:HIGH'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return both ends in 1/cm."""
        number = r'-?\d+(?:\.\d*)?'
        match = re.fullmatch(f'({number}):({number})', str(value))
        if match is None:
            self.fail(f"'{value}' is no range such as 60:1600 (1/cm)", param, ctx)
        return [float(match[1]), float(match[2])]


DECLARED: dict[str, tuple[Any, str]] = {
    'format': (str, 'isis, text, mantid, nxspe or jcamp; by default the content tells.'),
    'units': (str, 'Unit of energy, if the file does not say it: 1/cm, meV or THz.'),
    'columns': (
        Listed(str, 'NAME,...'),
        'Of a text file without a header: energy, intensity, error or skip for each column.',
    ),
    'workspace': (int, 'Number of the workspace, of a Mantid file with several.'),
    'spectra': (Listed(int, 'N,...'), 'Which spectra to take, counted from 0; default: all.'),
}
"""Options that say what a file does not say itself: the keys of ``ReadSettings``."""


WINDOWS = click.option(
    '-w', '--window', 'windows', type=Window(), multiple=True,
    help='Range in 1/cm; give it several times. Default: what all spectra cover.',
)  # fmt: skip
BACKGROUND = click.option(
    '--background', type=int, metavar='DEGREE',
    help='Degree of the fitted background; 0 is a constant, -1 none.',
)  # fmt: skip


def declared(names: Iterable[str], prefix: str = '', whose: str = '') -> Callable:
    """Return some of these options, with a prefix to their names and words before their help."""

    def decorate(function: Callable) -> Callable:
        for name in reversed(list(names)):
            kind, help = DECLARED[name]
            metavar = {str: 'NAME', int: 'N'}.get(kind)
            function = click.option(
                f'--{prefix}{name}', type=kind, metavar=metavar, help=f'{whose}{help}'
            )(function)
        return function

    return decorate


@click.command('import-spectrum')
@options.PROFILE
@click.argument('files', nargs=-1, required=True, type=click.Path(path_type=Path))
@declared(DECLARED)
@click.option('--label', metavar='TEXT', help='Label of the node; default: name of the file.')
@options.CHECK
def import_spectrum(
    profile: str | None, files: tuple[Path, ...], label: str | None, check: bool, **given: Any
) -> None:
    """Store measured spectra with their FILES; one node each, whose PK is printed.

    Read are the text format of the ISIS INS database, text and CSV, processed NeXus files of
    Mantid, nxspe and JCAMP-DX. All files are read before anything is stored.
    """
    from aiida_mlip_ins.cli.inputs import Inputs
    from aiida_mlip_ins.cli.nodes import Refusal
    from aiida_mlip_ins.cli.spectra_text import described
    from aiida_mlip_ins.science.readers import ReadSettings, read_file
    from aiida_mlip_ins.science.settings import build

    inputs = Inputs()
    settings = {key: value for key, value in given.items() if value is not None}
    chosen = inputs.attempt(build, ReadSettings, settings, 'settings')
    read = [inputs.attempt(read_file, path, chosen) for path in files] if chosen else []
    if inputs.problems:
        raise Refusal.of('stored', inputs.problems)
    if check:
        for path, spectrum in zip(files, read, strict=True):
            click.echo(f'{path}: {described(spectrum)}')
        return
    from aiida_mlip_ins.cli import profile as profiles

    profiles.load(profile)
    from aiida import orm

    from aiida_mlip_ins.calculations.functions.measured import read_measured_spectrum

    for path, spectrum in zip(files, read, strict=True):
        node = read_measured_spectrum(orm.SinglefileData(path.resolve()), orm.Dict(settings))
        node.label = label or path.stem
        click.echo(f'{path} <{node.pk}>: {described(spectrum)}')


@click.command('compare-spectra')
@options.PROFILE
@click.argument('measured')
@click.argument('simulated')
@WINDOWS
@BACKGROUND
@declared(DECLARED, whose='File MEASURED: ')
@declared(('units', 'columns'), 'simulated-', 'File SIMULATED: ')
@options.PROTOCOL
@options.OVERRIDES
@click.option('--store', is_flag=True, help='Keep the result as nodes; both must be nodes.')
@options.output('comparison')
def compare_spectra(
    profile: str | None,
    measured: str,
    simulated: str,
    windows: tuple[list[float], ...],
    background: int | None,
    protocol: str | None,
    overrides: Path | None,
    store: bool,
    output: Path,
    **given: Any,
) -> None:
    """Compare a MEASURED with a SIMULATED spectrum, each a file or a node (PK, UUID or label).

    Prints the metrics of each window and writes a picture (comparison.png), the numbers
    (comparison.json) and the curves (comparison_LOW-HIGH.csv). Of two files no AiiDA profile is
    needed.
    """
    from aiida_mlip_ins.cli.spectra_compare import Request, carry_out

    carry_out(
        Request(profile, measured, simulated, windows, background, protocol, overrides, store),
        {key: value for key, value in given.items() if value is not None},
        output,
    )
