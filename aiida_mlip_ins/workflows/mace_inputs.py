"""Inputs of the trainings and evaluations with MACE, from their protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aiida import orm

from aiida_mlip_ins.science.descriptors import DescribeSettings
from aiida_mlip_ins.science.settings import problems
from aiida_mlip_ins.science.training import EvaluateSettings, train_problems
from aiida_mlip_ins.workflows.protocols import load_protocol


def train_inputs_from_protocol(
    protocol: str | None = None, overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return ``parameters`` and ``metadata`` of a training.

    :raises ValueError: for an unknown protocol, or listing all problems of the overrides.
    """
    return _inputs('train', protocol, overrides, train_problems)


def evaluate_inputs_from_protocol(
    protocol: str | None = None, overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return ``parameters`` and ``metadata`` of an evaluation of frames.

    :raises ValueError: for an unknown protocol, or listing all problems of the overrides.
    """
    return _inputs('evaluate', protocol, overrides, partial(problems, EvaluateSettings))


def describe_inputs_from_protocol(
    protocol: str | None = None, overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return ``parameters`` and ``metadata`` of a description of frames.

    :raises ValueError: for an unknown protocol, or listing all problems of the overrides.
    """
    return _inputs('describe', protocol, overrides, partial(problems, DescribeSettings))


def _inputs(
    workflow: str,
    protocol: str | None,
    overrides: Mapping[str, Any] | None,
    find_problems: Callable[[Mapping[str, Any], str], list[str]],
) -> dict[str, Any]:
    numbers = load_protocol(workflow, protocol, overrides)
    found = find_problems(numbers['parameters'], 'parameters')
    if found:
        raise ValueError('\n'.join(found))
    return {
        'parameters': orm.Dict(numbers['parameters']),
        'metadata': {'options': numbers['options']},
    }
