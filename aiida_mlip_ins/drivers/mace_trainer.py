"""mace_run_train as a child process: its files, command line and progress.

Nothing of mace is imported here, so that training starts at once.
"""

from __future__ import annotations

import contextlib
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ase
import ase.io

from aiida_mlip_ins.drivers import mace_child
from aiida_mlip_ins.drivers.common import DriverError, Interrupted, Job, write_interruption
from aiida_mlip_ins.drivers.mace_failures import OUTPUT, oom_kills
from aiida_mlip_ins.drivers.mace_restart import (
    HEAD,
    NAME,
    Beginning,
    checkpoint_epochs,
    log_path,
    without_restarts,
    write_log,
)
from aiida_mlip_ins.science.settings import nearest
from aiida_mlip_ins.science.training import TrainSettings, passes_left
from aiida_mlip_ins.science.training_arguments import OWN_ARGUMENTS, STAGE_TWO_ARGUMENTS
from aiida_mlip_ins.science.training_report import first_not_finite, parse_log, validations

KEYS = {'energy_key': 'REF_energy', 'forces_key': 'REF_forces', 'stress_key': 'REF_stress'}
PASSED_ON = (
    'REF_energy', 'REF_stress', 'config_weight', 'config_energy_weight', 'config_forces_weight',
    'config_stress_weight',
)  # fmt: skip
POLL = 0.5


def write_frames(path: Path, frames: Sequence[ase.Atoms]) -> None:
    """Write frames with nothing but what mace is to see: labels and weights."""
    bare = []
    for frame in frames:
        copy = ase.Atoms(
            numbers=frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc
        )
        copy.info = {key: frame.info[key] for key in PASSED_ON if key in frame.info}
        copy.arrays['REF_forces'] = frame.arrays['REF_forces']
        bare.append(copy)
    ase.io.write(path, bare, format='extxyz')


def command(
    settings: TrainSettings, files: Mapping[str, str], extra: Sequence[str] = ()
) -> list[str]:
    """Return the command line that trains with the settings.

    :param files: values of ``train_file``, ``valid_file``, ``E0s``, and, where there are such,
        ``test_file``, ``foundation_model``, ``pt_train_file``, ``pt_valid_file``.
    :param extra: words added at the end.
    """
    arguments: dict[str, Any] = {'name': NAME, 'work_dir': '.', **KEYS, **files}
    arguments.update({word: getattr(settings, name) for word, name in OWN_ARGUMENTS.items()})
    arguments.update(model='MACE', error_table='PerAtomMAEstressvirials', plot=False,
                     compute_stress=True, save_cpu=True)  # fmt: skip
    if settings.stage_two_start is not None:
        arguments.update({w: getattr(settings, name) for w, name in STAGE_TWO_ARGUMENTS.items()})
    if settings.ema_decay is not None:
        arguments.update(ema=True, ema_decay=settings.ema_decay)
    if 'foundation_model' in files:
        arguments['multiheads_finetuning'] = 'pt_train_file' in files
    if 'pt_train_file' in files:
        arguments['force_mh_ft_lr'] = True
    words = [sys.executable, '-m', mace_child.__name__]
    for word, value in arguments.items():
        words.extend([f'--{word}'] if word in ('ema', 'save_cpu') else [f'--{word}={value}'])
    return [*words, *extra]


def extra_arguments(arguments: Mapping[str, Any]) -> list[str]:
    """Return the words for arguments that have no setting, checked by mace's own parser.

    :raises DriverError: ``BAD_INPUT`` listing every argument that mace does not know or take.
    """
    if not arguments:
        return []
    from mace.tools import build_default_arg_parser

    actions = {
        option.removeprefix('--'): action
        for action in build_default_arg_parser()._actions
        for option in action.option_strings
        if option.startswith('--')
    }
    words, found = [], []
    for name, value in arguments.items():
        if name not in actions:
            found.append(f"unknown argument '{name}'{nearest(name, actions)}")
            continue
        action = actions[name]
        if action.nargs == 0:
            words.extend([f'--{name}'] if value else [])
            continue
        try:
            converted = action.type(str(value)) if action.type else str(value)
        except (ValueError, TypeError, OSError) as error:
            found.append(f"'{name}': {error}")
            continue
        if action.choices and converted not in action.choices:
            found.append(f"'{name}': {value!r} is none of {list(action.choices)}")
        words.append(f'--{name}={value}')
    if found:
        raise DriverError('BAD_INPUT', 'mace_arguments: ' + '; '.join(found))
    return words


