"""Relaxations by pw.x at some of a list of pressures, one after another."""

from __future__ import annotations

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ProcessSpec
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

from aiida_mlip_ins.workflows.composition import cause_of
from aiida_mlip_ins.workflows.lanes import PwLaneWorkChain
from aiida_mlip_ins.workflows.protocols import merge

KBAR_PER_GPA = 10.0
FINAL_SCF = PwBaseWorkChain.exit_codes.ERROR_IONIC_CONVERGENCE_REACHED_EXCEPT_IN_FINAL_SCF
"""pw.x relaxed, but with the plane waves of the final cell the thresholds are exceeded."""


class PwPressureLaneWorkChain(PwLaneWorkChain):
    """Relaxes at its share of the pressures in turn; called by :class:`PwPressureScanWorkChain`.

    pw.x keeps the plane waves of the starting cell through a relaxation, so the final cell is that
    of a cutoff which varies with direction. Each relaxation is therefore repeated from its own end
    until the volume stays.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the crystal, the pressures and the limits of the repetition."""
        super().define(spec)
        # fmt: off
        spec.input('structure', valid_type=orm.StructureData, help='Crystal to start from.')
        spec.input('kpoints', valid_type=orm.KpointsData, help='K-points, at all pressures.')
        spec.input('pressures', valid_type=orm.Dict, help='Pressure of each task in GPa.')
        spec.input('volume_tolerance', valid_type=orm.Float,
                   help='Relative change of the volume below which the repetition ends.')
        spec.input('max_repeats', valid_type=orm.Int, help='Largest number of relaxations.')
        for name, node in (('parameters', orm.Dict), ('trajectory', orm.TrajectoryData),
                           ('structure', orm.StructureData)):
            spec.output_namespace(name, valid_type=node, dynamic=True,
                                  help=f'`output_{name}` of each relaxation.')
        # fmt: on

    def setup(self) -> None:
        """Begin at the first pressure."""
        super().setup()
        self._restart()

    def _restart(self) -> None:
        self.ctx.structure = self.inputs.structure
        self.ctx.repeat = 0

    def link_label(self) -> str:
        """Return the label of the link to the run."""
        return f'{self.task}_{self.ctx.repeat}'

    def task_inputs(self, inputs: AttributeDict) -> AttributeDict:
        """Add the cell to go on from and the pressure."""
        inputs.pw.structure = self.ctx.structure
        inputs.kpoints = self.inputs.kpoints
        pressure = self.inputs.pressures.get_dict()[self.task]
        parameters = inputs.pw.parameters.get_dict()
        inputs.pw.parameters = orm.Dict(
            merge(parameters, {'CELL': {'press': pressure * KBAR_PER_GPA}})
        )
        return inputs

    def inspect_task(self) -> None:
        """Repeat from the new cell, or go on to the next pressure."""
        node, label = self.ctx.child, self.link_label()
        finished = node.is_finished_ok or node.exit_status == FINAL_SCF.status
        if not finished or 'output_structure' not in node.outputs:
            self.report(f'{label} failed: {cause_of(node)}')
            self.next_task()
            self._restart()
            return
        for name in ('parameters', 'trajectory', 'structure'):
            self.out(f'{name}.{label}', node.outputs[f'output_{name}'])
        before, after = (
            cell.get_cell_volume() for cell in (self.ctx.structure, node.outputs.output_structure)
        )
        change = after / before - 1
        self.ctx.structure = node.outputs.output_structure
        self.ctx.repeat += 1
        self.report(f'{label}: volume {after:.3f} angstrom^3, changed by {100 * change:+.3f} %')
        converged = abs(change) < self.inputs.volume_tolerance.value
        if converged or self.ctx.repeat >= self.inputs.max_repeats.value:
            self.next_task()
            self._restart()
