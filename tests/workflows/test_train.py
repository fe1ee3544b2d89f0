"""The training in as many jobs as it takes: builder, each handler, and real ones that are hurt."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import ProcessState, run_get_node
from mace_nodes import toy_dataset, toy_model
from pw_mocks import Submissions, code, finished, instantiate

from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
from aiida_mlip_ins.calculations.mace_train import MaceTrainCalculation
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.workflows.mace_inputs import evaluate_inputs_from_protocol
from aiida_mlip_ins.workflows.protocols import PROTOCOLS, load_protocol
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain

pytestmark = pytest.mark.usefixtures('aiida_profile')

TINY = {
    'r_max': 3.5, 'num_channels': 4, 'max_ell': 2, 'correlation': 2, 'num_radial_basis': 4,
    'radial_MLP': [8, 8], 'minimum_frames': 4, 'stage_two_start': None, 'lbfgs_start': None,
    'eval_interval': 1, 'ema_decay': None, 'learning_rate': 0.03,
}  # fmt: skip
"""The smallest model that trains."""


def builder(**keywords: Any) -> Any:
    return MaceTrainWorkChain.get_builder_from_protocol(
        keywords.pop('code', None) or code(plugin='mlip_ins.mace_train'),
        toy_dataset(),
        **{'protocol': 'fast', **keywords},
    )


def started(**inputs: Any) -> tuple[Any, Submissions]:
    made = builder()
    for name, value in inputs.items():
        made[name] = value
    process = instantiate(made)
    submissions = Submissions(process)
    process.setup()
    return process, submissions


def ended(
    process: Any, status: int | None, first: int, last: int, **more: Any
) -> orm.WorkChainNode:
    """Return a job that ended, with its folder and its progress from one epoch to another."""
    lines = [{'stage': 'train', 'done': epoch, 'total': 100} for epoch in range(first, last + 1)]
    retrieved = orm.FolderData()
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    retrieved.base.repository.put_object_from_bytes(text.encode(), 'progress.jsonl')
    remote = orm.RemoteData(remote_path='/job', computer=process.inputs.train.code.computer)
    outputs = {'retrieved': retrieved, 'remote_folder': remote, **more.pop('outputs', {})}
    return finished(MaceTrainCalculation, outputs, status, **more)


def end_job(process: Any, status: int | None, first: int = 0, last: int = 0, **more: Any) -> Any:
    """Let the next job run and end in some way; return what the workchain makes of it."""
    assert process.should_run_process()
    process.run_process()
    node = ended(process, status, first, last, **more)
    process.ctx.children = [*process.ctx.get('children', []), node]
    code = process.inspect_process()
    return code if code is not None and code.status else None


def settings_of(submissions: Submissions) -> dict[str, Any]:
    return submissions.calls[-1][1]['parameters'].get_dict()


def history(process: Any) -> list[dict[str, Any]]:
    return process.outputs['history']['attempts']


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_is_accepted(protocol: str) -> None:
    process = instantiate(builder(protocol=protocol, foundation=toy_model()))
    expected = load_protocol('train', protocol)['parameters']
    assert process.inputs.train.parameters.get_dict() == expected
    assert process.inputs.max_iterations.value == 10


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r'learning_rat.*did you mean') as error:
        builder(code=code(), overrides={'parameters': {'learning_rat': 1.0}})
    assert 'quantumespresso.pw' in str(error.value)
    made = builder(overrides={'parameters': {'batch_size': 50}})
    with pytest.raises(ValueError, match='do not fill one batch of 50'):
        instantiate(made)
    made = builder()
    with pytest.raises(ValueError, match='between 0 and 1, got 2'):
        made.learning_rate_factor = 2.0


def test_a_replay_that_would_be_dropped_is_refused() -> None:
    frames = toy_dataset().get_frames()
    for frame in frames:
        frame.info['split'] = 'valid'
    foundation = toy_model()
    with pytest.raises(ValueError, match='nothing would be replayed') as error:
        instantiate(builder(foundation=foundation, replay=DatasetData.from_frames(frames)))
    assert "with the loss 'universal' alone" in str(error.value)
    universal = {'parameters': {'loss': 'universal'}}
    made = builder(foundation=foundation, replay=toy_dataset(), overrides=universal)
    assert 'replay' in instantiate(made).inputs.train


def test_what_goes_well_is_one_job_with_the_inputs_as_they_are() -> None:
    process, submissions = started()
    model = toy_model()
    assert end_job(process, 0, 0, 351, outputs={'model': model}) is None
    assert not process.should_run_process()
    process.results()
    ((calculation, inputs),) = submissions.calls
    assert calculation is MaceTrainCalculation
    assert inputs['parameters'].uuid == process.inputs.train.parameters.uuid
    assert 'restart' not in inputs
    assert process.outputs['model'].uuid == model.uuid
    (attempt,) = history(process)
    assert (attempt['exit_status'], attempt['epochs'], attempt['changed']) == (0, [0, 351], {})


@pytest.mark.parametrize('status', [400, 320, 301, 120, 140])
def test_a_stopped_job_is_followed_by_one_that_goes_on(status: int) -> None:
    process, submissions = started()
    assert end_job(process, status, 0, 40) is None
    remote = process.ctx.children[0].outputs.remote_folder
    assert end_job(process, 0, 40, 351) is None
    inputs = submissions.calls[-1][1]
    assert inputs['restart'].uuid == remote.uuid
    assert inputs['parameters'].uuid == process.inputs.train.parameters.uuid
    assert inputs['metadata']['call_link_label'] == 'iteration_02'
    process.results()
    assert [attempt['action'] for attempt in history(process)] == ['go on after 40 epochs', 'none']


def test_a_job_that_was_stopped_at_once_leaves_nothing_to_go_on_from() -> None:
    """It is tried again from what there was before; the second in a row is an end."""
    process, submissions = started()
    assert end_job(process, 320, 0, 40) is None
    good = process.ctx.children[0].outputs.remote_folder
    assert end_job(process, 301, 40, 40) is None
    assert end_job(process, 320, 40, 60) is None
    assert submissions.calls[-1][1]['restart'].uuid == good.uuid
    newer = process.ctx.children[-1].outputs.remote_folder
    assert end_job(process, 301, 0, 0) is None
    found = end_job(process, 301, 60, 60)
    assert found.status == 415
    assert 'it failed' in found.message
    assert submissions.calls[-1][1]['restart'].uuid == newer.uuid
    assert [attempt['action'] for attempt in history(process)] == [
        'go on after 40 epochs', 'go on as this job did', 'go on after 60 epochs',
        'go on as this job did', 'end',
    ]  # fmt: skip


def test_nan_is_met_once_with_lower_rates() -> None:
    process, submissions = started(learning_rate_factor=orm.Float(0.1))
    before = process.inputs.train.parameters.get_dict()
    assert end_job(process, 410, 0, 12) is None
    assert end_job(process, 410, 10, 20).status == 410
    after = settings_of(submissions)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {'learning_rate', 'stage_two_learning_rate'}
    for name in changed:
        assert after[name] == pytest.approx(0.1 * before[name])
    assert 'restart' in submissions.calls[-1][1]
    first, second = history(process)
    assert first['changed']['learning_rate'] == [0.01, pytest.approx(0.001)]
    assert first['action'].startswith('a lower learning rate: learning_rate 0.01 -> 0.001')
    assert second['action'] == 'end'


def test_stresses_that_diverged_are_met_once_with_more_weight() -> None:
    """From the beginning: what was learned without them is no place to go on from."""
    process, submissions = started(stress_weight_factor=orm.Float(20.0))
    before = process.inputs.train.parameters.get_dict()
    assert end_job(process, 320, 0, 5) is None
    assert end_job(process, 422, 5, 481) is None
    assert 'restart' in submissions.calls[-1][1]
    found = end_job(process, 422, 0, 481)
    after = settings_of(submissions)
    assert 'restart' not in submissions.calls[-1][1]
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {'stress_weight', 'stage_two_stress_weight'}
    assert after['stress_weight'] == pytest.approx(20 * before['stress_weight'])
    assert found.status == 422
    assert 'More weight on them did not help' in found.message
    with pytest.raises(ValueError, match=r'above 1, got 0\.5'):
        started(stress_weight_factor=orm.Float(0.5))


@pytest.mark.parametrize('status', [414, 110])
def test_out_of_memory_halves_the_batch_down_to_one(status: int) -> None:
    process, submissions = started()
    sizes = []
    for _ in range(3):
        assert end_job(process, status) is None
        changed = process.ctx.attempts[-1]['changed']
        sizes.append((changed['batch_size'][1], changed['valid_batch_size'][1]))
        assert 'lbfgs_history' not in changed
    assert sizes == [(2, 4), (1, 2), (1, 1)]
    found = end_job(process, status)
    assert found.status == 414
    assert settings_of(submissions)['batch_size'] == 1
    assert 'restart' not in submissions.calls[-1][1]


def test_out_of_memory_in_lbfgs_halves_its_history_too() -> None:
    process, submissions = started()
    start = load_protocol('train', 'fast')['parameters']['lbfgs_start']
    histories = []
    for count in range(4):
        assert end_job(process, 414, first=start + count, last=start + count + 1) is None
        histories.append(settings_of(submissions)['lbfgs_history'])
        histories.append(process.ctx.attempts[-1]['changed']['lbfgs_history'][1])
    assert histories == [100, 50, 50, 25, 25, 12, 12, 6]


@pytest.mark.parametrize(
    ('status', 'expected'),
    [(420, 420), (421, 421), (411, 413), (412, 413), (416, 413), (312, 413)],
)
def test_what_another_job_cannot_cure_is_an_end(status: int, expected: int) -> None:
    """Even where it is the last job allowed; what there is stays in the outputs."""
    process, _ = started(max_iterations=orm.Int(1))
    model = toy_model()
    found = end_job(process, status, 0, 351, outputs={'model': model})
    assert found.status == expected
    assert 'it failed' in found.message
    assert process.outputs['model'].uuid == model.uuid
    assert history(process)[0]['action'] == 'end'


def test_jobs_are_bounded() -> None:
    process, _ = started(max_iterations=orm.Int(2))
    assert end_job(process, 400, 0, 10) is None
    found = end_job(process, 400, 10, 20)
    assert found.status == MaceTrainWorkChain.exit_codes.ERROR_MAXIMUM_ITERATIONS_EXCEEDED.status
    assert [attempt['epochs'] for attempt in history(process)] == [[0, 10], [10, 20]]


def test_a_job_that_the_user_killed_is_an_end() -> None:
    process, _ = started()
    found = end_job(process, None, state=ProcessState.KILLED)
    assert found.status == MaceTrainWorkChain.exit_codes.ERROR_SUB_PROCESS_KILLED.status
    assert history(process)[0]['ended'] == 'killed'


def driver_in(folder: Path) -> int | None:
    """Return the process of the driver that runs in a folder."""
    for place in Path('/proc').glob('[0-9]*'):
        try:
            words = (place / 'cmdline').read_bytes().split(b'\0')
            if words[2:3] == [b'aiida_mlip_ins.drivers.mace_train'] and (
                (place / 'cwd').resolve() == folder
            ):
                return int(place.name)
        except OSError:
            continue
    return None


def signal_driver(workdir: Path, epochs: int, number: signal.Signals) -> None:
    """Send a signal to the driver of a training as soon as a state and some epochs are done."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for path in workdir.rglob('states/epoch-*.pt'):
            folder = path.parents[1]
            pid = driver_in(folder.resolve())
            if pid is not None and int(path.stem[6:]) >= epochs:
                os.kill(pid, number)
                return
        time.sleep(0.1)


