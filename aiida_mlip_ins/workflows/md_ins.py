"""INS spectrum of a crystal in motion, and beside it the harmonic one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, if_

from aiida_mlip_ins.calculations.functions.measured import compare_with_measurement
from aiida_mlip_ins.calculations.functions.spectra import broaden_alike, group_intensities
from aiida_mlip_ins.calculations.md_ins import MdInsCalculation, run_problems
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.agreement import shift_sentence
from aiida_mlip_ins.workflows.composition import cause_of
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.md_ins_inputs import (
    harmonic_of,
    harmonic_problems,
    md_ins_numbers,
    md_ins_problems,
    whole_range,
)
from aiida_mlip_ins.workflows.spectrum import SpectrumWorkChain


class MdInsWorkChain(SpectrumWorkChain):
    """Simulates the INS spectrum of one crystal from a trajectory of molecular dynamics.

    Instrument, cross sections, bins and resolution are those of ``InsWorkChain``. Given its
    intensities of the same crystal (``harmonic``), these are broadened alike, and what differs is
    anharmonic: the outputs say by how much peaks have moved.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.expose_inputs(MdInsCalculation, include=('trajectory', 'structure'))
        spec.expose_inputs(MdInsCalculation, 'ins', exclude=('trajectory', 'structure', 'pressure'))
        # fmt: off
        spec.input('harmonic', valid_type=InsSpectrumData, required=False,
                   help='`intensities` of `InsWorkChain` (barn/(1/cm)/cell of `structure`), to '
                        'compare with.')
        spec.input('comparison', valid_type=orm.Dict, required=False, serializer=orm.to_aiida_type,
                   help='How it is compared with them, see `AgreementSettings` (1/cm).')
        spec.inputs.validator = validate
        spec.outline(
            cls.run_ins, cls.inspect_ins, cls.group, cls.broaden, cls.results,
            if_(cls.has_harmonic)(cls.compare),
        )
        spec.output('harmonic', valid_type=InsSpectrumData, required=False,
                    help='The harmonic spectrum with lines as wide as those of `spectrum`: '
                         'barn/(1/cm)/cell.')
        spec.output('metrics', valid_type=orm.Dict, required=False,
                    help='`windows`: the spectrum in motion against the harmonic one: R2, '
                         'Wasserstein distance (1/cm), scale, matched peaks (1/cm).')
        spec.output('overlay', valid_type=orm.ArrayData, required=False,
                    help='What a figure of both shows; `_measured` is the harmonic one.')
        spec.exit_code(404, 'ERROR_NOT_COMPARABLE',
                       message='It cannot be compared with the harmonic spectrum: {cause}')
        # fmt: on

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        trajectory: orm.TrajectoryData,
        structure: orm.StructureData | None = None,
        pressure: float | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        harmonic: InsSpectrumData | None = None,
        windows: Sequence[Sequence[float]] = (),
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param code: Python of the engines environment, as a node or its label.
        :param trajectory: of a supercell, as :class:`MdStabilityWorkChain` makes it; see
            ``md_ins_inputs.trajectory_of``.
        :param structure: the cell of the crystal, that of ``harmonic`` if not given.
        :param pressure: GPa, kept with the spectrum; that of ``harmonic`` if not given.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values on top of those of ``protocols/md_ins.yaml``, and of those of
            ``protocols/ins.yaml`` that a trajectory has a use for.
        :param options: ``metadata.options`` of the job.
        :param harmonic: any output of `InsWorkChain` for the same crystal, to compare with. Its
            settings take the place of those of ``ins.yaml``.
        :param windows: of the comparison, 1/cm; all that both cover if not given.
        :raises ValueError: listing everything that is wrong with the arguments.
        """
        known = None if harmonic is None else harmonic_of(harmonic)
        numbers = md_ins_numbers(protocol, overrides, known)
        node, found = load_engine_code(code)
        wrong = md_ins_problems(numbers)
        settings = None if wrong else numbers['parameters']
        found += wrong
        if structure is None and known is None:
            raise ValueError('\n'.join([*found, 'structure: give it, or a harmonic spectrum']))
        crystal = known.structure if structure is None else structure
        found += run_problems(trajectory, crystal, settings)
        comparison = None
        if known is not None and settings is not None:
            chosen = [[float(end) for end in window] for window in windows]
            chosen = chosen or [whole_range(settings, known.intensities)]
            comparison = orm.Dict({**numbers['comparison'], 'windows': chosen})
            found += harmonic_problems(known.intensities, crystal, settings, comparison)
        if found:
            raise ValueError('\n'.join(found))
        builder = cls.get_builder()
        builder.trajectory = trajectory
        builder.structure = crystal
        builder.ins.code = node
        builder.ins.parameters = orm.Dict(numbers['parameters'])
        if options:
            builder.ins.metadata.options = dict(options)
        if known is not None:
            builder.harmonic = known.intensities
            builder.comparison = comparison
            pressure = known.intensities.pressure_gpa if pressure is None else pressure
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

    def has_harmonic(self) -> bool:
        """Whether there is a harmonic spectrum to compare with."""
        return 'harmonic' in self.inputs

    def compare(self) -> ExitCode | None:
        """Give the harmonic spectrum lines of the same width, and compare the two."""
        grouped = group_intensities(
            self.inputs.harmonic,
            self.inputs.group_by,
            metadata={'call_link_label': 'group_harmonic'},
        )
        harmonic, failure = self.broadened(
            broaden_alike, grouped, 'broaden_harmonic', self.ctx.grouped
        )
        if failure:
            return failure
        self.out('harmonic', harmonic)
        made, node = compare_with_measurement.run_get_node(
            harmonic,
            self.ctx.spectrum,
            self.inputs.comparison,
            metadata={'call_link_label': 'compare'},
        )
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_NOT_COMPARABLE.format(cause=cause_of(node))
        self.out('metrics', made['metrics'])
        self.out('overlay', made['overlay'])
        for row in made['metrics']['windows']:
            self.report(shift_sentence(row, 'harmonic', 'in motion'))
        return None


def validate(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse a trajectory that cannot give the spectrum of the crystal, or of another setting."""
    if 'trajectory' not in value or 'structure' not in value:
        return None
    settings = value.get('ins', {}).get('parameters')
    given = None if settings is None else settings.get_dict()
    found = run_problems(value['trajectory'], value['structure'], given)
    if 'harmonic' in value and given is not None:
        found += harmonic_problems(
            value['harmonic'], value['structure'], given, value.get('comparison')
        )
    return '\n'.join(found) or None
