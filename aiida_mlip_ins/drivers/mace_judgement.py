"""How good a trained model is: evaluated on all splits, and held against what there was before."""

from __future__ import annotations

import shutil
from typing import Any

from ase import Atoms

from aiida_mlip_ins.drivers import mace_trainer
from aiida_mlip_ins.drivers.common import Job
from aiida_mlip_ins.science import dataset
from aiida_mlip_ins.science.training import TrainSettings
from aiida_mlip_ins.science.training_report import error_table, validations

MODEL = 'model.model'
PREDICTIONS = 'predictions.xyz'
HELD_OUT = ('valid', 'test')


def of(frame: Atoms) -> str:
    """Return the split of a frame."""
    return str(frame.info.get('split', 'train'))


def judge(
    job: Job,
    settings: TrainSettings,
    frames: list[Atoms],
    training: mace_trainer.Training,
    start: Any,
) -> dict[str, Any]:
    """Evaluate the final model, and the one it started from, on our own account.

    :return: ``model`` (its description), ``errors`` per split and source, ``failure``.
    """
    with job.timed('import'):
        from aiida_mlip_ins.drivers import mace_model
    mace_model.set_up(settings.dtype, settings.device, job.inputs['num_threads'])
    path = training.model_path()
    model = mace_model.load_model(path, None, settings.device)
    description = mace_model.describe(model, path)
    if not description['finite']:
        message = 'weights of the trained model are NaN or infinite'
        return {'failure': {'kind': 'NAN_LOSS', 'message': message, 'hint': ''}}
    shutil.copy(path, job.folder / MODEL)
    head = mace_trainer.HEAD
    labels = mace_model.evaluate(
        model, frames, settings.valid_batch_size, settings.device, head,
        on_progress=lambda done: job.progress('evaluate', done, len(frames)),
    )  # fmt: skip
    held_out = [i for i, frame in enumerate(frames) if of(frame) in HELD_OUT]
    predicted = mace_model.labelled(frames, labels)
    for frame, original in zip(predicted, frames, strict=True):
        frame.info['index'] = original.info['index']
    (job.folder / PREDICTIONS).write_bytes(dataset.write_frames([predicted[i] for i in held_out]))
    errors = table(frames, labels)
    before = None
    if start is not None:
        chosen = [frames[i] for i in held_out]
        found = mace_model.evaluate(start, chosen, settings.valid_batch_size, settings.device)
        before = table(chosen, found)
    return {
        'model': description,
        'stage': 2 if path.stem.endswith('_stagetwo') else 1,
        'errors': errors,
        'foundation_errors': before,
        'failure': no_better(training, errors, before),
    }


def table(frames: list[Atoms], labels: list[Any]) -> dict[str, Any]:
    """Return the errors of labels per split and source."""
    reference = [
        {
            'energy': frame.info.get(dataset.ENERGY),
            'forces': frame.arrays[dataset.FORCES],
            'stress': frame.info.get(dataset.STRESS),
        }
        for frame in frames
    ]
    sources = [str(frame.info.get('source')) for frame in frames]
    return error_table([of(f) for f in frames], sources, reference, [x.as_dict() for x in labels])


def no_better(
    training: mace_trainer.Training, errors: dict[str, Any], before: dict[str, Any] | None
) -> dict[str, str] | None:
    """Return a failure if the model is no better than before its training."""
    initial = validations(training.entries(), mace_trainer.HEAD)[0]['mae_f'] * 1e3
    final = errors['valid']['force_mae']
    if not final < initial:
        return {
            'kind': 'NO_IMPROVEMENT',
            'message': f'the force error on the validation frames is {final:.1f} meV/angstrom, '
            f'but was {initial:.1f} before the training',
            'hint': 'Look at the learning curve; the learning rate may be too high.',
        }
    split = 'test' if 'test' in errors else 'valid'
    if before is not None and not errors[split]['force_mae'] < before[split]['force_mae']:
        return {
            'kind': 'WORSE_THAN_FOUNDATION',
            'message': f'on the held-out frames ({split}) the force error is '
            f'{errors[split]["force_mae"]:.1f} meV/angstrom, but the foundation model has '
            f'{before[split]["force_mae"]:.1f}',
            'hint': 'Fine-tune for longer, with a lower learning rate, or on more frames.',
        }
    return None
