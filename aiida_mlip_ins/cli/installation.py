"""The pieces that the chain needs in a profile: computer, codes, pseudopotentials.

Each function finds its piece or makes it, and returns an :class:`Item` that says which.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aiida_mlip_ins.calculations import PW_PLUGIN
from aiida_mlip_ins.cli.environments import REQUIREMENTS

if TYPE_CHECKING:
    from aiida import orm

ENGINES_LABEL = 'mlip-ins-engines'
PW_LABEL = 'pw'
IMPORTS = ('torch', 'mace', 'abinslib', 'euphonic', 'resins', 'phonopy', 'ase')
# Several small jobs share a machine: without the first lines Open MPI puts all of them on the same
# cores or refuses the second one; the others let it run in a container, whose only user is root.
MPI_TEXT = """export OMP_NUM_THREADS=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_rmaps_base_oversubscribe=1
export PRTE_MCA_hwloc_default_binding_policy=none
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"""


@dataclass(frozen=True)
class Item:
    """One piece of the set-up and what was done about it: ``found``, ``made`` or ``skipped``."""

    name: str
    state: str
    detail: str


def computer(label: str) -> Item:
    """Find the computer, or make it as this machine, without a scheduler."""
    from aiida import orm
    from aiida.common.exceptions import NotExistent
    from aiida.manage.configuration import get_config

    try:
        node = orm.load_computer(label)
    except NotExistent:
        if label != 'localhost':
            raise click.ClickException(
                f"there is no computer '{label}'; `verdi computer setup` makes one"
            ) from None
        work = Path(get_config().dirpath) / 'scratch'
        node = orm.Computer(
            label=label,
            hostname='localhost',
            description='This machine, made by aiida-mlip-ins setup',
            transport_type='core.local',
            scheduler_type='core.direct',
            workdir=str(work),
        ).store()
        node.set_default_mpiprocs_per_machine(1)
        node.set_minimum_job_poll_interval(1.0)
        configure_this_machine(node)
        return Item('computer', 'made', f'{label} (jobs run in {work})')
    if not node.is_configured:
        raise click.ClickException(
            f"the computer '{label}' is not configured: `verdi computer configure "
            f'{node.transport_type} {label}`'
        )
    interval = node.get_minimum_job_poll_interval()
    return Item('computer', 'found', f'{label} (asks for the state of jobs every {interval:g} s)')


def configure_this_machine(computer: orm.Computer) -> None:
    """Let a computer that is this machine run its commands in shells that start at once.

    AiiDA asks for the state of jobs once a second, in a login shell by default: where that sets up
    conda or pyenv it is a tenth of a core or more, for as long as a job runs. What the daemon was
    started with, its jobs have anyway.
    """
    computer.configure(safe_interval=0, use_login_shell=False)


def engines_code(python: Path, computer_label: str, verify: bool = True) -> Item:
    """Find or make the code of the engine jobs.

    :param python: the Python of the engines environment on that computer.
    :param verify: look at the versions, and import each engine once before the code is made; only
        possible if the computer is this machine.
    :raises click.ClickException: naming the engines that cannot be imported.
    """
    detail = str(python)
    if verify:
        known = _existing(ENGINES_LABEL, computer_label)
        new = known is None or str(known.filepath_executable) != str(python)
        versions = engine_versions(python, IMPORTS if new else ())
        detail += f' ({", ".join(f"{name} {version}" for name, version in versions.items())})'
    return _code(
        ENGINES_LABEL,
        computer_label,
        python,
        detail,
        description='Python of the engines environment of aiida-mlip-ins',
        default_calc_job_plugin='mlip_ins.mace_train',
        with_mpi=False,
    )


def pw_code(executable: Path, computer_label: str, verify: bool = True) -> Item:
    """Find or make the code of pw.x; it runs with MPI if it is a program with ``mpirun`` beside it.

    :param executable: pw.x or a wrapper of it.
    :param verify: start it once; only possible if the computer is this machine.
    :raises click.ClickException: if what it prints is not pw.x.
    """
    version = f' ({pw_version(executable)})' if verify else ''
    with_mpi = bool(shutil.which('mpirun')) and not _is_script(executable)
    return _code(
        PW_LABEL,
        computer_label,
        executable,
        f'{executable}{version}{"" if with_mpi else ", serial"}',
        description='pw.x of Quantum ESPRESSO',
        default_calc_job_plugin=PW_PLUGIN,
        with_mpi=with_mpi,
        prepend_text=MPI_TEXT if with_mpi else 'export OMP_NUM_THREADS=1',
    )


def pseudo_family(label: str | None, folder: Path | None) -> Item:
    """Find the family, or make it from a folder of PseudoDojo's UPF files.

    :param label: of a family that the user has; ours if not given.
    """
    from aiida_mlip_ins.cli import pseudos

    wanted = label or pseudos.FAMILY
    family = pseudos.find_family(wanted)
    if family is not None:
        return Item('pseudopotentials', 'found', f'{wanted} ({len(family.elements)} elements)')
    if label is not None:
        known = ', '.join(pseudos.family_labels()) or 'none'
        raise click.ClickException(
            f"there is no pseudopotential family '{label}' (there is: {known}). "
            '`aiida-pseudo install` adds one; without --pseudo-family we make our own.'
        )
    if folder is None or not folder.is_dir():
        raise click.ClickException(f'no folder of UPF files at {folder}')
    try:
        family = pseudos.install_family(folder, wanted)
    except ValueError as error:
        raise click.ClickException(f'pseudopotentials in {folder}: {error}') from None
    return Item('pseudopotentials', 'made', f'{wanted} ({len(family.elements)} elements)')


def engine_versions(python: Path, imports: tuple[str, ...] = IMPORTS) -> dict[str, str]:
    """Return the versions of the pinned packages, after importing modules with the given Python."""
    if not os.access(python, os.X_OK):
        raise click.ClickException(f'engines: {python} is not a program that can be run')
    pins = re.findall(r'(?m)^([\w-]+)[^\n#]*==', (REQUIREMENTS / 'engines.txt').read_text())
    program = (
        'import importlib, importlib.metadata as m, json, sys\n'
        'failed = {}\n'
        f'for name in {imports!r}:\n'
        '    try:\n'
        '        importlib.import_module(name)\n'
        '    except Exception as error:\n'
        '        failed[name] = str(error)\n'
        f'versions = {{n: m.version(n) for n in {tuple(pins)!r} if not failed}}\n'
        'print(json.dumps([failed, versions]), file=sys.stderr)'
    )
    hidden = ('PYTHONPATH', 'PYTHONHOME', 'PYTHONDONTWRITEBYTECODE')
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(
        [str(python), '-c', program], capture_output=True, text=True, env=env, check=False
    )
    try:
        failed, versions = json.loads(done.stderr.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise click.ClickException(f'engines: {python} failed:\n{done.stderr[-1000:]}') from None
    if failed:
        listed = '\n'.join(f'  {name}: {message}' for name, message in failed.items())
        raise click.ClickException(
            f'engines: {python} cannot import\n{listed}\n'
            'Give another with --engines-python, or none to have the environment built.'
        )
    return versions


def pw_version(executable: Path) -> str:
    """Start pw.x on an empty input and return what it calls itself, such as ``PWSCF v.7.2``."""
    if not os.access(executable, os.X_OK):
        raise click.ClickException(f'pw.x: {executable} is not a program that can be run')
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, 'empty.in').touch()
        try:
            done = subprocess.run(
                [str(executable), '-in', 'empty.in'],
                cwd=folder, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise click.ClickException(f'pw.x: {executable} did not run: {error}') from None
    found = re.search(r'Program (PWSCF v\.\S+)', done.stdout)
    if not found:
        said = (done.stdout + done.stderr).strip()[-500:]
        raise click.ClickException(f'pw.x: {executable} does not answer like pw.x:\n{said}')
    return found.group(1)


def _is_script(path: Path) -> bool:
    with path.open('rb') as handle:
        return handle.read(2) == b'#!'


def _code(
    label: str, computer_label: str, executable: Path, detail: str, **keywords: object
) -> Item:
    """Find the code with this executable or make it; an older one of that name is renamed."""
    from aiida import orm

    name = f'{label}@{computer_label}'
    old = _existing(label, computer_label)
    if old is not None:
        if str(old.filepath_executable) == str(executable) and old.with_mpi == keywords['with_mpi']:
            return Item(name, 'found', detail)
        old.label = f'{label}-{old.pk}'
        old.is_hidden = True
        detail = f'{detail}; the one before is now {old.label}'
    orm.InstalledCode(
        label=label,
        computer=orm.load_computer(computer_label),
        filepath_executable=str(executable),
        **keywords,
    ).store()
    return Item(name, 'made', detail)


def _existing(label: str, computer_label: str) -> orm.InstalledCode | None:
    """Return the code of this name, if there is one."""
    from aiida import orm
    from aiida.common.exceptions import NotExistent

    try:
        return orm.load_code(f'{label}@{computer_label}')
    except NotExistent:
        return None
