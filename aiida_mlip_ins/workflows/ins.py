"""INS spectrum of a crystal: intensities, grouping, resolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, WorkChain, while_
from aiida_phonopy.data import ForceConstantsData

from aiida_mlip_ins.calculations.functions.spectra import (
    broaden_map,
    broaden_spectrum,
    group_intensities,
    mesh_change,
)
from aiida_mlip_ins.calculations.ins import InsCalculation
from aiida_mlip_ins.data.ins_map import InsMapData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.ins import KEYS
from aiida_mlip_ins.workflows.composition import cause_of
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.ins_inputs import (
    ins_parameters,
    ins_problems,
    validate_convergence,
    validate_group_by,
    validate_resolution,
)
from aiida_mlip_ins.workflows.protocols import load_protocol


class InsWorkChain(WorkChain):
    """Simulates the INS spectrum of one crystal at one temperature and pressure.

    Intensities, their sums and the broadened spectrum are nodes of their own: with caching, a new
    resolution recomputes the broadening alone. With ``convergence`` the mesh is doubled until the
    broadened spectrum stays as it is.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.expose_inputs(InsCalculation, 'ins', exclude=('force_constants', 'pressure'))
        spec.input(
            'force_constants',
            valid_type=ForceConstantsData,
            help='Force constants in eV/angstrom^2.',
        )
        spec.input(
            'pressure',
            valid_type=orm.Float,
            required=False,
            serializer=orm.to_aiida_type,
            help='Pressure (GPa) that the crystal is under; kept with the spectrum.',
        )
        spec.input(
            'group_by',
            valid_type=orm.List,
            serializer=orm.to_aiida_type,
            validator=validate_group_by,
            help='What the rows of the spectrum tell apart, of: ' + ', '.join(KEYS),
        )
        spec.input(
            'resolution',
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            validator=validate_resolution,
            help='Resolution of the instrument, see `ResolutionSettings`.',
        )
        spec.input(
            'convergence',
            valid_type=orm.Dict,
            required=False,
            serializer=orm.to_aiida_type,
            validator=validate_convergence,
            help='Doubles the mesh until the spectrum is converged, see `ConvergenceSettings`; '
            'without it the mesh is taken as it is.',
        )
        spec.outline(
            cls.setup,
            while_(cls.should_run)(
                cls.run_ins, cls.inspect_ins, cls.group, cls.broaden, cls.compare_meshes
            ),
            cls.results,
        )
        spec.output(
            'intensities',
            valid_type=InsSpectrumData,
            help='Per atom, order and bank: barn/(1/cm)/primitive cell.',
        )
        spec.output(
            'grouped',
            valid_type=InsSpectrumData,
            help='Per element, order and bank, with sums: barn/(1/cm)/primitive cell.',
        )
        spec.output(
            'spectrum',
            valid_type=InsSpectrumData,
            help='The same with resolution: barn/(1/cm)/primitive cell.',
        )
        spec.output(
            'map',
            valid_type=InsMapData,
            required=False,
            help='Map against Q and energy with resolution: barn/(1/cm)/primitive cell.',
        )
        spec.output(
            'mesh_change',
            valid_type=orm.Float,
            required=False,
            help='Change of the spectrum by the last doubling of the mesh, as a share of its area.',
        )
        spec.output(
            'results',
            valid_type=orm.Dict,
            required=False,
            help='Numbers of the simulation, versions and timing (s).',
        )
        spec.exit_code(401, 'ERROR_INS_FAILED', message='The simulation failed: {cause}')
        spec.exit_code(
            402, 'ERROR_IMAGINARY_MODES', message='No spectrum for an unstable crystal: {cause}'
        )
        spec.exit_code(
            403, 'ERROR_BROADENING_FAILED', message='Grouping or broadening failed: {cause}'
        )
        spec.exit_code(
            410,
            'ERROR_MESH_NOT_CONVERGED',
            message='The densest mesh {mesh} still changed the spectrum by {change:.2g}, more than '
            'the tolerance of {tolerance:.2g}; its spectrum is there.',
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        force_constants: ForceConstantsData | None = None,
        pressure: float | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        structure: orm.StructureData | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        The mesh is derived here from the spacing of the protocol, so that it is the same for all
        pressures whose workchains are built from one structure.

        :param code: Python of the engines environment, as a node or its label.
        :param force_constants: ``None`` if a workchain that composes this one makes them.
        :param pressure: GPa, kept with the spectrum.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values on top of those of ``protocols/ins.yaml``.
        :param options: ``metadata.options`` of the job.
        :param structure: without ``force_constants``: the crystal that decides the mesh.
        :raises ValueError: listing everything that is wrong with the arguments.
        """
        numbers = load_protocol('ins', protocol, overrides)
        if force_constants is None and structure is None:
            raise ValueError('give force_constants, or a structure that decides the mesh')
        cell = (
            np.array(force_constants.get_primitive_cell().cell)
            if force_constants is not None
            else np.array(structure.cell)
        )
        parameters = ins_parameters(numbers, cell)
        node, found = load_engine_code(code)
        found += ins_problems(parameters, numbers, force_constants)
        if found:
            raise ValueError('\n'.join(found))
        builder = cls.get_builder()
        builder.ins.code = node
        builder.ins.parameters = orm.Dict(parameters)
        if options:
            builder.ins.metadata.options = dict(options)
        if force_constants is not None:
            builder.force_constants = force_constants
        if pressure is not None:
            builder.pressure = orm.Float(pressure)
        if numbers['convergence']:
            builder.convergence = orm.Dict(numbers['convergence'])
        builder.group_by = orm.List(numbers['group_by'])
        builder.resolution = orm.Dict(numbers['resolution'])
        return builder

    def setup(self) -> None:
        """Begin with the mesh that was given."""
        self.ctx.mesh = list(self.inputs.ins.parameters['mesh'])
        self.ctx.doublings = 0
        self.ctx.finished = False

    def should_run(self) -> bool:
        """Whether a denser mesh is wanted."""
        return not self.ctx.finished

    def run_ins(self) -> ToContext:
        """Simulate the intensities."""
        inputs = self.exposed_inputs(InsCalculation, 'ins')
        if self.ctx.doublings:
            given = self.inputs.ins.parameters.get_dict()
            inputs['parameters'] = orm.Dict({**given, 'mesh': self.ctx.mesh})
        inputs['force_constants'] = self.inputs.force_constants
        if 'pressure' in self.inputs:
            inputs['pressure'] = self.inputs.pressure
        inputs['metadata']['call_link_label'] = f'ins_{self.ctx.doublings}'
        node = self.submit(InsCalculation, **inputs)
        self.report(f'INS simulation <{node.pk}> started, mesh {self.ctx.mesh}')
        return ToContext(ins=node)

    def inspect_ins(self) -> ExitCode | None:
        """Stop without intensities."""
        node = self.ctx.ins
        if node.is_finished_ok:
            return None
        if 'results' in node.outputs:
            self.out('results', node.outputs.results)
        unstable = InsCalculation.exit_codes.ERROR_IMAGINARY_MODES.status
        kind = 'IMAGINARY_MODES' if node.exit_status == unstable else 'INS_FAILED'
        code: ExitCode = getattr(self.exit_codes, f'ERROR_{kind}')
        return code.format(cause=cause_of(node))

    def group(self) -> None:
        """Sum the intensities by what the rows are to tell apart."""
        self.ctx.grouped = group_intensities(
            self.ctx.ins.outputs.intensities,
            self.inputs.group_by,
            metadata={'call_link_label': f'group_{self.ctx.doublings}'},
        )

    def broaden(self) -> ExitCode | None:
        """Apply the resolution."""
        spectrum, failure = self._broadened(
            broaden_spectrum, self.ctx.grouped, f'broaden_{self.ctx.doublings}'
        )
        self.ctx.before, self.ctx.spectrum = self.ctx.get('spectrum'), spectrum
        return failure

    def _broadened(
        self, function: Any, node: orm.Data, label: str
    ) -> tuple[orm.Data | None, ExitCode | None]:
        """Return the broadened node, or the exit code of what refused it."""
        made, process = function.run_get_node(
            node, self.inputs.resolution, metadata={'call_link_label': label}
        )
        if process.is_finished_ok:
            return made, None
        cause = f'<{process.pk}> {process.exit_message}'
        return None, self.exit_codes.ERROR_BROADENING_FAILED.format(cause=cause)

    def compare_meshes(self) -> None:
        """Double the mesh unless it is dense enough."""
        self.ctx.finished = self._is_dense_enough()
        if not self.ctx.finished:
            self.ctx.doublings += 1
            self.ctx.mesh = [2 * number for number in self.ctx.mesh]

    def _is_dense_enough(self) -> bool:
        """Whether the spectrum has converged with the mesh, or no other is to be tried."""
        if 'convergence' not in self.inputs:
            return True
        limits = self.inputs.convergence.get_dict()
        if self.ctx.before is not None:
            self.ctx.change = mesh_change(
                self.ctx.before,
                self.ctx.spectrum,
                metadata={'call_link_label': f'mesh_change_{self.ctx.doublings}'},
            )
            self.report(f'mesh {self.ctx.mesh}: changed by {self.ctx.change.value:.2g}')
            if self.ctx.change.value <= limits['tolerance']:
                return True
        return bool(self.ctx.doublings == limits['max_doublings'])

    def results(self) -> ExitCode | None:
        """Hand out the nodes of the densest mesh, and say what there is."""
        outputs = self.ctx.ins.outputs
        self.out('intensities', outputs.intensities)
        self.out('grouped', self.ctx.grouped)
        self.out('spectrum', self.ctx.spectrum)
        self.out('results', outputs.results)
        if 'map' in outputs:
            broadened, failure = self._broadened(broaden_map, outputs.map, 'broaden_map')
            if failure:
                return failure
            self.out('map', broadened)
        numbers = outputs.results.get_dict()
        for remark in numbers.get('remarks', []):
            self.report(remark)
        self.report(
            f'spectrum <{self.outputs["spectrum"].pk}> from {numbers["n_qpoints"]} q-points, '
            f'lowest frequency {numbers["min_frequency_per_cm"]:.1f} 1/cm'
        )
        change = self.ctx.get('change')
        if change is None:
            return None
        self.out('mesh_change', change)
        tolerance = self.inputs.convergence['tolerance']
        if change.value > tolerance:
            return self.exit_codes.ERROR_MESH_NOT_CONVERGED.format(
                mesh=self.ctx.mesh, change=change.value, tolerance=tolerance
            )
        return None
