"""Comparison of any set of spectra: experiment, DFT, models, each at several pressures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, WorkChain

from aiida_mlip_ins.calculations.functions.measured import compare_with_measurement
from aiida_mlip_ins.calculations.functions.spectra_set import (
    Spectrum,
    compare_changes,
    difference_spectrum,
    entries_of,
    judge_spectra,
)
from aiida_mlip_ins.data.measured import MeasuredSpectrumData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.agreement import AgreementSettings
from aiida_mlip_ins.science.settings import problems
from aiida_mlip_ins.science.spectra_set import plan, set_problems
from aiida_mlip_ins.science.spectra_verdict import SpectraSettings
from aiida_mlip_ins.science.spectrum_peaks import common_window
from aiida_mlip_ins.workflows.protocols import load_protocol


class CompareSpectraWorkChain(WorkChain):
    """Compares spectra by role (experiment, DFT, a model) and by pressure.

    One role is the reference. At each pressure every other role is compared with it; within each
    role the spectrum at the lowest pressure is subtracted from the others, and these changes are
    compared with the reference's; peaks are followed through the pressures. The verdict says in
    words what that amounts to.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.input_namespace(
            'spectra',
            valid_type=(MeasuredSpectrumData, InsSpectrumData),
            dynamic=True,
            help='Spectra (1/cm) under labels of your choice.',
        )
        spec.input(
            'about',
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            default=lambda: orm.Dict({}),
            help='`spectra`: by label the `role` (for a measurement `experiment` unless said) and '
            '`pressure_gpa` (GPa, where the node has none); `reference`: the role that the others '
            'are compared with, if it is neither `experiment` nor `dft`.',
        )
        spec.input(
            'settings',
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            help='How two spectra are compared, see `AgreementSettings` (1/cm).',
        )
        spec.input(
            'parameters',
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            help='How changes are made and what is called good, see `SpectraSettings` (1/cm, GPa).',
        )
        spec.inputs.validator = validate_inputs
        spec.outline(
            cls.setup, cls.run_pairs, cls.run_changes, cls.run_change_pairs, cls.judge, cls.results
        )
        spec.output(
            'metrics',
            valid_type=orm.Dict,
            help='Per pair of spectra and of changes, and per window: R2, Wasserstein distance '
            '(1/cm), similarity, chi-square, scale, background, matched peaks (1/cm).',
        )
        spec.output(
            'table',
            valid_type=orm.Dict,
            help='Per peak of the reference, by role: position (1/cm) at each pressure, shift '
            '(1/cm), shift per GPa (1/cm/GPa), width (1/cm), area.',
        )
        spec.output(
            'verdict', valid_type=orm.Dict, help='`sentences`, and the numbers that they stand on.'
        )
        for name, what in (
            ('overlays', 'reference, scaled spectrum with background, background, errors, mask'),
            ('differences', 'spectrum less that of the same role at the lowest pressure, errors'),
            ('difference_overlays', 'the same of two differences as `overlays` of two spectra'),
        ):
            spec.output_namespace(
                name,
                valid_type=orm.ArrayData,
                dynamic=True,
                required=False,
                help=f'By label of the spectrum, `window_i_...` (edges in 1/cm): {what}.',
            )
        spec.exit_code(
            401, 'ERROR_NOT_COMPARABLE', message='The spectra cannot be compared: {cause}'
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        spectra: Mapping[str, Spectrum],
        roles: Mapping[str, str] | None = None,
        pressures: Mapping[str, float] | None = None,
        reference: str | None = None,
        windows: Sequence[Sequence[float]] = (),
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param spectra: nodes under labels of your choice.
        :param roles: who made each, by label: ``experiment``, ``dft``, name of a model; a
            measurement is ``experiment`` unless another role is given.
        :param pressures: GPa by label, for nodes that have none.
        :param reference: role that the others are compared with; default: ``experiment``, then
            ``dft``.
        :param windows: lower and upper end of each, 1/cm; default: what all spectra cover.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values on top of those of ``protocols/compare_spectra.yaml``.
        :raises ValueError: listing everything that is wrong.
        """
        numbers = load_protocol('compare_spectra', protocol, overrides)
        said: dict[str, dict[str, Any]] = {}
        for name, values in (('role', roles or {}), ('pressure_gpa', pressures or {})):
            for label, value in values.items():
                said.setdefault(label, {})[name] = value
        about: dict[str, Any] = {'spectra': said}
        if reference is not None:
            about['reference'] = reference
        entries, found = entries_of(spectra, about)
        chosen = [[float(end) for end in window] for window in windows]
        if entries and not chosen:
            try:
                chosen = [common_window([entry.spectrum for entry in entries])]
            except ValueError as error:
                found += str(error).splitlines()
        if found:
            raise ValueError('\n'.join(found))
        builder = cls.get_builder()
        builder.spectra = dict(spectra)
        builder.about = orm.Dict(about)
        builder.settings = orm.Dict(numbers['settings'] | {'windows': chosen})
        builder.parameters = orm.Dict(numbers['parameters'])
        return builder

    def setup(self) -> None:
        """Decide what is compared with what."""
        about = self.inputs.about.get_dict()
        entries, _ = entries_of(self.inputs.spectra, about)
        tolerance = self.inputs.parameters['pressure_tolerance']
        self.ctx.plan = plan(entries, about.get('reference'), tolerance)
        self.ctx.metrics = {}
        self.report(
            f'{len(entries)} spectra of {", ".join(self.ctx.plan.roles)}, compared with '
            f'{self.ctx.plan.reference}'
        )

    def run_pairs(self) -> ExitCode | None:
        """Compare the other roles with the reference at each pressure."""
        for pair in self.ctx.plan.pairs:
            label = pair.other.label
            code = self._compare(
                'pair', 'overlays', label, compare_with_measurement,
                self.inputs.spectra[pair.reference.label], self.inputs.spectra[label],
            )  # fmt: skip
            if code is not None:
                return code
        return None

    def run_changes(self) -> ExitCode | None:
        """Subtract the spectrum at the lowest pressure within each role."""
        self.ctx.differences = {}
        for change in self.ctx.plan.changes:
            low, high = (self.inputs.spectra[e.label] for e in (change.low, change.high))
            made, node = difference_spectrum.run_get_node(
                low, high, self.inputs.settings, self.inputs.parameters,
                metadata={'call_link_label': f'difference_{change.high.label}'},
            )  # fmt: skip
            if not node.is_finished_ok:
                return self._failed(change.high.label, node)
            self.ctx.differences[change.high.label] = made
            self.out(f'differences.{change.high.label}', made)
        return None

    def run_change_pairs(self) -> ExitCode | None:
        """Compare the changes of the other roles with those of the reference."""
        for own, other in self.ctx.plan.change_pairs:
            code = self._compare(
                'change', 'difference_overlays', other.high.label, compare_changes,
                self.ctx.differences[own.high.label], self.ctx.differences[other.high.label],
            )  # fmt: skip
            if code is not None:
                return code
        return None

    def judge(self) -> ExitCode | None:
        """Collect the metrics, follow the peaks, and say what it amounts to."""
        nodes = {f'spectrum__{label}': node for label, node in self.inputs.spectra.items()}
        made, node = judge_spectra.run_get_node(
            self.inputs.about,
            self.inputs.settings,
            self.inputs.parameters,
            metadata={'call_link_label': 'judge'},
            **nodes,
            **self.ctx.metrics,
        )
        if not node.is_finished_ok:
            return self._failed('all', node)
        for name in ('metrics', 'table', 'verdict'):
            self.out(name, made[name])
        return None

    def results(self) -> None:
        """Say the verdict."""
        for sentence in self.outputs['verdict']['sentences']:
            self.report(sentence)

    def _compare(
        self, kind: str, output: str, label: str, function: Any, first: orm.Data, second: orm.Data
    ) -> ExitCode | None:
        """Run a calcfunction that compares two nodes, and keep what it makes."""
        made, node = function.run_get_node(
            first, second, self.inputs.settings, metadata={'call_link_label': f'{kind}_{label}'}
        )
        if not node.is_finished_ok:
            return self._failed(label, node)
        self.ctx.metrics[f'{kind}__{label}'] = made['metrics']
        self.out(f'{output}.{label}', made['overlay'])
        return None

    def _failed(self, label: str, node: orm.ProcessNode) -> ExitCode:
        """Return the exit code of a failed step, with its own words as the cause."""
        cause = f'{label}: <{node.pk}> {node.exit_message or node.exception}'
        return self.exit_codes.ERROR_NOT_COMPARABLE.format(cause=cause)


def validate_inputs(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse what could not be compared, all problems at once."""
    if any(name not in value for name in ('spectra', 'about', 'settings', 'parameters')):
        return None
    about, settings, parameters = (
        value[name].get_dict() for name in ('about', 'settings', 'parameters')
    )
    found = problems(AgreementSettings, settings, 'settings')
    found += problems(SpectraSettings, parameters, 'parameters')
    if not value['spectra']:
        found.append('spectra: give at least two to compare')
    usable = not found
    entries, wrong = entries_of(value['spectra'], about)
    found += wrong
    if usable:
        found += set_problems(
            entries, about.get('reference'), settings['windows'], parameters['pressure_tolerance']
        )
    return '\n'.join(found) or None
