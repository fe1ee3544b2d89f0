"""Which epoch is the best, and when there is no better one: on paper, and with the real trainer."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT

from aiida_mlip_ins.drivers import mace_judgement, mace_keeper
from aiida_mlip_ins.drivers.common import DriverError, Job
from aiida_mlip_ins.drivers.mace_keeper import Keeper, Watch
from aiida_mlip_ins.science import sampling
from aiida_mlip_ins.science.dataset import FORCES, labelled, read_frames, write_frames
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.training import TrainSettings

DATASET = Path(__file__).resolve().parents[1] / 'fixtures' / 'mace' / 'dataset.xyz'


class Trainer:
    """What mace's function ``train`` is given, as far as epochs are judged by it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, watch: Watch, **parts: Any) -> None:
        self.saved: list[tuple[int, bool]] = []
        self.logged: list[dict[str, Any]] = []
        self.error = math.nan
        known = None if watch.displaced is None else lambda model: self.error
        monkeypatch.setattr(mace_keeper, 'curvature', lambda watch, device: known)
        given = {
            'start_epoch': 0, 'swa': None, 'eval_interval': 2, 'save_all_checkpoints': False,
            'device': 'cpu', 'model': None, 'logger': SimpleNamespace(log=self.logged.append),
            'checkpoint_handler': SimpleNamespace(
                save=lambda state, epochs, keep_last: self.saved.append((epochs, keep_last))
            ),
        }  # fmt: skip
        self.keeper = Keeper({**given, **parts}, watch)

    def validate(self, epoch: int, loss: float, error: float = math.nan) -> None:
        self.error = error
        self.keeper.log({'mode': 'eval', 'epoch': epoch, 'head': 'Default', 'loss': loss})
        self.keeper.save(None, epoch)


def test_the_lowest_loss_is_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(monkeypatch, Watch())
    for epoch, loss in enumerate((4.0, math.nan, 3.0, 3.0, 5.0, 2.0)):
        trainer.validate(epoch, loss)
    assert [epoch for epoch, _ in trainer.saved] == [0, 2, 5]
    assert 'mae_frequency' not in trainer.logged[0]


@pytest.mark.parametrize(('choose', 'best'), [(True, [0, 1]), (False, [0, 1, 2])])
def test_frequencies_count_beside_the_loss(
    monkeypatch: pytest.MonkeyPatch, choose: bool, best: list[int]
) -> None:
    """Half the loss is not worth frequencies that are twice as wrong; they are logged anyway."""
    trainer = Trainer(monkeypatch, Watch(displaced='x', choose=choose))
    for epoch, (loss, error) in enumerate([(4.0, 30.0), (2.0, 10.0), (1.0, 20.0), (2.0, 10.0)]):
        trainer.validate(epoch, loss, error)
    assert [epoch for epoch, _ in trainer.saved] == best
    assert [entry['mae_frequency'] for entry in trainer.logged] == [30.0, 10.0, 20.0, 10.0]


def test_the_best_of_the_first_stage_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(monkeypatch, Watch(), swa=SimpleNamespace(start=4))
    for epoch, loss in ((0, 2.0), (2, 1.0), (4, 50.0), (6, 40.0)):
        trainer.validate(epoch, loss)
    assert trainer.saved == [(0, True), (2, False), (4, True), (6, False)]


def test_patience_is_counted_in_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(monkeypatch, Watch(patience=4))
    stale = []
    for epoch, loss in ((0, 2.0), (2, 3.0), (4, 1.0), (6, 1.0), (8, math.nan)):
        trainer.validate(epoch, loss)
        stale.append(trainer.keeper.stale)
    assert stale == [0, 2, 0, 2, 4]


def displaced_frames() -> list[Atoms]:
    """Return labelled displacements of the toy crystal, a whole set, to validate with."""
    cell = Atoms('NiAl', scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[2.95] * 3, pbc=True)
    frames = []
    for index, frame in enumerate(sampling.displaced(cell, 0.02)):
        frame.calc = EMT()
        energy, forces = frame.get_potential_energy(), frame.get_forces()
        frames.append(labelled(frame, energy, forces, frame.get_stress(), index))
        frames[-1].info['split'] = 'valid'
    return frames


def told(folder: Path, settings: dict[str, Any], frames: list[Atoms]) -> Watch:
    (folder / 'inputs.json').write_text(json.dumps({'parameters': settings}))
    chosen = build(TrainSettings, settings, 'parameters')
    mace_judgement.watch(Job(folder), chosen, frames)
    return Watch(**json.loads((folder / mace_keeper.WATCH).read_text()))


