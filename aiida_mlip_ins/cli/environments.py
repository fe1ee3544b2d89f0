"""Build the environments that the chain runs in, side by side, only when something changed.

Only the standard library is imported, so that it also runs before anything is installed:
``python3 -m aiida_mlip_ins.cli.environments`` is what ``make`` calls.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / 'engines'
CHECKOUT = Path(__file__).resolve().parents[2]
STAMP = '.built-from'
PW_WRAPPER = """#!/bin/sh
# pw.x of the package qepy, as if it were the program itself.
unset PYTHONPATH PYTHONHOME
export OMP_NUM_THREADS=1
exec "$(dirname "$(readlink -f "$0")")/python" -E -m qepy --pw.x "$@"
"""


class BuildError(Exception):
    """An environment could not be built; the message ends with the installer's last words."""


@dataclass(frozen=True)
class Environment:
    """One environment.

    ``packages`` are the words given to the installer, ``files`` decide when it is outdated,
    ``probe`` is a Python program that fails if it is not usable.
    """

    name: str
    packages: tuple[str, ...]
    files: tuple[Path, ...]
    probe: str = ''


def _pinned(name: str, probe: str) -> Environment:
    path = REQUIREMENTS / f'{name}.txt'
    return Environment(name, ('-r', str(path)), (path,), probe)


ENVIRONMENTS = {
    environment.name: environment
    for environment in (
        Environment(
            'aiida',
            ('-e', f'{CHECKOUT}[tests,dev,docs]'),
            (CHECKOUT / 'setup.cfg', CHECKOUT / 'pyproject.toml'),
            'import importlib.util as u; assert all(map(u.find_spec, ("aiida", "pytest")))',
        ),
        _pinned(
            'engines',
            'import importlib.util as u; '
            'missing = [n for n in ("torch", "mace", "abinslib", "euphonic", "resins", "phonopy", '
            '"ase") if not u.find_spec(n)]; assert not missing, missing',
        ),
        _pinned('pw', 'import importlib.util as u; assert u.find_spec("qepy")'),
        _pinned('pseudos', ''),
    )
}


class Installer:
    """Makes virtual environments and installs into them, with uv or with plain pip."""

    def __init__(self, folder: Path, use_pip: bool = False) -> None:
        """Find uv, or install it into ``folder/tools``, or do without it.

        :param folder: where the environments are.
        :param use_pip: do not use uv even if it is there.
        """
        self.folder = folder
        self.find_links = _find_links()
        self.uv = None if use_pip else shutil.which('uv') or self._own_uv()

    def _own_uv(self) -> str | None:
        uv = self.folder / 'tools/bin/uv'
        if uv.exists():
            return str(uv)
        try:
            _call([sys.executable, '-m', 'venv', '--clear', str(self.folder / 'tools')])
            _call([str(self.folder / 'tools/bin/python'), '-m', 'pip', 'install', '-q', 'uv'])
        except BuildError:
            return None
        return str(uv)

    def make_venv(self, place: Path, with_pip: bool = False) -> None:
        """Make an empty virtual environment, in place of one that cannot be installed into."""
        if _is_venv_of_this_python(place) and not with_pip:
            return
        shutil.rmtree(place, ignore_errors=True)
        if self.uv and not with_pip:
            _call([self.uv, 'venv', '-q', '--python', sys.executable, str(place)])
        else:
            _call([sys.executable, '-m', 'venv', str(place)])

    def install(self, place: Path, words: Sequence[str], target: Path | None = None) -> None:
        """Install packages into the virtual environment, or as files into ``target``.

        If uv fails, pip is tried: it may be configured for this machine's index where uv is not.
        """
        into = ['--no-deps', '--target', str(target)] if target else []
        if self.uv:
            command = [self.uv, 'pip', 'install', '-q', '--python', str(place / 'bin/python')]
            command += [] if target else ['--compile-bytecode']
            for link in self.find_links:
                command += ['--find-links', link]
            # without links of its own, uv takes the torch build that fits this machine
            backend = [] if self.find_links or target else ['--torch-backend', 'auto']
            try:
                return _call([*command, *backend, *into, *words])
            except BuildError:
                self.make_venv(place, with_pip=True)
        python = str(place / 'bin/python')
        if subprocess.run([python, '-m', 'pip', '--version'], capture_output=True).returncode:
            _call([python, '-m', 'ensurepip'])  # uv makes environments without pip
        return _call([python, '-m', 'pip', 'install', '-q', '--no-input', *into, *words])


def is_current(name: str, folder: Path) -> bool:
    """Whether the environment was built from the requirements as they are now."""
    stamp = folder / name / STAMP
    return stamp.is_file() and stamp.read_text() == _checksum(ENVIRONMENTS[name])