@pytest.mark.engines
@pytest.mark.slow
def test_sigterm_for_real(plain_engine_code: orm.InstalledCode) -> None:
    """Told to end halfway: another job goes on, and the learning curve is that of one training."""
    total = 60
    made = builder(
        code=plain_engine_code,
        overrides={'parameters': {**TINY, 'max_epochs': total}},
        protocol='fast',
    )
    workdir = Path(plain_engine_code.computer.get_workdir())
    thread = threading.Thread(target=signal_driver, args=(workdir, 10, signal.SIGTERM), daemon=True)
    thread.start()
    outputs, node = run_get_node(made)
    thread.join()
    assert node.is_finished_ok, node.exit_message
    first, second = outputs['history']['attempts']
    assert first['exit_status'] == 320
    assert 'SIGTERM' in first['ended']
    stopped = first['epochs'][1]
    assert 10 <= stopped < total
    assert 0 < second['epochs'][0] <= stopped
    assert second['epochs'][1] == total
    assert outputs['results']['first_epoch'] == second['epochs'][0]
    curve = outputs['learning_curve']
    assert curve.get_array('epoch').tolist() == list(range(total + 1))
    errors = curve.get_array('force_mae')
    assert outputs['errors']['valid']['force_mae'] < errors[0]
    assert np.isfinite(errors).all()


