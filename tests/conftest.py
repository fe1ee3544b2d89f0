"""Fixtures shared by all tests.

Engines are found, in this order: an environment variable, then what `make` built in the checkout.

- ``AIIDA_MLIP_INS_ENGINES_PYTHON``: the Python of the engines environment,
- ``AIIDA_MLIP_INS_PW``: an executable that takes pw.x's arguments,
- ``AIIDA_MLIP_INS_PSEUDOS``: a folder with one PseudoDojo UPF file per element (``H.upf``, ...).

A test that asks for one that is not there is skipped, and the reason says what to set.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import ase
import pytest
from aiida import orm
from ase.spacegroup import crystal
from sqlalchemy import event
from sqlalchemy.engine import Engine
from warm_engines import serve

from aiida_mlip_ins.cli.installation import configure_this_machine

pytest_plugins = 'aiida.tools.pytest_fixtures'

TOP = Path(__file__).resolve().parents[1]
ENVIRONMENTS = TOP / '.envs'
PSEUDO_ELEMENTS = ('H', 'He', 'Li', 'C', 'N', 'O', 'Mg', 'Si', 'S', 'I')


def _found(variable: str, *places: Path | str | None) -> Path | None:
    """Return the path in the environment variable, or the first of the places that exists."""
    given = os.environ.get(variable)
    for place in (given,) if given else places:
        if place and Path(place).exists():
            return Path(place)
    return None


@event.listens_for(Engine, 'connect')
def _do_not_wait_for_the_disk(connection: object, _: object) -> None:
    """Do not wait for the disk at each commit, 2 to 12 ms: no test outlives a power cut."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute('PRAGMA synchronous = OFF')


LONGEST = ('test_end_to_end.py', 'test_train.py', 'test_active_learning.py')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes, so that no process ends on one while others idle."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope='session')
def engines_python() -> Path:
    """Return the Python of the engines environment (torch, mace, abinslib)."""
    python = _found('AIIDA_MLIP_INS_ENGINES_PYTHON', ENVIRONMENTS / 'engines/bin/python')
    if python is None:
        pytest.skip('no engines environment: run `make` or set AIIDA_MLIP_INS_ENGINES_PYTHON')
    return python


@pytest.fixture(scope='session')
def pw_executable() -> Path:
    """Return an executable that runs pw.x."""
    executable = _found('AIIDA_MLIP_INS_PW', ENVIRONMENTS / 'pw/bin/pw.x', shutil.which('pw.x'))
    if executable is None:
        pytest.skip('no pw.x: run `make` or set AIIDA_MLIP_INS_PW')
    return executable


@pytest.fixture(scope='session')
def warm_python(engines_python: Path) -> Iterator[Path]:
    """Return what stands for the Python of the engines environment, its imports done."""
    with serve(engines_python) as python:
        yield python


@pytest.fixture
def aiida_localhost(aiida_localhost: orm.Computer) -> orm.Computer:
    """Return this machine as `setup` configures it."""
    configure_this_machine(aiida_localhost)
    return aiida_localhost


@pytest.fixture
def engine_code(warm_python: Path, aiida_code_installed: Callable) -> orm.InstalledCode:
    """Return the code of the engine jobs."""
    return _engine_code(warm_python, 'mlip-ins-engines', aiida_code_installed)


@pytest.fixture
def plain_engine_code(engines_python: Path, aiida_code_installed: Callable) -> orm.InstalledCode:
    """Return the code of the engine jobs, with the Python itself."""
    return _engine_code(engines_python, 'mlip-ins-engines-plain', aiida_code_installed)


def _engine_code(python: Path, label: str, install: Callable) -> orm.InstalledCode:
    return install(
        label=label,
        filepath_executable=str(python),
        default_calc_job_plugin='mlip_ins.mace_train',
        with_mpi=False,
    )


