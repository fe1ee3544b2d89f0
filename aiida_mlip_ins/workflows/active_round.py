"""One round of active learning: train a committee, find what it disagrees on, label that."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, Process, ProcessSpec, ToContext, if_, while_

from aiida_mlip_ins.calculations.functions import active as functions
from aiida_mlip_ins.calculations.functions.dataset import join_datasets
from aiida_mlip_ins.calculations.functions.frames import targeted_configurations
from aiida_mlip_ins.calculations.functions.sampling import frames_from_relaxation, pool_frames
from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.science.active import ActiveSettings, needs_labels, volume_range
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.workflows import committee
from aiida_mlip_ins.workflows.active_md import RoundWithMotion
from aiida_mlip_ins.workflows.active_members import RoundOfMembers
from aiida_mlip_ins.workflows.active_ports import define_inputs, define_outputs
from aiida_mlip_ins.workflows.composition import cause_of
from aiida_mlip_ins.workflows.frame_inputs import kpoint_problems
from aiida_mlip_ins.workflows.lanes import outputs_in
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.pressures import pressure_key
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain


class ActiveLearningRoundWorkChain(RoundWithMotion, RoundOfMembers):
    """Train a committee on what is labelled, and label the frames that it disagrees on most.

    The first member relaxes the crystal; candidates are made around its cells, and steps of its
    relaxations are candidates too, as are, with ``md``, frames of its motion. All members label all
    candidates; with ``mace_phonons`` all compute the modes of each relaxed cell. Nothing is
    labelled where `count` is 0, or where the targets are reached without. A pressure at which the
    crystal cannot be relaxed, or not to a volume that labelled frames have, is no failure:
    candidates are made around the given cell.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        define_inputs(spec)
        spec.outline(
            cls.setup,
            cls.run_committee,
            cls.inspect_committee,
            cls.run_relaxation,
            cls.inspect_relaxation,
            if_(cls.wants_motion)(
                cls.run_motion,
                cls.inspect_motion,
            ),
            cls.make_candidates,
            while_(cls.has_tasks)(
                cls.run_tasks,
                cls.inspect_tasks,
            ),
            cls.choose,
            if_(cls.has_frames)(
                cls.run_labeller,
                cls.inspect_labeller,
            ),
            cls.results,
        )
        define_outputs(spec)

    def labeller(self, frames: FramesData) -> tuple[type[Process], dict[str, Any]]:
        """Return the process that labels frames, and its inputs."""
        inputs = self.exposed_inputs(ReferenceWorkChain, 'reference')
        inputs['frames'] = frames
        inputs.setdefault('crystal', self.inputs.structure)
        return ReferenceWorkChain, inputs

    def setup(self) -> None:
        """Begin with the given cells."""
        self.ctx.missing = []
        self.ctx.cells = dict(self.inputs.cells)
        self.ctx.moving = {}
        self.ctx.known = {}
        self.ctx.failure = None
        self.ctx.chosen = None
        number, frames = self.inputs.number.value, self.inputs.dataset.n_frames
        self.report(f'round {number}: {frames} frames, up to {self.inputs.count.value} new ones')

    def run_committee(self) -> ToContext | ExitCode:
        """Train the committee, unless the frames cannot be trained on."""
        inputs = self.exposed_inputs(committee.CommitteeWorkChain, 'committee')
        inputs['dataset'] = self.inputs.dataset
        problem = committee.validate(inputs, None)
        if problem:
            return self.exit_codes.ERROR_COMMITTEE_FAILED.format(cause=problem)
        return self._submit('committee', committee.CommitteeWorkChain, inputs)

    def inspect_committee(self) -> ExitCode | None:
        """Go on with the members that there are, if they are two or more."""
        node = self.ctx.committee
        models = outputs_in(node, 'models')
        self.ctx.models = {key: models[key] for key in sorted(models, key=_number)}
        self.out_many({f'models.{key}': model for key, model in self.ctx.models.items()})
        if 'summary' in node.outputs:
            self.ctx.known['committee'] = node.outputs.summary
        if len(self.ctx.models) < committee.FEWEST:
            return self.exit_codes.ERROR_COMMITTEE_FAILED.format(cause=cause_of(node))
        self._note_missing(node, 'members of the committee')
        self.ctx.model = next(iter(self.ctx.models.values()))
        self.out('model', self.ctx.model)
        return None

    def run_relaxation(self) -> ToContext:
        """Relax the crystal at all pressures with the first member."""
        inputs = self.exposed_inputs(MacePressureScanWorkChain, 'mace_pressure_scan')
        inputs.update(
            structure=self.inputs.structure, pressures=self.inputs.pressures, model=self.ctx.model
        )
        return self._submit('relaxation', MacePressureScanWorkChain, inputs)

    def inspect_relaxation(self) -> None:
        """Take the cells that are relaxed, and that the labelled frames know the volume of."""
        node = self.ctx.relaxation
        structures = outputs_in(node, 'structures')
        self.out_many({f'structures.{key}': cell for key, cell in structures.items()})
        self._note_missing(node, 'relaxed cells')
        self.ctx.relaxed = []
        if 'results' not in node.outputs:
            return
        self.out('results', node.outputs.results)
        self.ctx.known['relaxation'] = node.outputs.results
        margin = self.inputs.settings['volume_margin']
        low, high = volume_range(self.inputs.dataset.get_frames(), margin)
        for index, row in enumerate(node.outputs.results['pressures']):
            key = pressure_key(index)
            if not row['converged']:
                continue
            volume = structures[key].get_cell_volume() / len(structures[key].sites)
            if low <= volume <= high:
                self.ctx.cells[key] = structures[key]
                self.ctx.relaxed.append(key)
            else:
                self.report(f'{key}: {volume:.2f} angstrom^3/atom is far from all labelled frames')

    def make_candidates(self) -> ExitCode | None:
        """Make the frames to choose from, and list what is to be computed for them."""
        made, node = targeted_configurations.run_get_node(
            settings=self.inputs.sampling,
            seed=orm.Int(self._seed),
            pressures=self.inputs.pressures,
            metadata={'call_link_label': 'targeted'},
            **self.ctx.cells,
        )
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_CANDIDATES_FAILED.format(cause=node.exit_message)
        sets = {'targeted': made, **self.ctx.moving}
        apart = self.inputs.settings.get('relaxation_apart', None)
        if apart is not None and 'trajectory' in self.ctx.relaxation.outputs:
            steps, node = frames_from_relaxation.run_get_node(
                self.ctx.relaxation.outputs.trajectory,
                orm.Float(apart),
                metadata={'call_link_label': 'relaxation_steps'},
            )
            if node.is_finished_ok:
                sets['relaxation'] = steps
            self._note_missing(node, 'steps of the relaxations')
        self.ctx.candidates = pool_frames(metadata={'call_link_label': 'candidates'}, **sets)
        self.out('candidates', self.ctx.candidates)
        distance = self.inputs.reference.kpoints_distance.value
        found = kpoint_problems(self.ctx.candidates, distance, self.inputs.structure)
        if found:
            return self.exit_codes.ERROR_CANDIDATES_FAILED.format(cause='; '.join(found))
        self._list_tasks()
        self.report(f'{self.ctx.candidates.n_frames} candidates, {len(self.ctx.models)} members')
        return None

    def choose(self) -> ExitCode | None:
        """Choose what is labelled, unless all that is asked for is reached."""
        if len(self.ctx.predictions) < committee.FEWEST:
            cause = '; '.join(self.ctx.missing)
            return self.exit_codes.ERROR_EVALUATION_FAILED.format(cause=cause)
        if self.ctx.modes:
            self.ctx.known['frequencies'] = functions.frequency_spreads(**self.ctx.modes)
            self.out('frequencies', self.ctx.known['frequencies'])
        self._need_verdict()
        found = functions.select_by_disagreement(
            candidates=self.ctx.candidates,
            labelled=self.inputs.dataset,
            settings=self.inputs.settings,
            count=self.inputs.count,
            number=self.inputs.number,
            seed=orm.Int(self._seed),
            metadata={'call_link_label': 'select'},
            **self.ctx.predictions,
        )
        self.ctx.selection = found['report']
        self.out('selection', self.ctx.selection)
        pressures = len(self.inputs.pressures.get_list())
        columns = functions.spread_columns(
            self.ctx.selection,
            self.ctx.known.get('frequencies'),
            pressures,
            self.ctx.known.get('motion'),
        )
        settings = build(ActiveSettings, self.inputs.settings.get_dict(), 'settings')
        if self.inputs.count.value == 0 or not needs_labels(columns, settings):
            return None
        self.ctx.chosen = found.get('frames')
        if self.ctx.chosen is None:
            self.ctx.failure = [
                'CHOICE',
                f'all {self.ctx.candidates.n_frames} candidates are like labelled frames, or of '
                'volumes too far from theirs; change `sampling`, or lower `min_separation`',
            ]
        return None

    def has_frames(self) -> bool:
        """Whether there are frames to be labelled."""
        return self.ctx.chosen is not None

    def run_labeller(self) -> ToContext:
        """Label the chosen frames."""
        process, inputs = self.labeller(self.ctx.chosen)
        return self._submit('reference', process, inputs)

    def inspect_labeller(self) -> None:
        """Join the new labels with the others."""
        node = self.ctx.reference
        if 'dataset' in node.outputs:
            self.ctx.known['labelled'] = node.outputs.dataset
            self.out('labelled', node.outputs.dataset)
            joined = join_datasets(
                before=self.inputs.dataset,
                labelled=node.outputs.dataset,
                metadata={'call_link_label': 'join'},
            )
            self.out('dataset', joined)
        if not node.is_finished_ok:
            self.ctx.failure = ['REFERENCE', cause_of(node)]

    def results(self) -> ExitCode | None:
        """Say how the round went."""
        row = functions.round_row(
            number=self.inputs.number,
            settings=self.inputs.settings,
            pressures=self.inputs.pressures,
            dataset=self.inputs.dataset,
            selection=self.ctx.selection,
            metadata={'call_link_label': 'row'},
            **self.ctx.known,
            **self.ctx.predictions,
        )
        self.out('row', row)
        for sentence in row['sentences']:
            self.report(sentence)
        if self.ctx.failure:
            link, cause = self.ctx.failure
            code: ExitCode = self.exit_codes[f'ERROR_{link}_FAILED']
            return code.format(cause=cause)
        return None

    @property
    def _seed(self) -> int:
        """Seed of the random numbers of this round."""
        return int(self.inputs.seed.value + self.inputs.number.value)


def _number(key: str) -> int:
    """Return the number at the end of a key."""
    return int(key.rpartition('_')[2])
