"""Active learning: rounds of training and labelling until the target or the budget is reached."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext, if_, while_

from aiida_mlip_ins.calculations.functions.active import collect_rounds, guessed_cells
from aiida_mlip_ins.calculations.functions.frames import targeted_configurations
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.science.sampling import first_problems
from aiida_mlip_ins.workflows import active_inputs
from aiida_mlip_ins.workflows.active_ports import OF_THE_ROUND
from aiida_mlip_ins.workflows.active_round import ActiveLearningRoundWorkChain
from aiida_mlip_ins.workflows.composition import Composition, cause_of
from aiida_mlip_ins.workflows.lanes import outputs_in
from aiida_mlip_ins.workflows.pressures import define_scan, pressure_key
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain

REACHED, SPENT, STOPPED = 'target reached', 'budget used up', 'stopped as asked'
"""Why there are no more rounds, where nothing failed."""


class ActiveLearningWorkChain(Composition):
    """Label the frames that a committee of potentials disagrees on, round by round.

    Each round (:class:`ActiveLearningRoundWorkChain`) trains a committee on all frames there are,
    from scratch or from the given foundation model. Its errors on the frames that it chose, taken
    before it is trained on them, are those of frames it has never seen, and which it finds hardest.
    Where the targets are reached, the potentials of that round are the outputs; the frames that
    showed it are in `dataset` for another training. Where the budget is used up, a last committee
    is trained on all frames, and nothing is labelled.

    What the rounds made is in the outputs also when one of them fails. ``dataset`` and ``rounds``
    (as `history`) are what another run goes on from.
    """

    get_builder_from_protocol = classmethod(active_inputs.get_builder)

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        # fmt: off
        spec.expose_inputs(ActiveLearningRoundWorkChain, exclude=OF_THE_ROUND)
        define_scan(spec)
        spec.input('dataset', valid_type=DatasetData, required=False,
                   help='Labelled frames to start from; without it the first ones are made as '
                        '`first` says, and labelled.')
        spec.input('first', valid_type=orm.Dict, validator=validate_first,
                   help='Guessed cells, and the first frames, see `FirstSettings`.')
        spec.input_namespace('cells', valid_type=orm.StructureData, dynamic=True, required=False,
                             help='`pressure_i`: cell (angstrom) to make candidates around where '
                                  'the potential has none; guessed if not given.')
        spec.input('history', valid_type=orm.Dict, required=False,
                   help='`rounds` of an earlier run, which this one goes on from.')
        spec.input('stop_after_round', valid_type=orm.Int, required=False,
                   serializer=orm.to_aiida_type,
                   help='Number of the round (from 0) after which to stop.')
        spec.inputs.validator = active_inputs.input_problems
        spec.outline(
            cls.setup,
            if_(cls.needs_frames)(
                cls.run_first_labels,
                cls.inspect_first_labels,
            ),
            while_(cls.has_round)(
                cls.run_round,
                cls.inspect_round,
            ),
            cls.results,
        )
        spec.expose_outputs(ActiveLearningRoundWorkChain,
                            include=('models', 'model', 'dataset'))
        spec.output('rounds', valid_type=orm.Dict, required=False,
                    help='`rounds`: a row for each (see `round_row`), those of the history first; '
                         '`ended`: why there are no more; `units`.')
        spec.exit_code(401, 'ERROR_FIRST_FRAMES_FAILED',
                       message='The first frames could not be made: {cause}')
        spec.exit_code(402, 'ERROR_REFERENCE_FAILED',
                       message='The first frames were not all labelled, the others are kept: '
                               '{cause}')
        spec.exit_code(403, 'ERROR_ROUND_FAILED',
                       message='Round {number} failed, what there is is kept: {cause}')
        spec.exit_code(710, 'WARNING_TARGET_NOT_REACHED',
                       message='The budget is used up, all outputs are there, but: {cause}')
        # fmt: on

    def setup(self) -> None:
        """Begin with the dataset and the cells that there are."""
        self.ctx.missing = []
        self.ctx.rows = {}
        self.ctx.last = None
        self.ctx.ended = None
        self.ctx.number = active_inputs.next_round(self.inputs.get('history'))
        self.ctx.pressures = self.inputs.pressures.get_list()
        self.ctx.around = dict(self.inputs.get('cells') or {}) or guessed_cells(
            self.inputs.structure,
            self.inputs.pressures,
            self.inputs.first,
            metadata={'call_link_label': 'guess'},
        )
        keys = [pressure_key(index) for index in range(len(self.ctx.pressures))]
        self.ctx.cells = {key: self.ctx.around[key] for key in keys}
        # Potentials may end anywhere, so no round begins with the cells of the one before.
        self.ctx.start = self.ctx.cells[keys[0]]
        self.ctx.dataset = self.inputs.get('dataset')

    def needs_frames(self) -> bool:
        """Whether there is no dataset to start from."""
        return self.ctx.dataset is None

    def run_first_labels(self) -> ToContext | ExitCode:
        """Make the first frames around the given or guessed cells, and label them."""
        frames, node = targeted_configurations.run_get_node(
            settings=orm.Dict(active_inputs.first_splits(self.inputs)),
            seed=self.inputs.seed,
            pressures=orm.List(active_inputs.knots(self.inputs)),
            metadata={'call_link_label': 'first_frames'},
            **self.ctx.around,
        )
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_FIRST_FRAMES_FAILED.format(cause=node.exit_message)
        self.report(f'{frames.n_frames} first frames to be labelled')
        inputs = dict(self.exposed_inputs(ActiveLearningRoundWorkChain)['reference'])
        inputs = {'crystal': self.inputs.structure, **inputs, 'frames': frames}
        return self._submit('first_labels', ReferenceWorkChain, inputs)

    def inspect_first_labels(self) -> ExitCode | None:
        """Take the first frames; too many failed ones are an end."""
        node = self.ctx.first_labels
        if 'dataset' in node.outputs:
            self.ctx.dataset = node.outputs.dataset
        failure = self._failure(node, 'REFERENCE')
        if failure is not None:
            self._attach('first frames failed')
        return failure

    def has_round(self) -> bool:
        """Whether another round is to be done."""
        return self.ctx.ended is None

    def run_round(self) -> ToContext:
        """Start the next round, one that labels nothing where the budget is used up."""
        inputs = self.exposed_inputs(ActiveLearningRoundWorkChain)
        inputs.update(
            structure=self.ctx.start,
            dataset=self.ctx.dataset,
            cells=self.ctx.cells,
            number=orm.Int(self.ctx.number),
            count=orm.Int(self._count()),
        )
        label = f'round_{self.ctx.number}'
        return self._submit('round', ActiveLearningRoundWorkChain, inputs, label)

    def inspect_round(self) -> ExitCode | None:
        """Take what the round made, and decide whether it was the last one."""
        node, count = self.ctx.round, self._count()
        # A round that failed early has no potentials; those of the one before are kept.
        if 'model' in node.outputs:
            self.ctx.last = node
        if 'dataset' in node.outputs:
            self.ctx.dataset = node.outputs.dataset
        if 'row' in node.outputs:
            self.ctx.rows[f'round_{self.ctx.number}'] = node.outputs.row
        if not node.is_finished_ok:
            self._attach('a round failed')
            number = self.ctx.number
            return self.exit_codes.ERROR_ROUND_FAILED.format(number=number, cause=cause_of(node))
        if node.outputs.row['reached']:
            self.ctx.ended = REACHED
        elif count == 0:
            self.ctx.ended = SPENT
        elif self._is_last():
            self.ctx.ended = STOPPED
        self.report(f'round {self.ctx.number}: {"; ".join(node.outputs.row["sentences"])}')
        self.ctx.number += 1
        return None

    def results(self) -> ExitCode | None:
        """Attach what there is, and say whether it is what was asked for."""
        self._attach(self.ctx.ended)
        self.report(self.ctx.ended)
        sentences = self.ctx.last.outputs.row['sentences']
        if self.ctx.ended == SPENT and sentences:
            return self.exit_codes.WARNING_TARGET_NOT_REACHED.format(cause='; '.join(sentences))
        return None

    def _is_last(self) -> bool:
        """Whether the user wants no round after this one."""
        last = self.inputs.get('stop_after_round')
        return last is not None and self.ctx.number >= last.value

    def _count(self) -> int:
        """Return how many frames the round that is next, or is running, may label."""
        settings = self.inputs.settings
        if self.ctx.number >= settings['max_rounds']:
            return 0
        left = settings['max_frames'] - self.ctx.dataset.n_frames
        return max(0, min(settings['frames_per_round'], left))

    def _attach(self, ended: str) -> None:
        """Attach dataset, table, and what the last round made that got as far as a potential."""
        if self.ctx.dataset is not None:
            self.out('dataset', self.ctx.dataset)
        if self.ctx.last is not None:
            models = outputs_in(self.ctx.last, 'models')
            structures = outputs_in(self.ctx.last, 'structures')
            self.out_many({f'models.{key}': node for key, node in models.items()})
            self.out_many({f'structures.{key}': node for key, node in structures.items()})
            self._take(self.ctx.last, {'model': 'model', 'results': 'results'})
        history = {'history': self.inputs.history} if 'history' in self.inputs else {}
        if self.ctx.rows:
            table = collect_rounds(
                ended=orm.Str(ended),
                metadata={'call_link_label': 'table'},
                **history,
                **self.ctx.rows,
            )
            self.out('rounds', table)


def validate_first(value: orm.Dict, _: Any) -> str | None:
    """Refuse what is wrong with the guesses and the first frames, whatever the pressures."""
    return '\n'.join(first_problems(value.get_dict(), [0.0])) or None
