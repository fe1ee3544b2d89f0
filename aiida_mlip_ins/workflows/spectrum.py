"""What the simulations of INS spectra have in common: sums and resolution of intensities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, WorkChain

from aiida_mlip_ins.calculations.functions.spectra import broaden_spectrum, group_intensities
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.broadening import IDEAL
from aiida_mlip_ins.science.ins import KEYS
from aiida_mlip_ins.workflows.composition import cause_of
from aiida_mlip_ins.workflows.ins_inputs import validate_group_by, validate_resolution


class SpectrumWorkChain(WorkChain):
    """Intensities of an engine job, summed and broadened.

    A subclass puts the job into ``ctx.ins`` and counts its jobs in ``ctx.round``.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare what all simulations share."""
        super().define(spec)
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
            403, 'ERROR_BROADENING_FAILED', message='Grouping or broadening failed: {cause}'
        )

    @classmethod
    def _set_common(
        cls, builder: ProcessBuilder, numbers: Mapping[str, Any], pressure: float | None
    ) -> None:
        """Set what all simulations share.

        :param numbers: of the protocol, with ``group_by`` and ``resolution``.
        :param pressure: GPa.
        """
        if pressure is not None:
            builder.pressure = orm.Float(pressure)
        builder.group_by = orm.List(numbers['group_by'])
        builder.resolution = orm.Dict(numbers['resolution'])

    def inspect_ins(self) -> ExitCode | None:
        """Stop without intensities."""
        node = self.ctx.ins
        if node.is_finished_ok:
            return None
        if 'results' in node.outputs:
            self.out('results', node.outputs.results)
        code: ExitCode = getattr(self.exit_codes, self.error_of(node))
        return code.format(cause=cause_of(node))

    def error_of(self, node: orm.ProcessNode) -> str:
        """Return the label of the exit code of a job that failed."""
        return 'ERROR_INS_FAILED'

    def group(self) -> None:
        """Sum the intensities by what the rows are to tell apart."""
        self.ctx.grouped = group_intensities(
            self.ctx.ins.outputs.intensities,
            self.inputs.group_by,
            metadata={'call_link_label': f'group_{self.ctx.round}'},
        )

    def broaden(self) -> ExitCode | None:
        """Apply the resolution."""
        self.ctx.spectrum, failure = self.broadened(
            broaden_spectrum, self.ctx.grouped, f'broaden_{self.ctx.round}'
        )
        return failure

    def broadened(
        self, function: Any, node: orm.Data, label: str, *others: orm.Data
    ) -> tuple[orm.Data | None, ExitCode | None]:
        """Return the broadened node, or the exit code of what refused it.

        :param others: what the function takes after node and resolution.
        """
        made, process = function.run_get_node(
            node, self.inputs.resolution, *others, metadata={'call_link_label': label}
        )
        if process.is_finished_ok:
            return made, None
        cause = f'<{process.pk}> {process.exit_message}'
        return None, self.exit_codes.ERROR_BROADENING_FAILED.format(cause=cause)

    def hand_out(self) -> dict[str, Any]:
        """Hand out the nodes of the last job, and return the numbers of its results."""
        outputs = self.ctx.ins.outputs
        self.out('intensities', outputs.intensities)
        self.out('grouped', self.ctx.grouped)
        self.out('spectrum', self.ctx.spectrum)
        self.out('results', outputs.results)
        numbers: dict[str, Any] = outputs.results.get_dict()
        for remark in numbers.get('remarks', []):
            self.report(remark)
        own, seen = self.ctx.spectrum.instrument, self.inputs.resolution['instrument']
        if seen not in (own, IDEAL):
            self.report(f'WARNING: the intensities are those of {own}, the widths those of {seen}')
        return numbers
