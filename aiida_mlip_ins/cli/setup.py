"""``aiida-mlip-ins setup``: find or make all that the chain needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from aiida_mlip_ins.cli import environments, options
from aiida_mlip_ins.cli.installation import Item

COLOURS = {'found': 'green', 'made': 'cyan', 'skipped': 'yellow'}


@dataclass(frozen=True)
class Wishes:
    """What the user has and wants; empty fields are found or made."""

    profile: str | None = None
    new_profile: str | None = None
    caching: bool | None = None
    computer: str = 'localhost'
    engines_python: Path | None = None
    pw: Path | None = None
    pseudo_family: str | None = None
    pseudos: Path | None = None
    environments: Path | None = None
    use_pip: bool = False
    with_pw: bool = True


def prepare_profile(wishes: Wishes) -> Iterator[Item]:
    """Find or make the profile, load it and set it up: what a daemon reads when it starts."""
    from aiida_mlip_ins.cli import profile

    if wishes.new_profile:
        made = profile.ensure(wishes.new_profile)
        loaded = profile.load(wishes.new_profile)
        yield Item('profile', 'made' if made else 'found', wishes.new_profile)
    else:
        loaded = profile.load(wishes.profile)
        yield Item('profile', 'found', loaded.name)
    database = profile.let_readers_and_writers_coexist(loaded)
    if database is not None:
        yield Item('database', *database)
    if wishes.caching is not None:
        changed = profile.set_caching(loaded, wishes.caching)
        state = 'on' if wishes.caching else 'off'
        yield Item('caching', 'made' if changed else 'found', f'{state} in this profile')


def prepare_codes(wishes: Wishes) -> Iterator[Item]:
    """Find or make what the loaded profile computes with, each after what it needs."""
    from aiida_mlip_ins.cli import installation

    folder = (wishes.environments or default_folder()).resolve()
    yield from _environments(wishes, folder)
    yield installation.computer(wishes.computer)
    here = wishes.computer == 'localhost'
    python = wishes.engines_python or folder / 'engines/bin/python'
    yield installation.engines_code(_absolute(python), wishes.computer, verify=here)
    if not wishes.with_pw:
        yield Item('pw.x and pseudopotentials', 'skipped', 'as asked for with --no-pw')
        return
    yield installation.pw_code(_pw_executable(wishes, folder), wishes.computer, verify=here)
    upf = wishes.pseudos or folder / 'pseudos/upf'
    yield installation.pseudo_family(wishes.pseudo_family, upf)


def _environments(wishes: Wishes, folder: Path) -> Iterator[Item]:
    """Build the environments that were not given."""
    from aiida_mlip_ins.cli.pseudos import FAMILY, find_family

    names = [] if wishes.engines_python else ['engines']
    if wishes.with_pw and not (wishes.pw or shutil.which('pw.x')):
        names.append('pw')
    given = wishes.pseudo_family or wishes.pseudos
    if wishes.with_pw and not given and find_family(FAMILY) is None:
        names.append('pseudos')
    built = environments.build(names, folder, wishes.use_pip)
    for name in names:
        where = folder / name
        if name in built:
            yield Item(f'{name} environment', 'made', f'{where} in {built[name]:.0f} s')
        else:
            yield Item(f'{name} environment', 'found', str(where))
    if wishes.engines_python:
        yield Item('engines environment', 'skipped', f'{wishes.engines_python} is used')


def _pw_executable(wishes: Wishes, folder: Path) -> Path:
    """Return the pw.x that was given, or the one on the PATH, or the one that we built."""
    found = wishes.pw or shutil.which('pw.x')
    return _absolute(Path(found)) if found else folder / 'pw/bin/pw.x'


def _absolute(path: Path) -> Path:
    """Return an absolute path without following links: a venv's Python is one."""
    return Path(os.path.abspath(path))


def default_folder() -> Path:
    """Return where the environments are: in the checkout, or else beside AiiDA's configuration."""
    if (environments.CHECKOUT / 'setup.cfg').is_file():
        return environments.CHECKOUT / '.envs'
    from aiida.manage.configuration import get_config

    return Path(get_config().dirpath) / 'mlip_ins'


def show(item: Item) -> None:
    """Print one line: what was done, about what, and where."""
    click.echo(
        f'{click.style(f"{item.state:8}", fg=COLOURS[item.state])} {item.name}: {item.detail}'
    )


@click.command('setup')
@options.PROFILE
@click.option(
    '--new-profile', metavar='NAME', help='Make this profile (SQLite, no service needed).'
)
@click.option(
    '--caching/--no-caching', default=None, help='Reuse equal calculations of the profile.'
)
@click.option('--computer', default='localhost', show_default=True, help='Where jobs run.')
@click.option('--engines-python', type=click.Path(path_type=Path), help='Python with the engines.')
@click.option(
    '--pw', type=click.Path(path_type=Path), help="pw.x; default: on the PATH, or qepy's."
)
@options.PSEUDO_FAMILY
@click.option('--pseudos', type=options.FOLDER, help='Folder with PseudoDojo 0.4 UPF files.')
@click.option('--environments', type=options.FOLDER, help='Folder for the environments we build.')
@click.option('--pip', 'use_pip', is_flag=True, help='Build with plain pip, not uv.')
@click.option('--no-pw', 'with_pw', flag_value=False, default=True, help='Leave out DFT.')
def setup(**wishes: object) -> None:
    """Find or make what the chain needs: computer, codes, pseudopotentials, engines.

    Can be run again at any time: what is there is left as it is.
    """
    try:
        for step in (prepare_profile, prepare_codes):
            for item in step(Wishes(**wishes)):
                show(item)
    except environments.BuildError as error:
        raise click.ClickException(str(error)) from None
    click.echo('Ready: `aiida-mlip-ins demo` runs the whole chain on brucite.')
