"""A committee of potentials, which knows how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, WorkChain, while_

from aiida_mlip_ins.calculations.functions.committee import calibrate_committee
from aiida_mlip_ins.calculations.mace_train import validate_training
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.science.committee import FEWEST
from aiida_mlip_ins.science.text import shortened
from aiida_mlip_ins.workflows.composition import cause_of, set_link_label
from aiida_mlip_ins.workflows.md_inputs import count_problem, validate_positive
from aiida_mlip_ins.workflows.protocols import load_protocol
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain


class CommitteeWorkChain(WorkChain):
    """Train the same potential from several seeds, and hold its spread against its true errors.

    The members differ in their initial weights and in the order of the frames. Trainings side by
    side take the same time, so they go in batches of ``max_concurrent``. A member that fails is
    reported and left out, if there are enough others.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        # fmt: off
        spec.input('dataset', valid_type=DatasetData, help='Labelled frames of all members.')
        spec.input('seeds', valid_type=orm.List, serializer=orm.to_aiida_type,
                   validator=validate_seeds, help='Seed of each member.')
        spec.input('max_concurrent', valid_type=orm.Int, serializer=orm.to_aiida_type,
                   validator=validate_positive, help='Trainings side by side.')
        spec.expose_inputs(MaceTrainWorkChain, 'member', exclude=('dataset', 'train.restart'))
        spec.inputs.validator = validate
        spec.outline(
            cls.setup,
            while_(cls.has_members)(
                cls.run_trainings,
                cls.inspect_trainings,
            ),
            cls.calibrate,
            cls.results,
        )
        spec.output_namespace('models', valid_type=MaceModelData, dynamic=True,
                              help='`member_i`: the potential with the i-th seed.')
        spec.output_namespace('errors', valid_type=orm.Dict, dynamic=True,
                              help='`member_i`: its errors, as those of a training.')
        spec.output('summary', valid_type=orm.Dict, required=False,
                    help='`splits`: per split held out, for energy (meV/atom), force '
                         '(meV/angstrom) and stress (GPa): rms of error and spread, '
                         '`rank_correlation` (Spearman), `calibration_factor`.')
        spec.output('spread', valid_type=orm.ArrayData, required=False,
                    help='Mean, spread and error of each energy, force and stress held out; '
                         'units in the attribute `units`.')
        spec.exit_code(401, 'ERROR_MEMBERS_FAILED',
                       message='Members failed, the others are kept: {cause}')
        # fmt: on

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        dataset: DatasetData | None,
        foundation: MaceModelData | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param code: Python of the engines environment, as a node or its label.
        :param dataset: labelled frames; ``None`` to put them in later.
        :param foundation: model that every member starts from.
        :param protocol: ``fast``, ``balanced`` or ``stringent``, also of the trainings.
        :param overrides: values on top of those of ``protocols/committee.yaml``, and under
            ``train`` on top of those of ``protocols/train.yaml``.
        :param options: ``metadata.options`` of the jobs, on top of those of the protocol.
        :raises ValueError: listing every problem of the arguments.
        """
        given = dict(overrides or {})
        train = given.pop('train', {})
        numbers = load_protocol('committee', protocol, given)
        found = []
        for name, least in (('size', FEWEST), ('first_seed', 0), ('max_concurrent', 1)):
            found += count_problem(numbers[name], least, name)
        link = None
        try:
            link = MaceTrainWorkChain.get_builder_from_protocol(
                code, None, foundation, None, protocol, train, options
            )
        except ValueError as error:
            found += [f'train: {line}' for line in str(error).splitlines()]
        if found or link is None:
            raise ValueError('\n'.join(found))
        builder = cls.get_builder()
        if dataset is not None:
            builder.dataset = dataset
        first = numbers['first_seed']
        builder.seeds = orm.List(list(range(first, first + numbers['size'])))
        builder.max_concurrent = orm.Int(numbers['max_concurrent'])
        builder.member = link._inputs(prune=True)
        return builder

    def setup(self) -> None:
        """List the members."""
        self.ctx.seeds = {f'member_{i}': s for i, s in enumerate(self.inputs.seeds.get_list())}
        self.ctx.waiting = list(self.ctx.seeds)
        self.ctx.predictions = {}
        self.ctx.failures = []

    def has_members(self) -> bool:
        """Whether there are members to train."""
        return bool(self.ctx.waiting)

    def run_trainings(self) -> ToContext:
        """Start as many trainings as there may be side by side."""
        count = self.inputs.max_concurrent.value
        self.ctx.running, self.ctx.waiting = self.ctx.waiting[:count], self.ctx.waiting[count:]
        nodes = {}
        for key in self.ctx.running:
            inputs = self.exposed_inputs(MaceTrainWorkChain, 'member', agglomerate=False)
            inputs.dataset = self.inputs.dataset
            values = inputs.train.parameters.get_dict()
            inputs.train.parameters = orm.Dict({**values, 'seed': self.ctx.seeds[key]})
            set_link_label(inputs, key)
            nodes[key] = self.submit(MaceTrainWorkChain, **inputs)
            self.report(f'{key}, seed {self.ctx.seeds[key]}: <{nodes[key].pk}> started')
        return ToContext(**nodes)

    def inspect_trainings(self) -> None:
        """Take the models of the trainings that ended well."""
        for key in self.ctx.running:
            node = self.ctx[key]
            if not node.is_finished_ok:
                self.ctx.failures.append(f'{key} {cause_of(node)}')
                self.report(self.ctx.failures[-1])
                continue
            self.out(f'models.{key}', node.outputs.model)
            self.out(f'errors.{key}', node.outputs.errors)
            self.ctx.predictions[key] = node.outputs.predictions

    def calibrate(self) -> ExitCode | None:
        """Hold the spread against the errors."""
        if len(self.ctx.predictions) < FEWEST:
            cause = '; '.join(self.ctx.failures)
            return self.exit_codes.ERROR_MEMBERS_FAILED.format(cause=cause)
        made = calibrate_committee(
            dataset=self.inputs.dataset,
            metadata={'call_link_label': 'calibrate'},
            **self.ctx.predictions,
        )
        self.out_many(made)
        for split, found in made['summary']['splits'].items():
            self.report(f'{split}: {sentence(found)}')
        return None

    def results(self) -> ExitCode | None:
        """Say which members are missing."""
        if self.ctx.failures:
            cause = shortened(self.ctx.failures)
            return self.exit_codes.ERROR_MEMBERS_FAILED.format(cause=cause)
        return None


def sentence(found: Mapping[str, Any]) -> str:
    """Return what a committee's summary says of one split, in words."""
    force = found['force']
    words = [f'force error {force["rms_error"]:.1f} and spread {force["rms_spread"]:.1f} meV/A']
    for name, text in (
        ('calibration_factor', 'calibration factor'),
        ('rank_correlation', 'rank correlation'),
    ):
        if force[name] is not None:
            words.append(f'{text} {force[name]:.2f}')
    return f'{found["n_frames"]} frames, ' + ', '.join(words)


def validate_seeds(value: orm.List, _: Any) -> str | None:
    """Refuse too few seeds, and seeds that are none or the same."""
    seeds = value.get_list()
    if len(seeds) < FEWEST:
        return f'seeds: a committee has at least {FEWEST} members, got {len(seeds)}'
    found = [line for seed in seeds for line in count_problem(seed, 0, 'seeds')]
    if found:
        return '\n'.join(found)
    if len(set(seeds)) < len(seeds):
        return f'seeds: the same seed twice gives the same member twice: {seeds}'
    return None


def validate(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse what every training would refuse."""
    train = value.get('member', {}).get('train')
    if 'dataset' not in value or train is None:
        return None
    return validate_training({**train, 'dataset': value['dataset']}, None)
