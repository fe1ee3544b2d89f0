"""Questions to the provenance graph: what does this number stand on, and what is there.

Ancestors follow the data (what a calculation read and what it created), from any node back to the
first pseudopotential file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.plugins import DataFactory
from aiida.tools.graph.graph_traversers import traverse_graph

from aiida_mlip_ins.calculations import PW_PLUGIN
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.spectrum import InsSpectrumData

Row = dict[str, Any]


def ancestors(node: orm.Node, types: type | Sequence[type] = orm.Node) -> list[orm.Node]:
    """Return the nodes of some types that a node stands on, oldest first.

    A workflow creates nothing itself: its ancestors are those of its outputs, and its inputs.
    """
    types = [types] if isinstance(types, type) else list(types)
    starts = _outputs(node) if isinstance(node, orm.WorkflowNode) else [node]
    pks = _ancestor_pks([n.pk for n in starts]) - {node.pk}
    if not pks:
        return []
    query = orm.QueryBuilder()
    query.append(types, filters={'id': {'in': pks}}, project='*')
    return sorted(query.all(flat=True), key=lambda n: n.pk)


def _ancestor_pks(starts: Sequence[int]) -> set[int]:
    """Return the pks of nodes and of all that they stand on.

    ``with_descendants`` of the QueryBuilder follows every path, and there are very many of them
    through a dataset of some tens of frames; here each node is visited once.
    """
    if not starts:
        return set()
    links = (LinkType.INPUT_CALC, LinkType.CREATE)
    return set(traverse_graph(starts, links_backward=links)['nodes'])


def ancestors_table(node: orm.Node, types: type | Sequence[type] = orm.Node) -> list[Row]:
    """Return a row for each node that a node stands on: pk, uuid, type, created, description."""
    return [_row(n) for n in ancestors(node, types)]


def pseudos_of(node: orm.Node) -> list[Row]:
    """Return the pseudopotential files that a node stands on."""
    return [
        {'element': n.element, 'file': n.filename, 'md5': n.md5, **_row(n)}
        for n in ancestors(node, DataFactory('pseudo.upf'))
    ]


def datasets_of(node: orm.Node) -> list[DatasetData]:
    """Return the labelled datasets that a node stands on, a dataset itself included."""
    own = [node] if isinstance(node, DatasetData) else []
    return [*ancestors(node, DatasetData), *own]


def frames_of(node: orm.Node) -> list[Row]:
    """Return the DFT frames that a model, a spectrum or a dataset stands on.

    One row for each pw.x job whose numbers went into it: its pk and uuid, the structure it computed
    (pk, formula, number of atoms) and its energy (eV).
    """
    rows = []
    for job in ancestors(node, orm.CalcJobNode):
        if not (job.process_type or '').endswith(PW_PLUGIN):
            continue
        structure = job.inputs.structure
        numbers = job.outputs.output_parameters if 'output_parameters' in job.outputs else None
        rows.append(
            {
                'pk': job.pk,
                'uuid': job.uuid,
                'structure': structure.pk,
                'formula': structure.get_formula(),
                'n_atoms': len(structure.sites),
                'energy_ev': numbers.get_dict().get('energy') if numbers else None,
                'calculation': (job.inputs.parameters.get_dict().get('CONTROL') or {}).get(
                    'calculation'
                ),
            }
        )
    return rows


def settings_of(node: orm.Node) -> list[Row]:
    """Return the settings that a node stands on: the Dicts that calculations took as an input.

    Equal settings of calculations of one kind are one row; ``times`` says how often they were used.
    """
    starts = _outputs(node) if isinstance(node, orm.WorkflowNode) else [node]
    query = orm.QueryBuilder()
    query.append(
        orm.CalculationNode,
        filters={'id': {'in': _ancestor_pks([n.pk for n in starts]) or {-1}}},
        tag='calculation', project='attributes.process_label',
    )  # fmt: skip
    query.append(
        orm.Dict, with_outgoing='calculation', edge_filters={'type': LinkType.INPUT_CALC.value},
        project='*', edge_project='label',
    )  # fmt: skip
    # One node may be the settings of several kinds, whose order is a chance of the database.
    found = sorted(query.all(), key=lambda row: (row[1].pk, row[0], row[2]))
    made = _created({settings.pk for _, settings, _ in found})
    rows: dict[tuple[str, str, str], Row] = {}
    for label, settings, name in found:
        if settings.pk in made:
            continue
        content = settings.get_dict()
        key = (label, name, json.dumps(content, sort_keys=True))
        row = rows.setdefault(
            key,
            {
                'pk': settings.pk, 'uuid': settings.uuid, 'input': name.replace('__', '.'),
                'used_by': label, 'times': 0, 'content': content,
            },
        )  # fmt: skip
        row['times'] += 1
    return list(rows.values())


def spectra(
    run: orm.ProcessNode | None = None,
    formula: str | None = None,
    pressure_gpa: float | None = None,
    model: MaceModelData | None = None,
    stage: str = 'broadened',
) -> list[Row]:
    """Return the spectra in the profile that match everything that is given.

    :param run: only what this process returned or what processes below it created.
    :param formula: only spectra of a crystal with this formula (of the cell, as AiiDA writes it).
    :param pressure_gpa: only spectra at this pressure (GPa).
    :param model: only spectra that were computed with this model.
    :param stage: ``intensities``, ``grouped`` or ``broadened``.
    """
    filters: dict[str, Any] = {'attributes.stage': stage}
    if pressure_gpa is not None:
        margin = 1e-6
        filters['and'] = [
            {'attributes.pressure_gpa': {'>': pressure_gpa - margin}},
            {'attributes.pressure_gpa': {'<': pressure_gpa + margin}},
        ]
    if run is not None:
        filters['id'] = {'in': _belonging_to(run) or {-1}}
    query = orm.QueryBuilder()
    query.append(InsSpectrumData, filters=filters, project='*')
    rows = [_spectrum_row(n) for n in sorted(query.all(flat=True), key=lambda n: n.pk)]
    return [
        row
        for row in rows
        if (formula is None or row['formula'] == formula)
        and (model is None or row['model'] == model.pk)
    ]


def _spectrum_row(node: InsSpectrumData) -> Row:
    """Return what a table says of a spectrum."""
    structures = ancestors(node, orm.StructureData)
    models = ancestors(node, MaceModelData)
    attributes = node.base.attributes
    return {
        'pk': node.pk,
        'uuid': node.uuid,
        'formula': structures[0].get_formula() if structures else None,
        'pressure_gpa': attributes.get('pressure_gpa', None),
        'temperature_k': attributes.get('temperature_k', None),
        'instrument': attributes.get('instrument', None),
        'model': models[-1].pk if models else None,
        'created': node.ctime.isoformat(timespec='seconds'),
    }


def _belonging_to(run: orm.ProcessNode) -> set[int]:
    """Return the pks of all nodes that a process, or what it called, returned or created."""
    processes = [run, *(run.called_descendants if isinstance(run, orm.WorkflowNode) else [])]
    query = orm.QueryBuilder()
    query.append(orm.ProcessNode, filters={'id': {'in': [p.pk for p in processes]}}, tag='process')
    query.append(orm.Data, with_incoming='process', project='id')
    return set(query.all(flat=True))


def _outputs(node: orm.ProcessNode) -> list[orm.Node]:
    """Return what a process returned or created."""
    links = node.base.links.get_outgoing(link_type=(LinkType.RETURN, LinkType.CREATE))
    return links.all_nodes()


def _row(node: orm.Node) -> Row:
    """Return what a table says of any node."""
    if isinstance(node, orm.ProcessNode):
        what = node.process_label or ''
    elif isinstance(node, FramesData):
        what = f'{node.n_frames} frames'
    else:
        what = node.label or node.get_description()
    return {
        'pk': node.pk,
        'uuid': node.uuid,
        'type': node.process_label if isinstance(node, orm.ProcessNode) else type(node).__name__,
        'description': what,
        'created': node.ctime.isoformat(timespec='seconds'),
    }


def _created(pks: set[int]) -> set[int]:
    """Return those of the nodes that a calculation created."""
    query = orm.QueryBuilder()
    query.append(orm.CalculationNode, tag='creator')
    query.append(
        orm.Data, with_incoming='creator', edge_filters={'type': LinkType.CREATE.value},
        filters={'id': {'in': pks or {-1}}}, project='id',
    )  # fmt: skip
    return set(query.all(flat=True))
