"""The committee: builder, batches, what fails, and what its spread is held against."""

from __future__ import annotations

from typing import Any

import pytest
from aiida import orm
from mace_nodes import toy_dataset, toy_model
from pw_mocks import Submissions, code, finished, instantiate

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.workflows.committee import CommitteeWorkChain
from aiida_mlip_ins.workflows.protocols import PROTOCOLS, load_protocol
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain

pytestmark = pytest.mark.usefixtures('aiida_profile')


def builder(**keywords: Any) -> Any:
    return CommitteeWorkChain.get_builder_from_protocol(
        keywords.pop('code', None) or code(plugin='mlip_ins.mace_train'),
        toy_dataset(),
        **{'protocol': 'fast', **keywords},
    )


def predictions(shift: float) -> DatasetData:
    """Return labels of the frames held out, off by a shift."""
    made = []
    for index, frame in enumerate(toy_dataset().get_frames()):
        if frame.info['split'] != 'train':
            frame.info['index'] = index
            frame.info['REF_energy'] += shift
            frame.arrays['REF_forces'] = frame.arrays['REF_forces'] + shift * index
            made.append(frame)
    return DatasetData.from_frames(made, 'mace')


def trained(shift: float, status: int = 0) -> orm.WorkChainNode:
    outputs = {
        'model': toy_model(),
        'errors': orm.Dict({'valid': {'force_mae': shift}}),
        'predictions': predictions(shift),
    }
    return finished(MaceTrainWorkChain, outputs, status)


def run_all(process: Any, statuses: dict[str, int] | None = None) -> list[list[str]]:
    """Let all trainings end; return the batches that they were started in."""
    batches = []
    while process.has_members():
        process.run_trainings()
        batches.append(list(process.ctx.running))
        for key in process.ctx.running:
            process.ctx[key] = trained(0.01 * (1 + int(key[-1])), (statuses or {}).get(key, 0))
        process.inspect_trainings()
    return batches


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_is_accepted(protocol: str) -> None:
    process = instantiate(builder(protocol=protocol, foundation=toy_model()))
    numbers = load_protocol('committee', protocol)
    assert process.inputs.seeds.get_list() == list(range(1, numbers['size'] + 1))
    expected = load_protocol('train', protocol)['parameters']
    assert process.inputs.member.train.parameters.get_dict() == expected


def test_everything_wrong_is_said_at_once() -> None:
    overrides = {
        'size': 1, 'max_concurrent': 0, 'train': {'parameters': {'learning_rat': 1.0}},
    }  # fmt: skip
    with pytest.raises(ValueError, match='size: expected a whole number of at least 2') as error:
        builder(code=code(), overrides=overrides)
    for part in ('max_concurrent', 'train: code', "did you mean 'learning_rate'"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ('seeds', 'message'),
    [
        ([1], 'at least 2 members, got 1'),
        ([1, 1], 'the same seed twice'),
        ([1, -2], 'at least 0, got -2'),
    ],
)
def test_wrong_seeds_are_refused(seeds: list[int], message: str) -> None:
    made = builder()
    with pytest.raises(ValueError, match=message):
        made.seeds = orm.List(seeds)


def test_a_dataset_that_cannot_be_trained_on_is_refused() -> None:
    made = builder(overrides={'train': {'parameters': {'batch_size': 50}}})
    with pytest.raises(ValueError, match='do not fill one batch of 50'):
        instantiate(made)


def test_members_differ_in_their_seeds_and_go_in_batches() -> None:
    process = instantiate(builder(overrides={'size': 3, 'max_concurrent': 2, 'first_seed': 7}))
    submissions = Submissions(process)
    process.setup()
    assert run_all(process) == [['member_0', 'member_1'], ['member_2']]
    given = process.inputs.member.train.parameters.get_dict()
    for index, (process_class, inputs) in enumerate(submissions.calls):
        assert process_class is MaceTrainWorkChain
        assert inputs['metadata']['call_link_label'] == f'member_{index}'
        assert inputs['train']['parameters'].get_dict() == {**given, 'seed': 7 + index}
        assert inputs['dataset'].uuid == process.inputs.dataset.uuid
    assert process.calibrate() is None
    assert process.results() is None
    assert set(process.outputs['models']) == {'member_0', 'member_1', 'member_2'}
    assert process.outputs['errors']['member_1']['valid']['force_mae'] == 0.02
    found = process.outputs['summary']['splits']
    # Shifts of 0.01, 0.02 and 0.03: the mean is off by 0.02, the spread is 0.01.
    assert found['test']['force']['calibration_factor'] == pytest.approx(2.0, rel=1e-4)
    assert found['valid']['force']['rank_correlation'] > 0.9
    assert process.outputs['spread'].creator.process_label == 'calibrate_committee'


def test_the_others_are_kept_where_a_member_fails() -> None:
    process = instantiate(builder(overrides={'size': 3}))
    Submissions(process)
    process.setup()
    run_all(process, {'member_1': 420})
    assert process.calibrate() is None
    result = process.results()
    assert result.status == 401
    assert 'member_1 <' in result.message
    assert set(process.outputs['models']) == {'member_0', 'member_2'}
    assert process.outputs['summary']['members'] == ['member_0', 'member_2']


def test_one_member_is_no_committee() -> None:
    process = instantiate(builder(overrides={'size': 2}))
    Submissions(process)
    process.setup()
    run_all(process, {'member_0': 413})
    assert process.calibrate().status == 401
    assert 'summary' not in process.outputs
    assert set(process.outputs['models']) == {'member_1'}
