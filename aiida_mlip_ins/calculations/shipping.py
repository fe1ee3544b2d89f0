"""Which modules travel with an engine job, found by following the driver's own imports."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

import aiida_mlip_ins

PACKAGE = aiida_mlip_ins.__name__
ROOT = Path(aiida_mlip_ins.__file__).parent


@cache
def shipped_files(driver: str) -> tuple[str, ...]:
    """Return the paths, relative to the package's parent, of a driver and all it imports of ours.

    :param driver: name of a module in ``aiida_mlip_ins.drivers``.
    """
    found: set[str] = set()
    waiting = [f'{PACKAGE}.drivers.{driver}']
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        parts = module.split('.')
        waiting.extend('.'.join(parts[:length]) for length in range(1, len(parts)))
        path = _path(module)
        if path is None:  # `from package.module import name`: name is not a module
            continue
        found.add(f'{PACKAGE}/{path.relative_to(ROOT).as_posix()}')
        waiting.extend(_imports(path))
    return tuple(sorted(found))


def read_shipped(name: str) -> bytes:
    """Return the bytes of one shipped file, named as :func:`shipped_files` names it."""
    return (ROOT.parent / name).read_bytes()


def checksum(driver: str) -> int:
    """Return a number that changes with any byte that the driver ships (60 bits of a sha256)."""
    digest = hashlib.sha256()
    for name in shipped_files(driver):
        digest.update(name.encode() + b'\0' + read_shipped(name) + b'\0')
    return int(digest.hexdigest()[:15], 16)


def _path(module: str) -> Path | None:
    """Return the source file of one of our modules, ``None`` if there is none of that name."""
    base = ROOT.joinpath(*module.split('.')[1:])
    for path in (base / '__init__.py', base.with_suffix('.py')):
        if path.is_file():
            return path
    return None


def _imports(path: Path) -> list[str]:
    """Return the names of our own modules that a source file may import, at any depth in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
            names.extend(f'{node.module}.{alias.name}' for alias in node.names)
    return [name for name in names if name.split('.')[0] == PACKAGE]
