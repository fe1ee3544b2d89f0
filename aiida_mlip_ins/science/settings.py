"""Settings checked at the door: unknown keys, missing keys, wrong types, values out of range.

A settings class is a frozen dataclass whose fields are made with :func:`setting`; it holds no
default values, because each number lives once, in a protocol file. Both sides use the same class:
the AiiDA side to refuse a wrong input before submission, the driver to read what it was sent.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar('T')


def setting(
    help: str,
    unit: str = '',
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: tuple[Any, ...] | None = None,
    optional: bool = False,
) -> Any:
    """Declare one field of a settings class.

    :param help: one sentence for the reference documentation.
    :param unit: unit of a number, empty for none.
    :param minimum: smallest allowed value; applies to each element of a list.
    :param maximum: largest allowed value; applies to each element of a list.
    :param above: values must be strictly larger than this.
    :param choices: the allowed values.
    :param optional: whether the key may be absent, which means ``None``.
    """
    metadata = {
        'help': help,
        'unit': unit,
        'minimum': minimum,
        'maximum': maximum,
        'above': above,
        'choices': choices,
    }
    if optional:
        return dataclasses.field(default=None, metadata=metadata)
    return dataclasses.field(metadata=metadata)


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest valid name, or the list of valid names."""
    names = sorted(valid)
    begun = [each for each in names if len(str(name)) > 2 and each.startswith(str(name))]
    if len(begun) == 1:
        return f" (did you mean '{begun[0]}'?)"
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if close:
        return f" (did you mean '{close[0]}'?)"
    return f' (valid: {", ".join(names)})'


def unknown_keys(given: Iterable[str], valid: Iterable[str], where: str) -> list[str]:
    """Return one problem for each given key that is not valid, naming the nearest valid one."""
    valid = list(valid)
    return [
        f"{where}: unknown key '{key}'{nearest(key, valid)}" for key in given if key not in valid
    ]


def problems(cls: type, values: Mapping[str, Any], where: str) -> list[str]:
    """Return every problem of ``values`` as settings of ``cls``, an empty list if there is none.

    :param cls: a settings dataclass.
    :param values: the given settings.
    :param where: the name of the input they came from, put before each message.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    found = unknown_keys(values, fields, where)
    found += [
        f"{where}: '{name}' is missing ({field.metadata['help']})"
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING
    ]
    return found + value_problems(cls, values, where)


def value_problems(cls: type, values: Mapping[str, Any], where: str) -> list[str]:
    """Return the problems of those values that are there and that ``cls`` knows."""
    hints = typing.get_type_hints(cls)
    return [
        line
        for field in dataclasses.fields(cls)
        if field.name in values and not (values[field.name] is None and field.default is None)
        for line in _value_problems(
            values[field.name], hints[field.name], field.metadata, f'{where}.{field.name}'
        )
    ]


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Return the settings object, or raise a ``ValueError`` that lists every problem."""
    found = problems(cls, values, where)
    if found:
        raise ValueError('\n'.join(found))
    return cls(**values)


def _value_problems(value: Any, hint: Any, metadata: Mapping[str, Any], where: str) -> list[str]:
    """Return the problems of one value against its type hint and its declared range."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):  # an optional: X | None
        hint = next(item for item in typing.get_args(hint) if item is not type(None))
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            return [f'{where}: expected a list, got {value!r}']
        return [
            problem
            for index, item in enumerate(value)
            for problem in _value_problems(
                item, arguments[0] if arguments else Any, metadata, f'{where}[{index}]'
            )
        ]
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            return [f'{where}: expected a mapping, got {value!r}']
        return [
            problem
            for key, item in value.items()
            for problem in _value_problems(
                item, arguments[1] if arguments else Any, metadata, f'{where}.{key}'
            )
        ]
    if hint is Any:
        return []
    expected = origin
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, expected) or (expected is not bool and isinstance(value, bool)):
        return [f'{where}: expected {expected.__name__}, got {value!r}']
    return _range_problems(value, metadata, where)


def _range_problems(value: Any, metadata: Mapping[str, Any], where: str) -> list[str]:
    """Return the problems of a value of the right type against choices and bounds."""
    choices = metadata.get('choices')
    if choices and value not in choices:
        return [f"{where}: '{value}' is not allowed{nearest(str(value), map(str, choices))}"]
    if not isinstance(value, int | float) or isinstance(value, bool):
        return []
    unit = f' {metadata["unit"]}' if metadata.get('unit') else ''
    if not math.isfinite(value):
        return [f'{where}: {value} is not a finite number']
    if metadata.get('minimum') is not None and value < metadata['minimum']:
        return [f'{where}: {value}{unit} is below the minimum of {metadata["minimum"]}{unit}']
    if metadata.get('maximum') is not None and value > metadata['maximum']:
        return [f'{where}: {value}{unit} is above the maximum of {metadata["maximum"]}{unit}']
    if metadata.get('above') is not None and value <= metadata['above']:
        return [f'{where}: {value}{unit} must be larger than {metadata["above"]}{unit}']
    return []
