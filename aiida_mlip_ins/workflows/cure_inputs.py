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
from aiida_mlip_ins.workflows.phonon_inputs import isotope_problems
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain
from aiida_mlip_ins.workflows.protocols import load_protocol

LINKS = ('phonons', 'ins')
"""Links, besides the relaxation, whose own protocols can be overridden, each under its name."""


def get_builder(
    cls: Any,
    code: orm.AbstractCode | str,
    structure: orm.StructureData,
    model: MaceModelData | None,
    pressure: float,
    protocol: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    spectrum: bool = True,
) -> ProcessBuilder:
    """Return a builder with the numbers of a protocol.

    :param code: Python of the engines environment, as a node or its label.
    :param structure: the crystal, relaxed at the pressure.
    :param model: the potential; ``None`` to put it in later.
    :param pressure: GPa.
    :param protocol: ``fast``, ``balanced`` or ``stringent``.
    :param overrides: values on top of those of ``protocols/cure.yaml``, and under ``phonons``,
        ``relax`` and ``ins`` those of these links.
    :param options: ``metadata.options`` of all jobs.
    :param spectrum: whether the INS spectrum is simulated in the end.
    :raises ValueError: listing everything that is wrong with the arguments.
    """
    given = dict(overrides or {})
    links = {name: given.pop(name, {}) for name in LINKS}
    found: list[str] = []
    remedies = tried(
        found, 'remedies', remedy_inputs, code, structure, pressure, protocol, given, options
    )
    made = {
        'phonons': tried(
            found, 'phonons', MacePhononsWorkChain.get_builder_from_protocol,
            code, structure, model, protocol, links['phonons'], options,
        ),
    }  # fmt: skip
    if spectrum:
        made['ins'] = tried(
            found, 'ins', InsWorkChain.get_builder_from_protocol,
            code, None, None, protocol, links['ins'], options, structure,
        )  # fmt: skip
    if found or remedies is None:
        raise ValueError('\n'.join(found))
    builder = cls.get_builder()
    builder.structure = structure
    builder.pressure = orm.Float(pressure)
    if model is not None:
        builder.model = model
    for name, value in remedies.items():
        builder[name] = value
    fill(builder, 'phonons', ('structure', 'model'), made['phonons'])
    fill(builder, 'ins', (), made.get('ins'))
    return builder


def remedy_inputs(
    code: orm.AbstractCode | str,
    structure: orm.StructureData,
    pressure: float,
    protocol: str | None,
    overrides: Mapping[str, Any],
    options: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what is tried: ``settings``, and the inputs ``relax`` of the relaxation.

    :param overrides: on top of ``protocols/cure.yaml``, and under ``relax`` of the relaxation's.
    :raises ValueError: listing everything that is wrong with the arguments.
    """
    given = dict(overrides)
    relax = given.pop('relax', {})
    numbers = load_protocol('cure', protocol, given)
    found = cure_problems(numbers['cure'], 'cure')
    scan = tried(
        found, 'relax', MacePressureScanWorkChain.get_builder_from_protocol,
        code, structure, None, [pressure], protocol, {'relax': relax}, options,
    )  # fmt: skip
    if found or scan is None:
        raise ValueError('\n'.join(found))
    return {'settings': orm.Dict(numbers['cure']), 'relax': scan._inputs(prune=True)['relax']}


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
    """Refuse elements or nuclides that are not known, and what a larger cell has no use for."""
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
    isotopes = spectrum['isotopes'] if spectrum else {}
    where = 'ins.ins.parameters.isotopes'
    numbered = [key for key in isotopes if key.isdigit()]
    if numbered:
        found.append(
            f'{where}: atoms are numbered anew where a mode is followed; name elements instead of '
            f'{", ".join(numbered)}'
        )
    elif 'structure' in value:
        found += isotope_problems(isotopes, value['structure'], None, where)
    return '\n'.join(found) or None
