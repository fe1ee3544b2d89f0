"""The tree of stages of a process, with counts, epochs and the time left: the view of ``status``.

Reads only the database and, of a job that is running, what it has written of itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiida import orm

from aiida_mlip_ins.calculations import PW_PLUGIN
from aiida_mlip_ins.cli.job_progress import progress_of

ENDED = ('finished', 'excepted', 'killed')
ONE_UNIT = (f'{PW_PLUGIN}.base', 'mlip_ins.train')
"""Workchains that restart one calculation until it is done, and so count as one."""
FINAL_SCF = 501
"""Exit status of a relaxation by pw.x that is done but for the plane waves of its final cell: the
lane repeats it from there, so nothing has failed. (Importing the name of it takes seconds.)"""
MIN_PROGRESS_S = 5.0
"""No time left is estimated from less than this."""


@dataclass
class Record:
    """What the database says of one process."""

    pk: int
    name: str
    state: str
    exit_status: int | None
    plugin: str
    is_job: bool
    is_work: bool
    began: float
    changed: float
    cached: bool
    children: list[Record] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.state in ENDED

    @property
    def failed(self) -> bool:
        """Whether it ended, and not well."""
        repeated = self.exit_status == FINAL_SCF and self.plugin.startswith(PW_PLUGIN)
        return self.ended and not repeated and (self.state != 'finished' or bool(self.exit_status))

    @property
    def is_unit(self) -> bool:
        """Whether it counts as one piece of work, whatever it calls."""
        return self.is_job or self.plugin in ONE_UNIT

    @property
    def from_cache(self) -> bool:
        """Whether nothing was computed for it."""
        jobs = [child for child in self.children if child.is_job]
        return self.cached or (bool(jobs) and all(job.cached for job in jobs))

    def units(self) -> Iterator[Record]:
        """Yield the pieces of work that it has begun."""
        if self.is_unit:
            yield self
        else:
            for child in self.children:
                yield from child.units()

    def seconds(self, now: float) -> float:
        """Return for how long (s) it has run or ran."""
        return (self.changed if self.ended else now) - self.began


@dataclass(frozen=True)
class Line:
    """One line of the tree."""

    depth: int
    name: str
    pk: int
    state: str
    done: int
    total: int
    seconds: float
    left: float | None
    detail: str


class Progress:
    """The tree of one process, read anew each time; totals that cannot change are kept."""

    def __init__(self, pk: int) -> None:
        self.pk = pk
        self._totals: dict[int, int | None] = {}

    def lines(self) -> list[Line]:
        """Return the process, its stages, and below a stage what is running or has failed."""
        root = read_tree(self.pk)
        return list(self._lines(root, 0, time.time()))

    def _lines(self, record: Record, depth: int, now: float) -> Iterator[Line]:
        done, total = self._count(record)
        running = record.is_job and not record.ended
        detail, left = progress_of(orm.load_node(record.pk), now) if running else ('', None)
        if left is None and 0 < done < total and not record.ended:
            units = [unit for unit in record.units() if not unit.from_cache]
            left = time_left(
                [unit.seconds(now) for unit in units if unit.ended],
                [unit.seconds(now) for unit in units if not unit.ended],
                total - done,
            )
        if record.failed:
            detail = _reason(record.pk)
        elif record.is_job and record.cached:
            detail = 'from the cache'
        # how long the whole chain takes cannot be told from how many jobs are done
        yield Line(
            depth, record.name, record.pk, _state(record), done, total, record.seconds(now),
            None if depth == 0 and record.is_work else left, detail,
        )  # fmt: skip
        for child in record.children:
            shown = depth == 0 or not child.ended or child.failed
            if shown and (child.is_job or child.is_work):
                yield from self._lines(child, depth + 1, now)

    def _count(self, record: Record) -> tuple[int, int]:
        """Return how many units of work are done and how many there will be, as far as known."""
        if record.is_unit:
            return int(record.ended), 1
        counts = [self._count(child) for child in record.children]
        total = sum(total for _, total in counts)
        return sum(done for done, _ in counts), max(total, self._expected(record) or 0)

    def _expected(self, record: Record) -> int | None:
        """Return how many frames or tasks a process was given, if that is what it works on."""
        if record.pk not in self._totals:
            incoming = orm.load_node(record.pk).base.links.get_incoming
            total = None
            for label in ('frames', 'tasks') if record.is_work else ():
                link = incoming(link_label_filter=label).first()
                if link is not None:
                    node = link.node
                    total = len(node) if label == 'tasks' else node.base.attributes.get('n_frames')
            self._totals[record.pk] = total
        return self._totals[record.pk]


def time_left(took: Sequence[float], running: Sequence[float], to_do: int) -> float | None:
    """Return how long (s) the rest takes, at the pace of what was computed, as many at a time.

    :param took: seconds of each piece of work that was computed; none of the cache, which takes no
        time and would promise too much.
    :param running: seconds so far of each one that runs.
    :param to_do: number of those not done, with those that run.
    """
    if sum(took) < MIN_PROGRESS_S:
        return None
    each = sum(took) / len(took)
    begun = sum(min(seconds, each) for seconds in running)
    return (each * to_do - begun) / max(1, len(running))


def read_state(pk: int) -> str:
    """Return the state of a process as the database has it now."""
    query = orm.QueryBuilder().append(
        orm.ProcessNode, filters={'id': pk}, project='attributes.process_state'
    )
    return query.first(flat=True) or 'created'


def read_tree(pk: int) -> Record:
    """Return a process with all that it called, one query for each level of calls."""
    root = _record(*orm.QueryBuilder().append(
        orm.ProcessNode, filters={'id': pk}, project=_PROJECT
    ).first())  # fmt: skip
    level = {pk: root}
    while level:
        query = orm.QueryBuilder()
        query.append(
            orm.ProcessNode, filters={'id': {'in': list(level)}}, tag='caller', project='id'
        )
        query.append(
            orm.ProcessNode, with_incoming='caller', project=_PROJECT, edge_project='label'
        )
        below = {}
        for caller, *values, label in query.all():
            record = _record(*values, label=label)
            level[caller].children.append(record)
            below[record.pk] = record
        for record in level.values():
            record.children.sort(key=lambda child: child.pk)
        level = below
    return root


_PROJECT = [
    'id', 'node_type', 'process_type', 'ctime', 'mtime', 'attributes.process_label',
    'attributes.process_state', 'attributes.exit_status', 'extras._aiida_cached_from',
]  # fmt: skip


def _record(
    pk: int, node_type: str, process_type: str | None, began: Any, changed: Any,
    process: str | None, state: str | None, exit_status: int | None, cached_from: str | None,
    label: str = 'CALL',
) -> Record:  # fmt: skip
    generic = label == 'CALL' or label.startswith('iteration_')
    return Record(
        pk=pk,
        name=(process or 'process') if generic else label,
        state=state or 'created',
        exit_status=exit_status,
        plugin=(process_type or '').partition(':')[2],
        is_job='calcjob' in node_type,
        is_work='workchain' in node_type,
        began=began.timestamp(),
        changed=changed.timestamp(),
        cached=cached_from is not None,
    )


def _state(record: Record) -> str:
    if record.state == 'finished':
        return 'done' if not record.exit_status else f'failed [{record.exit_status}]'
    return 'running' if record.state in ('running', 'waiting') else record.state


def _reason(pk: int) -> str:
    """Return why a process failed, in one line."""
    node = orm.load_node(pk)
    words = str(node.exit_message or node.exception or '').strip().splitlines()
    return words[-1] if words else ''
