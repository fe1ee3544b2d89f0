"""Inputs of the phonon workchains: what the protocol's numbers become, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.data.model import model_problems
from aiida_mlip_ins.data.structure import structure_problems
from aiida_mlip_ins.science.phonons import (
    PhononSettings,
    length_problems,
    mesh_from_spacing,
    supercell_from_length,
)
from aiida_mlip_ins.science.settings import problems


def set_common(
    builder: ProcessBuilder,
    structure: orm.StructureData,
    numbers: Mapping[str, Any],
    engine: str,
) -> None:
    """Set what all labellers share.

    :param numbers: of the protocol.
    :param engine: ``mace`` or ``pw``, whose own numbers go on top.
    """
    own = numbers[engine]
    cell = np.array(structure.cell)
    supercell = supercell_from_length(cell, own['supercell_min_length'])
    parameters = {**numbers['parameters'], **own['parameters']}
    # Forces in the cell alone give the modes at Gamma and no others.
    at_gamma = supercell == [1, 1, 1]
    parameters['mesh'] = [1, 1, 1] if at_gamma else mesh_from_spacing(cell, numbers['q_spacing'])
    parameters['gamma_centred'] = at_gamma or parameters['gamma_centred']
    found = settings_problems(parameters, 'parameters')
    if found:
        raise ValueError('\n'.join(found))
    builder.structure = structure
    builder.supercell_matrix = orm.List(supercell)
    builder.parameters = orm.Dict(parameters)


def settings_problems(settings: Mapping[str, Any], where: str) -> list[str]:
    """Return every problem of the settings of a phonon calculation."""
    found = problems(PhononSettings, settings, where)
    return found + length_problems(settings.get('mesh', [1, 1, 1]), f'{where}.mesh')


def validate_parameters(value: orm.Dict, _: Any) -> str | None:
    """Refuse settings that are unknown, missing or out of range, all at once."""
    return '\n'.join(settings_problems(value.get_dict(), 'parameters')) or None


def validate_structure(value: orm.StructureData, _: Any) -> str | None:
    """Refuse what is no ordered crystal."""
    return '\n'.join(structure_problems(value, require_hydrogen=False)) or None


def validate_supercell_matrix(value: orm.List, _: Any) -> str | None:
    """Refuse what is no supercell."""
    matrix = value.get_list()
    try:
        numbers = np.array(matrix, dtype=float)
    except (TypeError, ValueError):
        return f'supercell_matrix: expected three numbers or a 3 x 3 matrix, got {matrix!r}'
    if numbers.shape not in ((3,), (3, 3)):
        return f'supercell_matrix: expected three numbers or a 3 x 3 matrix, got {matrix!r}'
    if not np.array_equal(numbers, np.rint(numbers)):
        return f'supercell_matrix: expected integers, got {matrix!r}'
    volume = np.linalg.det(numbers if numbers.ndim == 2 else np.diag(numbers))
    if volume < 0.5:
        return f'supercell_matrix: its determinant is {volume:.3g}, it must be 1 or more'
    return None


def validate_model(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse a crystal with an element that the model does not know."""
    if 'model' not in value or 'structure' not in value:
        return None
    elements = value['structure'].get_symbols_set()
    return '\n'.join(model_problems(value['model'], elements, 'structure')) or None
