"""Trainings that go on where another job was stopped, and what is made of their failures."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aiida_mlip_ins.drivers import mace_failures, mace_restart, mace_train
from aiida_mlip_ins.drivers.common import DriverError, Job
from aiida_mlip_ins.drivers.mace_keeper import state_name
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.training import TrainSettings

FIXTURES = Path(__file__).resolve().parents[1] / 'fixtures' / 'mace'


def validation(epoch: int | None, error: float = 0.1, loss: float = 1.0) -> dict[str, Any]:
    return {'mode': 'eval', 'epoch': epoch, 'head': 'Default', 'mae_f': error, 'loss': loss}


def step(epoch: int, loss: float = 1.0) -> dict[str, Any]:
    return {'mode': 'opt', 'epoch': epoch, 'loss': loss}


def job_in(folder: Path, settings: dict[str, Any], **inputs: Any) -> Job:
    folder.mkdir(exist_ok=True)
    (folder / 'inputs.json').write_text(json.dumps({'parameters': settings, **inputs}))
    return Job(folder)


@pytest.fixture
def before(tmp_path: Path, toy_settings: dict[str, Any]) -> Path:
    """Return the folder of a job that was stopped in epoch 6, its best one being 3."""
    folder = tmp_path / 'before'
    job_in(folder, toy_settings)
    entries = [validation(None, 0.5)]
    for epoch in range(7):
        entries += [step(epoch), validation(epoch, 0.1 if epoch == 3 else 0.2)]
    mace_restart.write_log(mace_restart.log_path(folder, toy_settings['seed']), entries[:-1])
    for place in ('checkpoints/mace_run-1_epoch-3.pt', f'states/{state_name(6)}'):
        (folder / place).parent.mkdir()
        (folder / place).write_text(place)
    return folder


@pytest.fixture
def take_over(
    tmp_path: Path, before: Path, toy_settings: dict[str, Any]
) -> Callable[..., tuple[mace_restart.Beginning, Path]]:
    """Return a function that takes that job over, and returns the beginning and the new folder."""

    def take(**changes: Any) -> tuple[mace_restart.Beginning, Path]:
        settings = {**toy_settings, **changes}
        job = job_in(tmp_path / 'after', settings, restart='../before')
        found = mace_restart.take_over(job, build(TrainSettings, settings, 'parameters'))
        return found, job.folder

    return take


def test_a_stopped_training_is_taken_up_where_it_was(take_over: Callable) -> None:
    found, folder = take_over(batch_size=2)
    assert found.epoch == 6
    assert [entry['epoch'] for entry in found.entries if entry['mode'] == 'eval'] == [
        None, 0, 1, 2, 3, 4, 5,
    ]  # fmt: skip
    plan = json.loads((folder / 'resume.json').read_text())
    assert plan == {
        'file': f'states/{state_name(6)}', 'epoch': 6, 'learning_rate_factor': 1.0,
    }  # fmt: skip
    assert (folder / plan['file']).read_text() == plan['file']
    assert (folder / 'checkpoints/mace_run-1_epoch-3.pt').is_file()
    log = mace_restart.log_path(folder, 1).read_text()
    assert [json.loads(line) for line in log.splitlines()] == list(found.entries)


def test_one_that_became_nan_is_taken_up_at_its_best(before: Path, take_over: Callable) -> None:
    with mace_restart.log_path(before, 1).open('a') as handle:
        handle.write(json.dumps(step(6, float('nan'))) + '\n')
    found, folder = take_over(learning_rate=0.006)
    assert found.epoch == 3
    plan = json.loads((folder / 'resume.json').read_text())
    assert plan['file'] == 'checkpoints/mace_run-1_epoch-3.pt'
    assert plan['learning_rate_factor'] == pytest.approx(0.2)


def test_but_not_if_its_best_was_worse_than_nothing(before: Path, take_over: Callable) -> None:
    entries = [validation(None, 0.05), step(3), validation(3, 0.1), step(4, float('inf'))]
    mace_restart.write_log(mace_restart.log_path(before, 1), entries)
    found, folder = take_over()
    assert found == mace_restart.Beginning()
    assert not (folder / 'resume.json').exists()


def test_one_that_left_nothing_begins_anew(before: Path, take_over: Callable) -> None:
    for name in ('states', 'checkpoints', 'results'):
        shutil.rmtree(before / name)
    assert take_over()[0] == mace_restart.Beginning()


def test_what_is_no_such_training_is_refused(before: Path, take_over: Callable) -> None:
    with pytest.raises(DriverError, match='has the seed 1, not 2'):
        take_over(seed=2)
    (before / 'inputs.json').unlink()
    with pytest.raises(DriverError, match='not the folder of a training, or not any more'):
        take_over()


def test_the_validation_before_going_on_is_left_out() -> None:
    first = [validation(None), step(0), validation(0)]
    assert mace_restart.without_restarts([], [*first, validation(None), step(1)]) == [
        *first, step(1),
    ]  # fmt: skip
    assert mace_restart.without_restarts(first, [validation(None), step(1)]) == [step(1)]


def test_the_checkpoint_of_the_second_stage_is_the_last(tmp_path: Path) -> None:
    (tmp_path / 'checkpoints').mkdir()
    for name in ('epoch-40_swa', 'epoch-9', 'epoch-38'):
        (tmp_path / f'checkpoints/mace_run-1_{name}.pt').touch()
    assert list(mace_restart.checkpoint_epochs(tmp_path).values()) == [9, 38, 40]


@pytest.mark.parametrize(
    ('output', 'status', 'killed', 'kind'),
    [
        ('torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB', 1, False,
         'OUT_OF_MEMORY'),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory", 1, False, 'OUT_OF_MEMORY'),
        ('numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9 GiB', 1, False,
         'OUT_OF_MEMORY'),
        ('INFO: Epoch 3', -signal.SIGKILL, True, 'OUT_OF_MEMORY'),
        ('INFO: Epoch 3', -signal.SIGKILL, False, 'INTERRUPTED'),
        ('INFO: Epoch 3', -signal.SIGTERM, False, 'INTERRUPTED'),
        ('RuntimeError: what', 1, False, 'TRAINING_FAILED'),
        ('INFO: Epoch 3', 0, False, 'TRAINING_FAILED'),
    ],
)  # fmt: skip
def test_ends_are_told_apart(output: str, status: int, killed: bool, kind: str) -> None:
    found = mace_failures.log_failures(output, [validation(None)], status, False, killed)
    assert next(found)[0] == kind


@pytest.mark.parametrize(('wallclock', 'left'), [(600, 540.0), (36000, 35700.0), (None, math.inf)])
def test_the_trainer_is_stopped_before_the_wall_time_ends(
    tmp_path: Path, wallclock: int | None, left: float
) -> None:
    job = job_in(tmp_path, {}, wallclock_s=wallclock)
    assert mace_train.deadline(job) - mace_train.STARTED == pytest.approx(left)


@pytest.mark.engines
@pytest.mark.slow
@pytest.mark.parametrize('begun', [12, 30], ids=['steps', 'L-BFGS'])
def test_a_killed_training_goes_on_to_the_same_model(
    engines_python: Path, run_driver: Callable, tmp_path: Path, toy_settings: dict[str, Any],
    driver_env: dict[str, str], begun: int,
) -> None:  # fmt: skip
    """Killed with its driver in the second stage, it ends as if it had not been."""
    settings = {
        **toy_settings, 'max_epochs': 48, 'eval_interval': 3, 'ema_decay': 0.95,
        'stage_two_start': 12, 'stage_two_energy_weight': 100.0, 'stage_two_forces_weight': 100.0,
        'stage_two_stress_weight': 1000.0, 'stage_two_learning_rate': 0.003,
        'lbfgs_start': 30, 'lbfgs_iterations': 5, 'lbfgs_history': 10,
    }  # fmt: skip
    inputs = {'num_threads': 1, 'dataset': 'dataset.xyz', 'parameters': settings}
    folders = {name: tmp_path / name for name in ('whole', 'killed', 'continued')}
    for folder in folders.values():
        folder.mkdir()
        shutil.copy(FIXTURES / 'dataset.xyz', folder)
    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(run_driver, 'mace_train', folders['whole'], inputs)
        killed_in = kill_driver(folders['killed'], inputs, engines_python, driver_env, begun)
        whole = whole.result()
    assert killed_in > begun
    (folders['continued'] / 'restart').symlink_to(folders['killed'])
    continued = run_driver('mace_train', folders['continued'], {**inputs, 'restart': 'restart'})
    assert continued['failure'] is None
    assert begun < continued['first_epoch'] <= killed_in
    assert (whole['stage'], whole['first_epoch']) == (2, 0)
    assert continued['errors'] == whole['errors']
    logs = []
    for name in ('whole', 'continued'):
        lines = (folders[name] / 'training.jsonl').read_text().splitlines()
        logs.append([{**json.loads(line), 'time': None} for line in lines])
    assert logs[0] == logs[1]
    first = json.loads((folders['continued'] / 'progress.jsonl').read_text().splitlines()[0])
    assert first['done'] == continued['first_epoch']


def kill_driver(
    folder: Path, inputs: dict[str, Any], python: Path, env: dict[str, str], begun: int
) -> int:
    """Run a training until it has left a state after an epoch, and kill it; return the epoch of it.

    Its child ends by itself as soon as it sees that it is alone.
    """
    (folder / 'inputs.json').write_text(json.dumps(inputs))
    words = [str(python), '-m', 'aiida_mlip_ins.drivers.mace_train']
    process = subprocess.Popen(words, cwd=folder, env=env)
    deadline = time.monotonic() + 120
    while not any(path.name > state_name(begun) for path in folder.glob('states/epoch-*.pt')):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    log = mace_restart.log_path(folder, inputs['parameters']['seed'])
    size = -1
    while log.stat().st_size != size:
        size = log.stat().st_size
        time.sleep(1.5)
    states = [int(path.stem.removeprefix('epoch-')) for path in folder.glob('states/epoch-*.pt')]
    assert max(states) < inputs['parameters']['max_epochs'] - 1
    return max(states)