def test_what_the_trainer_is_told(tmp_path: Path, toy_settings: dict[str, Any]) -> None:
    plain = read_frames(DATASET)
    assert told(tmp_path, {**toy_settings, 'patience': 7}, plain) == Watch(
        patience=7, displaced=None, choose=True, batch_size=4
    )
    frames = [*plain, *displaced_frames()]
    found = told(tmp_path, toy_settings, frames)
    assert (found.displaced, found.choose) == ('displaced.xyz', True)
    assert len(read_frames(tmp_path / 'displaced.xyz')) == len(displaced_frames())
    assert not told(tmp_path, {**toy_settings, 'choose_by': 'loss'}, frames).choose
    by_frequencies = {**toy_settings, 'choose_by': 'frequencies'}
    assert told(tmp_path, by_frequencies, frames).choose
    for short in (plain, frames[:-1]):
        with pytest.raises(DriverError, match='no whole set of displacements'):
            told(tmp_path, by_frequencies, short)


def train(
    run_driver: Callable, folder: Path, settings: dict[str, Any], more: list[Atoms]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run a training; return its results and its validations."""
    (folder / 'dataset.xyz').write_bytes(write_frames([*read_frames(DATASET), *more]))
    results = run_driver('mace_train', folder, {'dataset': 'dataset.xyz', 'parameters': settings})
    assert 'kind' not in results, results
    lines = (folder / 'training.jsonl').read_text().splitlines()
    return results, [entry for entry in map(json.loads, lines) if entry['mode'] == 'eval']


@pytest.mark.engines
@pytest.mark.slow
def test_frequencies_choose_the_model(
    run_driver: Callable, tmp_path: Path, toy_settings: dict[str, Any]
) -> None:
    """The model that is left is the one of the epoch that they chose, not of the lowest loss."""
    settings = {**toy_settings, 'max_epochs': 30, 'ema_decay': 0.9, 'choose_by': 'frequencies'}
    results, validations = train(run_driver, tmp_path, settings, displaced_frames())
    errors = np.array([entry['mae_frequency'] for entry in validations[1:]])
    losses = np.array([entry['loss'] for entry in validations[1:]])
    best = int(np.argmin(errors * np.sqrt(losses)))
    (row,) = results['curvature']
    assert row['split'] == 'valid'
    assert row['frequency_mae'] == pytest.approx(errors[best], rel=1e-4)
    assert (tmp_path / f'checkpoints/mace_run-1_epoch-{best}.pt').is_file()
    assert errors[best] < validations[0]['mae_frequency']


@pytest.mark.engines
@pytest.mark.slow
def test_without_improvement_a_training_ends(
    run_driver: Callable, tmp_path: Path, toy_settings: dict[str, Any]
) -> None:
    """Each stage on its own: rates that move nothing give one epoch, and then none is better."""
    settings = {
        **toy_settings, 'max_epochs': 1000, 'patience': 3, 'learning_rate': 1e-300,
        'stage_two_start': 500, 'stage_two_energy_weight': 100.0, 'stage_two_forces_weight': 100.0,
        'stage_two_stress_weight': 1000.0, 'stage_two_learning_rate': 1e-300,
    }  # fmt: skip
    results, validations = train(run_driver, tmp_path, settings, [])
    epochs = [entry['epoch'] for entry in validations]
    assert epochs == [None, 0, 1, 2, 3, 500, 501, 502, 503]
    assert results['stalled']
    assert results['failure']['kind'] == 'NO_IMPROVEMENT'


@pytest.mark.engines
@pytest.mark.slow
def test_the_last_epochs_are_of_lbfgs(
    run_driver: Callable, tmp_path: Path, toy_settings: dict[str, Any]
) -> None:
    """Each is validated, none raises the loss that it is to lower, and the last model is kept."""
    settings = {
        **toy_settings, 'max_epochs': 20, 'eval_interval': 3, 'ema_decay': 0.9, 'lbfgs_start': 10,
        'lbfgs_iterations': 8, 'lbfgs_history': 20,
    }  # fmt: skip
    results, validations = train(run_driver, tmp_path, settings, [])
    assert results['lbfgs_start'] == 10
    epochs = [entry['epoch'] for entry in validations]
    assert epochs == [None, 0, 3, 6, 9, *range(10, 20)]
    lines = map(json.loads, (tmp_path / 'training.jsonl').read_text().splitlines())
    losses = [e['loss'] for e in lines if e['mode'] == 'opt' and e['epoch'] >= 10]
    assert len(losses) == 10
    assert np.all(np.diff(losses) < 0)
    assert losses[-1] < 0.2 * losses[0]
    best = min(validations[1:], key=lambda entry: entry['loss'])
    assert results['errors']['valid']['force_mae'] == pytest.approx(1e3 * best['mae_f'], rel=1e-4)


def test_displacements_are_labelled_as_the_toy_is() -> None:
    frames = displaced_frames()
    assert all(FORCES in frame.arrays for frame in frames)
    assert len(frames) == 2