class Training:
    """A running mace_run_train."""

    def __init__(
        self,
        job: Job,
        settings: TrainSettings,
        words: list[str],
        beginning: Beginning | None = None,
        deadline: float = math.inf,
    ) -> None:
        """Start it.

        :param words: the command line.
        :param beginning: what was done of it in jobs before.
        :param deadline: when it is to be stopped, in the time of ``time.monotonic``.
        """
        beginning = beginning or Beginning()
        self.job = job
        self.settings = settings
        self.words = words
        self.log = log_path(job.folder, settings.seed)
        self.deadline = deadline
        self.interrupted = False
        self.out_of_time = False
        self._entries: list[dict[str, Any]] = list(beginning.entries)
        self._read = self.log.stat().st_size if beginning.entries else 0
        self._reported = len(validations(self._entries, HEAD))
        self._epoch = beginning.epoch
        self._numbers: dict[str, float] = {}
        self._oom_kills = oom_kills()
        if beginning.epoch:
            self._report()
        self.process = self._start(words)

    def _start(self, words: list[str]) -> subprocess.Popen[bytes]:
        with (self.job.folder / OUTPUT).open('ab') as handle:
            return subprocess.Popen(
                words, cwd=self.job.folder, stdout=handle, stderr=subprocess.STDOUT
            )

    def entries(self) -> list[dict[str, Any]]:
        """Return what the training has logged so far; only what is new is read."""
        if self.log.is_file():
            with self.log.open('rb') as handle:
                handle.seek(self._read)
                new = handle.read()
            whole = new[: new.rfind(b'\n') + 1]
            self._read += len(whole)
            self._entries += without_restarts(self._entries, parse_log(whole.decode()))
        return self._entries

    def write_log(self, path: Path) -> None:
        """Write the log of the whole training, with what was done of it in jobs before."""
        if self.entries():
            write_log(path, self.entries())

    def wait(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Follow the training to its end; one that has become NaN is stopped.

        :param meanwhile: called once, while the child process starts.

        An interruption, or the deadline, ends the training, and exports the best model so far.
        """
        try:
            meanwhile()
            while self.process.poll() is None and not self.out_of_time:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(timeout=POLL)
                if self._follow():
                    self.stop()
                elif self.process.poll() is None and time.monotonic() > self.deadline:
                    self.out_of_time = True
        except Interrupted as error:
            write_interruption(self.job.folder, str(error))
            self.interrupted = True
        if self.interrupted or self.out_of_time:
            self.stop()
            self._follow()
            self._export()

    def oom_killed(self) -> bool:
        """Return whether the kernel has killed it, or a process beside it, for want of memory."""
        return self.process.returncode == -signal.SIGKILL and oom_kills() > self._oom_kills

    def stop(self) -> None:
        """End the child process and wait until it is gone."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _follow(self) -> bool:
        """Report new validations and epochs; return whether a number is not finite."""
        entries = self.entries()
        done = validations(entries, HEAD)
        for entry in done[self._reported :]:
            self._epoch = 0 if entry['epoch'] is None else entry['epoch'] + 1
            self._numbers = {
                key: float(entry[name]) * factor
                for key, name, factor in (
                    ('force_mae_mev_per_angstrom', 'mae_f', 1e3),
                    ('energy_mae_mev_per_atom', 'mae_e_per_atom', 1e3),
                    ('frequency_mae_per_cm', 'mae_frequency', 1.0),
                    ('loss', 'loss', 1.0),
                )
                if name in entry
            }
            self._report()
        self._reported = len(done)
        begun = next((e['epoch'] for e in reversed(entries) if e['mode'] == 'opt'), 0)
        if begun > self._epoch:
            self._epoch = begun
            self._report()
        return first_not_finite(entries) is not None

    def _report(self) -> None:
        """Say how many epochs are done, and the errors of the last validation."""
        left = passes_left(self.settings, self._epoch)
        self.job.progress(
            'train', self._epoch, self.settings.max_epochs, passes_left=left, **self._numbers
        )

    def _export(self) -> None:
        """Let mace write the model of its best checkpoint, by restarting it with nothing to do."""
        epochs = checkpoint_epochs(self.job.folder).values()
        if not epochs:
            return
        self.entries()
        log = self.log.read_bytes()[: self._read]
        words = [word for word in self.words if not word.startswith('--max_num_epochs')]
        self.process = self._start([*words, f'--max_num_epochs={max(epochs)}', mace_child.RESTART])
        self.process.wait()
        # The restart validates once more and appends that to the log as if before any training.
        self.log.write_bytes(log)

    def model_path(self) -> Path | None:
        """Return the model of the last stage that was run, ``None`` if there is no model."""
        for name in (f'{NAME}_stagetwo.model', f'{NAME}.model'):
            if (self.job.folder / name).is_file():
                return self.job.folder / name
        return None
