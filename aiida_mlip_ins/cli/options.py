"""Options that several commands share, each declared once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
NODE = 'PK, UUID or label'


class Numbers(click.ParamType):
    """One or several numbers of a unit, separated by commas."""

    def __init__(self, unit: str) -> None:
        self.name = f'{unit}[,{unit}...]'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a list of numbers; whether they make sense is checked with all other inputs."""
        if isinstance(value, list):
            return value
        try:
            return [float(item) for item in str(value).split(',')]
        except ValueError:
            self.fail(f"'{value}' is not a number, or numbers separated by commas", param, ctx)


class SpectrumAt(click.ParamType):
    """A measured spectrum with its pressure."""

    name = 'GPa=FILE_OR_NODE'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the pressure (GPa), and the file or node."""
        if isinstance(value, tuple):
            return value
        pressure, _, text = str(value).partition('=')
        try:
            return float(pressure), _needed(text)
        except ValueError:
            self.fail(f"'{value}' is no pressure and spectrum, such as 1.5=run.dat", param, ctx)


class SpectrumOf(click.ParamType):
    """A spectrum with its role, or what else it is of, and, if needed, its pressure."""

    def __init__(self, what: str = 'role', example: str = 'experiment@1.5=run.dat or dft=1234'):
        self.what, self.example = what, example
        self.name = f'{what.upper()}[@GPa]=FILE_OR_NODE'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return role (or other), pressure (GPa) if there is one, and file or node."""
        if isinstance(value, tuple):
            return value
        whose, _, text = str(value).partition('=')
        role, at, pressure = whose.partition('@')
        try:
            return _needed(role), float(pressure) if at else None, _needed(text)
        except ValueError:
            self.fail(
                f"'{value}' is no {self.what} and spectrum, such as {self.example}", param, ctx
            )


class Named(click.ParamType):
    """A file or node, with a name of the user's choice."""

    name = '[NAME=]FILE_OR_NODE'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name, made from that of the file if none is given, and the file or node."""
        if isinstance(value, tuple):
            return value
        name, given, text = str(value).rpartition('=')
        return (name if given else as_name(text)), text


def as_name(text: str) -> str:
    """Return a name made of the letters and digits of the name of a file or node."""
    words = re.findall('[A-Za-z0-9]+', Path(text).stem)
    name = '_'.join(words)
    return name if name[:1].isalpha() else f'node_{name}'


def _needed(text: str) -> str:
    """Return a text that is not empty."""
    if not text:
        raise ValueError
    return text


PROFILE = click.option('-p', '--profile', metavar='NAME', help='AiiDA profile; default: yours.')
PROCESS = click.argument('process', metavar='PROCESS')
PRESSURES = click.option(
    '--pressure', '--pressures', 'pressures', type=Numbers('GPa'), multiple=True,
    help='In GPa, ascending; give it several times or separate by commas.',
)  # fmt: skip
PROTOCOL = click.option(
    '--protocol', metavar='NAME', help="fast, balanced or stringent; default: the link's own."
)
OVERRIDES = click.option(
    '--overrides', type=EXISTING_FILE, help='YAML file with values on top of the protocol.'
)
DAEMON = click.option(
    '--daemon', is_flag=True, help='Hand the process to the daemon instead of waiting for it here.'
)
CHECK = click.option(
    '--check', is_flag=True, help='Only validate the inputs; nothing is stored or submitted.'
)
ENGINE_CODE = click.option(
    '--engine-code', metavar='CODE', default='mlip-ins-engines@localhost', show_default=True,
    help='Python of the engines environment.',
)  # fmt: skip
PW_CODE = click.option(
    '--pw-code', metavar='CODE', default='pw@localhost', show_default=True, help='pw.x.'
)
PSEUDO_FAMILY = click.option(
    '--pseudo-family', metavar='LABEL', help='Pseudopotential family; default: that of `setup`.'
)
FOLLOW = click.option('-f', '--follow', is_flag=True, help='Go on until the process has ended.')


def output(default: str) -> Callable:
    """Return the option of the folder that a report is written to."""
    return click.option(
        '-o', '--output', type=FOLDER, default=default, show_default=True,
        help='Folder for the report; made if it is not there.',
    )  # fmt: skip
