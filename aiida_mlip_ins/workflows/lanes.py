"""Tasks side by side, so many at a time: each lane is a workchain that does its share in turn.

A workchain that waits for several children goes on only when all have ended, so batches of N leave
processors idle as soon as the children's times differ. Lanes do not wait for each other, and
neither poll nor sleep; a daemon restart finds them where they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict, LinkType
from aiida.common.exceptions import NotExistent
from aiida.engine import ProcessSpec, ToContext, WorkChain, while_
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

PW_EXCLUDED = ('pw.structure', 'kpoints', 'kpoints_distance', 'kpoints_force_parity')
"""Inputs of ``PwBaseWorkChain`` that a lane fills in for each task."""


class PwLaneWorkChain(WorkChain):
    """Runs pw.x tasks one after another, each through ``PwBaseWorkChain``.

    A task is a key of the ``tasks`` list. Its runs are called with the link labels ``<task>`` or
    ``<task>_<number>``, so that everything about it is found by its key. A task that fails is
    reported and the next one is begun: the lane itself ends well.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare what all lanes have in common."""
        super().define(spec)
        spec.input('tasks', valid_type=orm.List, help='Keys of the tasks, in the order to run.')
        spec.expose_inputs(PwBaseWorkChain, 'base', exclude=PW_EXCLUDED)
        spec.outline(
            cls.setup,
            while_(cls.has_task)(
                cls.run_task,
                cls.inspect_task,
            ),
        )

    def setup(self) -> None:
        """Begin with the first task."""
        self.ctx.tasks = self.inputs.tasks.get_list()
        self.ctx.done = 0

    def has_task(self) -> bool:
        """Whether there is a task left."""
        return self.ctx.done < len(self.ctx.tasks)

    @property
    def task(self) -> str:
        """Key of the task that is being worked on."""
        return self.ctx.tasks[self.ctx.done]

    def run_task(self) -> ToContext:
        """Submit the next run of the task."""
        inputs = self.task_inputs(self.exposed_inputs(PwBaseWorkChain, 'base'))
        kinds = set(inputs.pw.structure.get_kind_names())
        inputs.pw.pseudos = {k: v for k, v in inputs.pw.pseudos.items() if k in kinds}
        inputs.metadata = {'call_link_label': self.link_label()}
        node = self.submit(PwBaseWorkChain, **inputs)
        self.report(f'{self.link_label()}: PwBaseWorkChain<{node.pk}> ({self.progress()})')
        return ToContext(child=node)

    def next_task(self) -> None:
        """Go on to the next task."""
        self.ctx.done += 1

    def progress(self) -> str:
        """Return how far the lane is."""
        return f'task {self.ctx.done + 1} of {len(self.ctx.tasks)} in this lane'

    def link_label(self) -> str:
        """Return the label of the link to the run."""
        return self.task

    def task_inputs(self, inputs: AttributeDict) -> AttributeDict:
        """Complete the inputs of the task's next run."""
        raise NotImplementedError

    def inspect_task(self) -> None:
        """Attach the outputs of the run and decide what comes next."""
        raise NotImplementedError


def lane_key(index: int) -> str:
    """Return the context key and link label of a lane."""
    return f'lane_{index}'


def outputs_in(node: orm.WorkChainNode, namespace: str) -> Mapping[str, Any]:
    """Return the outputs of a node in a namespace, empty if it has none there."""
    try:
        return node.outputs[namespace]
    except NotExistent:
        return {}


def runs_in(lane: orm.WorkChainNode) -> dict[str, orm.WorkChainNode]:
    """Return what a lane ran, by link label."""
    links = lane.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all()
    return {link.link_label: link.node for link in links}


def failure_message(node: orm.WorkChainNode | None) -> str:
    """Return why a run failed, ``'not run'`` if there is none."""
    if node is None:
        return 'not run'
    return f'{node.process_label}<{node.pk}>: {node.exit_message or node.process_state}'
