"""What every driver shares: reading the job, reporting progress, ending with results or an error.

A driver is run as ``python -m aiida_mlip_ins.drivers.NAME`` in the folder of its job. It finds

- ``inputs.json``: what the calculation was given (settings and file names), and leaves
- ``progress.jsonl``: one JSON object a line, written as the work goes on (``time`` in s since the
  epoch, ``stage``, ``done``, ``total``, and numbers of the stage's own),
- ``results.json``: the outcome, with ``versions`` and ``timing`` (s) and ``peak_memory_gb``, or
- ``error.json``: ``kind``, ``message`` and ``hint`` if it could not do its work.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

INPUTS = 'inputs.json'
RESULTS = 'results.json'
ERROR = 'error.json'
PROGRESS = 'progress.jsonl'


class DriverError(Exception):
    """A failure the driver understands; ``kind`` is what the parser maps to an exit code."""

    def __init__(self, kind: str, message: str, hint: str = '') -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint


class Interrupted(BaseException):
    """The job was told to end; no ``except Exception`` of a library may swallow it."""


class Job:
    """One engine job: its inputs, its progress and where its seconds went."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inputs: dict[str, Any] = json.loads((folder / INPUTS).read_text())
        self.timing: dict[str, float] = {}

    def progress(self, stage: str, done: int, total: int, **numbers: Any) -> None:
        """Append one line to the progress file; it is flushed, so that others can follow it."""
        line = {'time': time.time(), 'stage': stage, 'done': done, 'total': total, **numbers}
        with (self.folder / PROGRESS).open('a') as handle:
            handle.write(json.dumps(line) + '\n')

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the wall time (s) of the block to ``timing[name]``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.timing[name] = self.timing.get(name, 0.0) + time.perf_counter() - start


def versions(*packages: str) -> dict[str, str]:
    """Return the version of Python and of each installed package."""
    found = {'python': platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main(run: Callable[[Job], dict[str, Any]], packages: tuple[str, ...]) -> int:
    """Run a driver in the current folder and write ``results.json`` or ``error.json``.

    :param run: does the work and returns what goes into ``results.json`` (JSON types only).
    :param packages: the distributions whose versions are recorded.
    :return: the exit status of the process: 0 also for errors written to ``error.json``.
    """
    folder = Path.cwd()
    start = time.perf_counter()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        job = Job(folder)
        results = run(job)
    except Interrupted as error:
        write_interruption(folder, str(error))
        return 0
    except DriverError as error:
        _write(folder / ERROR, {'kind': error.kind, 'message': error.message, 'hint': error.hint})
        print(f'{error.kind}: {error.message}', file=sys.stderr)
        return 0
    except ModuleNotFoundError as error:
        hint = 'Run `aiida-mlip-ins setup` or install the package into the engines environment.'
        _write(
            folder / ERROR,
            {'kind': 'ENGINE_MISSING', 'message': f'{error} in {sys.executable}', 'hint': hint},
        )
        traceback.print_exc()
        return 0
    except Exception as error:
        _write(
            folder / ERROR,
            {
                'kind': 'UNEXPECTED',
                'message': f'{type(error).__name__}: {error}',
                'hint': 'The traceback is in the standard error of the job.',
            },
        )
        traceback.print_exc()
        return 0
    results['versions'] = versions(*packages)
    results['timing'] = {**job.timing, 'total': time.perf_counter() - start}
    results['peak_memory_gb'] = peak_memory_gb()
    _write(folder / RESULTS, results)
    return 0


def write_interruption(folder: Path, message: str) -> None:
    """Write the error of a job that was told to end."""
    hint = 'It ran out of its wall time, or someone killed it.'
    _write(folder / ERROR, {'kind': 'INTERRUPTED', 'message': message, 'hint': hint})


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    raise Interrupted(f'the job received {signal.Signals(number).name}')


def peak_memory_gb() -> float:
    """Return the peak resident memory (GB) of this process and of the children it waited for."""
    peaks = [
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    return max(peaks) * 1024 / 1e9


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write JSON in one step: a reader never sees half a file."""
    partial = path.with_suffix('.partial')
    partial.write_text(json.dumps(content, indent=1, default=_plain))
    os.replace(partial, path)


def _plain(value: Any) -> Any:
    """Turn numpy scalars and arrays into JSON types."""
    if hasattr(value, 'tolist'):
        return value.tolist()
    raise TypeError(f'{type(value).__name__} cannot be written as JSON')
