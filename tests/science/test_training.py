"""Settings of the MACE jobs, errors per split and source, the training log."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiida_mlip_ins.science.settings import build, problems
from aiida_mlip_ins.science.training import (
    EvaluateSettings,
    RelaxSettings,
    TrainSettings,
    force_weights,
    passes_left,
    split_problems,
    train_problems,
)
from aiida_mlip_ins.science.training_arguments import (
    OWN_ARGUMENTS,
    RESERVED_ARGUMENTS,
    STAGE_TWO_ARGUMENTS,
)
from aiida_mlip_ins.science.training_report import (
    CURVE_UNITS,
    error_statistics,
    error_table,
    first_not_finite,
    fit_reference_energies,
    learning_curve,
    parse_log,
    validations,
)
from aiida_mlip_ins.workflows.protocols import PROTOCOLS, load_protocol

LOG = Path(__file__).resolve().parents[1] / 'fixtures' / 'mace' / 'train' / 'training.jsonl'


@pytest.fixture
def settings() -> dict[str, Any]:
    return load_protocol('train', 'fast')['parameters']


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_protocols_are_valid(protocol: str) -> None:
    assert train_problems(load_protocol('train', protocol)['parameters'], 'train') == []
    evaluate = load_protocol('evaluate', protocol)['parameters']
    assert problems(EvaluateSettings, evaluate, 'evaluate') == []
    relax = load_protocol('mace_pressure_scan', protocol)['relax']['parameters']
    assert problems(RelaxSettings, relax, 'relax') == []


def test_all_problems_at_once(settings: dict[str, Any]) -> None:
    settings.update(max_epoch=3, r_max=-1.0, mace_arguments={'lr': 0.1, 'patience': 5})
    del settings['stage_two_energy_weight']
    found = '\n'.join(train_problems(settings, 'parameters'))
    assert "unknown key 'max_epoch' (did you mean 'max_epochs'?)" in found
    assert 'r_max: -1.0 angstrom' in found
    assert "'lr' cannot be given here: use the setting 'learning_rate'" in found
    assert "'patience' cannot be given here" in found
    assert "'stage_two_energy_weight' is missing" in found


def test_second_stage_that_never_starts(settings: dict[str, Any]) -> None:
    settings['stage_two_start'] = settings['max_epochs']
    assert 'the second stage would never start' in train_problems(settings, 'x')[0]


def test_without_second_stage_its_settings_are_not_needed(settings: dict[str, Any]) -> None:
    for name in STAGE_TWO_ARGUMENTS.values():
        settings.pop(name)
    assert train_problems(settings, 'x') == []


def test_what_lbfgs_needs(settings: dict[str, Any]) -> None:
    settings.update(lbfgs_start=settings['max_epochs'] - 1, lbfgs_iterations=20, lbfgs_history=50)
    assert train_problems(settings, 'x') == []
    settings.update(
        lbfgs_start=settings['stage_two_start'] - 1, lbfgs_history=None, dtype='float32'
    )
    found = '\n'.join(train_problems(settings, 'x'))
    assert "x: 'lbfgs_history' is missing, it is needed with 'lbfgs_start'" in found
    assert "L-BFGS needs the dtype 'float64', not 'float32'" in found
    assert 'L-BFGS belongs to the last stage' in found
    settings['lbfgs_start'] = settings['max_epochs']
    assert 'so L-BFGS would never start' in '\n'.join(train_problems(settings, 'x'))


def test_passes_left(settings: dict[str, Any]) -> None:
    settings.update(max_epochs=100, lbfgs_start=None)
    plain = build(TrainSettings, settings, 'x')
    assert [passes_left(plain, epoch) for epoch in (0, 99, 100)] == [100, 1, 0]
    settings.update(lbfgs_start=90, lbfgs_iterations=20, lbfgs_history=50)
    chosen = build(TrainSettings, settings, 'x')
    assert [passes_left(chosen, epoch) for epoch in (0, 90, 95, 100)] == [290, 200, 100, 0]


def test_every_passed_on_setting_exists() -> None:
    names = set(TrainSettings.__dataclass_fields__)
    assert set(OWN_ARGUMENTS.values()) | set(STAGE_TWO_ARGUMENTS.values()) <= names
    assert set(OWN_ARGUMENTS) <= set(RESERVED_ARGUMENTS)


def test_split_problems(settings: dict[str, Any]) -> None:
    settings.update(minimum_frames=10, batch_size=6)
    found = split_problems({'train': 4}, settings, 'dataset')
    assert len(found) == 3
    assert "no frame has the split 'valid'" in found[0]
    assert 'fewer than the minimum_frames of 10' in found[1]
    assert 'do not fill one batch of 6' in found[2]
    assert split_problems({'train': 12, 'valid': 1}, settings, 'dataset') == []


def labels(energy: float, force: float, stress: float | None, atoms: int = 2) -> dict[str, Any]:
    return {
        'energy': energy,
        'forces': np.full((atoms, 3), force),
        'stress': None if stress is None else np.full(6, stress),
    }


def test_error_statistics() -> None:
    true = [labels(0.0, 0.0, 0.0), labels(0.0, 0.0, None, 4)]
    model = [labels(0.2, 0.1, 0.01), labels(-0.4, -0.3, 5.0, 4)]
    result = error_statistics(true, model)
    assert result['n_frames'] == 2
    assert result['force_mae'] == pytest.approx(1e3 * (2 * 0.1 + 4 * 0.3) / 6)
    assert result['force_rmse'] == pytest.approx(1e3 * math.sqrt((2 * 0.01 + 4 * 0.09) / 6))
    assert result['energy_mae'] == pytest.approx(100.0)
    assert result['stress_mae'] == pytest.approx(1.6021766208)
    assert result['n_stress'] == 1


def test_errors_without_energy_or_stress() -> None:
    true = [{'energy': None, 'forces': np.zeros((1, 3)), 'stress': None}]
    result = error_statistics(true, [labels(1.0, 1.0, 1.0, 1)])
    assert set(result) == {'n_frames', 'force_mae', 'force_rmse'}


def test_error_table_by_split_and_source() -> None:
    true = [labels(0.0, 0.0, None)] * 3
    model = [labels(0.0, force, None) for force in (0.1, 0.2, 0.6)]
    table = error_table(['test', 'train', 'test'], ['a', 'a', 'b'], true, model)
    assert set(table) == {'test', 'train'}
    assert table['test']['force_mae'] == pytest.approx(350.0)
    assert table['test']['sources']['b']['force_mae'] == pytest.approx(600.0)
    assert table['train']['sources'] == {
        'a': {k: v for k, v in table['train'].items() if k != 'sources'}
    }


def test_reference_energies_of_one_stoichiometry() -> None:
    counts = np.array([[2, 1], [4, 2], [2, 1]], dtype=float)
    values, rank, residual = fit_reference_energies(counts, np.array([-10.0, -20.0, -10.0]))
    assert rank == 1
    np.testing.assert_allclose(values, [-4.0, -2.0])
    assert residual == pytest.approx(0.0, abs=1e-12)


def test_reference_energies_of_two_stoichiometries() -> None:
    counts = np.array([[2, 1], [1, 1]], dtype=float)
    values, rank, _ = fit_reference_energies(counts, np.array([-7.0, -5.0]))
    assert rank == 2
    np.testing.assert_allclose(values, [-2.0, -3.0])


def test_log_of_a_real_training() -> None:
    entries = parse_log(LOG.read_text())
    checked = validations(entries, 'Default')
    assert checked[0]['epoch'] is None
    curve = learning_curve(entries, 'Default', 60)
    assert set(curve) == set(CURVE_UNITS)
    assert curve['epoch'].tolist() == list(range(len(checked)))
    assert curve['stage'].tolist() == [1] * 61 + [2] * 20
    with_lbfgs = learning_curve(entries, 'Default', 60, 70)
    assert with_lbfgs['stage'].tolist() == [1] * 61 + [2] * 10 + [3] * 10
    assert math.isnan(curve['loss_train'][0])
    assert np.isfinite(curve['loss_train'][1:]).all()
    assert curve['force_mae'][-1] == pytest.approx(checked[-1]['mae_f'] * 1e3)
    assert curve['stress_mae'][-1] == pytest.approx(checked[-1]['mae_stress'] * 160.21766208)
    assert curve['force_mae'][-1] < curve['force_mae'][0] / 10
    assert first_not_finite(entries) is None


def test_half_a_line_is_not_read() -> None:
    text = LOG.read_text()
    whole = len(parse_log(text))
    assert len(parse_log(text.rstrip('\n')[:-5])) == whole - 1
    with pytest.raises(ValueError, match='Expecting'):
        parse_log('{"mode": \n' + text)


def test_nan_is_found_where_it_begins() -> None:
    entries = [
        {'mode': 'eval', 'epoch': None, 'loss': 1.0, 'head': 'Default'},
        {'mode': 'opt', 'epoch': 0, 'loss': 1.0},
        json.loads('{"mode": "opt", "epoch": 1, "loss": NaN}'),
    ]
    assert first_not_finite(entries[:2]) is None
    assert first_not_finite(entries) == 'loss = nan of the training in epoch 1'


def test_log_without_validation() -> None:
    with pytest.raises(ValueError, match='no validation'):
        learning_curve([{'mode': 'opt', 'epoch': 0, 'loss': 1.0}], 'Default', None)


def test_force_weights_lift_small_displacements():
    forces = [np.full((5, 3), f) for f in (0.01, 0.1, 1.0, 5.0)]
    weights = force_weights(forces, scale=0.1, ratio=10.0)
    np.testing.assert_allclose(weights.mean(), 1.0)
    assert np.all(np.diff(weights) <= 0)
    np.testing.assert_allclose(weights.max() / weights.min(), 10.0)
