"""INS spectrum of a crystal: intensities, grouping, resolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, while_
from aiida_phonopy.data import ForceConstantsData

from aiida_mlip_ins.calculations.functions.spectra import broaden_map, spectrum_change
from aiida_mlip_ins.calculations.ins import InsCalculation
from aiida_mlip_ins.data.ins_map import InsMapData
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.ins_inputs import ins_parameters, ins_problems, validate_convergence
from aiida_mlip_ins.workflows.protocols import load_protocol, merge
from aiida_mlip_ins.workflows.spectrum import SpectrumWorkChain

REFINEMENTS = {'mesh': 'max_doublings', 'bins': 'max_halvings'}
"""What is refined, in this order, and the setting that says how often at most."""


class InsWorkChain(SpectrumWorkChain):
    """Simulates the INS spectrum of one crystal at one temperature and pressure.

    Intensities, their sums and the broadened spectrum are nodes of their own: with caching, a new
    resolution recomputes the broadening alone. With ``convergence`` the mesh is doubled, and then
    the bins are halved if that is asked for, until the broadened spectrum stays as it is. Every
    try is a job of its own, so that one on a mesh that has been tried comes from the cache.
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
            'convergence',
            valid_type=orm.Dict,
            required=False,
            serializer=orm.to_aiida_type,
            validator=validate_convergence,
            help='Refines mesh and bins until the spectrum is converged, see '
            '`ConvergenceSettings`; without it they are taken as they are.',
        )
        spec.outline(
            cls.setup,
            while_(cls.should_run)(
                cls.run_ins, cls.inspect_ins, cls.group, cls.broaden, cls.compare, cls.refine
            ),
            cls.results,
        )
        spec.output(
            'map',
            valid_type=InsMapData,
            required=False,
            help='Map against Q and energy with resolution: barn/(1/cm)/primitive cell.',
        )
        spec.output(
            'parameters',
            valid_type=orm.Dict,
            required=False,
            help='With `convergence`: the settings of the simulation with the mesh and the bins '
            '(1/cm) that it ended with, to be used again.',
        )
        for name, what in (('mesh', 'doubling of the mesh'), ('bins', 'halving of the bins')):
            spec.output(
                f'{name}_change',
                valid_type=orm.Float,
                required=False,
                help=f'Change of the spectrum by the last {what}, as a share of its area.',
            )
        spec.exit_code(
            402, 'ERROR_IMAGINARY_MODES', message='No spectrum for an unstable crystal: {cause}'
        )
        for status, name, what in (
            (410, 'MESH', 'densest mesh'), (411, 'BINS', 'narrowest bins'),
        ):  # fmt: skip
            spec.exit_code(
                status,
                f'ERROR_{name}_NOT_CONVERGED',
                message=f'The {what} {{used}} still changed the spectrum by {{change:.2g}}, more '
                'than the tolerance of {tolerance:.2g}; its spectrum is there.',
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
        :param options: ``metadata.options`` of the job, on top of those of the protocol.
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
        chosen = merge(numbers['options'], options or {})
        if chosen:
            builder.ins.metadata.options = chosen
        if force_constants is not None:
            builder.force_constants = force_constants
        if numbers['convergence']:
            builder.convergence = orm.Dict(numbers['convergence'])
        cls._set_common(builder, numbers, pressure)
        return builder

    def setup(self) -> None:
        """Begin with the mesh and the bins that were given."""
        self.ctx.parameters = self.inputs.ins.parameters.get_dict()
        self.ctx.round = 0
        self.ctx.changes = {}
        limits = self.inputs.convergence.get_dict() if 'convergence' in self.inputs else {}
        self.ctx.left = {name: limits.get(key) or 0 for name, key in REFINEMENTS.items()}
        self.ctx.refined = None
        self.ctx.finished = False

    def should_run(self) -> bool:
        """Whether a denser mesh or narrower bins are wanted."""
        return not self.ctx.finished

    def run_ins(self) -> ToContext:
        """Simulate the intensities."""
        inputs = self.exposed_inputs(InsCalculation, 'ins')
        if self.ctx.round:
            inputs['parameters'] = orm.Dict(self.ctx.parameters)
        inputs['force_constants'] = self.inputs.force_constants
        if 'pressure' in self.inputs:
            inputs['pressure'] = self.inputs.pressure
        inputs['metadata']['call_link_label'] = f'ins_{self.ctx.round}'
        node = self.submit(InsCalculation, **inputs)
        self.report(f'INS simulation <{node.pk}> started, mesh {self.ctx.parameters["mesh"]}')
        return ToContext(ins=node)

    def error_of(self, node: orm.ProcessNode) -> str:
        """Return the label of the exit code of a job that failed."""
        unstable = InsCalculation.exit_codes.ERROR_IMAGINARY_MODES.status
        return 'ERROR_IMAGINARY_MODES' if node.exit_status == unstable else super().error_of(node)

    def compare(self) -> None:
        """Compare the spectrum with the one before."""
        if self.ctx.refined is not None:
            change = spectrum_change(
                self.ctx.before,
                self.ctx.spectrum,
                metadata={'call_link_label': f'{self.ctx.refined}_change_{self.ctx.round}'},
            )
            self.ctx.changes[self.ctx.refined] = change
            self.report(f'{self.ctx.refined} {self._used()}: changed by {change.value:.2g}')
        self.ctx.before = self.ctx.spectrum

    def refine(self) -> None:
        """Double the mesh until that makes no difference, then halve the bins likewise."""
        refined = self.ctx.refined
        if refined is not None and self._is_converged(refined):
            self.ctx.left[refined] = 0
        elif refined is not None and not self.ctx.left[refined]:
            self.ctx.finished = True
            return
        self.ctx.refined = next((name for name, left in self.ctx.left.items() if left), None)
        if self.ctx.refined is None:
            self.ctx.refined = refined
            self.ctx.finished = True
            return
        self.ctx.left[self.ctx.refined] -= 1
        self.ctx.round += 1
        given = self.ctx.parameters
        if self.ctx.refined == 'mesh':
            finer = {'mesh': [2 * number for number in given['mesh']]}
        else:
            finer = {'bin_width': given['bin_width'] / 2}
        self.ctx.parameters = {**given, **finer}

    def results(self) -> ExitCode | None:
        """Hand out the nodes of the densest mesh, and say what there is."""
        numbers = self.hand_out()
        outputs = self.ctx.ins.outputs
        if 'map' in outputs:
            broadened, failure = self.broadened(broaden_map, outputs.map, 'broaden_map')
            if failure:
                return failure
            self.out('map', broadened)
        spectrum = self.outputs['spectrum']
        self.report(
            f'spectrum <{spectrum.pk}> from {numbers["n_qpoints"]} q-points, '
            f'lowest frequency {numbers["min_frequency_per_cm"]:.1f} 1/cm'
        )
        sharpest = min(spectrum.resolution['sigma_per_cm'])
        if (width := self.ctx.parameters['bin_width']) > sharpest:
            self.report(
                f'WARNING: bins of {width:g} 1/cm are wider than the resolution, {sharpest:.2g} '
                '1/cm at the least'
            )
        if self.ctx.refined is None:
            return None
        self.out('parameters', self.ctx.ins.inputs.parameters)
        for name, change in self.ctx.changes.items():
            self.out(f'{name}_change', change)
        if self._is_converged(self.ctx.refined):
            return None
        code: ExitCode = getattr(self.exit_codes, f'ERROR_{self.ctx.refined.upper()}_NOT_CONVERGED')
        return code.format(
            used=self._used(),
            change=self.ctx.changes[self.ctx.refined].value,
            tolerance=self.inputs.convergence['tolerance'],
        )

    def _is_converged(self, name: str) -> bool:
        """Whether the last refinement of the mesh or the bins made no difference."""
        return bool(self.ctx.changes[name].value <= self.inputs.convergence['tolerance'])

    def _used(self) -> str:
        """Return what the last refinement has led to."""
        if self.ctx.refined == 'mesh':
            return str(self.ctx.parameters['mesh'])
        return f'of {self.ctx.parameters["bin_width"]:g} 1/cm'
