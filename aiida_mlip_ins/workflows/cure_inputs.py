"""Inputs of the cure of imaginary modes: from protocols, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.data.model import MaceModelData, model_problems
from aiida_mlip_ins.data.structure import structure_problems
from aiida_mlip_ins.science.cure import cure_problems
from aiida_mlip_ins.science.structure import pressure_problems
from aiida_mlip_ins.workflows.composition import fill, tried
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain
from aiida_mlip_ins.workflows.protocols import load_protocol

LINKS = ('phonons', 'relax', 'ins')
"""Links whose own protocols can be overridden, each under its name."""


def get_builder(
    cls: Any,
    code: orm.AbstractCode | str,
    structure: orm.StructureData,
    model: MaceModelData | None,
    pressure: float,
    protocol: str | None,
    overrides: Mapping[str, Any] | None,
    options: Mapping[str, Any] | None,
    spectrum: bool,
) -> ProcessBuilder:
    """Return a builder, see ``CureWorkChain.get_builder_from_protocol``."""
    given = dict(overrides or {})
    links = {name: given.pop(name, {}) for name in LINKS}
    numbers = load_protocol('cure', protocol, given)
    found = cure_problems(numbers['cure'], 'cure')
    made = {
        'phonons': tried(
            found, 'phonons', MacePhononsWorkChain.get_builder_from_protocol,
            code, structure, model, protocol, links['phonons'], options,
        ),
        'relax': tried(
            found, 'relax', MacePressureScanWorkChain.get_builder_from_protocol,
            code, structure, model, [pressure], protocol, {'relax': links['relax']}, options,
        ),
    }  # fmt: skip
    if spectrum:
        made['ins'] = tried(
            found, 'ins', InsWorkChain.get_builder_from_protocol,
            code, None, None, protocol, links['ins'], options, structure,
        )  # fmt: skip
    if found:
        raise ValueError('\n'.join(found))
    builder = cls.get_builder()
    builder.structure = structure
    builder.pressure = orm.Float(pressure)
    if model is not None:
        builder.model = model
    builder.settings = orm.Dict(numbers['cure'])
    fill(builder, 'phonons', ('structure', 'model'), made['phonons'])
    builder.relax = made['relax']._inputs(prune=True)['relax']
    fill(builder, 'ins', (), made.get('ins'))
    return builder


def validate_settings(value: orm.Dict, _: Any) -> str | None:
    """Refuse settings that are unknown, missing or out of range, all at once."""
    return '\n'.join(cure_problems(value.get_dict(), 'settings')) or None


def validate_structure(value: orm.StructureData, _: Any) -> str | None:
    """Refuse what is no ordered crystal."""
    return '\n'.join(structure_problems(value, require_hydrogen=False)) or None


def validate_pressure(value: orm.Float, _: Any) -> str | None:
    """Refuse a negative pressure."""
    return '\n'.join(pressure_problems([value.value])) or None


def validate(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse elements that the model does not know, and what a larger cell has no use for."""
    found = []
    if 'model' in value and 'structure' in value:
        found += model_problems(value['model'], value['structure'].get_symbols_set(), 'structure')
    phonons = value.get('phonons', {})
    if 'supercell_matrix' in phonons and not all(
        isinstance(number, int) for number in phonons['supercell_matrix'].get_list()
    ):
        found.append(
            'phonons.supercell_matrix: give three multiples of the lattice vectors, which a '
            'supercell of a mode can be put in the place of'
        )
    parameters = phonons.get('parameters')
    if parameters is not None and parameters['primitive_cell'] != 'given':
        found.append("phonons.parameters.primitive_cell: it must be 'given', as modes are followed")
    spectrum = value.get('ins', {}).get('ins', {}).get('parameters')
    numbered = [key for key in spectrum['isotopes'] if key.isdigit()] if spectrum else []
    if numbered:
        found.append(
            'ins.ins.parameters.isotopes: atoms are numbered anew where a mode is followed; name '
            f'elements instead of {", ".join(numbered)}'
        )
    return '\n'.join(found) or None
