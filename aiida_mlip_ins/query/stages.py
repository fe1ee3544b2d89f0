"""What ran, for how long, and what of the wall clock it was: from the timestamps of process nodes.

A node's modification time changes when its label or extras are edited, so times are those of a run
that nobody has annotated since.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.tools.graph.graph_traversers import traverse_graph

from aiida_mlip_ins.calculations import PW_PLUGIN

KINDS = {
    PW_PLUGIN: 'DFT',
    'mlip_ins.mace_train': 'training',
    'mlip_ins.mace_evaluate': 'forces',
    'mlip_ins.mace_relax': 'forces',
    'mlip_ins.mace_md': 'forces',
    'mlip_ins.mace_inspect': 'forces',
    'mlip_ins.ins': 'spectra',
    'mlip_ins.md_ins': 'spectra',
}
"""What the jobs of each calculation plugin count as."""
CALLS = (LinkType.CALL_CALC, LinkType.CALL_WORK)
SELF_REPORTS = ('results', 'output_parameters')
"""Outputs in which a job says how long it took and what it needed."""
CACHED_EXTRA = 'mlip_ins_cached_from'
"""Extra of a job that an archive of ours says was taken from the cache."""
PARTS = ('DFT', 'training', 'forces', 'spectra', 'other jobs', 'imports', 'AiiDA overhead')
"""What the wall clock is divided into."""


@dataclass(frozen=True)
class Job:
    """One CalcJob; times in s since the epoch, memory in GB."""

    pk: int
    label: str
    kind: str
    start: float
    end: float
    computing: float
    imports: float
    memory_gb: float
    cached: bool
    exit_status: int | None


@dataclass(frozen=True)
class Stage:
    """One link of the chain: all processes that the run called under one name."""

    name: str
    start: float
    end: float
    jobs: int
    cached_jobs: int
    pks: tuple[int, ...]
    failed: int

    @property
    def seconds(self) -> float:
        """Wall time (s) from the first creation to the last change."""
        return self.end - self.start

    @property
    def cached(self) -> bool:
        """Whether every job of the stage came from the cache."""
        return 0 < self.jobs == self.cached_jobs


class History:
    """A process and all that it called, directly or not, read with a handful of queries."""

    def __init__(self, node: orm.ProcessNode) -> None:
        self.node = node
        found = traverse_graph([node.pk], links_forward=CALLS, get_links=True)
        query = orm.QueryBuilder()
        query.append(orm.ProcessNode, filters={'id': {'in': found['nodes']}}, project='*')
        self.nodes: dict[int, orm.ProcessNode] = {n.pk: n for n in query.all(flat=True)}
        self.children: dict[int, list[tuple[str, int]]] = {}
        for link in sorted(found['links'], key=lambda link: link.target_id):
            pair = (link.link_label, link.target_id)
            self.children.setdefault(link.source_id, []).append(pair)

    @cached_property
    def numbers(self) -> dict[int, dict[str, Any]]:
        """What each job reports on itself, by the pk of the job."""
        pks = [pk for pk, node in self.nodes.items() if isinstance(node, orm.CalcJobNode)]
        query = orm.QueryBuilder()
        query.append(orm.CalcJobNode, filters={'id': {'in': pks or [-1]}}, tag='job', project='id')
        query.append(
            orm.Dict, with_incoming='job', project='attributes',
            edge_filters={'type': LinkType.CREATE.value, 'label': {'in': list(SELF_REPORTS)}},
        )  # fmt: skip
        return dict(query.all())

    @cached_property
    def jobs(self) -> list[Job]:
        """Every CalcJob, in the order of creation."""
        nodes = [node for node in self.nodes.values() if isinstance(node, orm.CalcJobNode)]
        return [_job(n, self.numbers.get(n.pk, {})) for n in sorted(nodes, key=lambda n: n.pk)]

    @cached_property
    def stages(self) -> list[Stage]:
        """The stages of the run in the order in which they began.

        A stage is named after the label of its call link; what differs only in the index of a
        pressure is one stage. A process that called none is a stage of its own.
        """
        groups: dict[str, list[int]] = {}
        for label, pk in self.children.get(self.node.pk, []):
            name = label if label != 'CALL' else self.nodes[pk].process_label
            groups.setdefault(_stage_name(name), []).append(pk)
        if not groups:
            groups[self.node.process_label or 'process'] = [self.node.pk]
        stages = [self._stage(name, members) for name, members in groups.items()]
        return sorted(stages, key=lambda stage: stage.start)

    @cached_property
    def wall_clock(self) -> tuple[float, float]:
        """When the process and all it called began and ended (s since the epoch)."""
        return min(map(_begin, self.nodes.values())), max(map(_end, self.nodes.values()))

    def called(self, label: str) -> orm.ProcessNode | None:
        """Return the last process that the run itself called under a label, if there is one."""
        found = [pk for name, pk in self.children.get(self.node.pk, []) if name == label]
        return self.nodes[found[-1]] if found else None

    def time_split(self) -> dict[str, float]:
        """Divide the wall clock (s) into what was being computed; the parts add up to the whole.

        A job computes for as long as its engine says, in the middle of the life of its node; a
        moment in which several kinds of work go on is shared equally among them, and one in which
        none does counts as AiiDA's overhead. Jobs from the cache compute nothing.
        """
        begin, end = self.wall_clock
        intervals = [piece for job in self.jobs if not job.cached for piece in _pieces(job)]
        edges = sorted({begin, end, *(t for _, *times in intervals for t in times)})
        split = dict.fromkeys(PARTS, 0.0)
        for low, high in itertools.pairwise(edges):
            kinds = {kind for kind, first, last in intervals if first <= low and high <= last}
            for kind in kinds or {'AiiDA overhead'}:
                split[kind] += (high - low) / max(len(kinds), 1)
        return split

    def peak_memory_gb(self) -> float | None:
        """Return the largest sum of the peaks (GB) of jobs that ran side by side.

        Engine jobs report what they measured; for pw.x it is its own estimate. AiiDA's processes
        are not in it. ``None`` if no job has said.
        """
        ran = [job for job in self.jobs if not job.cached and job.memory_gb]
        sums = (sum(o.memory_gb for o in ran if o.start <= job.start < o.end) for job in ran)
        return max(sums, default=None)

    def _stage(self, name: str, members: list[int]) -> Stage:
        """Return the stage that consists of some processes and all they called."""
        nodes = list(self._below(members))
        jobs = [n for n in nodes if isinstance(n, orm.CalcJobNode)]
        return Stage(
            name=name,
            start=min(map(_begin, nodes)),
            end=max(map(_end, nodes)),
            jobs=len(jobs),
            cached_jobs=sum(map(is_cached, jobs)),
            pks=tuple(members),
            failed=sum(bool(self.nodes[pk].exit_status) for pk in members),
        )

    def _below(self, pks: Iterable[int]) -> Iterable[orm.ProcessNode]:
        """Yield processes and all they called."""
        for pk in pks:
            yield self.nodes[pk]
            yield from self._below(child for _, child in self.children.get(pk, []))


def is_cached(node: orm.ProcessNode) -> bool:
    """Return whether a job was taken from the cache, here or where its archive was written."""
    return node.base.caching.is_created_from_cache or CACHED_EXTRA in node.base.extras.all


def _stage_name(label: str) -> str:
    """Return a link label without the index of a pressure."""
    return re.sub(r'(_pressure)?_\d+$', '', label)


def _job(node: orm.CalcJobNode, numbers: dict[str, Any]) -> Job:
    """Return what the node of a job and the numbers it left say."""
    plugin = (node.process_type or '').partition(':')[2]
    timing = numbers.get('timing', {})
    life = _end(node) - _begin(node)
    computing = float(timing.get('total') or numbers.get('wall_time_seconds') or 0.0)
    if not node.is_terminated:
        # What it has waited for a queue is not known yet.
        computing = life
    return Job(
        pk=node.pk,
        label=node.process_label or plugin,
        kind=KINDS.get(plugin, 'other jobs'),
        start=_begin(node),
        end=_end(node),
        computing=min(computing, life),
        imports=float(timing.get('import', 0.0)),
        memory_gb=_memory_gb(numbers),
        cached=is_cached(node),
        exit_status=node.exit_status,
    )


def _memory_gb(numbers: dict[str, Any]) -> float:
    """Return the peak memory (GB) measured by an engine job or estimated by pw.x."""
    if 'peak_memory_gb' in numbers:
        return float(numbers['peak_memory_gb'])
    for key in ('estimated_ram_total', 'estimated_ram_per_process'):
        if key in numbers:
            scale = {'KB': 1e-6, 'MB': 1e-3, 'GB': 1.0, 'TB': 1e3}
            return float(numbers[key]) * scale.get(str(numbers.get(f'{key}_units')).upper(), 1e-3)
    return 0.0


def _pieces(job: Job) -> list[tuple[str, float, float]]:
    """Return the intervals in which a job imported its libraries and computed."""
    first = job.start + (job.end - job.start - job.computing) / 2
    loaded = first + min(job.imports, job.computing)
    return [('imports', first, loaded), (job.kind, loaded, first + job.computing)]


def _begin(node: orm.ProcessNode) -> float:
    return node.ctime.timestamp()


def _end(node: orm.ProcessNode) -> float:
    """Return when a process ended; one that goes on has come as far as now."""
    return node.mtime.timestamp() if node.is_terminated else time.time()
