"""Parsers of the MACE jobs on real outputs, whole, damaged and of failures."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from mace_nodes import FIXTURES, edit, parsed, toy_dataset, toy_model, toy_structure

from aiida_mlip_ins.data.frames import FramesData

pytestmark = pytest.mark.usefixtures('aiida_profile')


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / 'train', tmp_path / 'job'))


@pytest.fixture
def relax(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / 'relax', tmp_path / 'job'))


def train_inputs() -> dict[str, orm.Data]:
    return {'dataset': toy_dataset()}


def relax_inputs() -> dict[str, orm.Data]:
    return {'model': toy_model(), 'structure': toy_structure()}


def failed(kind: str, message: str = 'what happened') -> dict[str, Any]:
    return {'kind': kind, 'message': message, 'hint': 'What to do.'}


def test_train(train: Path) -> None:
    outputs, node = parsed('train', train, train_inputs())
    assert node.exit_status == 0
    assert outputs['model'].origin == 'trained'
    assert outputs['model'].elements == ['Al', 'Ni']
    assert set(outputs['errors'].get_dict()) == {'train', 'valid', 'test'}
    assert set(outputs['errors']['test']['sources']) == {'rattle', 'volume'}
    assert outputs['predictions'].splits == {'test': 3, 'valid': 3}
    assert outputs['predictions'].method.startswith('mace sha256:')
    curve = outputs['learning_curve']
    assert curve.get_array('epoch').tolist() == list(range(81))
    assert np.count_nonzero(curve.get_array('stage') == 2) == 20
    assert curve.base.attributes.get('units')['force_mae'] == 'meV/angstrom'
    results = outputs['results'].get_dict()
    assert results['reference_energies']['rank'] == 1
    assert 'errors' not in results
    assert 'failure' not in results


@pytest.mark.parametrize(
    ('kind', 'status'), [('NO_IMPROVEMENT', 420), ('WORSE_THAN_FOUNDATION', 421)]
)
def test_train_with_a_model_that_is_no_better(train: Path, kind: str, status: int) -> None:
    edit(train, 'results.json', lambda content: content.update(failure=failed(kind)))
    outputs, node = parsed('train', train, train_inputs())
    assert node.exit_status == status
    assert node.exit_message.endswith('what happened. What to do.')
    assert {'model', 'errors', 'predictions', 'learning_curve', 'results'} <= set(outputs)


@pytest.mark.parametrize(
    ('kind', 'status'),
    [('NAN_LOSS', 410), ('NO_FORCES_SEEN', 411), ('REPLAY_IGNORED', 412), ('TRAINING_FAILED', 413)],
)
def test_train_without_a_model(train: Path, kind: str, status: int) -> None:
    """What a failed training left is its learning curve and its results, never a model."""

    def fail(content: dict[str, Any]) -> None:
        for name in ('model', 'errors', 'foundation_errors', 'stage'):
            content.pop(name)
        content['failure'] = failed(kind)

    edit(train, 'results.json', fail)
    (train / 'model.model').unlink()
    (train / 'predictions.xyz').unlink()
    outputs, node = parsed('train', train, train_inputs())
    assert node.exit_status == status
    assert set(outputs) == {'learning_curve', 'results'}


def test_train_interrupted_with_a_model(train: Path) -> None:
    error = {'kind': 'INTERRUPTED', 'message': 'the job received SIGTERM', 'hint': 'Again.'}
    (train / 'error.json').write_text(json.dumps(error))
    outputs, node = parsed('train', train, train_inputs())
    assert node.exit_status == 320
    assert {'model', 'errors', 'results'} <= set(outputs)


def test_train_interrupted_before_the_first_epoch(train: Path) -> None:
    """A failure without any file is still the interruption, not a crash of the parser."""
    error = {'kind': 'INTERRUPTED', 'message': 'the job received SIGTERM', 'hint': ''}
    (train / 'error.json').write_text(json.dumps(error))
    for path in train.iterdir():
        if path.name not in ('error.json', 'results.json'):
            path.unlink()
    outputs, node = parsed('train', train, train_inputs())
    assert node.exit_status == 320
    assert 'model' not in outputs


@pytest.mark.parametrize(
    ('kind', 'status'), [('OUT_OF_WALLTIME', 400), ('OUT_OF_MEMORY', 414), ('INTERRUPTED', 320)]
)
def test_train_that_another_job_can_take_over(train: Path, kind: str, status: int) -> None:
    edit(train, 'results.json', lambda content: content.update(failure=failed(kind)))
    outputs, node = parsed('train', train, train_inputs())
    assert node.exit_status == status
    assert {'model', 'learning_curve'} <= set(outputs)


def test_what_is_not_a_number_is_none(train: Path) -> None:
    """A node cannot hold NaN; that a driver found one is not to lose the rest."""
    edit(train, 'results.json', lambda content: content.update(spread=[1.0, float('nan')]))
    outputs, node = parsed('train', train, train_inputs())
    assert node.exit_status == 0
    assert outputs['results']['spread'] == [1.0, None]


@pytest.mark.parametrize(('seen', 'status'), [(None, 301), (110, 0)])
def test_train_killed_with_its_driver(tmp_path: Path, seen: int | None, status: int) -> None:
    """The scheduler may know why nothing is left: the parser, with 0, leaves it at that."""
    (tmp_path / 'driver.err').write_text('slurmstepd: oom-kill event')
    outputs, node = parsed('train', tmp_path, train_inputs(), seen=seen)
    assert node.exit_status == status
    assert 'model' not in outputs


def test_train_with_another_model_file(train: Path) -> None:
    (train / 'model.model').write_bytes(b'damaged on the way')
    outputs, node = parsed('train', train, train_inputs())
    assert node.exit_status == 302
    assert 'not the one that the description was made from' in node.exit_message
    assert 'model' not in outputs


def test_train_without_its_log(train: Path) -> None:
    (train / 'training.jsonl').unlink()
    outputs, node = parsed('train', train, train_inputs())
    assert node.exit_status == 302
    assert 'training.jsonl' in node.exit_message
    assert 'learning_curve' not in outputs


@pytest.mark.parametrize(
    ('kind', 'status'),
    [('BAD_INPUT', 312), ('ENGINE_MISSING', 311), ('MODEL_UNREADABLE', 330), ('ANYTHING', 310)],
)
def test_error_before_the_training(tmp_path: Path, kind: str, status: int) -> None:
    (tmp_path / 'error.json').write_text(json.dumps(failed(kind)))
    outputs, node = parsed('train', tmp_path, train_inputs())
    assert node.exit_status == status
    assert 'what happened. What to do.' in node.exit_message
    assert outputs == {}


def test_nothing_left(tmp_path: Path) -> None:
    (tmp_path / 'driver.err').write_text('Traceback\nKilled\n')
    _, node = parsed('train', tmp_path, train_inputs())
    assert node.exit_status == 301
    assert 'Killed' in node.exit_message


def test_relax(relax: Path) -> None:
    """One pressure ran away in the real run; the others are under their own index."""
    outputs, node = parsed('relax', relax, relax_inputs())
    assert node.exit_status == 410
    assert 'at -60.0 GPa its volume changed by' in node.exit_message
    assert set(outputs['structures']) == {'pressure_0', 'pressure_2'}
    rows = outputs['results']['pressures']
    volume = outputs['structures']['pressure_2'].get_cell_volume()
    assert volume == pytest.approx(rows[2]['volume_angstrom3'])
    assert outputs['trajectory'].n_frames == sum(row['steps'] + 1 for row in rows)


def test_relax_with_nothing_left(relax: Path) -> None:
    def fail(content: dict[str, Any]) -> None:
        for row in content['pressures']:
            row.update(diverged='its energy is not finite', converged=False)

    edit(relax, 'results.json', fail)
    (relax / 'relaxed.xyz').unlink()
    outputs, node = parsed('relax', relax, relax_inputs())
    assert node.exit_status == 410
    assert 'structures' not in outputs


@pytest.mark.parametrize(('kind', 'status'), [('SYMMETRY_LOST', 411), ('NOT_CONVERGED', 420)])
def test_relax_with_usable_outputs(relax: Path, kind: str, status: int) -> None:
    edit(relax, 'results.json', lambda content: content.update(failure=failed(kind)))
    outputs, node = parsed('relax', relax, relax_inputs())
    assert node.exit_status == status
    assert {'structures', 'trajectory', 'results'} <= set(outputs)


def test_relax_without_structures(relax: Path) -> None:
    (relax / 'relaxed.xyz').unlink()
    _, node = parsed('relax', relax, relax_inputs())
    assert node.exit_status == 302


def test_evaluate() -> None:
    inputs = {'model': toy_model(), 'frames': toy_dataset()}
    outputs, node = parsed('evaluate', FIXTURES / 'evaluate', inputs)
    assert node.exit_status == 0
    dataset = outputs['dataset']
    assert dataset.n_frames == 22
    assert dataset.method.startswith('mace sha256:')
    assert [frame.info['index'] for frame in dataset.get_frames()] == list(range(22))


def test_evaluate_with_frames_missing(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FIXTURES / 'evaluate', tmp_path / 'job'))
    lines = (folder / 'labelled.xyz').read_text().splitlines(keepends=True)
    (folder / 'labelled.xyz').write_text(''.join(lines[:-4]))
    _, node = parsed('evaluate', folder, {'model': toy_model(), 'frames': toy_dataset()})
    assert node.exit_status == 302
    assert 'has 21 frames, 22 were given' in node.exit_message


def test_evaluate_not_finite(tmp_path: Path) -> None:
    (tmp_path / 'error.json').write_text(json.dumps(failed('NOT_FINITE')))
    _, node = parsed('evaluate', tmp_path, {'model': toy_model(), 'frames': toy_dataset()})
    assert node.exit_status == 410


def test_describe() -> None:
    inputs = {'model': toy_model(), 'frames': toy_dataset()}
    outputs, node = parsed('describe', FIXTURES / 'describe', inputs)
    assert node.exit_status == 0
    arrays = dict(outputs['descriptors'].get_iterarrays())
    assert arrays['descriptors'].shape == (44, 8)
    assert arrays['atoms_per_frame'].tolist() == [2] * 22
    model = outputs['descriptors'].base.attributes.get('model_sha256')
    assert model == inputs['model'].sha256


def test_describe_of_other_frames() -> None:
    frames = FramesData.from_frames(toy_dataset().get_frames()[:5])
    inputs = {'model': toy_model(), 'frames': frames}
    outputs, node = parsed('describe', FIXTURES / 'describe', inputs)
    assert node.exit_status == 302
    assert 'not those of the frames' in node.exit_message
    assert 'descriptors' not in outputs


def test_inspect() -> None:
    file = orm.SinglefileData(FIXTURES / 'train' / 'model.model')
    outputs, node = parsed('inspect', FIXTURES / 'inspect', {'file': file})
    assert node.exit_status == 0
    assert outputs['model'].origin == 'given'
    assert outputs['model'].r_max == 3.5
    assert outputs['model'].get_content(mode='rb') == file.get_content(mode='rb')


def test_fetch(tmp_path: Path) -> None:
    described = json.loads((FIXTURES / 'inspect' / 'results.json').read_text())
    found = {**described, 'name': 'mace_mp:tiny', 'url': 'https://example.org/tiny.model'}
    (tmp_path / 'results.json').write_text(json.dumps(found))
    shutil.copy(FIXTURES / 'train' / 'model.model', tmp_path)
    outputs, node = parsed('fetch', tmp_path, {'name': orm.Str('mace_mp:tiny')})
    assert node.exit_status == 0
    model = outputs['model']
    assert (model.label, model.origin) == ('mace_mp:tiny', 'given')
    assert model.sha256 == hashlib.sha256(model.get_content(mode='rb')).hexdigest()
    assert outputs['results']['url'] == found['url']
