"""The training driver with the real trainer: what it makes, and every silent failure of mace."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import pytest

from aiida_mlip_ins.science.training_verdict import QUANTITIES

pytestmark = [pytest.mark.engines, pytest.mark.slow]

FIXTURES = Path(__file__).resolve().parents[1] / 'fixtures' / 'mace'
CASES = ('nan_label', 'no_forces', 'no_replay', 'e0_bug')


def prepare(folder: Path, **parameters: Any) -> dict[str, Any]:
    """Put dataset and foundation model into a job's folder and return its inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(FIXTURES / 'dataset.xyz', folder)
    shutil.copy(FIXTURES / 'train' / 'model.model', folder)
    inputs = {'num_threads': 1, 'dataset': 'dataset.xyz', 'parameters': parameters}
    (folder / 'inputs.json').write_text(json.dumps(inputs))
    return inputs


@pytest.fixture(scope='module')
def provoked(
    engine_run: Callable, tmp_path_factory: pytest.TempPathFactory, toy_settings: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return what the guards say of each silent failure; two trainings run at a time."""
    top = tmp_path_factory.mktemp('provoked')

    def provoke(case: str) -> dict[str, Any]:
        prepare(top / case, **toy_settings)
        script = Path(__file__).with_name('provoke.py')
        done = engine_run(top / case, str(script), case)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CASES, pool.map(provoke, CASES), strict=True))


def test_nan_label_is_stopped(provoked: dict[str, Any]) -> None:
    """A NaN label gives a NaN model: the training is ended as soon as the loss is NaN."""
    outcome = provoked['nan_label']
    assert outcome['kinds'][0] == 'NAN_LOSS'
    assert outcome['status'] == -signal.SIGTERM or 'INFO: Done' in outcome['output']


def test_wrong_forces_key(provoked: dict[str, Any]) -> None:
    """A wrong forces key trains on energies alone, with status 0 and a model."""
    outcome = provoked['no_forces']
    assert outcome['status'] == 0
    assert outcome['kinds'] == ['NO_FORCES_SEEN']
    assert outcome['models'] == ['mace.model', 'mace_compiled.model']


def test_replay_turned_naive_and_patience(provoked: dict[str, Any]) -> None:
    """Replay without frames is dropped without an error; patience is announced and ignored."""
    outcome = provoked['no_replay']
    assert outcome['status'] == 0
    assert outcome['kinds'] == ['REPLAY_IGNORED']
    assert outcome['stopping']
    assert outcome['epochs'] == 3


def test_mace_overwrites_reference_energies(provoked: dict[str, Any]) -> None:
    """The bug that the driver works around: energies given as 9.5 eV are not used at all."""
    assert provoked['e0_bug']['initial']['mae_e_per_atom'] < 0.1


@pytest.fixture(scope='module')
def fine_tuned(
    run_driver: Callable, tmp_path_factory: pytest.TempPathFactory, toy_settings: dict[str, Any]
) -> tuple[dict[str, Any], Path]:
    """Return the results of a fine-tuning on energies shifted by 9 eV/atom."""
    folder = tmp_path_factory.mktemp('fine_tuned')
    inputs = prepare(folder, **{**toy_settings, 'max_epochs': 2, 'learning_rate': 1e-3})
    frames = ase.io.read(folder / 'dataset.xyz', index=':')
    for frame in frames:
        frame.info['REF_energy'] += 18.0
    ase.io.write(folder / 'dataset.xyz', frames)
    return run_driver('mace_train', folder, {**inputs, 'foundation': 'model.model'}), folder


def test_reference_energies_of_a_fine_tuning(fine_tuned: tuple[dict[str, Any], Path]) -> None:
    """Before its first step the model is as good on the shifted energies as it was before."""
    results, folder = fine_tuned
    initial = json.loads((folder / 'training.jsonl').read_text().splitlines()[0])
    assert initial['epoch'] is None
    assert initial['mae_e_per_atom'] < 0.005
    energies = results['reference_energies']
    assert energies['rank'] == 1
    before = json.loads((FIXTURES / 'train' / 'results.json').read_text())['reference_energies']
    for symbol, value in energies['values'].items():
        assert value - before['values'][symbol] == pytest.approx(9.0, abs=0.01)


def test_fine_tuning_knows_where_it_came_from(fine_tuned: tuple[dict[str, Any], Path]) -> None:
    """The model it started from is evaluated on the held-out frames with the same energies."""
    results, _ = fine_tuned
    assert set(results['foundation_errors']) == {'valid', 'test'}
    assert results['foundation_errors']['test']['energy_mae'] < 5.0
    kind = results['failure'] and results['failure']['kind']

    def is_worse(split: str, name: str) -> bool:
        before = results['foundation_errors'][split][f'{name}_mae']
        return results['errors'][split][f'{name}_mae'] >= QUANTITIES[name][1] * before

    of_test = is_worse('test', 'force') or is_worse('test', 'stress')
    worse = [is_worse('valid', 'force'), of_test]
    expected = 'NO_IMPROVEMENT' if worse[0] else 'WORSE_THAN_FOUNDATION' if worse[1] else None
    assert kind == expected


def test_results_agree_with_mace(fine_tuned: tuple[dict[str, Any], Path]) -> None:
    """Our errors of the training frames are those of mace's own table."""
    results, folder = fine_tuned
    rows = [
        line.split('|') for line in (folder / 'trainer.out').read_text().splitlines()
        if line.startswith('| train_Default')
    ]  # fmt: skip
    energy, force = float(rows[-1][2]), float(rows[-1][3])
    assert results['errors']['train']['force_mae'] == pytest.approx(force, abs=0.06)
    assert results['errors']['train']['energy_mae'] == pytest.approx(energy, abs=0.06)


def test_predictions_are_of_the_held_out_frames(fine_tuned: tuple[dict[str, Any], Path]) -> None:
    """They keep split and position, and their errors are the stated ones."""
    results, folder = fine_tuned
    frames = ase.io.read(folder / 'dataset.xyz', index=':')
    predicted = ase.io.read(folder / 'predictions.xyz', index=':')
    assert [frame.info['index'] for frame in predicted] == list(range(16, 22))
    test = [frame for frame in predicted if frame.info['split'] == 'test']
    differences = [
        frame.arrays['REF_forces'] - frames[frame.info['index']].arrays['REF_forces']
        for frame in test
    ]
    mae = np.abs(np.concatenate(differences)).mean() * 1e3
    assert results['errors']['test']['force_mae'] == pytest.approx(mae, rel=1e-5)


def test_replay_makes_two_heads(
    run_driver: Callable, tmp_path: Path, toy_settings: dict[str, Any]
) -> None:
    """With frames to replay, mace trains two heads, and the old one keeps its energies."""
    settings = {**toy_settings, 'loss': 'universal', 'max_epochs': 1, 'learning_rate': 1e-3}
    inputs = prepare(tmp_path, **settings)
    shutil.copy(tmp_path / 'dataset.xyz', tmp_path / 'replay.xyz')
    results = run_driver(
        'mace_train', tmp_path, {**inputs, 'foundation': 'model.model', 'replay': 'replay.xyz'}
    )
    assert 'kind' not in results
    assert set(results['model']['heads']) == {'pt_head', 'Default'}
    # One epoch is not bound to make forces and stresses better.
    kind = results['failure'] and results['failure']['kind']
    assert kind in (None, 'NO_IMPROVEMENT', 'WORSE_THAN_FOUNDATION')


def test_sigterm_leaves_the_best_model(
    engines_python: Path, tmp_path: Path, toy_settings: dict[str, Any], driver_env: dict[str, str]
) -> None:
    """An interrupted training says so, and hands over the best model it had."""
    prepare(tmp_path, **{**toy_settings, 'max_epochs': 100000})
    words = [str(engines_python), '-m', 'aiida_mlip_ins.drivers.mace_train']
    with (tmp_path / 'driver.err').open('wb') as handle:
        process = subprocess.Popen(words, cwd=tmp_path, env=driver_env, stderr=handle)
    deadline = time.monotonic() + 120
    progress = tmp_path / 'progress.jsonl'
    while time.monotonic() < deadline and process.poll() is None:
        if progress.is_file() and len(progress.read_text().splitlines()) > 3:
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 0
    error = json.loads((tmp_path / 'error.json').read_text())
    assert error['kind'] == 'INTERRUPTED'
    assert 'SIGTERM' in error['message']
    results = json.loads((tmp_path / 'results.json').read_text())
    assert results['interrupted']
    assert results['model']['elements'] == ['Al', 'Ni']
    assert (tmp_path / 'model.model').stat().st_size > 1000
