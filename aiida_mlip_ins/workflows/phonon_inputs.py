"""Inputs of the phonon workchains: what the protocol's numbers become, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.data.model import model_problems
from aiida_mlip_ins.data.structure import structure_problems, to_atoms
from aiida_mlip_ins.science.isotopes import crystal_problems, mass_problems, nuclide_problems
from aiida_mlip_ins.science.phonons import (
    PhononSettings,
    length_problems,
    mesh_from_spacing,
    supercell_from_length,
)
from aiida_mlip_ins.science.sampling import matrix_problem, multiples_of
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


def isotope_problems(
    isotopes: Mapping[str, str],
    structure: orm.StructureData,
    phonons: Mapping[str, Any] | orm.Dict | None,
    where: str,
) -> list[str]:
    """Return which entries are no nuclides with a known mass, or of what the crystal has not.

    :param phonons: ``PhononSettings``, which say whether the atoms keep their numbers.
    """
    found = [p for key, name in isotopes.items() for p in nuclide_problems(key, name, where)]
    numbered = [key for key in isotopes if key.isdigit()]
    if numbered and phonons is not None and phonons['primitive_cell'] != 'given':
        found.append(
            f'{where}: atoms are numbered anew in the primitive cell that is looked for; name '
            f"elements instead of {', '.join(numbered)}, or set primitive_cell to 'given'"
        )
    if found:
        return found
    symbols = to_atoms(structure).get_chemical_symbols()
    return mass_problems(isotopes, where) + crystal_problems(isotopes, symbols, where)


def with_isotopes(inputs: dict[str, Any], simulation: orm.Dict) -> dict[str, Any]:
    """Return inputs of phonons whose modes have the nuclides of an INS simulation.

    :param simulation: settings of the simulation.
    """
    chosen = simulation['isotopes']
    return {**inputs, 'isotopes': orm.Dict(chosen)} if chosen else inputs


def validate_parameters(value: orm.Dict, _: Any) -> str | None:
    """Refuse settings that are unknown, missing or out of range, all at once."""
    return '\n'.join(settings_problems(value.get_dict(), 'parameters')) or None


def validate_structure(value: orm.StructureData, _: Any) -> str | None:
    """Refuse what is no ordered crystal."""
    return '\n'.join(structure_problems(value, require_hydrogen=False)) or None


def validate_supercell_matrix(value: orm.List, _: Any) -> str | None:
    """Refuse what is no supercell."""
    matrix = value.get_list()
    rows = any(isinstance(row, list) for row in matrix)
    problem = matrix_problem(matrix if rows else multiples_of(matrix).tolist())
    return problem and f'supercell_matrix, as three multiples or 3x3: {problem}'


def validate_inputs(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse an element that the model does not know, and nuclides that the crystal has not."""
    if 'structure' not in value:
        return None
    structure, found = value['structure'], []
    if 'model' in value:
        found += model_problems(value['model'], structure.get_symbols_set(), 'structure')
    if 'isotopes' in value:
        parameters = value.get('parameters')
        found += isotope_problems(value['isotopes'].get_dict(), structure, parameters, 'isotopes')
    return '\n'.join(found) or None
