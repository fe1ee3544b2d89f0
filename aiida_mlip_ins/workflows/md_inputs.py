"""Inputs of the stability test by molecular dynamics: what is refused, and in what words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from aiida import orm

from aiida_mlip_ins.data.model import MaceModelData, model_problems
from aiida_mlip_ins.data.structure import structure_problems
from aiida_mlip_ins.science.md_settings import (
    count_problems,
    md_problems,
    stability_problems,
    temperatures_problems,
)
from aiida_mlip_ins.science.phonons import supercell_from_length
from aiida_mlip_ins.science.structure import pressure_problems
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.phonon_inputs import validate_supercell_matrix
from aiida_mlip_ins.workflows.pressures import pressure_key
from aiida_mlip_ins.workflows.protocols import load_protocol


def checked(
    code: orm.AbstractCode | str,
    structures: Sequence[orm.StructureData],
    model: MaceModelData | None,
    pressures: Sequence[float],
    temperatures: Sequence[float],
    supercell_matrix: Sequence[Any] | None,
    protocol: str | None,
    overrides: Mapping[str, Any] | None,
) -> tuple[orm.AbstractCode | None, dict[str, Any], list[Any]]:
    """Return the code, the numbers of the protocol and the supercell.

    :raises ValueError: listing every problem of the arguments.
    """
    numbers = load_protocol('md', protocol, overrides)
    node, found = load_engine_code(code)
    found += pressure_problems(list(pressures))
    found += temperatures_problems(list(temperatures))
    found += count_problems(structures, pressures)
    named = {pressure_key(index): structure for index, structure in enumerate(structures)}
    found += crystal_problems(named, model)
    found += settings_problems(numbers['md']['parameters'], numbers['criteria'])
    for name, least in (('max_concurrent', 1), ('max_restarts', 0)):
        found += count_problem(numbers[name], least, name)
    matrix = list(supercell_matrix or [])
    if supercell_matrix is not None:
        found += filter(None, [validate_supercell_matrix(orm.List(matrix), None)])
    if found:
        raise ValueError('\n'.join(found))
    if not matrix:
        cell = np.array(structures[0].cell)
        matrix = supercell_from_length(cell, numbers['supercell_min_length'])
    return node, numbers, matrix


def crystal_problems(
    structures: Mapping[str, orm.StructureData], model: MaceModelData | None
) -> list[str]:
    """Return the problems of the crystals, each once, and of the model with their elements."""
    found: dict[str, None] = {}
    for name, structure in structures.items():
        problems = structure_problems(structure, require_hydrogen=False)
        if model is not None:
            problems += model_problems(model, structure.get_symbols_set(), 'structure')
        found.update((f'structures.{name}: {problem}', None) for problem in problems)
    return list(found)


def settings_problems(parameters: Mapping[str, Any], criteria: Mapping[str, Any]) -> list[str]:
    """Return the problems of the settings of the run and of the verdict, and between them."""
    found = md_problems(parameters, 'md.parameters')
    return found + stability_problems(criteria, 'criteria', None if found else parameters)


def count_problem(value: Any, least: int, where: str) -> list[str]:
    """Return the problem of a number of jobs."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        return [f'{where}: expected a whole number of at least {least}, got {value!r}']
    return []


def validate_temperatures(value: orm.List, _: Any) -> str | None:
    """Refuse temperatures that are none, not above zero, or repeated."""
    return '\n'.join(temperatures_problems(value.get_list())) or None


def validate_positive(value: orm.Int, _: Any) -> str | None:
    """Refuse less than one job at a time."""
    return '\n'.join(count_problem(value.value, 1, 'max_concurrent')) or None


def validate_not_negative(value: orm.Int, _: Any) -> str | None:
    """Refuse a negative number of restarts."""
    return '\n'.join(count_problem(value.value, 0, 'max_restarts')) or None


def validate(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse inputs that do not fit together."""
    found = []
    if 'structures' in value and 'pressures' in value:
        structures = dict(value['structures'])
        wanted = [pressure_key(i) for i in range(len(value['pressures'].get_list()))]
        if sorted(structures) != sorted(wanted):
            found.append(
                f'structures: there are {", ".join(sorted(structures)) or "none"}, but the '
                f'pressures need {", ".join(wanted)}'
            )
        found += crystal_problems(structures, value.get('model'))
    if 'criteria' in value and 'parameters' in value.get('md', {}):
        found += settings_problems(
            value['md']['parameters'].get_dict(), value['criteria'].get_dict()
        )
    return '\n'.join(found) or None
