"""What a training takes over from the folder of the job before it."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aiida_mlip_ins.drivers.common import INPUTS, DriverError, Job
from aiida_mlip_ins.drivers.mace_keeper import PLAN, STATES
from aiida_mlip_ins.science.training import TrainSettings
from aiida_mlip_ins.science.training_report import first_not_finite, parse_log, validations

NAME = 'mace'
HEAD = 'Default'
CHECKPOINTS = 'checkpoints'


@dataclasses.dataclass(frozen=True)
class Beginning:
    """Where a training begins: the epoch, and the log of the epochs before it."""

    epoch: int = 0
    entries: tuple[dict[str, Any], ...] = ()


def log_path(folder: Path, seed: int) -> Path:
    """Return the path of mace's training log."""
    return folder / 'results' / f'{NAME}_run-{seed}_train.txt'


def checkpoint_epochs(folder: Path) -> dict[Path, int]:
    """Return mace's checkpoints in a job's folder and their epochs, the second stage's last."""
    found = {
        path: (match[2] is not None, int(match[1]))
        for path in (folder / CHECKPOINTS).glob('*.pt')
        if (match := re.search(r'_epoch-(\d+)(_swa)?\.pt$', path.name))
    }
    return {path: found[path][1] for path in sorted(found, key=lambda path: found[path])}


def without_restarts(
    known: list[dict[str, Any]], new: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the entries that a log goes on with.

    A training that goes on validates once more before its first epoch; that is left out.
    """
    kept: list[dict[str, Any]] = []
    begun = any(entry['epoch'] is not None for entry in known)
    for entry in new:
        begun = begun or entry['epoch'] is not None
        if entry['epoch'] is not None or not begun:
            kept.append(entry)
    return kept


def take_over(job: Job, settings: TrainSettings) -> Beginning:
    """Copy what there is to go on from into the job's folder, and plan to go on from it.

    A training that had become NaN is taken up at its best checkpoint, provided that it was better
    than no training, any other one where it was stopped. If there is neither, all begins anew.

    :raises DriverError: ``BAD_INPUT`` if the folder is none of a training with this seed.
    """
    if 'restart' not in job.inputs:
        return Beginning()
    before = job.folder / job.inputs['restart']
    if not (before / INPUTS).is_file():
        raise DriverError(
            'BAD_INPUT',
            f'restart: {before.resolve()} is not the folder of a training, or not any more',
            'Train without the input `restart`.',
        )
    given = json.loads((before / INPUTS).read_text())['parameters']
    if given['seed'] != settings.seed:
        raise DriverError(
            'BAD_INPUT', f'restart: that training has the seed {given["seed"]}, not {settings.seed}'
        )
    log = log_path(before, settings.seed)
    entries = without_restarts([], parse_log(log.read_text())) if log.is_file() else []
    source, epoch = newest_state(before, entries)
    if source is None:
        return Beginning()
    (job.folder / CHECKPOINTS).mkdir()
    for path in checkpoint_epochs(before):
        shutil.copy(path, job.folder / CHECKPOINTS)
    place = source.relative_to(before)
    (job.folder / place).parent.mkdir(exist_ok=True)
    shutil.copy(source, job.folder / place)
    kept = [entry for entry in entries if entry['epoch'] is None or entry['epoch'] < epoch]
    write_log(log_path(job.folder, settings.seed), kept)
    plan = {
        'file': str(place),
        'epoch': epoch,
        'learning_rate_factor': settings.learning_rate / given['learning_rate'],
    }
    (job.folder / PLAN).write_text(json.dumps(plan))
    return Beginning(epoch, tuple(kept))


def newest_state(folder: Path, entries: list[dict[str, Any]]) -> tuple[Path | None, int]:
    """Return the file to go on from, ``None`` if there is none, and the epoch to begin with."""
    states = sorted((folder / STATES).glob('epoch-*.pt'))
    if first_not_finite(entries) is None and states:
        return states[-1], int(states[-1].stem.removeprefix('epoch-'))
    checkpoints = checkpoint_epochs(folder)
    if not checkpoints:
        return None, 0
    path, epoch = list(checkpoints.items())[-1]
    errors = {entry['epoch']: _force_error(entry) for entry in validations(entries, HEAD)}
    if epoch > 0 and errors.get(epoch, 0.0) < errors.get(None, 0.0):
        return path, epoch
    return None, 0


def write_log(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Write entries as mace does, one JSON object a line."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(''.join(json.dumps(entry) + '\n' for entry in entries))


def _force_error(entry: Mapping[str, Any]) -> float:
    return float(entry.get('mae_f', 0.0))
