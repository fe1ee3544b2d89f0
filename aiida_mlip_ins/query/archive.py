"""What an archive was made of, once it has been loaded as a profile."""

from __future__ import annotations

from pathlib import Path

from aiida import orm
from aiida.common.links import LinkType
from aiida.storage.sqlite_zip.utils import extract_metadata

CALLS = (LinkType.CALL_CALC.value, LinkType.CALL_WORK.value)


def main_process(path: Path) -> orm.ProcessNode:
    """Return the process that an archive was written for.

    That is the one that whoever wrote it started from, or the only workflow that no other called.

    :raises ValueError: if there is none, or several, which are then listed.
    """
    said = extract_metadata(path).get('creation_parameters') or {}
    uuids = (said.get('entities_starting_set') or {}).get('node') or []
    query = orm.QueryBuilder().append(orm.ProcessNode, filters={'uuid': {'in': uuids or ['']}})
    found = query.all(flat=True) or _uncalled()
    if len(found) == 1:
        return found[0]
    if not found:
        raise ValueError(f'{path} has no process')
    listed = '\n'.join(f'  {n.uuid}  {n.process_label}  {n.label}'.rstrip() for n in found)
    raise ValueError(f'{path} has several processes: say which one by its UUID\n{listed}')


def _uncalled() -> list[orm.ProcessNode]:
    """Return the workflows that no other one called, oldest first."""
    called = orm.QueryBuilder()
    called.append(orm.WorkflowNode, tag='caller')
    called.append(
        orm.WorkflowNode, with_incoming='caller', edge_filters={'type': {'in': list(CALLS)}},
        project='id',
    )  # fmt: skip
    query = orm.QueryBuilder()
    query.append(orm.WorkflowNode, filters={'id': {'!in': called.all(flat=True) or [-1]}})
    return sorted(query.all(flat=True), key=lambda node: node.pk)
