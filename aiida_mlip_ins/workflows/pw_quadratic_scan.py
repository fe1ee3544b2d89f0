"""A crystal relaxed at each of a list of pressures by single points of pw.x."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, WorkChain, while_

from aiida_mlip_ins.calculations.functions.relaxation import (
    collect_relaxation,
    first_relaxation_frames,
    next_relaxation_frames,
)
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.structure import structure_problems
from aiida_mlip_ins.science.relaxation import RelaxationSettings
from aiida_mlip_ins.science.settings import problems
from aiida_mlip_ins.science.structure import pressure_problems
from aiida_mlip_ins.science.text import shortened
from aiida_mlip_ins.workflows.composition import cause_of
from aiida_mlip_ins.workflows.frame_inputs import frame_contact_problems
from aiida_mlip_ins.workflows.pressures import define_scan, gpa
from aiida_mlip_ins.workflows.protocols import load_protocol
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain


def validate_settings(value: orm.Dict, _: Any) -> str | None:
    """Refuse settings that are unknown, missing or out of range."""
    return '\n'.join(problems(RelaxationSettings, value.get_dict(), 'relaxation')) or None


class PwQuadraticScanWorkChain(WorkChain):
    """Relaxes cell and positions at all pressures together, the space group kept.

    The totally symmetric strains and displacements are few in a crystal of high symmetry. A
    quadratic model of the energy in them, fitted to all single points so far, says where the
    enthalpy at each pressure is least; these cells are computed next, until forces and stress are
    those of a relaxed crystal. Every frame is labelled with the plane waves of its own cell, so all
    are training data. For crystals with many free coordinates use ``PwPressureScanWorkChain``.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        define_scan(spec)
        spec.input(
            'relaxation',
            valid_type=orm.Dict,
            validator=validate_settings,
            help='Settings, see `RelaxationSettings`.',
        )
        spec.expose_inputs(ReferenceWorkChain, 'reference', exclude=('frames',))
        spec.outline(
            cls.setup,
            while_(cls.has_frames)(
                cls.run_reference,
                cls.inspect_reference,
            ),
            cls.results,
        )
        spec.output(
            'dataset',
            valid_type=DatasetData,
            required=False,
            help='All single points: eV, eV/angstrom, eV/angstrom^3.',
        )
        spec.exit_code(401, 'ERROR_REFERENCE_FAILED', message='A single point failed: {cause}')
        spec.exit_code(
            403,
            'ERROR_NOT_CONVERGED',
            message='Not relaxed at {pressures} after the allowed number of rounds; the '
            'last cells are in the outputs.',
        )
        spec.exit_code(
            404,
            'ERROR_UNREASONABLE_CELL',
            message='The fit asks for a cell in which atoms overlap ({cause}): start from a better '
            'structure, or relax with PwPressureScanWorkChain.',
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        structure: orm.StructureData,
        pressures: list[float],
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param code: pw.x, as a node or its label.
        :param structure: crystal to start from.
        :param pressures: in GPa, ascending.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values on top of those of ``protocols/pw_quadratic_scan.yaml``, and under
            ``reference`` those on top of ``protocols/reference.yaml``.
        :param options: ``metadata.options`` of every pw.x job (``resources``, ``withmpi``, ...).
        :raises ValueError: listing everything that is wrong with the arguments.
        """
        given = dict(overrides or {})
        reference_overrides = given.pop('reference', {})
        numbers = load_protocol('pw_quadratic_scan', protocol, given)
        found = structure_problems(structure, require_hydrogen=False)
        found += pressure_problems(pressures)
        if found:
            raise ValueError('\n'.join(found))
        builder = cls.get_builder()
        reference = ReferenceWorkChain.get_builder_from_protocol(
            code, None, protocol, reference_overrides, options, structure
        )
        builder.reference = reference._inputs(prune=True)
        builder.structure = structure
        builder.pressures = orm.List([float(pressure) for pressure in pressures])
        builder.relaxation = orm.Dict(numbers['relaxation'])
        return builder

    def setup(self) -> None:
        """Make the frames of the first round."""
        self.ctx.datasets = {}
        self.ctx.limit = 1 + self.inputs.relaxation['max_rounds']
        self.ctx.frames = first_relaxation_frames(self.inputs.structure, self.inputs.relaxation)
        self.report(f'first round: {self.ctx.frames.n_frames} frames')

    def has_frames(self) -> bool:
        """Whether another round is needed and allowed."""
        return self.ctx.frames is not None and len(self.ctx.datasets) < self.ctx.limit

    def run_reference(self) -> ToContext | ExitCode:
        """Label the frames of the round."""
        problems = frame_contact_problems(self.ctx.frames)
        if problems:
            self._attach()
            return self.exit_codes.ERROR_UNREASONABLE_CELL.format(cause=shortened(problems))
        inputs = self.exposed_inputs(ReferenceWorkChain, 'reference')
        inputs['frames'] = self.ctx.frames
        inputs.setdefault('crystal', self.inputs.structure)
        # Every frame of a round is needed for the next.
        inputs['allowed_failure_fraction'] = orm.Float(0.0)
        inputs['metadata'] = {'call_link_label': f'round_{len(self.ctx.datasets)}'}
        return ToContext(reference=self.submit(ReferenceWorkChain, **inputs))

    def inspect_reference(self) -> ExitCode | None:
        """Take the labels and choose the frames of the next round."""
        node = self.ctx.reference
        if not node.is_finished_ok:
            cause = cause_of(node)
            self._attach()
            return self.exit_codes.ERROR_REFERENCE_FAILED.format(cause=cause)
        self.ctx.datasets[f'round_{len(self.ctx.datasets)}'] = node.outputs.dataset
        chosen = next_relaxation_frames(
            self.inputs.structure,
            self.inputs.pressures,
            self.inputs.relaxation,
            **self.ctx.datasets,
        )
        self.ctx.frames = chosen.get('frames')
        count = self.ctx.frames.n_frames if self.ctx.frames else 0
        self.report(f'{count} of {len(self.inputs.pressures.get_list())} pressures to go on with')
        return None

    def results(self) -> ExitCode | None:
        """Attach the relaxed crystals and the table, then judge them."""
        rows = self._attach()
        for row in rows:
            self.report(f'{row["pressure_gpa"]:g} GPa: {row["volume_angstrom3"]:.3f} angstrom^3')
        missing = [row['pressure_gpa'] for row in rows if not row['converged']]
        if missing:
            return self.exit_codes.ERROR_NOT_CONVERGED.format(pressures=gpa(missing))
        return None

    def _attach(self) -> list[dict[str, Any]]:
        """Attach what there is and return the rows of the table."""
        if not self.ctx.datasets:
            return []
        collected = collect_relaxation(
            self.inputs.structure,
            self.inputs.pressures,
            self.inputs.relaxation,
            **self.ctx.datasets,
        )
        self.out('results', collected['results'])
        self.out('dataset', collected['dataset'])
        for key, node in collected.items():
            if key.startswith('pressure_'):
                self.out(f'structures.{key}', node)
        return collected['results']['pressures']
