"""Settings of the INS workchains: where they come from, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida_phonopy.data import ForceConstantsData

from aiida_mlip_ins.calculations.ins import isotope_problems, settings_problems
from aiida_mlip_ins.science.broadening import ResolutionSettings, resolution_problems
from aiida_mlip_ins.science.ins import KEYS, ConvergenceSettings
from aiida_mlip_ins.science.instruments import INSTRUMENTS
from aiida_mlip_ins.science.phonons import mesh_from_spacing
from aiida_mlip_ins.science.settings import build, problems, unknown_keys


def ins_parameters(numbers: Mapping[str, Any], cell: np.ndarray) -> dict[str, Any]:
    """Return the settings of the simulation: the protocol's, with the mesh for a cell.

    :param numbers: of the protocol, with ``q_spacing`` (1/angstrom, with 2 pi).
    :param cell: (3, 3) lattice vectors as rows, angstrom.
    """
    return {**numbers['parameters'], 'mesh': mesh_from_spacing(cell, numbers['q_spacing'])}


def ins_problems(
    parameters: dict[str, Any],
    numbers: Mapping[str, Any],
    force_constants: ForceConstantsData | None,
) -> list[str]:
    """Return every problem of the settings, by themselves and for the crystal if there is one.

    :param parameters: of the simulation.
    :param numbers: of the protocol, with ``resolution`` and ``convergence``.
    """
    found = settings_problems(parameters, 'parameters')
    found += resolution_setting_problems(numbers['resolution'], 'resolution')
    found += energy_problems(parameters, numbers['resolution'])
    if not found and force_constants is not None:
        found = isotope_problems(parameters, force_constants)
    if numbers['convergence']:
        found += problems(ConvergenceSettings, numbers['convergence'], 'convergence')
    return found


def resolution_setting_problems(settings: dict[str, Any], where: str) -> list[str]:
    """Return every problem of the resolution's settings."""
    found = problems(ResolutionSettings, settings, where)
    if not found:
        found = resolution_problems(build(ResolutionSettings, settings, where), where)
    return found


def energy_problems(parameters: Mapping[str, Any], resolution: Mapping[str, Any]) -> list[str]:
    """Return a problem if a resolution is for another incident energy than the simulation's."""
    instrument = INSTRUMENTS.get(parameters.get('instrument', ''))
    energy = parameters.get('incident_energy')
    arguments = resolution.get('arguments') or {}
    if instrument is None or not instrument.is_direct or energy is None:
        return []
    if resolution.get('instrument') != parameters['instrument']:
        return []
    if arguments.get('e_init') == energy:
        return []
    return [
        f'resolution.arguments.e_init: {arguments.get("e_init")} meV, but the simulation is for an '
        f'incident energy of {energy:g} meV; give the same number to both'
    ]


def validate_convergence(value: orm.Dict, _: Any) -> str | None:
    """Refuse settings that are unknown, missing or out of range."""
    return '\n'.join(problems(ConvergenceSettings, value.get_dict(), 'convergence')) or None


def validate_resolution(value: orm.Dict, _: Any) -> str | None:
    """Refuse a resolution that resins cannot make."""
    return '\n'.join(resolution_setting_problems(value.get_dict(), 'resolution')) or None


def validate_group_by(value: orm.List, _: Any) -> str | None:
    """Refuse keys that rows do not have."""
    return '\n'.join(unknown_keys(value.get_list(), KEYS, 'group_by')) or None
