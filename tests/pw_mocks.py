"""Stand-ins for pw.x: a code, pseudopotentials, and nodes of finished processes."""

from __future__ import annotations

import io
import uuid
from typing import Any

import numpy as np
from aiida import orm
from aiida.common import LinkType
from aiida.engine import Process, ProcessBuilder, ProcessState
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from aiida_pseudo.data.pseudo import UpfData
from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

from aiida_mlip_ins.data.structure import to_structure

UPF = '<UPF version="2.0.1"><PP_HEADER element="{}" z_valence="1.0"/></UPF>'


def code(plugin: str = 'quantumespresso.pw', **options: Any) -> orm.InstalledCode:
    """Return a code that could be pw.x, of a label of its own."""
    computer = orm.Computer.collection.get_or_create(
        label='here', hostname='localhost', transport_type='core.local',
        scheduler_type='core.direct', workdir='/tmp/aiida',
    )[1]  # fmt: skip
    if not computer.is_stored:
        computer.store().configure()
    options = {'filepath_executable': '/bin/true', 'with_mpi': False, **options}
    return orm.InstalledCode(
        label=f'fake-{uuid.uuid4().hex[:8]}',
        computer=computer,
        default_calc_job_plugin=plugin,
        **options,
    ).store()


def family(
    label: str = 'fake/family', elements: str = 'H Li O Mg', cutoffs: bool = True
) -> CutoffsPseudoPotentialFamily:
    """Return a family of pseudopotentials that have nothing but an element."""
    found = CutoffsPseudoPotentialFamily.collection.find({'label': label})
    if found:
        return found[0]
    made = CutoffsPseudoPotentialFamily(label=label).store()
    made.add_nodes(
        [
            UpfData(io.BytesIO(UPF.format(el).encode()), filename=f'{el}.upf').store()
            for el in elements.split()
        ]
    )
    if cutoffs:
        values = {'cutoff_wfc': 84.0, 'cutoff_rho': 336.0}
        made.set_cutoffs(dict.fromkeys(elements.split(), values), 'normal', unit='Ry')
    return made


def instantiate(process: ProcessBuilder | type[Process], **inputs: Any) -> Process:
    """Return a process, not running, so that its steps can be called one by one."""
    return instantiate_process(get_manager().get_runner(), process, **inputs)


def finished(
    process: type[Process],
    outputs: dict[str, orm.Data] | None = None,
    status: int = 0,
    called: dict[str, int | dict[str, orm.Data]] | None = None,
    caller: tuple[orm.WorkChainNode, str] | None = None,
    state: ProcessState = ProcessState.FINISHED,
    inputs: dict[str, orm.Data] | None = None,
) -> orm.WorkChainNode:
    """Return the node of a workchain that ended.

    :param outputs: by name; a namespace is set off by a dot.
    :param called: of each ``PwBaseWorkChain`` that it called, by link label, the exit status, or
        the outputs if it ended well.
    :param caller: what called it, and the link label.
    :param inputs: by name.
    """
    node = orm.WorkChainNode(process_type=process.build_process_type())
    node.set_process_label(process.__name__)
    node.set_process_state(state)
    if state is ProcessState.FINISHED:
        node.set_exit_status(status)
        node.set_exit_message('it failed' if status else '')
    if caller:
        node.base.links.add_incoming(caller[0], LinkType.CALL_WORK, caller[1])
    for name, value in (inputs or {}).items():
        node.base.links.add_incoming(value.store(), LinkType.INPUT_WORK, name)
    node.store()
    for name, output in (outputs or {}).items():
        output.store().base.links.add_incoming(node, LinkType.RETURN, name.replace('.', '__'))
    for name, end in (called or {}).items():
        how = {'status': end} if isinstance(end, int) else {'outputs': end}
        finished(PwBaseWorkChain, caller=(node, name), **how)
    return node


def pw_outputs(
    atoms: Any, energy: float = -100.0, pressure_gpa: float = 0.0, prefix: str = ''
) -> dict[str, orm.Data]:
    """Return the outputs of a calculation of the atoms, without forces, as stored by the parser."""
    trajectory = orm.TrajectoryData()
    trajectory.set_trajectory(
        symbols=list(atoms.symbols),
        positions=atoms.positions[None],
        cells=atoms.cell.array[None],
        stepids=np.arange(1),
    )
    trajectory.set_array('energy', np.array([energy]))
    trajectory.set_array('forces', np.zeros((1, len(atoms), 3)))
    trajectory.set_array('stress', np.eye(3)[None] * pressure_gpa)
    return {
        f'{prefix}parameters': orm.Dict({'number_ionic_steps': 2}),
        f'{prefix}trajectory': trajectory,
        f'{prefix}structure': to_structure(atoms),
    }


class Submissions:
    """Takes the place of ``submit`` and remembers what it was given."""

    def __init__(self, process: Process) -> None:
        self.calls: list[tuple[type[Process], dict[str, Any]]] = []
        process.submit = self

    def __call__(self, process: type[Process], **inputs: Any) -> orm.WorkChainNode:
        # What would be refused at submission is refused here too.
        instantiate(process, **inputs)
        self.calls.append((process, inputs))
        return finished(process)
