"""What ran, for how long, and what of the wall clock it was: from the timestamps of process nodes.

A node's modification time changes when its label or extras are edited, so times are those of a run
that nobody has annotated since.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiida import orm
from aiida.common.links import LinkType

KINDS = {
    'quantumespresso.pw': 'DFT',
    'mlip_ins.mace_train': 'training',
    'mlip_ins.mace_evaluate': 'forces',
    'mlip_ins.mace_relax': 'forces',
    'mlip_ins.mace_inspect': 'forces',
    'mlip_ins.ins': 'spectra',
}
"""What the jobs of each calculation plugin count as."""
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


def jobs_of(node: orm.ProcessNode) -> list[Job]:
    """Return every CalcJob that a process called, directly or not, in the order of creation."""
    found = [node] if isinstance(node, orm.CalcJobNode) else []
    found += [n for n in called(node) if isinstance(n, orm.CalcJobNode)]
    return [_job(n) for n in sorted(found, key=lambda n: n.pk)]


def called(node: orm.ProcessNode) -> list[orm.ProcessNode]:
    """Return all processes that a process called, directly or not."""
    return list(node.called_descendants) if isinstance(node, orm.WorkflowNode) else []


def stages_of(node: orm.ProcessNode) -> list[Stage]:
    """Return the stages of a run in the order in which they began.

    A stage is named after the label of its call link; what differs only in the index of a pressure
    is one stage. A process that called none is a stage of its own.
    """
    groups: dict[str, list[orm.ProcessNode]] = {}
    links = node.base.links.get_outgoing(link_type=(LinkType.CALL_CALC, LinkType.CALL_WORK)).all()
    for link in links:
        name = link.link_label if link.link_label != 'CALL' else link.node.process_label
        groups.setdefault(_stage_name(name), []).append(link.node)
    if not groups:
        groups[node.process_label or 'process'] = [node]
    stages = [_stage(name, members) for name, members in groups.items()]
    return sorted(stages, key=lambda stage: stage.start)


def wall_clock(node: orm.ProcessNode) -> tuple[float, float]:
    """Return when a process and all it called began and ended (s since the epoch)."""
    nodes = [node, *called(node)]
    return min(_begin(n) for n in nodes), max(_end(n) for n in nodes)


def time_split(node: orm.ProcessNode, jobs: Sequence[Job]) -> dict[str, float]:
    """Divide the wall clock (s) into what was being computed; the parts add up to the whole.

    A job computes for as long as its engine says, in the middle of the life of its node; a moment
    in which several kinds of work go on is shared equally among them, and one in which none does
    counts as AiiDA's overhead. Jobs from the cache compute nothing.
    """
    begin, end = wall_clock(node)
    intervals = [piece for job in jobs if not job.cached for piece in _pieces(job)]
    edges = sorted({begin, end, *(t for _, *times in intervals for t in times)})
    split = dict.fromkeys(PARTS, 0.0)
    for low, high in zip(edges, edges[1:], strict=False):
        kinds = {kind for kind, first, last in intervals if first <= low and high <= last}
        for kind in kinds or {'AiiDA overhead'}:
            split[kind] += (high - low) / max(len(kinds), 1)
    return split


def peak_memory_gb(jobs: Iterable[Job]) -> float:
    """Return the largest sum of the peaks (GB) of jobs that ran side by side.

    Engine jobs report what they measured; for pw.x it is its own estimate. AiiDA's processes are
    not in it.
    """
    ran = [job for job in jobs if not job.cached]
    return max(
        (sum(o.memory_gb for o in ran if o.start <= job.start < o.end) for job in ran), default=0.0
    )


def _stage_name(label: str) -> str:
    """Return a link label without the index of a pressure."""
    return re.sub(r'(_pressure)?_\d+$', '', label)


def _stage(name: str, members: list[orm.ProcessNode]) -> Stage:
    """Return the stage that consists of some processes and all they called."""
    nodes = [n for member in members for n in (member, *called(member))]
    jobs = [n for n in nodes if isinstance(n, orm.CalcJobNode)]
    return Stage(
        name=name,
        start=min(_begin(n) for n in nodes),
        end=max(_end(n) for n in nodes),
        jobs=len(jobs),
        cached_jobs=sum(n.base.caching.is_created_from_cache for n in jobs),
        pks=tuple(member.pk for member in members),
        failed=sum(bool(member.exit_status) for member in members),
    )


def _job(node: orm.CalcJobNode) -> Job:
    """Return what the node of a job and the numbers it left say."""
    plugin = (node.process_type or '').partition(':')[2]
    numbers = _numbers(node)
    timing = numbers.get('timing', {})
    life = _end(node) - _begin(node)
    computing = float(timing.get('total') or numbers.get('wall_time_seconds') or 0.0)
    return Job(
        pk=node.pk,
        label=node.process_label or plugin,
        kind=KINDS.get(plugin, 'other jobs'),
        start=_begin(node),
        end=_end(node),
        computing=min(computing, life) if life > 0 else computing,
        imports=float(timing.get('import', 0.0)),
        memory_gb=_memory_gb(numbers),
        cached=node.base.caching.is_created_from_cache,
        exit_status=node.exit_status,
    )


def _numbers(node: orm.CalcJobNode) -> dict[str, Any]:
    """Return the content of the Dict in which a job reports on itself."""
    for label in ('results', 'output_parameters'):
        if label in node.outputs:
            return node.outputs[label].get_dict()
    return {}


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
    return _seconds(node.ctime)


def _end(node: orm.ProcessNode) -> float:
    return _seconds(node.mtime)


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
