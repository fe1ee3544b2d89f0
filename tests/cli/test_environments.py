import re
import subprocess
import sys
import venv

import pytest

from aiida_mlip_ins.cli import environments
from aiida_mlip_ins.cli.environments import BuildError, Environment, Installer, build, is_current


@pytest.fixture
def local_package(tmp_path):
    """Return a folder with a package that needs no index to be installed."""
    folder = tmp_path / 'package'
    folder.mkdir()
    (folder / 'tiny.py').write_text('VALUE = 7\n')
    # a wheel, since building one would need setuptools from an index
    wheel = folder / 'tiny-1-py3-none-any.whl'
    program = (
        'import sys, zipfile\n'
        'with zipfile.ZipFile(sys.argv[1], "w") as z:\n'
        '    z.write(sys.argv[2], "tiny.py")\n'
        '    z.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\n'
        'Version: 1\\n")\n'
        '    z.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\n'
        'Root-Is-Purelib: true\\nTag: py3-none-any\\n")\n'
        '    z.writestr("tiny-1.dist-info/RECORD", "tiny.py,,\\n")\n'
    )
    subprocess.run([sys.executable, '-c', program, wheel, folder / 'tiny.py'], check=True)
    return wheel


@pytest.fixture
def tiny(monkeypatch, tmp_path, local_package):
    """Replace the environments by one small one; return the file that it depends on."""
    pins = tmp_path / 'tiny.txt'
    pins.write_text('first')
    environment = Environment(
        'tiny', (str(local_package),), (pins,), 'import tiny; assert tiny.VALUE == 7'
    )
    monkeypatch.setattr(environments, 'ENVIRONMENTS', {'tiny': environment})
    return pins


@pytest.mark.parametrize('use_pip', [False, True], ids=['uv', 'pip'])
def test_builds_once_and_again_after_a_change(tiny, tmp_path, use_pip, monkeypatch):
    if not use_pip:
        uv = Installer(environments.CHECKOUT / '.envs').uv
        if uv is None:
            pytest.skip('uv is not there')
        monkeypatch.setattr(environments.shutil, 'which', lambda name: uv)
    folder = tmp_path / 'envs'
    assert list(build(['tiny'], folder, use_pip)) == ['tiny']
    assert is_current('tiny', folder)
    assert build(['tiny'], folder, use_pip) == {}
    marker = folder / 'tiny/kept'
    marker.touch()
    tiny.write_text('second')
    assert not is_current('tiny', folder)
    assert list(build(['tiny'], folder, use_pip)) == ['tiny']
    assert marker.exists(), 'a changed pin must not throw away the whole environment'


def test_a_failed_build_says_why_and_leaves_nothing_current(tiny, tmp_path, monkeypatch):
    environment = Environment('tiny', (str(tmp_path / 'missing.whl'),), (tiny,))
    monkeypatch.setattr(environments, 'ENVIRONMENTS', {'tiny': environment})
    with pytest.raises(BuildError, match=r'missing\.whl'):
        build(['tiny'], tmp_path / 'envs', use_pip=True)
    assert not is_current('tiny', tmp_path / 'envs')


def test_an_environment_that_fails_its_probe_is_not_current(tiny, tmp_path, local_package):
    environments.ENVIRONMENTS['tiny'] = Environment(
        'tiny', (str(local_package),), (tiny,), 'import not_there'
    )
    with pytest.raises(BuildError, match='not_there'):
        build(['tiny'], tmp_path / 'envs', use_pip=True)
    assert not is_current('tiny', tmp_path / 'envs')


def test_a_broken_virtual_environment_is_made_anew(tmp_path):
    place = tmp_path / 'broken'
    (place / 'bin').mkdir(parents=True)
    (place / 'bin/python').write_text('#!/bin/sh\nexit 1\n')
    (place / 'bin/python').chmod(0o755)
    Installer(tmp_path, use_pip=True).make_venv(place)
    answer = subprocess.run([place / 'bin/python', '-c', 'print(6 * 7)'], capture_output=True)
    assert answer.stdout.strip() == b'42'


def test_find_links_of_pip_are_passed_on(monkeypatch):
    monkeypatch.setenv('PIP_FIND_LINKS', '/some/wheels https://example.org/simple')
    assert environments._find_links() == ['/some/wheels', 'https://example.org/simple']


def test_the_callers_python_settings_do_not_reach_the_installer(monkeypatch, tmp_path):
    monkeypatch.setenv('PYTHONPATH', '/elsewhere')
    monkeypatch.setenv('PYTHONDONTWRITEBYTECODE', '1')
    target = tmp_path / 'env.txt'
    environments._call(['sh', '-c', f'env > {target}'])
    names = {line.partition('=')[0] for line in target.read_text().splitlines()}
    assert 'PATH' in names
    assert not names & {'PYTHONPATH', 'PYTHONDONTWRITEBYTECODE'}


def test_engines_are_pinned_exactly():
    lines = (environments.REQUIREMENTS / 'engines.txt').read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith('#')]
    assert len(pins) >= 7
    assert all(re.fullmatch(r'[\w-]+(\[[\w-]+\])?==[\d.]+', pin) for pin in pins), pins


def test_no_machine_or_registry_is_named():
    for path in environments.REQUIREMENTS.glob('*.txt'):
        assert 'http' not in path.read_text()


def test_pw_is_only_built_where_there_is_none(monkeypatch):
    monkeypatch.setattr(environments.shutil, 'which', lambda name: None)
    assert 'pw' in environments.default_names()
    monkeypatch.setattr(environments.shutil, 'which', lambda name: f'/usr/bin/{name}')
    assert 'pw' not in environments.default_names()


def test_the_module_runs_without_anything_installed(tmp_path):
    venv.create(tmp_path / 'bare')
    done = subprocess.run(
        [tmp_path / 'bare/bin/python', '-m', 'aiida_mlip_ins.cli.environments', '--help'],
        cwd=environments.CHECKOUT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'engines' in done.stdout
