"""A training that comes to its end: stopped jobs go on, failures are dealt with where one can."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import (
    BaseRestartWorkChain,
    ExitCode,
    ProcessBuilder,
    ProcessHandlerReport,
    ProcessSpec,
    process_handler,
    while_,
)

from aiida_mlip_ins.calculations.base import PROGRESS
from aiida_mlip_ins.calculations.mace_train import MaceTrainCalculation, validate_training
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.science.training_report import parse_log
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.mace_inputs import train_inputs_from_protocol
from aiida_mlip_ins.workflows.protocols import merge

CODES = MaceTrainCalculation.exit_codes
FRUITLESS = 2
"""Jobs in a row that were stopped before they had done a single epoch, after which it ends."""


class MaceTrainWorkChain(BaseRestartWorkChain):
    """Train a potential in one job, or in as many as it takes.

    A job that was stopped (out of wall time, SIGTERM, killed, its node gone) is followed by another
    one that goes on from the beginning of the epoch it was in: the model is the same as without the
    stop. A loss that became NaN is met once with a lower learning rate, from the best checkpoint if
    there is a good one, lack of memory with half the batch (in L-BFGS half its history too),
    stresses that diverged once with more weight on them. A model that is no better than none, or
    than its foundation model, is an end; its outputs are kept, and the exit code says so.
    """

    _process_class = MaceTrainCalculation

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        # fmt: off
        spec.input('dataset', valid_type=DatasetData,
                   help='Labelled frames; the split of each says what it is used for.')
        spec.expose_inputs(MaceTrainCalculation, 'train', exclude=('dataset',))
        spec.inputs['max_iterations'].default = lambda: orm.Int(10)
        spec.input('learning_rate_factor', valid_type=orm.Float, serializer=orm.to_aiida_type,
                   default=lambda: orm.Float(0.2), validator=validate_factor,
                   help='Factor of the learning rates after a loss that became NaN.')
        spec.input('stress_weight_factor', valid_type=orm.Float, serializer=orm.to_aiida_type,
                   default=lambda: orm.Float(10.0), validator=validate_weight_factor,
                   help='Factor of the weights of stresses after these have diverged.')
        spec.inputs.validator = validate
        spec.outline(
            cls.setup,
            while_(cls.should_run_process)(
                cls.run_process,
                cls.inspect_process,
            ),
            cls.results,
        )
        spec.expose_outputs(MaceTrainCalculation)
        spec.output('history', valid_type=orm.Dict,
                    help='`attempts`: of each job what it ended with, how many epochs were done, '
                         'and what was changed for the next one.')
        for status, name, message in (
            (410, 'NAN_LOSS', 'A lower learning rate did not help: '),
            (413, 'TRAINING_FAILED', 'No other job can cure this: '),
            (414, 'OUT_OF_MEMORY', 'With one frame at a time: '),
            (415, 'NO_PROGRESS', 'Jobs were stopped before they had done a single epoch: '),
            (420, 'NO_IMPROVEMENT', ''),
            (421, 'WORSE_THAN_FOUNDATION', ''),
            (422, 'STRESS_DIVERGED', 'More weight on them did not help, or there is none: '),
        ):
            spec.exit_code(status, f'ERROR_{name}', message=f'{message}{{cause}}')
        # fmt: on

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        dataset: DatasetData | None,
        foundation: MaceModelData | None = None,
        replay: DatasetData | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param code: Python of the engines environment, as a node or its label.
        :param dataset: labelled frames; ``None`` to put them in later.
        :param foundation: model to start from.
        :param replay: frames with labels of the foundation model that are not to be forgotten.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values on top of those of ``protocols/train.yaml``.
        :param options: ``metadata.options`` of the jobs, on top of those of the protocol.
        :raises ValueError: listing every problem of the arguments.
        """
        node, found = load_engine_code(code)
        numbers: dict[str, Any] = {}
        try:
            numbers = train_inputs_from_protocol(protocol, overrides)
        except ValueError as error:
            found += str(error).splitlines()
        if found:
            raise ValueError('\n'.join(found))
        builder = cls.get_builder()
        builder.train.code = node
        builder.train.parameters = numbers['parameters']
        builder.train.metadata.options = merge(numbers['metadata']['options'], options or {})
        if dataset is not None:
            builder.dataset = dataset
        for name, given in (('foundation', foundation), ('replay', replay)):
            if given is not None:
                builder.train[name] = given
        return builder

    def setup(self) -> None:
        """Begin with the inputs as they are."""
        super().setup()
        self.ctx.inputs = self.exposed_inputs(MaceTrainCalculation, 'train', agglomerate=False)
        self.ctx.inputs.dataset = self.inputs.dataset
        self.ctx.attempts = []
        self.ctx.lowered = False
        self.ctx.weighted = False
        self.ctx.fruitless = 0

    def inspect_process(self) -> ExitCode | None:
        """Let the handlers decide; what there is at a bad end is attached too."""
        node = self.ctx.children[self.ctx.iteration - 1]
        self.ctx.attempts.append(
            {
                'job': node.uuid,
                'exit_status': node.exit_status,
                'ended': node.exit_message or node.process_state.value,
                'epochs': epochs_done(node),
                'action': 'none',
                'changed': {},
            }
        )
        code = super().inspect_process()
        if code is not None and code.status:
            self._attach_outputs(node)
        return code

    def get_outputs(self, node: orm.CalcJobNode) -> Mapping[str, orm.Node]:
        """Return the outputs of the last job, and what it took to get there."""
        history = orm.Dict({'attempts': self.ctx.attempts}).store()
        return {**super().get_outputs(node), 'history': history}

    @process_handler(
        priority=500, exit_codes=[CODES.ERROR_OUT_OF_MEMORY, CODES.ERROR_SCHEDULER_OUT_OF_MEMORY]
    )
    def handle_out_of_memory(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Go on with half as many frames at once, in L-BFGS with half its history too."""
        names = ['batch_size', 'valid_batch_size']
        start = self._setting('lbfgs_start')
        if start is not None and epochs_done(node)[1] >= start:
            names.append('lbfgs_history')
        before = {name: self._setting(name) for name in names}
        after = {name: max(1, size // 2) for name, size in before.items()}
        if after == before:
            return self._end(self.exit_codes.ERROR_OUT_OF_MEMORY, node)
        return self._go_on(node, 'half of what takes memory', after)

    @process_handler(
        priority=400,
        exit_codes=[
            CODES.ERROR_OUT_OF_WALLTIME,
            CODES.ERROR_INTERRUPTED,
            CODES.ERROR_OUTPUT_MISSING,
            CODES.ERROR_SCHEDULER_OUT_OF_WALLTIME,
            CODES.ERROR_SCHEDULER_NODE_FAILURE,
        ],
    )
    def handle_interruption(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Go on where the job was stopped."""
        first, last = epochs_done(node)
        self.ctx.fruitless = 0 if last > first else self.ctx.fruitless + 1
        if self.ctx.fruitless >= FRUITLESS:
            return self._end(self.exit_codes.ERROR_NO_PROGRESS, node)
        before = 'go on as this job did' if 'restart' in self.ctx.inputs else 'begin again'
        return self._go_on(node, f'go on after {last} epochs' if last > first else before, {})

    @process_handler(priority=300, exit_codes=CODES.ERROR_NAN_LOSS)
    def handle_nan(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Try once with lower learning rates, from the best checkpoint if there is a good one."""
        if self.ctx.lowered:
            return self._end(self.exit_codes.ERROR_NAN_LOSS, node)
        self.ctx.lowered = True
        rates = {name: self._setting(name) for name in ('learning_rate', 'stage_two_learning_rate')}
        factor = self.inputs.learning_rate_factor.value
        lower = {name: rate * factor for name, rate in rates.items() if rate is not None}
        return self._go_on(node, 'a lower learning rate', lower)

    @process_handler(priority=300, exit_codes=CODES.ERROR_STRESS_DIVERGED)
    def handle_stress(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Try once from the beginning with more weight on the stresses."""
        weights = {n: self._setting(n) for n in ('stress_weight', 'stage_two_stress_weight')}
        factor = self.inputs.stress_weight_factor.value
        more = {name: weight * factor for name, weight in weights.items() if weight}
        if self.ctx.weighted or not more:
            return self._end(self.exit_codes.ERROR_STRESS_DIVERGED, node)
        self.ctx.weighted = True
        return self._go_on(node, 'anew with more weight on stresses', more, anew=True)

    @process_handler(priority=200, exit_codes=CODES.ERROR_NO_IMPROVEMENT)
    def handle_no_improvement(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """End: the same again would be as bad."""
        return self._end(self.exit_codes.ERROR_NO_IMPROVEMENT, node)

    @process_handler(priority=200, exit_codes=CODES.ERROR_WORSE_THAN_FOUNDATION)
    def handle_worse_than_foundation(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """End: the foundation model is the better one."""
        return self._end(self.exit_codes.ERROR_WORSE_THAN_FOUNDATION, node)

    @process_handler(priority=100)
    def handle_other_failures(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """End: wrong inputs, or failures of mace that would come again."""
        if node.is_finished_ok:
            return None
        return self._end(self.exit_codes.ERROR_TRAINING_FAILED, node)

    def _setting(self, name: str) -> Any:
        return self.ctx.inputs.parameters.get_dict().get(name)

    def _go_on(
        self, node: orm.CalcJobNode, action: str, settings: Mapping[str, Any], anew: bool = False
    ) -> ProcessHandlerReport:
        """Have another job, with other settings, take up what this one left, or begin anew."""
        first, last = epochs_done(node)
        # What stopped at once has less in its folder than what it was to go on from.
        if anew:
            self.ctx.inputs.pop('restart', None)
        elif last > first and 'remote_folder' in node.outputs:
            self.ctx.inputs.restart = node.outputs.remote_folder
        if settings:
            values = self.ctx.inputs.parameters.get_dict()
            changed = {name: [values[name], value] for name, value in settings.items()}
            self.ctx.inputs.parameters = orm.Dict({**values, **settings})
            self.ctx.attempts[-1]['changed'] = changed
            words = [f'{name} {old:g} -> {new:g}' for name, (old, new) in changed.items()]
            action = f'{action}: {", ".join(words)}'
        self._report(node, action)
        return ProcessHandlerReport(do_break=True)

    def _end(self, code: ExitCode, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """End with an exit code."""
        # The base class would otherwise blame the number of jobs, where this was the last allowed.
        self.ctx.is_finished = True
        self._report(node, 'end')
        cause = f'<{node.pk}> {node.exit_message}'
        return ProcessHandlerReport(do_break=True, exit_code=code.format(cause=cause))

    def _report(self, node: orm.CalcJobNode, action: str) -> None:
        self.ctx.attempts[-1]['action'] = action
        self.report(f'<{node.pk}> [{node.exit_status}] {node.exit_message}; {action}')


def epochs_done(node: orm.CalcJobNode) -> tuple[int, int]:
    """Return how many epochs of the training were done before a job, and after it."""
    retrieved = node.outputs.retrieved if 'retrieved' in node.outputs else None
    if retrieved is None or PROGRESS not in retrieved.base.repository.list_object_names():
        return 0, 0
    lines = parse_log(retrieved.base.repository.get_object_content(PROGRESS))
    done = [line['done'] for line in lines if line['stage'] == 'train']
    return (done[0], done[-1]) if done else (0, 0)


def validate_factor(value: orm.Float, _: Any) -> str | None:
    """Refuse a factor that does not lower the learning rate."""
    if not 0.0 < value.value < 1.0:
        return f'learning_rate_factor: expected a number between 0 and 1, got {value.value}'
    return None


def validate_weight_factor(value: orm.Float, _: Any) -> str | None:
    """Refuse a factor that does not raise the weight."""
    if not 1.0 < value.value < math.inf:
        return f'stress_weight_factor: expected a number above 1, got {value.value}'
    return None


def validate(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse what the job would refuse."""
    if 'dataset' not in value or 'train' not in value:
        return None
    return validate_training({**value['train'], 'dataset': value['dataset']}, None)
