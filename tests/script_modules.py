"""Scripts of the repository that are not of the package, as modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

TOP = Path(__file__).resolve().parents[1]


def as_module(path: str) -> ModuleType:
    """Return a script as a module of its own; its path is that from the top of the checkout."""
    file = TOP / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