@pytest.fixture
def pw_code(pw_executable: Path, aiida_code_installed: Callable) -> orm.InstalledCode:
    """Return the code of pw.x, run without MPI."""
    return aiida_code_installed(
        label='pw',
        filepath_executable=str(pw_executable),
        default_calc_job_plugin='quantumespresso.pw',
        prepend_text='export OMP_NUM_THREADS=1',
        with_mpi=False,
    )


@pytest.fixture
def pseudo_family(tmp_path: Path, aiida_profile: object) -> orm.Group:
    """Return a family of PseudoDojo pseudopotentials of a few light elements, with cutoffs."""
    from aiida_pseudo.data.pseudo import UpfData
    from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily

    label = 'tests/PseudoDojo/0.4/PBE/SR/standard/upf'
    existing = CutoffsPseudoPotentialFamily.collection.find({'label': label})
    if existing:
        return existing[0]
    folder = _found('AIIDA_MLIP_INS_PSEUDOS', ENVIRONMENTS / 'pseudos/upf')
    if folder is None:
        pytest.skip('no pseudopotentials: run `make` or set AIIDA_MLIP_INS_PSEUDOS')
    chosen = tmp_path / 'upf'
    chosen.mkdir()
    for element in PSEUDO_ELEMENTS:
        shutil.copy(folder / f'{element}.upf', chosen)
    family = CutoffsPseudoPotentialFamily.create_from_folder(chosen, label, pseudo_type=UpfData)
    family.set_cutoffs(
        {element: {'cutoff_wfc': 80.0, 'cutoff_rho': 320.0} for element in PSEUDO_ELEMENTS},
        'standard',
        unit='Ry',
    )
    return family


@pytest.fixture
def brucite() -> ase.Atoms:
    """Return brucite, Mg(OH)2, P-3m1, 5 atoms (lengths in angstrom)."""
    return crystal(
        ('Mg', 'O', 'H'),
        [(0, 0, 0), (1 / 3, 2 / 3, 0.2203), (1 / 3, 2 / 3, 0.4130)],
        spacegroup=164,
        cellpar=[3.142, 3.142, 4.766, 90, 90, 120],
    )


@pytest.fixture
def brucite_structure(brucite: ase.Atoms, aiida_profile: object) -> orm.StructureData:
    """Return brucite as an unstored node."""
    return orm.StructureData(ase=brucite)


@pytest.fixture(scope='session')
def reference_data() -> Path:
    """Return the folder of measured data that lies beside the checkout."""
    folder = TOP.parent / 'shared' / 'data'
    if not folder.is_dir():
        pytest.skip('no measured data beside the checkout (../shared/data)')
    return folder


@pytest.fixture
def presto(tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess]]:
    """Return a function that runs a command with a profile of its own (SQLite, ZeroMQ broker).

    Its daemon, if a command started one, is stopped at the end. The function takes the command's
    words (``verdi`` and ``aiida-mlip-ins`` are the ones beside this Python) and the keywords of
    ``subprocess.run``, and has the environment as its attribute ``env``.
    """
    scripts = Path(sys.executable).parent
    env = dict(os.environ, AIIDA_PATH=str(tmp_path / 'aiida'))
    env['PATH'] = f'{scripts}{os.pathsep}{env["PATH"]}'

    def run(*words: str, **keywords: object) -> subprocess.CompletedProcess:
        options = {'env': env, 'cwd': tmp_path, 'capture_output': True, 'text': True, **keywords}
        return subprocess.run(words, **options)

    run.env = env
    made = run('verdi', 'presto', '--use-zeromq', '-n', '-p', 'tests')
    assert made.returncode == 0, made.stdout + made.stderr
    database = next((tmp_path / 'aiida').rglob('database.sqlite'))
    with contextlib.closing(sqlite3.connect(database)) as connection:
        # as `aiida-mlip-ins setup` does, so that a test that reads cannot block the daemon
        connection.execute('PRAGMA journal_mode = WAL')
    yield run
    if list((tmp_path / 'aiida/.aiida/daemon').glob('*.pid')):
        run('verdi', 'daemon', 'stop')
