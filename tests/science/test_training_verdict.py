"""Which trainings are no success, whatever the trainer says."""

from __future__ import annotations

from typing import Any

import pytest

from aiida_mlip_ins.science.training_verdict import (
    error_of_validation,
    heads_unseen,
    training_failure,
)

START = {'force_mae': 100.0, 'stress_mae': 1.0}


def table(force: float, stress: float | None = None) -> dict[str, Any]:
    return {'force_mae': force, **({} if stress is None else {'stress_mae': stress})}


@pytest.mark.parametrize(
    ('errors', 'before', 'kind', 'words'),
    [
        ({'valid': table(99.0, 1.9)}, None, None, ''),
        ({'valid': table(100.0, 0.1)}, None, 'NO_IMPROVEMENT', '100.0 before'),
        ({'valid': table(float('nan'))}, None, 'NO_IMPROVEMENT', 'nan'),
        ({'valid': table(50.0, 2.1)}, None, 'STRESS_DIVERGED', '2.10 GPa, but was 1.00'),
        ({'valid': table(50.0)}, {'valid': table(60.0)}, None, ''),
        ({'valid': table(50.0, 0.5)}, {'valid': table(60.0, 0.6)}, None, ''),
        ({'valid': table(50.0, 0.42)}, {'valid': table(60.0, 0.4)}, None, ''),
        ({'valid': table(50.0, 0.5)}, {'valid': table(60.0, 0.4)}, 'WORSE_THAN_FOUNDATION',
         'the stress error is 0.5 GPa, but the foundation model has 0.4'),
        ({'valid': table(50.0, 0.5), 'test': table(70.0, 0.3)},
         {'valid': table(60.0, 0.6), 'test': table(60.0, 0.4)}, 'WORSE_THAN_FOUNDATION',
         'the force error is 70 meV/angstrom, but the foundation model has 60'),
    ],
)  # fmt: skip
def test_failures(errors: Any, before: Any, kind: str | None, words: str) -> None:
    found = training_failure(START, errors, before)
    assert (found and found['kind']) == kind
    assert words in (found['message'] if found else '')


def test_stresses_that_nothing_is_known_of_have_not_diverged() -> None:
    assert training_failure({'force_mae': 9.0}, {'valid': table(5.0, 3.0)}, None) is None


def test_a_head_that_saw_no_data() -> None:
    entries = [{'mode': 'eval', 'epoch': None, 'head': 'Default'}, {'mode': 'opt', 'epoch': 0}]
    assert heads_unseen(['Default'], entries) is None
    found = heads_unseen(['pt_head', 'Default'], entries)
    assert found is not None
    assert found['kind'] == 'HEAD_UNSEEN'
    assert "['pt_head'] saw no data" in found['message']


def test_units_of_a_validation() -> None:
    found = error_of_validation({'mae_f': 0.1, 'mae_stress': 0.01, 'loss': 3.0, 'epoch': None})
    assert found == {'force_mae': pytest.approx(100.0), 'stress_mae': pytest.approx(1.60217663)}
