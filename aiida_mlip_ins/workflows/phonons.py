"""Force constants and phonons by finite displacements, with pw.x or with a MACE potential."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, Process, ProcessBuilder, ProcessSpec, ToContext, WorkChain
from aiida_phonopy.data import ForceConstantsData

from aiida_mlip_ins.calculations.functions.phonons import (
    analyse_modes,
    displaced_frames,
    generate_displacements,
    make_force_constants,
)
from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.data.model import MaceModelData, model_problems
from aiida_mlip_ins.data.structure import structure_problems
from aiida_mlip_ins.science.zone import describe
from aiida_mlip_ins.workflows.composition import cause_of
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.mace_inputs import evaluate_inputs_from_protocol
from aiida_mlip_ins.workflows.phonon_inputs import (
    set_common,
    validate_inputs,
    validate_parameters,
    validate_structure,
    validate_supercell_matrix,
)
from aiida_mlip_ins.workflows.protocols import load_protocol, merge
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain


class PhononsWorkChain(WorkChain):
    """Finite displacements whose forces come from an interchangeable labeller.

    All displaced supercells go to the labeller as one set of frames. Imaginary modes are no failure
    here: they are reported and are in ``summary``, and what needs a stable crystal refuses them.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare what all labellers share."""
        super().define(spec)
        spec.input(
            'structure',
            valid_type=orm.StructureData,
            validator=validate_structure,
            help='Relaxed crystal (angstrom).',
        )
        spec.input(
            'supercell_matrix',
            valid_type=orm.List,
            serializer=orm.to_aiida_type,
            validator=validate_supercell_matrix,
            help='Multiples of the three lattice vectors, or a 3 x 3 matrix of integers.',
        )
        spec.input(
            'parameters',
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            validator=validate_parameters,
            help='Settings, see `PhononSettings` (angstrom, 1/cm).',
        )
        spec.input(
            'isotopes',
            valid_type=orm.Dict,
            required=False,
            serializer=orm.to_aiida_type,
            help='Nuclide of an element or of one atom, as in the settings of the INS simulation; '
            'the modes have their masses, the force constants know of none.',
        )
        spec.inputs.validator = validate_inputs
        spec.outline(
            cls.setup,
            cls.run_labeller,
            cls.inspect_labeller,
            cls.run_force_constants,
            cls.results,
        )
        spec.output(
            'force_constants',
            valid_type=ForceConstantsData,
            help='Force constants in eV/angstrom^2.',
        )
        spec.output(
            'modes',
            valid_type=orm.ArrayData,
            help='At Gamma: `frequencies` (1/cm, imaginary negative), `eigenvectors`; on a mesh: '
            '`mesh_frequencies`; at the points that the supercell has exactly: '
            '`exact_frequencies` (1/cm).',
        )
        spec.output(
            'summary',
            valid_type=orm.Dict,
            help='Lowest frequency (1/cm) on the mesh and at the points that the supercell has '
            'exactly, share of imaginary modes, number of displacements; `imaginary_points`: those '
            'of the latter with imaginary modes.',
        )
        spec.exit_code(
            401, 'ERROR_LABELLING_FAILED', message='The forces could not be computed: {cause}'
        )
        spec.exit_code(402, 'ERROR_FORCES_UNUSABLE', message='No force constants: {cause}')

    @abstractmethod
    def labeller(self, frames: FramesData) -> tuple[type[Process], dict[str, Any]]:
        """Return the process that labels frames, and its inputs.

        :param frames: the displaced supercells (angstrom).
        """

    def setup(self) -> None:
        """Make the displaced supercells."""
        self.ctx.preprocess_data = generate_displacements(
            self.inputs.structure,
            self.inputs.supercell_matrix,
            self.inputs.parameters,
            metadata={'call_link_label': 'generate_displacements'},
        )
        self.ctx.frames = displaced_frames(
            self.ctx.preprocess_data,
            self.inputs.parameters,
            metadata={'call_link_label': 'displaced_frames'},
        )
        atoms = len(self.ctx.frames.get_frames()[0])
        self.report(f'{self.ctx.frames.n_frames} supercells of {atoms} atoms need forces')

    def run_labeller(self) -> ToContext:
        """Compute the forces of all of them."""
        process, inputs = self.labeller(self.ctx.frames)
        inputs['metadata'] = {**inputs.get('metadata', {}), 'call_link_label': 'forces'}
        node = self.submit(process, **inputs)
        self.report(f'{process.__name__} <{node.pk}> started')
        return ToContext(labelling=node)

    def inspect_labeller(self) -> ExitCode | None:
        """Stop without the forces of every supercell: a single one missing leaves no phonons."""
        node = self.ctx.labelling
        if node.is_finished_ok:
            return None
        return self.exit_codes.ERROR_LABELLING_FAILED.format(cause=cause_of(node))

    def run_force_constants(self) -> ExitCode | None:
        """Turn forces into force constants, and these into modes."""
        constants, node = make_force_constants.run_get_node(
            self.ctx.preprocess_data,
            self.ctx.labelling.outputs.dataset,
            self.inputs.parameters,
            metadata={'call_link_label': 'force_constants'},
        )
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_FORCES_UNUSABLE.format(
                cause=f'<{node.pk}> {node.exit_message}'
            )
        isotopes = {'isotopes': self.inputs.isotopes} if 'isotopes' in self.inputs else {}
        found = analyse_modes(
            constants, self.inputs.parameters, **isotopes, metadata={'call_link_label': 'modes'}
        )
        self.out('force_constants', constants)
        self.out_many({'modes': found['modes'], 'summary': found['summary']})
        return None

    def results(self) -> None:
        """Say what the modes are like."""
        summary = self.outputs['summary'].get_dict()
        lowest, where = summary['min_frequency_per_cm'], summary['min_frequency_q']
        self.report(
            f'lowest frequency {lowest:.1f} 1/cm at q = {np.round(where, 3).tolist()}; '
            f'{summary["n_qpoints"]} q-points on the mesh, {summary["n_exact_qpoints"]} exact ones'
        )
        if summary['imaginary']:
            places = describe(summary['imaginary_points']) or 'none'
            self.report(
                f'WARNING: imaginary modes, {100 * summary["imaginary_share"]:.2g} % of those on '
                f'the mesh; at the points that the supercell has exactly: {places}. The crystal is '
                'unstable, not relaxed, or the potential is wrong here'
            )


class MacePhononsWorkChain(PhononsWorkChain):
    """Phonons with a MACE potential: the forces of all supercells in one engine job."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the potential and how it is evaluated."""
        super().define(spec)
        spec.input('model', valid_type=MaceModelData, help='The potential.')
        spec.expose_inputs(MaceEvaluateCalculation, include=('code',))
        spec.expose_inputs(MaceEvaluateCalculation, 'evaluate', exclude=('code', 'model', 'frames'))
        spec.inputs.validator = validate_inputs  # in the place of the job's, which came with code

    def labeller(self, frames: FramesData) -> tuple[type[Process], dict[str, Any]]:
        """Return the evaluation of the potential on all frames."""
        inputs = self.exposed_inputs(MaceEvaluateCalculation, 'evaluate', agglomerate=False)
        inputs.update(code=self.inputs.code, model=self.inputs.model, frames=frames)
        return MaceEvaluateCalculation, inputs

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        structure: orm.StructureData,
        model: MaceModelData | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param code: Python of the engines environment, as a node or its label.
        :param structure: the crystal; its cell decides supercell and mesh.
        :param model: ``None`` if a workchain that composes this one makes it.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values on top of those of ``protocols/phonons.yaml``, of which this
            workchain uses what is not under ``pw``, and under ``evaluate`` those on top of
            ``protocols/evaluate.yaml``.
        :param options: ``metadata.options`` of the engine job.
        :raises ValueError: listing everything that is wrong with the arguments.
        """
        given = dict(overrides or {})
        evaluate = given.pop('evaluate', {})
        numbers = load_protocol('phonons', protocol, given)
        evaluate = merge({'parameters': numbers['mace']['evaluate']}, evaluate)
        labeller = evaluate_inputs_from_protocol(protocol, evaluate)
        node, found = load_engine_code(code)
        found += structure_problems(structure, require_hydrogen=False)
        if model is not None:
            found += model_problems(model, structure.get_symbols_set(), 'structure')
        if found:
            raise ValueError('\n'.join(found))
        builder = cls.get_builder()
        set_common(builder, structure, numbers, 'mace')
        builder.code = node
        if model is not None:
            builder.model = model
        builder.evaluate.parameters = labeller['parameters']
        builder.evaluate.metadata.options = merge(labeller['metadata']['options'], options or {})
        return builder


class PwPhononsWorkChain(PhononsWorkChain):
    """Phonons with DFT, by default at the zone centre alone, to check a potential against."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare how pw.x labels the supercells."""
        super().define(spec)
        spec.expose_inputs(ReferenceWorkChain, 'reference', exclude=('frames',))

    def labeller(self, frames: FramesData) -> tuple[type[Process], dict[str, Any]]:
        """Return the reference workchain, which must not leave out a single frame here."""
        inputs = self.exposed_inputs(ReferenceWorkChain, 'reference')
        inputs['frames'] = frames
        inputs.setdefault('crystal', self.inputs.structure)
        return ReferenceWorkChain, inputs

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        structure: orm.StructureData,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param code: pw.x, as a node or its label.
        :param structure: the crystal; its cell decides supercell and mesh.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values on top of those of ``protocols/phonons.yaml``, and under
            ``reference`` those on top of ``protocols/reference.yaml``.
        :param options: ``metadata.options`` of every pw.x job.
        :raises ValueError: listing everything that is wrong with the arguments.
        """
        given = dict(overrides or {})
        reference = given.pop('reference', {})
        numbers = load_protocol('phonons', protocol, given)
        # One failed frame leaves no phonons, so none may fail.
        reference = {
            **merge(numbers['pw']['reference'], reference), 'allowed_failure_fraction': 0.0
        }  # fmt: skip
        labeller = ReferenceWorkChain.get_builder_from_protocol(
            code,
            protocol=protocol,
            overrides=reference,
            options=options,
            structure=structure,
        )
        builder = cls.get_builder()
        set_common(builder, structure, numbers, 'pw')
        for name in ReferenceWorkChain.spec().inputs:
            if name not in ('frames', 'metadata') and labeller[name] is not None:
                builder.reference[name] = labeller[name]
        return builder
