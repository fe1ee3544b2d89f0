"""Protocols: one YAML file per workflow that holds its numbers, at three levels of effort.

A file has ``default`` (the name of the default protocol), ``common`` (values all share) and
``protocols`` (per name: a ``description`` and the values that differ). A file that ``extends``
another one has its values on top of that one's. Overrides are merged on top; an unknown key in them
is refused with the nearest valid name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from aiida_mlip_ins.science.settings import nearest, unknown_keys

PROTOCOLS = ('fast', 'balanced', 'stringent')

OPEN = frozenset(
    {
        'options', 'parameters_pw', 'mace_arguments', 'bond_lengths', 'arguments', 'assignments',
        'banks', 'isotopes',
    }
)  # fmt: skip
"""Namespaces whose keys are a third party's, the user's, or names of the crystal's or the
instrument's own: anything may be added below them."""


@cache
def _read(workflow: str) -> dict[str, Any]:
    content = yaml.safe_load((Path(__file__).parent / f'{workflow}.yaml').read_text())
    extended = content.pop('extends', None)
    return merge(_read(extended), content) if extended else content


def descriptions(workflow: str) -> dict[str, str]:
    """Return what each protocol of a workflow is for."""
    return {name: entry['description'] for name, entry in _read(workflow)['protocols'].items()}


def load_protocol(
    workflow: str,
    protocol: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    links: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the numbers of a workflow's protocol with overrides merged on top.

    :param workflow: name of the YAML file beside this one.
    :param protocol: ``fast``, ``balanced`` or ``stringent``; the file's default if not given.
    :param overrides: nested values that replace those of the protocol.
    :param links: keys that the user may give besides, which the caller has taken out already.
    :raises ValueError: for an unknown protocol, or listing all unknown keys of the overrides.
    """
    content = _read(workflow)
    protocol = protocol or content['default']
    if protocol not in content['protocols']:
        raise ValueError(f"unknown protocol '{protocol}'{nearest(protocol, content['protocols'])}")
    numbers = {k: v for k, v in content['protocols'][protocol].items() if k != 'description'}
    merged = merge(content.get('common', {}), numbers)
    found = override_problems({**dict.fromkeys(links), **merged}, overrides or {}, 'overrides')
    if found:
        raise ValueError('\n'.join(found))
    return merge(merged, overrides or {})


def load_known(
    workflow: str, protocol: str | None, overrides: Mapping[str, Any], links: Iterable[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """As :func:`load_protocol`, but leave out what has an unknown key, and return these problems.

    What depends on the rest of the numbers can then be judged in the same breath.

    :raises ValueError: for an unknown protocol.
    """
    numbers = load_protocol(workflow, protocol)
    valid = {**dict.fromkeys(links), **numbers}
    known, wrong = sorted_out(overrides, lambda one: override_problems(valid, one, 'overrides'))
    return merge(numbers, known), wrong


def sorted_out(
    overrides: Mapping[str, Any], judge: Callable[[Mapping[str, Any]], list[str]]
) -> tuple[dict[str, Any], list[str]]:
    """Return the overrides that are right, and the problems of the others.

    :param judge: returns the problems of one of them, its key with its value.
    """
    wrong = {key: judge({key: value}) for key, value in overrides.items()}
    right = {key: value for key, value in overrides.items() if not wrong[key]}
    return right, [line for lines in wrong.values() for line in lines]


def merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``top`` on top, key by key at every depth."""
    merged = copy.deepcopy(dict(base))
    for key, value in top.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def override_problems(
    base: Mapping[str, Any], overrides: Mapping[str, Any], where: str
) -> list[str]:
    """Return one problem for each key of the overrides that the protocol does not have."""
    found = unknown_keys(overrides, base, where)
    for key, value in overrides.items():
        if key in OPEN or key not in base or not isinstance(base[key], Mapping):
            continue
        if not isinstance(value, Mapping):
            found.append(f'{where}.{key}: expected a mapping, got {value!r}')
        else:
            found.extend(override_problems(base[key], value, f'{where}.{key}'))
    return found
