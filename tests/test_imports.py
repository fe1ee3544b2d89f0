"""Imports run one way, and each side imports without what only the other side has."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / 'aiida_mlip_ins'
LAYERS = {
    'science': {'science'},
    'drivers': {'science', 'drivers'},
    'engines': {'science', 'engines'},
    'data': {'science', 'data'},
    'calculations': {'science', 'drivers', 'data', 'calculations'},
    'parsers': {'science', 'drivers', 'data', 'calculations', 'parsers'},
    'workflows': {'science', 'data', 'calculations', 'workflows'},
    'query': {'science', 'data', 'calculations', 'workflows', 'query'},
    'report': {'science', 'data', 'calculations', 'workflows', 'query', 'report'},
}
"""What each layer may import of ours; the command line may import everything.

Calculations and parsers take the names of a driver's files from it: its engines are imported inside
its functions, so this brings none of them along.
"""
BLOCKED = """
import importlib, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {blocked!r}:
            raise ModuleNotFoundError(f'blocked: {{name}}', name=name)
sys.meta_path.insert(0, Blocker())
failed = []
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        failed.append(f'{{name}}: {{error}}')
print('\\n'.join(failed))
"""
AIIDA = ('aiida', 'aiida_quantumespresso', 'aiida_phonopy', 'aiida_pseudo')
ENGINES = ('torch', 'mace', 'e3nn', 'abinslib', 'euphonic', 'tblite')


def modules(*layers: str) -> list[str]:
    """Return the names of all modules of some layers."""
    found = []
    for layer in layers:
        for path in sorted((ROOT / layer).rglob('*.py')):
            parts = path.relative_to(ROOT.parent).with_suffix('').parts
            found.append('.'.join(parts[:-1] if parts[-1] == '__init__' else parts))
    return found


def import_blocked(names: list[str], blocked: tuple[str, ...], python: str) -> str:
    """Return which modules cannot be imported by a new interpreter that lacks some packages."""
    script = BLOCKED.format(names=names, blocked=set(blocked))
    done = subprocess.run(
        [python, '-c', script], capture_output=True, text=True, cwd=ROOT.parent, check=False
    )
    assert done.returncode == 0, done.stderr
    return '\n'.join(line for line in done.stdout.splitlines() if 'aiida_mlip_ins' in line)


def test_science_imports_without_aiida_and_engines() -> None:
    assert import_blocked(modules('science'), AIIDA + ENGINES, sys.executable) == ''


@pytest.mark.engines
def test_drivers_import_without_aiida(engines_python: Path) -> None:
    names = modules('science', 'drivers')
    assert import_blocked(names, AIIDA, str(engines_python)) == ''


def test_aiida_side_imports_without_engines() -> None:
    names = modules('data', 'calculations', 'parsers', 'workflows', 'query', 'report', 'cli')
    assert import_blocked(names, ENGINES, sys.executable) == ''


@pytest.mark.parametrize('layer', LAYERS)
def test_imports_run_one_way(layer: str) -> None:
    wrong = []
    for path in sorted((ROOT / layer).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f'{path} has a relative import'
                names = [str(node.module)]
            for name in names:
                parts = name.split('.')
                ours = parts[0] == 'aiida_mlip_ins' and len(parts) > 1
                if ours and parts[1] not in LAYERS[layer]:
                    wrong.append(f'{path.relative_to(ROOT)} imports {name}')
    assert wrong == []


def test_every_layer_is_covered() -> None:
    packages = {path.parent.name for path in ROOT.glob('*/__init__.py')}
    assert packages - set(LAYERS) == {'cli'}
