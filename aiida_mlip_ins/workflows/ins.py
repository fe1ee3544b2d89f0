"""INS spectrum of a crystal: intensities, grouping, resolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, WorkChain
from aiida_phonopy.data import ForceConstantsData

from aiida_mlip_ins.calculations.functions.spectra import broaden_spectrum, group_intensities
from aiida_mlip_ins.calculations.ins import InsCalculation, settings_problems
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.broadening import ResolutionSettings, resolution_problems
from aiida_mlip_ins.science.ins import KEYS
from aiida_mlip_ins.science.phonons import mesh_from_spacing
from aiida_mlip_ins.science.settings import build, problems, unknown_keys
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.protocols import load_protocol


class InsWorkChain(WorkChain):
    """Simulates the INS spectrum of one crystal at one temperature and pressure.

    Intensities, their sums and the broadened spectrum are nodes of their own: with caching, a new
    resolution recomputes the broadening alone.
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
        spec.outline(cls.run_ins, cls.inspect_ins, cls.group, cls.broaden, cls.results)
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
        found += settings_problems(parameters, 'parameters')
        found += _resolution_problems(numbers['resolution'], 'resolution')
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
        builder.group_by = orm.List(numbers['group_by'])
        builder.resolution = orm.Dict(numbers['resolution'])
        return builder

    def run_ins(self) -> ToContext:
        """Simulate the intensities."""
        inputs = self.exposed_inputs(InsCalculation, 'ins')
        inputs['force_constants'] = self.inputs.force_constants
        if 'pressure' in self.inputs:
            inputs['pressure'] = self.inputs.pressure
        inputs['metadata']['call_link_label'] = 'ins'
        node = self.submit(InsCalculation, **inputs)
        self.report(f'INS simulation <{node.pk}> started')
        return ToContext(ins=node)

    def inspect_ins(self) -> ExitCode | None:
        """Stop without intensities."""
        node = self.ctx.ins
        if 'results' in node.outputs:
            self.out('results', node.outputs.results)
        if node.is_finished_ok:
            self.out('intensities', node.outputs.intensities)
            return None
        unstable = InsCalculation.exit_codes.ERROR_IMAGINARY_MODES.status
        kind = 'IMAGINARY_MODES' if node.exit_status == unstable else 'INS_FAILED'
        code: ExitCode = getattr(self.exit_codes, f'ERROR_{kind}')
        return code.format(cause=f'<{node.pk}> {node.exit_message or node.process_state}')

    def group(self) -> None:
        """Sum the intensities by what the rows are to tell apart."""
        self.ctx.grouped = group_intensities(
            self.ctx.ins.outputs.intensities,
            self.inputs.group_by,
            metadata={'call_link_label': 'group'},
        )
        self.out('grouped', self.ctx.grouped)

    def broaden(self) -> ExitCode | None:
        """Apply the resolution."""
        spectrum, node = broaden_spectrum.run_get_node(
            self.ctx.grouped,
            self.inputs.resolution,
            metadata={'call_link_label': 'broaden'},
        )
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_BROADENING_FAILED.format(
                cause=f'<{node.pk}> {node.exit_message}'
            )
        self.out('spectrum', spectrum)
        return None

    def results(self) -> None:
        """Say what there is."""
        numbers = self.ctx.ins.outputs.results.get_dict()
        self.report(
            f'spectrum <{self.outputs["spectrum"].pk}> from {numbers["n_qpoints"]} q-points, '
            f'lowest frequency {numbers["min_frequency_per_cm"]:.1f} 1/cm'
        )


def ins_parameters(numbers: Mapping[str, Any], cell: np.ndarray) -> dict[str, Any]:
    """Return the settings of the simulation: the protocol's, with the mesh for a cell.

    :param numbers: of the protocol, with ``q_spacing`` (1/angstrom, with 2 pi).
    :param cell: (3, 3) lattice vectors as rows, angstrom.
    """
    return {**numbers['parameters'], 'mesh': mesh_from_spacing(cell, numbers['q_spacing'])}


def _resolution_problems(settings: dict[str, Any], where: str) -> list[str]:
    """Return every problem of the resolution's settings."""
    found = problems(ResolutionSettings, settings, where)
    if not found:
        found = resolution_problems(build(ResolutionSettings, settings, where), where)
    return found


def validate_resolution(value: orm.Dict, _: Any) -> str | None:
    """Refuse a resolution that resins cannot make."""
    return '\n'.join(_resolution_problems(value.get_dict(), 'resolution')) or None


def validate_group_by(value: orm.List, _: Any) -> str | None:
    """Refuse keys that rows do not have."""
    return '\n'.join(unknown_keys(value.get_list(), KEYS, 'group_by')) or None
