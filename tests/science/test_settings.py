"""Settings checked at the door."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from aiida_mlip_ins.science.settings import build, nearest, problems, setting, unknown_keys


@dataclasses.dataclass(frozen=True)
class Example:
    """Settings of every kind."""

    count: int = setting('A number of things.', minimum=1, maximum=10)
    width: float = setting('A width.', 'angstrom', above=0.0)
    kind: str = setting('A kind.', choices=('narrow', 'wide'))
    flag: bool = setting('A switch.')
    mesh: list[int] = setting('A mesh.', minimum=1)
    extra: dict[str, Any] | None = setting('Anything.', optional=True)
    seed: int | None = setting('A seed.', optional=True)


GOOD: dict[str, Any] = {
    'count': 2, 'width': 1.5, 'kind': 'wide', 'flag': True, 'mesh': [2, 2, 1],
}  # fmt: skip


def test_the_beginning_of_a_name_is_that_name() -> None:
    valid = ['temperature', 'q_step', 'type', 'energy_max', 'energy_min']
    assert nearest('temp', valid) == " (did you mean 'temperature'?)"
    assert nearest('energy', valid) in [f" (did you mean '{name}'?)" for name in valid[3:]]


def test_good_values_build() -> None:
    made = build(Example, GOOD, 'settings')
    assert made.mesh == [2, 2, 1]
    assert made.seed is None


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'count': 0}, 'settings.count: 0 is below the minimum of 1'),
        ({'count': 11}, 'settings.count: 11 is above the maximum of 10'),
        ({'count': 2.5}, 'settings.count: expected int, got 2.5'),
        ({'count': True}, 'settings.count: expected int, got True'),
        ({'width': 0.0}, 'settings.width: 0.0 angstrom must be larger than 0.0 angstrom'),
        ({'width': math.nan}, 'settings.width: nan is not a finite number'),
        ({'width': '1'}, "settings.width: expected float, got '1'"),
        ({'kind': 'wid'}, "settings.kind: 'wid' is not allowed (did you mean 'wide'?)"),
        ({'flag': 1}, 'settings.flag: expected bool, got 1'),
        ({'mesh': [2, 0, 1]}, 'settings.mesh[1]: 0 is below the minimum of 1'),
        ({'mesh': 3}, 'settings.mesh: expected a list, got 3'),
        ({'mesh': [2, 'x', 1]}, "settings.mesh[1]: expected int, got 'x'"),
        ({'seed': 1.5}, 'settings.seed: expected int, got 1.5'),
        ({'extra': 3}, 'settings.extra: expected a mapping, got 3'),
    ],
)
def test_one_problem(change: dict[str, Any], message: str) -> None:
    assert problems(Example, {**GOOD, **change}, 'settings') == [message]


@pytest.mark.parametrize('change', [{'width': 2}, {'seed': None}, {'extra': {'a': 1}}])
def test_no_problem(change: dict[str, Any]) -> None:
    assert problems(Example, {**GOOD, **change}, 'settings') == []


def test_all_problems_are_in_one_error() -> None:
    values = {**GOOD, 'widht': 1.0, 'count': 0}
    del values['width']
    with pytest.raises(ValueError, match='count') as error:
        build(Example, values, 'settings')
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert "settings: unknown key 'widht' (did you mean 'width'?)" in lines
    assert "settings: 'width' is missing (A width.)" in lines


def test_nearest_lists_names_if_none_is_near() -> None:
    assert nearest('zzz', ['b', 'a']) == ' (valid: a, b)'
    assert unknown_keys(['a'], ['a', 'b'], 'x') == []