@pytest.mark.engines
@pytest.mark.slow
def test_nan_for_real(engine_code: orm.InstalledCode) -> None:
    """A rate that no model survives, and then one that is lower by as much."""
    absurd = {**TINY, 'max_epochs': 20, 'learning_rate': 1e200}
    made = builder(code=engine_code, overrides={'parameters': absurd}, protocol='fast')
    made.learning_rate_factor = orm.Float(3e-202)
    outputs, node = run_get_node(made)
    assert node.is_finished_ok, node.exit_message
    first, second = outputs['history']['attempts']
    assert first['exit_status'] == 410
    assert 'nan' in first['ended'].lower()
    assert first['changed']['learning_rate'] == [1e200, pytest.approx(0.03)]
    assert second['exit_status'] == 0
    assert outputs['model'].elements == ['Al', 'Ni']


@pytest.mark.engines
@pytest.mark.slow
def test_replay_for_real(engine_code: orm.InstalledCode) -> None:
    """Shifted energies are learned by one head; the other still says what the foundation said."""
    foundation = toy_model()
    frames = toy_dataset().get_frames()
    for frame in frames:
        frame.info['REF_energy'] += 2.0
    evaluate = evaluate_inputs_from_protocol('fast')['parameters'].get_dict()

    def labels(model: MaceModelData, head: str | None) -> list[Any]:
        outputs, node = run_get_node(
            MaceEvaluateCalculation, code=engine_code, model=model, frames=toy_dataset(),
            parameters=orm.Dict({**evaluate, 'head': head}),
        )  # fmt: skip
        assert node.is_finished_ok, node.exit_message
        return outputs['dataset'].get_frames()

    old = labels(foundation, None)
    parameters = {
        **TINY, 'max_epochs': 12, 'loss': 'universal', 'learning_rate': 1e-4, 'seed': 3,
    }  # fmt: skip
    made = MaceTrainWorkChain.get_builder_from_protocol(
        engine_code, DatasetData.from_frames(frames, 'EMT, shifted'), foundation,
        replay=DatasetData.from_frames(old, 'foundation'), protocol='fast',
        overrides={'parameters': parameters},
    )  # fmt: skip
    outputs, node = run_get_node(made)
    assert 'model' in outputs, node.exit_message
    model = outputs['model']
    assert set(model.heads) == {'pt_head', 'Default'}

    def off(head: str | None, truth: list[Any]) -> float:
        found = labels(model, head)
        pairs = zip(found, truth, strict=True)
        return max(abs(one.info['REF_energy'] - two.info['REF_energy']) for one, two in pairs)

    # The energies of the two heads are 2 eV apart.
    assert off('pt_head', old) < 0.3
    assert off(None, frames) < 0.3
