"""Inputs of a benchmark made from the protocols of its links."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.workflows.benchmark_checks import benchmark_problems
from aiida_mlip_ins.workflows.benchmark_inputs import (
    LINKS,
    Reference,
    default_windows,
    entries_by_crystal,
    simulated_range,
)
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.protocols import load_protocol, merge


def get_builder(
    cls: Any,
    crystals: Mapping[str, orm.StructureData],
    models: Mapping[str, orm.SinglefileData],
    pressures: Sequence[float],
    code: orm.AbstractCode | str,
    references: Sequence[Reference] = (),
    windows: Mapping[str, Sequence[Sequence[float]]] | None = None,
    protocol: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> ProcessBuilder:
    """Return a builder with the numbers of a protocol.

    :param crystals: under names of your choice.
    :param models: model nodes or files under names of your choice.
    :param pressures: in GPa, ascending.
    :param code: Python of the engines environment, as a node or its label.
    :param references: spectra that the models are judged by.
    :param windows: by crystal, lower and upper end of each, 1/cm; default: what the references and
        the simulation cover.
    :param protocol: ``fast``, ``balanced`` or ``stringent``, for every link.
    :param overrides: values on top of those of ``protocols/benchmark.yaml``, and under the name of
        a link (``mace_pressure_scan``, ``mace_phonons``, ``ins``, ``compare_spectra``) those on top
        of that link's protocol.
    :param options: ``metadata.options`` of every engine job, on top of those of the protocol.
    :raises ValueError: listing everything that is wrong with the arguments.
    """
    given = dict(overrides or {})
    links = {name: given.pop(name) for name in LINKS if name in given}
    numbers = load_protocol('benchmark', protocol, given)
    node, found = load_engine_code(code)
    builder = cls.get_builder()
    builder.crystals = dict(crystals)
    builder.models = dict(models)
    builder.pressures = orm.List([float(pressure) for pressure in pressures])
    if not found:
        builder.code = node
    builder.protocol = orm.Str(protocol or 'balanced')
    builder.overrides = orm.Dict(links)
    builder.options = orm.Dict(merge(numbers['options'], options or {}))
    builder.max_concurrent = orm.Int(numbers['max_concurrent'])
    labelled = {
        f'{item.crystal}_{item.role}_{index}': item for index, item in enumerate(references)
    }
    nodes = {label: item.spectrum for label, item in labelled.items()}
    if nodes:
        builder.references = nodes
    said = {label: _said(item) for label, item in labelled.items()}
    chosen = {name: [list(window) for window in own] for name, own in (windows or {}).items()}
    by_crystal, wrong = entries_by_crystal(nodes, {'references': said}, list(crystals))
    # what is wrong is listed below, with all else
    with contextlib.suppress(ValueError):
        simulated = simulated_range(protocol, links)
        for name, entries in by_crystal.items():
            if entries and name not in chosen and not wrong:
                chosen[name] = default_windows(entries, simulated)
    builder.about = orm.Dict({'references': said, 'windows': chosen})
    found += benchmark_problems(builder._inputs(prune=True))
    if found:
        raise ValueError('\n'.join(dict.fromkeys(found)))
    return builder


def _said(reference: Reference) -> dict[str, Any]:
    """Return what `about` says of a reference."""
    said: dict[str, Any] = {'crystal': reference.crystal, 'role': reference.role}
    if reference.pressure_gpa is not None:
        said['pressure_gpa'] = reference.pressure_gpa
    return said
