"""How a round went, and whether that is enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from aiida_mlip_ins.science.active.settings import ActiveSettings

UNITS = {
    'energy': 'meV/atom', 'force': 'meV/angstrom', 'stress': 'GPa', 'frequency': '1/cm',
    'volume': 'angstrom^3', 'pressure': 'GPa',
}  # fmt: skip
"""Units of the rows of rounds, by the quantity in the name of a column."""

TARGETS = {
    'target_force_error': ('force_error', 'force error on the new frames', UNITS['force']),
    'target_stress_error': ('stress_error', 'stress error on the new frames', UNITS['stress']),
    'target_force_spread': ('force_spread', 'spread of forces', UNITS['force']),
    'target_frequency_spread': (
        'frequency_spread', 'spread of frequencies', UNITS['frequency'],
    ),
}  # fmt: skip
"""Of each target the column of a row that it is for, its name and its unit."""


def asked(settings: ActiveSettings) -> dict[str, float]:
    """Return the targets that are asked for."""
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {name: values[name] for name in TARGETS if values[name] is not None}


def verdict(row: Mapping[str, Any], settings: ActiveSettings) -> tuple[bool, list[str]]:
    """Return whether all targets are reached, and a sentence on each of them.

    :param row: numbers of a round; those that are missing or ``None`` are not known, which reaches
        nothing. No targets are never reached. A crystal that molecular dynamics (``motion``) finds
        not ``stable`` has reached none.
    """
    targets = asked(settings)
    sentences = []
    reached = bool(targets)
    for name, limit in targets.items():
        column, words, unit = TARGETS[name]
        value = row.get(column)
        reached = reached and value is not None and value <= limit
        number = 'not known' if value is None else f'{value:.3g} {unit}'
        sentences.append(f'{words} {number}, at most {limit:g} {unit} asked')
    motion = row.get('motion')
    if motion is not None:
        reached = reached and motion == 'stable'
        sentences.append(f'{motion} in molecular dynamics')
    return reached, sentences


def needs_labels(row: Mapping[str, Any], settings: ActiveSettings) -> bool:
    """Whether labels of new frames could change anything: not if all is known and reached."""
    return not verdict(row, settings)[0]
