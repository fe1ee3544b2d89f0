"""The numbers of pw.x's protocols: what they may be, and the cutoffs that follow from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiida import orm
from aiida.plugins import GroupFactory

from aiida_mlip_ins.science.settings import setting, value_problems
from aiida_mlip_ins.workflows.protocols import (
    load_protocol,
    merge,
    override_problems,
    sorted_out,
)


@dataclass(frozen=True)
class PwNumbers:
    """What the numbers of ``pw.yaml`` and of the protocols on top of it may be."""

    kpoints_distance: float = setting('Largest distance of k-points.', '1/angstrom', above=0.0)
    max_concurrent: int = setting('Jobs side by side.', minimum=1)
    max_iterations: int = setting('Attempts at a job.', minimum=1)
    allowed_failure_fraction: float = setting('Of the frames.', minimum=0.0, maximum=1.0)
    volume_tolerance: float = setting('Of a relaxation, relative.', above=0.0)
    max_repeats: int = setting('Of a relaxation.', minimum=0)
    symprec: float = setting('Of the space group.', 'angstrom', above=0.0)
    clean_workdir: bool = setting('Whether the files of jobs are removed.')


@dataclass(frozen=True)
class CutoffNumbers:
    """Their section ``cutoffs``."""

    dual: float = setting('Of the density in that of wavefunctions.', above=0.0)
    ecutwfc: float | None = setting('Of wavefunctions.', 'Ry', above=0.0, optional=True)
    ecutrho: float | None = setting('Of the density.', 'Ry', above=0.0, optional=True)
    stringency: str | None = setting("Of a family's recommendation.", optional=True)


def number_problems(numbers: Mapping[str, Any]) -> list[str]:
    """Return which numbers of a protocol with its overrides cannot be."""
    cutoffs = numbers.get('cutoffs', {})
    return [
        *value_problems(PwNumbers, numbers, 'overrides'),
        *value_problems(CutoffNumbers, cutoffs, 'overrides.cutoffs'),
    ]


def judged(
    workflow: str, protocol: str | None, overrides: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return those overrides of a protocol of pw.x that can be, and what is wrong with the others.

    :raises ValueError: for an unknown protocol.
    """
    numbers = load_protocol(workflow, protocol)
    return sorted_out(
        overrides,
        lambda one: (
            override_problems(numbers, one, 'overrides') or number_problems(merge(numbers, one))
        ),
    )


def chosen_cutoffs(
    family: orm.Group, elements: Iterable[str], cutoffs: Mapping[str, Any]
) -> tuple[float, float]:
    """Return the cutoffs (Ry) for wavefunctions and density.

    :raises ValueError: if the family is needed for them and recommends none.
    :raises AttributeError: if it is of a kind that never does.
    """
    wfc, rho = cutoffs['ecutwfc'], cutoffs['ecutrho']
    if wfc is not None and rho is not None:
        return float(wfc), float(rho)
    try:
        recommended = family.get_recommended_cutoffs(
            elements=tuple(elements), stringency=cutoffs['stringency'], unit='Ry'
        )
    except (AttributeError, ValueError):
        if wfc is None:
            raise
        recommended = (wfc, 0.0)
    wfc = wfc or recommended[0]
    return float(wfc), float(rho or max(recommended[1], cutoffs['dual'] * wfc))


def low_cutoffs(inputs: Mapping[str, Any]) -> list[str]:
    """Return a line on each cutoff of pw.x below what its pseudopotentials' family recommends.

    It may be meant, as for a trial, so it is no error; but stresses suffer first, and silently.

    :param inputs: of any process, pw.x's at any depth.
    """
    found: list[str] = []
    for value in inputs.values():
        if not isinstance(value, Mapping):
            continue
        if not {'pseudos', 'parameters'} <= set(value):
            found += low_cutoffs(value)
            continue
        given = value['parameters'].get_dict().get('SYSTEM', {}).get('ecutwfc')
        for label, wfc in _recommended(value['pseudos']).items():
            if given is not None and given < wfc:
                found.append(
                    f"pw.x's cutoff of {given:g} Ry is below the {wfc:g} Ry that '{label}' "
                    'recommends: pressures and volumes may be off'
                )
    return list(dict.fromkeys(found))


def _recommended(pseudos: Mapping[str, orm.Data]) -> dict[str, float]:
    """Return the cutoffs (Ry) for wavefunctions that families recommend for pseudopotentials."""
    elements = tuple(node.element for node in pseudos.values())
    uuids = {node.uuid for node in pseudos.values()}
    query = orm.QueryBuilder().append(orm.Data, filters={'uuid': {'in': uuids}}, tag='pseudo')
    query.append(GroupFactory('pseudo.family'), with_node='pseudo', project='id')
    found = {}
    for pk, shared in Counter(query.all(flat=True)).items():
        if shared < len(uuids):
            continue
        family = orm.load_group(pk)
        with suppress(AttributeError, ValueError):
            cutoffs = family.get_recommended_cutoffs(elements=elements, unit='Ry')
            found[family.label] = cutoffs[0]
    return found
