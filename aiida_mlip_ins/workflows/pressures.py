"""What the relaxations by DFT at each of a list of pressures have in common."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec

from aiida_mlip_ins.data.structure import structure_problems
from aiida_mlip_ins.science.structure import pressure_problems


def pressure_key(index: int) -> str:
    """Return the key under which everything at one pressure is kept."""
    return f'pressure_{index}'


def gpa(pressures: list[float]) -> str:
    """Return pressures as text."""
    return ', '.join(f'{pressure:g}' for pressure in pressures) + ' GPa'


def define_scan(spec: ProcessSpec) -> None:
    """Declare the ports of a relaxation at several pressures."""
    # fmt: off
    spec.input('structure', valid_type=orm.StructureData, validator=validate_structure,
               help='Crystal (lengths in angstrom).')
    spec.input('pressures', valid_type=orm.List, validator=validate_pressures,
               help='Pressures in GPa, ascending.')
    spec.output_namespace('structures', valid_type=orm.StructureData, dynamic=True, required=False,
                          help='`pressure_i`: relaxed crystal at the i-th pressure.')
    spec.output('results', valid_type=orm.Dict, required=False,
                help='`pressures`: a row each (GPa, angstrom, angstrom^3, eV, eV/angstrom).')
    # fmt: on


def validate_structure(value: orm.StructureData, _: Any) -> str | None:
    """Refuse crystals that pw.x cannot be run on; hydrogen is not asked for."""
    return '\n'.join(structure_problems(value, require_hydrogen=False)) or None


def validate_pressures(value: orm.List, _: Any) -> str | None:
    """Refuse negative, unordered or repeated pressures."""
    return '\n'.join(pressure_problems(value.get_list())) or None
