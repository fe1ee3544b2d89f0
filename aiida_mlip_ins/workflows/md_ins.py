"""INS spectrum of a crystal in motion, to be put beside the harmonic one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec, ToContext

from aiida_mlip_ins.calculations.md_ins import MdInsCalculation, run_problems
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.ins_inputs import md_ins_numbers, md_ins_problems
from aiida_mlip_ins.workflows.spectrum import SpectrumWorkChain


class MdInsWorkChain(SpectrumWorkChain):
    """Simulates the INS spectrum of one crystal from a trajectory of molecular dynamics.

    Instrument, cross sections, bins and resolution are those of ``InsWorkChain``, whose spectrum of
    the same crystal shows what is anharmonic by the difference.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.expose_inputs(MdInsCalculation, include=('trajectory', 'structure'))
        spec.expose_inputs(MdInsCalculation, 'ins', exclude=('trajectory', 'structure', 'pressure'))
        spec.inputs.validator = validate
        spec.outline(cls.run_ins, cls.inspect_ins, cls.group, cls.broaden, cls.results)

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        trajectory: orm.TrajectoryData,
        structure: orm.StructureData,
        pressure: float | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param code: Python of the engines environment, as a node or its label.
        :param trajectory: of a supercell, as :class:`MdStabilityWorkChain` makes it.
        :param structure: the cell of the crystal, as the harmonic spectrum has it.
        :param pressure: GPa, kept with the spectrum.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values on top of those of ``protocols/md_ins.yaml``, and of those of
            ``protocols/ins.yaml`` that a trajectory has a use for.
        :param options: ``metadata.options`` of the job.
        :raises ValueError: listing everything that is wrong with the arguments.
        """
        numbers = md_ins_numbers(protocol, overrides)
        node, found = load_engine_code(code)
        wrong = md_ins_problems(numbers)
        settings = None if wrong else numbers['parameters']
        found += wrong + run_problems(trajectory, structure, settings)
        if found:
            raise ValueError('\n'.join(found))
        builder = cls.get_builder()
        builder.trajectory = trajectory
        builder.structure = structure
        builder.ins.code = node
        builder.ins.parameters = orm.Dict(numbers['parameters'])
        if options:
            builder.ins.metadata.options = dict(options)
        cls._set_common(builder, numbers, pressure)
        return builder

    def run_ins(self) -> ToContext:
        """Simulate the intensities."""
        self.ctx.round = 0
        inputs = self.exposed_inputs(MdInsCalculation, 'ins')
        if 'pressure' in self.inputs:
            inputs['pressure'] = self.inputs.pressure
        inputs['metadata']['call_link_label'] = 'ins_0'
        node = self.submit(MdInsCalculation, **inputs)
        self.report(f'INS simulation <{node.pk}> of the trajectory started')
        return ToContext(ins=node)

    def results(self) -> None:
        """Hand out the nodes, and say what there is."""
        self.hand_out()
        spectrum = self.outputs['spectrum']
        wider = spectrum.resolution['share_of_bins_with_wider_lines']
        if wider:
            self.report(
                f'lines of {spectrum.line_width:g} 1/cm are wider than the resolution in '
                f'{100 * wider:.0f} % of the spectrum: a longer run could have narrower ones'
            )
        self.report(f'spectrum <{spectrum.pk}>')


def validate(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse a trajectory that cannot give the spectrum of the crystal."""
    if 'trajectory' not in value or 'structure' not in value:
        return None
    settings = value.get('ins', {}).get('parameters')
    given = None if settings is None else settings.get_dict()
    return '\n'.join(run_problems(value['trajectory'], value['structure'], given)) or None
