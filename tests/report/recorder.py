"""Writes processes and their links as AiiDA does, with times that add up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.manage import get_manager
from aiida.orm.entities import EntityTypes

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
Nodes = Mapping[str, orm.Node]


class Recorder:
    """Makes process nodes as the engine would, on a clock of its own (s after ``START``)."""

    def __init__(self) -> None:
        self.times: dict[int, tuple[float, float]] = {}
        self.computer = orm.Computer.collection.get_or_create(
            label='synthetic', hostname='localhost', transport_type='core.local',
            scheduler_type='core.direct', workdir='/tmp',
        )[1].store()  # fmt: skip

    def process(
        self,
        cls: type,
        plugin: str,
        label: str,
        inputs: Nodes,
        when: tuple[float, float],
        caller: orm.ProcessNode | None = None,
        link: str = 'CALL',
        exit_status: int = 0,
    ) -> Any:
        """Return a stored process node that began and ended at the given times."""
        work = issubclass(cls, orm.WorkflowNode)
        keywords = {'computer': self.computer} if cls is orm.CalcJobNode else {}
        node = cls(**keywords)
        if plugin:
            group = 'workflows' if work else 'calculations'
            node.process_type = f'aiida.{group}:{plugin}'
        node.set_process_label(label)
        node.set_process_state('finished')
        node.set_exit_status(exit_status)
        node.base.attributes.set('version', {'core': '2.9.4', 'plugin': '0.1.0'})
        if cls is orm.CalcJobNode:
            node.set_options({'resources': {'num_machines': 1}})
        for name, value in inputs.items():
            kind = LinkType.INPUT_WORK if work else LinkType.INPUT_CALC
            node.base.links.add_incoming(value, kind, name.replace('.', '__'))
        if caller is not None:
            kind = LinkType.CALL_WORK if work else LinkType.CALL_CALC
            node.base.links.add_incoming(caller, kind, link)
        node.store()
        self.times[node.pk] = when
        return node

    def create(self, process: orm.ProcessNode, outputs: Nodes) -> None:
        """Store nodes that a calculation made."""
        for name, node in outputs.items():
            node.base.links.add_incoming(process, LinkType.CREATE, name.replace('.', '__'))
            node.store()

    def give(self, process: orm.ProcessNode, outputs: Nodes) -> None:
        """Link nodes that a workchain returned."""
        for name, node in outputs.items():
            node.base.links.add_incoming(process, LinkType.RETURN, name.replace('.', '__'))

    def close(self) -> None:
        """Seal the processes and give them their times, whatever the clock of this machine says."""
        for pk in self.times:
            orm.load_node(pk).seal()
        backend = get_manager().get_profile_storage()
        rows = [
            {
                'id': pk,
                'ctime': START + timedelta(seconds=begin),
                'mtime': START + timedelta(seconds=end),
            }
            for pk, (begin, end) in self.times.items()
        ]
        with backend.transaction():
            backend.bulk_update(EntityTypes.NODE, rows)
        backend.get_session().expire_all()