def build(names: Sequence[str], folder: Path, use_pip: bool = False) -> dict[str, float]:
    """Build the environments that are missing or outdated, side by side.

    :param names: keys of :data:`ENVIRONMENTS`.
    :param folder: where they are put, one folder each.
    :param use_pip: use plain pip even where uv is available.
    :return: the seconds that each built one took; those that were current are left out.
    :raises BuildError: with the messages of all that failed.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in names if not is_current(name, folder)]
    if not wanted:
        return {}
    installer = Installer(folder, use_pip)
    tool = 'uv' if installer.uv else 'pip'
    print(f'building with {tool}, in {folder}: {", ".join(wanted)}', flush=True)
    seconds: dict[str, float] = {}
    failures = []
    with ThreadPoolExecutor(max_workers=len(wanted)) as pool:
        jobs = {pool.submit(_build_one, ENVIRONMENTS[n], folder, installer): n for n in wanted}
        for job in as_completed(jobs):
            name = jobs[job]
            try:
                seconds[name] = job.result()
                print(f'  {name:8} built in {seconds[name]:.0f} s', flush=True)
            except BuildError as error:
                failures.append(f'{name}: {error}')
    if failures:
        raise BuildError('\n'.join(failures))
    return seconds


def _build_one(environment: Environment, folder: Path, installer: Installer) -> float:
    start = time.perf_counter()
    place = folder / environment.name
    installer.make_venv(place)
    if environment.name == 'pseudos':
        _unpack_pseudos(environment, place, installer)
    else:
        installer.install(place, environment.packages)
    if environment.probe:
        _call([str(place / 'bin/python'), '-c', environment.probe])
    if environment.name == 'pw':
        wrapper = place / 'bin/pw.x'
        wrapper.write_text(PW_WRAPPER)
        wrapper.chmod(0o755)
    (place / STAMP).write_text(_checksum(environment))
    return time.perf_counter() - start


def _unpack_pseudos(environment: Environment, place: Path, installer: Installer) -> None:
    """Keep only the UPF files of the package that carries them."""
    unpacked = place / 'unpacked'
    installer.install(place, environment.packages, target=unpacked)
    found = unpacked / 'koopmans/pseudopotentials/PseudoDojo/0.4/PBE/SR/standard/upf'
    if not found.is_dir():
        raise BuildError(f'the package has no folder {found.relative_to(unpacked)}')
    upf = place.parent / f'{place.name}.upf'
    shutil.rmtree(upf, ignore_errors=True)
    found.rename(upf)
    shutil.rmtree(place)
    place.mkdir()
    upf.rename(place / 'upf')


def _is_venv_of_this_python(place: Path) -> bool:
    """Whether there is a virtual environment whose Python has our version."""
    python = place / 'bin/python'
    command = [str(python), '-c', 'import sys; print(*sys.version_info[:2])']
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.split() == [str(number) for number in sys.version_info[:2]]


def _checksum(environment: Environment) -> str:
    digest = hashlib.sha256(f'{sys.version_info[:2]} {environment.packages}'.encode())
    for path in environment.files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _find_links() -> list[str]:
    """Return the places where pip is told to look for wheels; uv does not read its settings."""
    found = os.environ.get('PIP_FIND_LINKS', '').split()
    if not found:
        command = [sys.executable, '-m', 'pip', 'config', 'list']
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        for line in listed.splitlines():
            key, _, value = line.partition('=')
            if key.endswith('.find-links'):
                found += shlex.split(value.strip('\'"').replace('\\n', ' '))
    return list(dict.fromkeys(found))


def _call(command: Sequence[str]) -> None:
    """Run a command in a clean environment; raise a ``BuildError`` with its last words."""
    hidden = {'PYTHONPATH', 'PYTHONHOME', 'PYTHONDONTWRITEBYTECODE', 'VIRTUAL_ENV', 'CONDA_PREFIX'}
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    try:
        subprocess.run(
            command,
            env=env,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except subprocess.CalledProcessError as error:
        raise BuildError(
            f'`{shlex.join(command)}` ended with {error.returncode}:\n{error.stdout[-2000:]}'
        ) from None
    except OSError as error:
        raise BuildError(f'`{shlex.join(command)}`: {error}') from None


def default_names() -> list[str]:
    """Return the environments that this machine needs: no pw.x is built where there is one."""
    return [name for name in ENVIRONMENTS if name != 'pw' or not shutil.which('pw.x')]


def main() -> int:
    """Build what is missing; the command behind ``make``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('names', nargs='*', help=f'any of {", ".join(ENVIRONMENTS)}')
    parser.add_argument('--into', type=Path, default=Path('.envs'), help='folder to put them in')
    parser.add_argument('--pip', action='store_true', help='use plain pip, not uv')
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in ENVIRONMENTS]
    if unknown:
        parser.error(f'no such environment: {", ".join(unknown)}')
    try:
        build(arguments.names or default_names(), arguments.into, arguments.pip)
    except BuildError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
