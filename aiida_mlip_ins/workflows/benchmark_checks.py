"""What is refused before a benchmark is submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm

from aiida_mlip_ins.data.model import MaceModelData, model_problems
from aiida_mlip_ins.data.structure import structure_problems
from aiida_mlip_ins.science.measured import window_problems
from aiida_mlip_ins.science.settings import unknown_keys
from aiida_mlip_ins.science.spectra_set import Entry
from aiida_mlip_ins.science.spectrum_peaks import range_problems
from aiida_mlip_ins.science.structure import pressure_problems
from aiida_mlip_ins.workflows.benchmark_inputs import (
    LINKS,
    entries_by_crystal,
    name_problems,
    simulated_range,
)
from aiida_mlip_ins.workflows.composition import tried
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain
from aiida_mlip_ins.workflows.pipeline_builder import LINKS as CHAIN_LINKS
from aiida_mlip_ins.workflows.pipeline_links import add_mace
from aiida_mlip_ins.workflows.pressures import gpa
from aiida_mlip_ins.workflows.protocols import load_protocol

NEEDED = ('about', 'pressures', 'code', 'protocol', 'overrides', 'options')


def validate(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse a benchmark of which something can be known to fail, all problems at once."""
    if any(name not in value for name in NEEDED):
        return None
    return '\n'.join(benchmark_problems(value)) or None


def benchmark_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return everything that is wrong with the inputs of a benchmark, of all links."""
    crystals, models = (dict(inputs.get(name) or {}) for name in ('crystals', 'models'))
    references = dict(inputs.get('references') or {})
    about, overrides = inputs['about'].get_dict(), inputs['overrides'].get_dict()
    pressures = inputs['pressures'].get_list()
    protocol = inputs['protocol'].value
    found = name_problems('crystals', list(crystals)) + name_problems('models', list(models))
    found += pressure_problems(pressures)
    found += unknown_keys(overrides, LINKS, 'overrides')
    by_crystal, wrong = entries_by_crystal(references, about, list(crystals))
    found += wrong
    roles = {entry.role for entries in by_crystal.values() for entry in entries}
    found += name_problems('about.references', sorted(roles)) if roles else []
    found += [
        f"models: '{name}' is what a reference is called; give the model another name"
        for name in sorted(roles & set(models))
    ]
    compared = tried(
        found, 'compare_spectra', load_protocol, 'compare_spectra', protocol,
        overrides.get('compare_spectra'),
    )  # fmt: skip
    if compared is not None:
        tolerance = compared['parameters']['pressure_tolerance']
        found += _pressures_of_references(by_crystal, pressures, tolerance)
    simulated = tried(found, 'ins', simulated_range, protocol, overrides)
    if simulated is not None:
        found += _windows(by_crystal, about.get('windows', {}), simulated)
    found += _elements(crystals, models)
    if not found and 'code' in inputs:
        for name, structure in crystals.items():
            found += [f'{name}: {line}' for line in _links(structure, inputs)]
    return list(dict.fromkeys(found))


def _pressures_of_references(
    by_crystal: Mapping[str, Sequence[Entry]], pressures: Sequence[float], tolerance: float
) -> list[str]:
    """Return the references that no simulation will be at the pressure of, or that are double."""
    found = []
    for crystal, entries in by_crystal.items():
        seen: set[tuple[str, float]] = set()
        for entry in entries:
            near = [p for p in pressures if abs(p - entry.pressure_gpa) <= tolerance]
            if not near:
                found.append(
                    f'about.references.{entry.label}: {entry.pressure_gpa:g} GPa is none of the '
                    f'pressures of the benchmark ({gpa(list(pressures))})'
                )
            elif (entry.role, near[0]) in seen:
                found.append(
                    f'about.references.{entry.label}: {crystal} has two spectra of {entry.role} at '
                    f'{near[0]:g} GPa; give one of them another role'
                )
            else:
                seen.add((entry.role, near[0]))
    return found


def _windows(
    by_crystal: Mapping[str, Sequence[Entry]],
    windows: Mapping[str, Any],
    simulated: tuple[float, float],
) -> list[str]:
    """Return the windows that are none, or that a spectrum does not cover."""
    found = unknown_keys(windows, by_crystal, 'about.windows')
    for crystal, entries in by_crystal.items():
        if not entries:
            continue
        where = f'about.windows.{crystal}'
        chosen = windows.get(crystal)
        if not chosen:
            found.append(
                f'{where}: there is no window: its references and the simulation '
                f'({simulated[0]:g}-{simulated[1]:g} 1/cm) do not overlap'
            )
            continue
        wrong = window_problems(chosen, where)
        found += wrong
        if wrong:
            continue
        for entry in entries:
            found += range_problems(f'references.{entry.label}', entry.spectrum, chosen)
        found += [
            f'{where}: the simulation ends at {simulated[1]:g} and begins at {simulated[0]:g} '
            '1/cm (ins.parameters.energy_max, energy_min)'
            for window in chosen
            if window[0] < simulated[0] or window[1] > simulated[1]
        ]
    return found


def _elements(crystals: Mapping[str, orm.StructureData], models: Mapping[str, Any]) -> list[str]:
    """Return the models that fit no crystal, and the crystals that no model fits.

    What the file of a model knows is seen only when an engine job has opened it.
    """
    known = {name: node for name, node in models.items() if isinstance(node, MaceModelData)}
    elements = {name: node.get_symbols_set() for name, node in crystals.items()}
    found = [
        f'models.{name}: it knows {", ".join(node.elements)}, and no crystal is made of these alone'
        for name, node in known.items()
        if all(model_problems(node, needed) for needed in elements.values())
    ]
    if len(known) < len(models):
        return found
    return found + [
        f'crystals.{name}: no model knows all of {", ".join(sorted(needed))}'
        for name, needed in elements.items()
        if all(model_problems(node, needed) for node in known.values())
    ]


def _links(structure: orm.StructureData, inputs: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the links of the chain for a crystal."""
    found = structure_problems(structure)
    code, wrong = load_engine_code(inputs['code'])
    found += wrong
    overrides = inputs['overrides'].get_dict()
    builder = HighPressureInsWorkChain.get_builder()
    builder.pressures = inputs['pressures']
    links = {name: overrides.get(name, {}) for name in CHAIN_LINKS}
    if not found:
        options = inputs['options'].get_dict()
        add_mace(builder, found, links, (code, structure, inputs['protocol'].value, options))
    return found
