"""Whether a crystal is stable in molecular dynamics, at each temperature and pressure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, WorkChain, while_

from aiida_mlip_ins.calculations.functions.md import (
    collect_verdicts,
    each,
    judge_trajectory,
    supercell,
)
from aiida_mlip_ins.calculations.mace_md import MaceMdCalculation
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.science.stability import STOPPED_UNSTABLE
from aiida_mlip_ins.workflows import md_inputs
from aiida_mlip_ins.workflows.phonon_inputs import validate_supercell_matrix
from aiida_mlip_ins.workflows.pressures import pressure_key, validate_pressures
from aiida_mlip_ins.workflows.protocols import merge

FILLED_IN = ('model', 'structure', 'temperature', 'pressure', 'checkpoint')
"""Inputs of the job that are not the same for all runs."""
CONTINUED = ('ERROR_OUT_OF_WALLTIME', 'ERROR_INTERRUPTED', 'ERROR_OUTPUT_MISSING')
"""Ends of a job that a next one can take over from, if it left a checkpoint."""


class MdStabilityWorkChain(WorkChain):
    """Run molecular dynamics at every temperature and pressure, and judge how the crystal did.

    An unstable crystal is a result, not a failure: the chain ends well, and ``verdict`` says why.
    A run whose job ended too early goes on in another one.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        # fmt: off
        spec.input('model', valid_type=MaceModelData, help='The potential.')
        spec.input_namespace('structures', valid_type=orm.StructureData, dynamic=True,
                             help='`pressure_i`: relaxed crystal at the i-th pressure (angstrom).')
        spec.input('pressures', valid_type=orm.List, serializer=orm.to_aiida_type,
                   validator=validate_pressures, help='Pressures in GPa, ascending.')
        spec.input('temperatures', valid_type=orm.List, serializer=orm.to_aiida_type,
                   validator=md_inputs.validate_temperatures, help='Temperatures in K.')
        spec.input('supercell_matrix', valid_type=orm.List, serializer=orm.to_aiida_type,
                   validator=validate_supercell_matrix,
                   help='Multiples of the three lattice vectors, or a 3 x 3 matrix of integers.')
        spec.input('criteria', valid_type=orm.Dict, serializer=orm.to_aiida_type,
                   help='When a crystal counts as stable, see `StabilitySettings`.')
        spec.input('max_concurrent', valid_type=orm.Int, serializer=orm.to_aiida_type,
                   validator=md_inputs.validate_positive, help='Jobs side by side.')
        spec.input('max_restarts', valid_type=orm.Int, serializer=orm.to_aiida_type,
                   validator=md_inputs.validate_not_negative,
                   help='Jobs that may go on with a run whose job ended too early.')
        spec.expose_inputs(MaceMdCalculation, 'md', exclude=FILLED_IN)
        spec.inputs.validator = md_inputs.validate
        spec.outline(
            cls.setup,
            while_(cls.has_runs)(
                cls.run_md,
                cls.inspect_md,
            ),
            cls.judge,
            cls.results,
        )
        spec.output('verdict', valid_type=orm.Dict,
                    help='`stable`, `unstable` or `undecided`, with reasons, and the numbers of '
                         'each run under `pressure_i_temperature_j`.')
        spec.output_namespace('trajectories', valid_type=orm.TrajectoryData, dynamic=True,
                              help='All frames of each run (angstrom, angstrom/ps, ps, eV, GPa).')
        spec.output_namespace('analyses', valid_type=orm.ArrayData, dynamic=True,
                              help='Series, radial distributions and vibrational spectrum of each '
                                   'run; units in the attribute `units`.')
        spec.exit_code(401, 'ERROR_MD_FAILED',
                       message='A run failed, others are kept: {cause}')
        spec.exit_code(402, 'ERROR_NOT_DONE',
                       message='A run is not done, its beginning is judged: {cause}')
        # fmt: on

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        structures: Sequence[orm.StructureData],
        model: MaceModelData | None,
        pressures: Sequence[float],
        temperatures: Sequence[float],
        supercell_matrix: Sequence[Any] | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param code: Python of the engines environment, as a node or its label.
        :param structures: the crystal relaxed at each pressure.
        :param model: the potential; ``None`` to put it in later.
        :param pressures: in GPa, ascending.
        :param temperatures: in K.
        :param supercell_matrix: of the crystals; by the protocol's length if not given.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values that replace the protocol's (keys as in the YAML file).
        :param options: ``metadata.options`` of the jobs, on top of those of the protocol.
        :raises ValueError: listing every problem of the arguments.
        """
        node, numbers, matrix = md_inputs.checked(
            code, structures, model, pressures, temperatures, supercell_matrix, protocol, overrides
        )
        builder = cls.get_builder()
        builder.structures = {pressure_key(i): s for i, s in enumerate(structures)}
        if model is not None:
            builder.model = model
        builder.pressures = orm.List([float(pressure) for pressure in pressures])
        builder.temperatures = orm.List([float(temperature) for temperature in temperatures])
        builder.supercell_matrix = orm.List(matrix)
        builder.criteria = orm.Dict(numbers['criteria'])
        builder.max_concurrent = orm.Int(numbers['max_concurrent'])
        builder.max_restarts = orm.Int(numbers['max_restarts'])
        builder.md.code = node
        builder.md.parameters = orm.Dict(numbers['md']['parameters'])
        builder.md.metadata.options = merge(numbers['md']['options'], options or {})
        return builder

    def setup(self) -> None:
        """Make the supercells, and list the runs."""
        pressures = self.inputs.pressures.get_list()
        temperatures = self.inputs.temperatures.get_list()
        self.ctx.numbers = each(
            pressures=self.inputs.pressures,
            temperatures=self.inputs.temperatures,
            metadata={'call_link_label': 'conditions'},
        )
        self.ctx.supercells = {
            name: supercell(
                structure,
                self.inputs.supercell_matrix,
                metadata={'call_link_label': f'supercell_{name}'},
            )
            for name, structure in self.inputs.structures.items()
        }
        self.ctx.conditions = {
            f'{pressure_key(i)}_temperature_{j}': (pressure_key(i), f'temperature_{j}')
            for i in range(len(pressures))
            for j in range(len(temperatures))
        }
        self.ctx.waiting = list(self.ctx.conditions)
        self.ctx.jobs = {key: [] for key in self.ctx.conditions}
        self.ctx.failures = {}
        self.ctx.unfinished = {}
        atoms = len(self.ctx.supercells[pressure_key(0)].sites)
        self.report(
            f'{len(self.ctx.waiting)} runs of {atoms} atoms at {temperatures} K and {pressures} GPa'
        )

    def has_runs(self) -> bool:
        """Whether there are runs that have not begun or are to be continued."""
        return bool(self.ctx.waiting)

    def run_md(self) -> ToContext:
        """Start or continue as many runs as there may be side by side."""
        self.ctx.running = self.ctx.waiting[: self.inputs.max_concurrent.value]
        jobs = {}
        for key in self.ctx.running:
            pressure, temperature = self.ctx.conditions[key]
            inputs = self.exposed_inputs(MaceMdCalculation, 'md', agglomerate=False)
            inputs.update(
                model=self.inputs.model,
                structure=self.ctx.supercells[pressure],
                pressure=self.ctx.numbers[pressure],
                temperature=self.ctx.numbers[temperature],
            )
            before = self._checkpoint(key)
            label = f'md_{key}'
            if before is not None:
                inputs['checkpoint'] = before
            if self.ctx.jobs[key]:
                label = f'md_{key}_part_{len(self.ctx.jobs[key])}'
            inputs['metadata']['call_link_label'] = label
            node = self.submit(MaceMdCalculation, **inputs)
            self.report(f'{label}: <{node.pk}> {"continues" if before else "started"}')
            jobs[key] = node
        return ToContext(**jobs)

    def inspect_md(self) -> None:
        """Decide of each job whether its run is done, goes on, or has failed."""
        for key in self.ctx.running:
            node = self.ctx[key]
            jobs = [*self.ctx.jobs[key], node]
            self.ctx.jobs[key] = jobs
            if node.is_finished_ok or self._stopped(node):
                self.ctx.waiting.remove(key)
                continue
            cause = f'{key} <{node.pk}> {node.exit_message or node.process_state.value}'
            self.report(cause)
            # A job that added no frame would be followed by others that add none.
            if node.exit_status not in statuses(CONTINUED) or 'checkpoint' not in node.outputs:
                self.ctx.waiting.remove(key)
                self.ctx.failures[key] = cause
            elif len(jobs) > self.inputs.max_restarts.value:
                self.ctx.waiting.remove(key)
                self.ctx.unfinished[key] = f'{cause} (after {len(jobs)} jobs)'

    def judge(self) -> None:
        """Judge each run that left frames."""
        self.ctx.verdicts = {}
        for key, (pressure, temperature) in self.ctx.conditions.items():
            jobs = self.ctx.jobs[key]
            frames = [job.outputs.trajectory for job in jobs if 'trajectory' in job.outputs]
            if not frames:
                continue
            nodes = {f'trajectory_{index}': node for index, node in enumerate(frames)}
            if 'results' in jobs[-1].outputs:
                nodes['results'] = jobs[-1].outputs.results
            found = judge_trajectory(
                self.ctx.supercells[pressure],
                self.ctx.numbers[temperature],
                self.ctx.numbers[pressure],
                self.inputs.md.parameters,
                self.inputs.criteria,
                metadata={'call_link_label': f'judge_{key}'},
                **nodes,
            )
            self.ctx.verdicts[key] = found['verdict']
            self.out(f'analyses.{key}', found['analysis'])
            self.out(f'trajectories.{key}', found.get('trajectory', frames[0]))

    def results(self) -> ExitCode | None:
        """Put the verdicts together, and say what is missing."""
        if self.ctx.verdicts:
            missing = [
                cause for key, cause in self.ctx.failures.items() if key not in self.ctx.verdicts
            ]
            verdict = collect_verdicts(orm.List(missing), **self.ctx.verdicts)
            self.out('verdict', verdict)
            self.report(f'{verdict["verdict"]}: {"; ".join(verdict["reasons"])}')
        if self.ctx.failures:
            cause = '; '.join(self.ctx.failures.values())
            return self.exit_codes.ERROR_MD_FAILED.format(cause=cause)
        if self.ctx.unfinished:
            cause = '; '.join(self.ctx.unfinished.values())
            return self.exit_codes.ERROR_NOT_DONE.format(cause=cause)
        return None

    def _checkpoint(self, key: str) -> orm.SinglefileData | None:
        """Return what the last job of a run left to go on from."""
        for job in reversed(self.ctx.jobs[key]):
            if 'checkpoint' in job.outputs:
                return job.outputs.checkpoint
        return None

    @staticmethod
    def _stopped(node: orm.CalcJobNode) -> bool:
        """Whether a job stopped because of what became of the crystal."""
        return node.exit_status in statuses(f'ERROR_{kind}' for kind in STOPPED_UNSTABLE)


def statuses(labels: Iterable[str]) -> set[int]:
    """Return the exit statuses of the job that have these labels."""
    return {MaceMdCalculation.exit_codes[label].status for label in labels}
