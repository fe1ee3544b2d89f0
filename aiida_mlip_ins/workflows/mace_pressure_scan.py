"""The relaxed crystal at each pressure, from a MACE model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, WorkChain, if_

from aiida_mlip_ins.calculations.functions.eos import equation_of_state
from aiida_mlip_ins.calculations.mace_relax import MaceRelaxCalculation, validate_elements
from aiida_mlip_ins.data.model import MaceModelData, model_problems
from aiida_mlip_ins.data.structure import structure_problems
from aiida_mlip_ins.science.eos import MINIMUM_POINTS
from aiida_mlip_ins.science.settings import problems
from aiida_mlip_ins.science.structure import pressure_problems
from aiida_mlip_ins.science.training import RelaxSettings
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.protocols import load_protocol, merge


class MacePressureScanWorkChain(WorkChain):
    """Relax a crystal at all pressures in one engine job, and fit an equation of state.

    Pressures that were relaxed are outputs also where another one failed.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        spec.expose_inputs(MaceRelaxCalculation, include=('model', 'structure', 'pressures'))
        spec.expose_inputs(
            MaceRelaxCalculation, 'relax', exclude=('model', 'structure', 'pressures')
        )
        spec.inputs.validator = validate_elements
        spec.outline(
            cls.setup,
            cls.run_relax,
            cls.inspect_relax,
            if_(cls.has_points)(cls.run_equation_of_state),
        )
        spec.expose_outputs(MaceRelaxCalculation, exclude=('remote_folder', 'retrieved'))
        spec.output(
            'equation_of_state',
            valid_type=orm.Dict,
            required=False,
            help='Volume at no pressure (angstrom^3), bulk modulus (GPa) and its derivative, with '
            f'their errors; from {MINIMUM_POINTS} pressures on.',
        )
        spec.exit_code(401, 'ERROR_RELAX_FAILED',
                       message='The relaxation failed: {cause}')  # fmt: skip
        spec.exit_code(402, 'ERROR_SOME_PRESSURES_FAILED',
                       message='Not all pressures could be relaxed: {cause}')  # fmt: skip

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        structure: orm.StructureData,
        model: MaceModelData | None,
        pressures: Sequence[float],
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param code: Python of the engines environment, as a node or its label.
        :param structure: the crystal.
        :param model: the potential; ``None`` to put it in later.
        :param pressures: in GPa, ascending.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values that replace the protocol's (keys as in the YAML file).
        :param options: ``metadata.options`` of the job, on top of those of the protocol.
        :raises ValueError: listing every problem of code, protocol, overrides, settings, pressures
            and crystal.
        """
        numbers = load_protocol('mace_pressure_scan', protocol, overrides)
        parameters = numbers['relax']['parameters']
        node, found = load_engine_code(code)
        found += pressure_problems(list(pressures))
        found += problems(RelaxSettings, parameters, 'relax.parameters')
        found += structure_problems(structure, require_hydrogen=False)
        if model is not None:
            found += model_problems(model, structure.get_symbols_set())
        if found:
            raise ValueError('\n'.join(found))
        builder = cls.get_builder()
        builder.structure = structure
        if model is not None:
            builder.model = model
        builder.pressures = orm.List([float(pressure) for pressure in pressures])
        builder.relax.code = node
        builder.relax.parameters = orm.Dict(parameters)
        builder.relax.metadata.options = merge(numbers['relax']['options'], options or {})
        return builder

    def setup(self) -> None:
        """Say what is going to be done."""
        pressures = self.inputs.pressures.get_list()
        self.report(f'relaxing at {pressures} GPa with the model <{self.inputs.model.pk}>')

    def run_relax(self) -> ToContext:
        """Start the job that relaxes at all pressures."""
        inputs = self.exposed_inputs(MaceRelaxCalculation, 'relax')
        inputs['metadata']['call_link_label'] = 'relax'
        node = self.submit(MaceRelaxCalculation, **inputs)
        self.report(f'relaxation <{node.pk}> started')
        return ToContext(relax=node)

    def inspect_relax(self) -> ExitCode | None:
        """Take what was relaxed; pressures that failed end the chain, and the rest is kept."""
        node = self.ctx.relax
        self.out_many(self.exposed_outputs(node, MaceRelaxCalculation))
        if node.is_finished_ok:
            rows = node.outputs.results['pressures']
            volumes = ', '.join(f'{row["volume_angstrom3"]:.3f}' for row in rows)
            self.report(f'all {len(rows)} pressures relaxed, volumes {volumes} angstrom^3')
            return None
        cause = f'relaxation <{node.pk}> [{node.exit_status}] {node.exit_message or node.exception}'
        self.report(cause)
        if 'results' in node.outputs:
            return self.exit_codes.ERROR_SOME_PRESSURES_FAILED.format(cause=cause)
        return self.exit_codes.ERROR_RELAX_FAILED.format(cause=cause)

    def has_points(self) -> bool:
        """Whether there are pressures enough for an equation of state."""
        return len(self.inputs.pressures.get_list()) >= MINIMUM_POINTS

    def run_equation_of_state(self) -> None:
        """Fit the equation of state."""
        fitted = equation_of_state(self.ctx.relax.outputs.results)
        self.out('equation_of_state', fitted)
        if 'problem' in fitted.get_dict():
            self.report(f'no equation of state: {fitted["problem"]}')
        else:
            self.report(f'bulk modulus {fitted["bulk_modulus_gpa"]:.1f} GPa')


def relaxed_indices(scan: orm.WorkChainNode, pressures: Sequence[float]) -> list[int]:
    """Return the places of the pressures (GPa) at which a scan relaxed the crystal as was asked."""
    rows = scan.outputs.results['pressures'] if 'results' in scan.outputs else []
    relaxed = {
        row['pressure_gpa']
        for row in rows
        if row['converged'] and (scan.is_finished_ok or row.get('symmetry_kept', True))
    }
    return [index for index, pressure in enumerate(pressures) if pressure in relaxed]
