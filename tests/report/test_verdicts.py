"""Targets: a number at the limit passes, one above misses, none is not a pass."""

from __future__ import annotations

from typing import Any

import pytest

from aiida_mlip_ins.report.verdicts import verdicts


def numbers(**changes: Any) -> dict[str, Any]:
    """Return a summary that passes everything."""
    point = {
        'pressure_gpa': 0.0, 'volume_error_percent': -0.5, 'gamma_mae_per_cm': 4.0,
        'min_frequency_per_cm': 2.0,
    }  # fmt: skip
    base = {
        'state': 'finished', 'exit_status': 0, 'force_mae_mev_per_angstrom': 20.0,
        'stress_mae_gpa': 0.1, 'wall_s': 900.0, 'jobs': 10,
        'cached_jobs': 0, 'peak_memory_gb': 3.0, 'peak_memory_is': 'measured', 'n_held_out': 4,
        'held_out_split': 'test', 'pressures': [point, {**point, 'pressure_gpa': 1.5}],
    }  # fmt: skip
    return base | changes


def shifts(*values: float | None) -> list[dict[str, Any]]:
    return [{'kind': 'lattice', 'mace_shift_per_cm': [0.0, value]} for value in values]


def passed(name: str, summary: dict[str, Any], *moves: float | None) -> bool | None:
    return next(v.passed for v in verdicts(summary, shifts(*moves)) if v.name == name)


def test_all_pass():
    assert all(v.passed for v in verdicts(numbers(), shifts(3.0, 5.0)))


@pytest.mark.parametrize(
    ('name', 'key', 'bad'),
    [
        ('force_mae', 'force_mae_mev_per_angstrom', 20.1),
        ('stress_mae', 'stress_mae_gpa', 0.31),
        ('wall', 'wall_s', 1801.0),
        ('peak_memory', 'peak_memory_gb', 6.1),
    ],
)
def test_above_the_limit_is_a_miss_and_no_number_is_not_a_pass(name, key, bad):
    assert passed(name, numbers(**{key: bad})) is False
    if key != 'wall_s':
        assert passed(name, numbers(**{key: None})) is None


@pytest.mark.parametrize(
    ('name', 'key', 'bad'),
    [
        ('volume_error', 'volume_error_percent', -1.2),
        ('gamma_mae', 'gamma_mae_per_cm', 10.5),
        ('min_frequency', 'min_frequency_per_cm', -3.0),
    ],
)
def test_the_worst_pressure_decides(name, key, bad):
    summary = numbers()
    summary['pressures'][1][key] = bad
    assert passed(name, summary) is False
    summary['pressures'][1][key] = None
    assert passed(name, summary) is None


def test_where_the_crystal_is_soft_is_said():
    summary = numbers()
    point = {'q': [0.5, 0.0, 0.0], 'frequencies_per_cm': [-104.3], 'weight': 0.25}
    summary['pressures'][1] |= {'min_frequency_per_cm': -104.3, 'imaginary_points': [point]}
    (found,) = (v for v in verdicts(summary, []) if v.name == 'min_frequency')
    assert found.passed is False
    assert found.detail == (
        '0 GPa: 2, 1.5 GPa: -104; imaginary at 1.5 GPa: -104.3 1/cm at q = (0.5 0 0) with a weight '
        'of 25 %'
    )


def test_one_lattice_mode_that_goes_down_is_a_miss():
    assert passed('lattice_shift', numbers(), 3.0, -0.1) is False
    assert passed('lattice_shift', numbers()) is None
    assert passed('lattice_shift', numbers(), 3.0, None) is True


@pytest.mark.parametrize('changes', [{'state': 'waiting'}, {'exit_status': 403}])
def test_a_run_that_has_not_ended_well_has_passed_no_limit_on_its_whole(changes):
    summary = numbers(**changes)
    assert passed('wall', summary) is None
    assert passed('peak_memory', summary) is None
    assert passed('force_mae', summary) is True


def test_time_has_a_target_only_if_all_or_nothing_is_cached():
    assert passed('wall_cached', numbers(cached_jobs=10, wall_s=170.0)) is True
    assert passed('wall_cached', numbers(cached_jobs=10, wall_s=190.0)) is False
    names = [v.name for v in verdicts(numbers(cached_jobs=5), [])]
    assert 'wall' not in names
    assert 'wall_cached' not in names
