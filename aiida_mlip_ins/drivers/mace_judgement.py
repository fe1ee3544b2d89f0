"""How good a trained model is: which epoch is the best, and is it better than what there was."""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import Any

from ase import Atoms

from aiida_mlip_ins.drivers import mace_keeper, mace_trainer
from aiida_mlip_ins.drivers.common import DriverError, Job
from aiida_mlip_ins.science import dataset
from aiida_mlip_ins.science.curvature import curvature_errors, displaced_sets
from aiida_mlip_ins.science.eos import compare_curves
from aiida_mlip_ins.science.training import TrainSettings
from aiida_mlip_ins.science.training_report import error_table, validations
from aiida_mlip_ins.science.training_verdict import (
    error_of_validation,
    heads_unseen,
    training_failure,
)

MODEL = 'model.model'
PREDICTIONS = 'predictions.xyz'
DISPLACED = 'displaced.xyz'
HELD_OUT = ('valid', 'test')
COLD = ('path', 'volume')
"""Sources of frames that are cells with atoms at rest, or nearly so."""


def of(frame: Atoms) -> str:
    """Return the split of a frame."""
    return str(frame.info.get('split', 'train'))


def watch(job: Job, settings: TrainSettings, frames: list[Atoms]) -> None:
    """Tell the trainer how to judge its epochs.

    :raises DriverError: ``BAD_INPUT`` if it is to choose by frequencies that nothing tells.
    """
    held_out = [frame for frame in frames if of(frame) == 'valid']
    known = [held_out[index] for one in displaced_sets(held_out) for index in one.members]
    if settings.choose_by == 'frequencies' and not known:
        raise DriverError(
            'BAD_INPUT',
            "choose_by is 'frequencies', but the split 'valid' has no whole set of displacements",
            "Sample the section 'displaced' with `split: valid`, or choose by 'loss'.",
        )
    told = mace_keeper.Watch(
        patience=settings.patience,
        displaced=DISPLACED if known else None,
        choose=settings.choose_by != 'loss',
        head=mace_trainer.HEAD,
        batch_size=settings.valid_batch_size,
    )
    if known:
        (job.folder / DISPLACED).write_bytes(dataset.write_frames(known))
    (job.folder / mace_keeper.WATCH).write_text(json.dumps(dataclasses.asdict(told)))


def judge(
    job: Job,
    settings: TrainSettings,
    frames: list[Atoms],
    training: mace_trainer.Training,
    start: Any,
) -> dict[str, Any]:
    """Evaluate the final model, and the one it started from, on our own account.

    :return: ``model`` (its description), ``errors`` per split and source, ``curvature`` and
        ``energy_volume``, ``failure``.
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
    initial = error_of_validation(validations(training.entries(), mace_trainer.HEAD)[0])
    unseen = heads_unseen(description['heads'], training.entries())
    return {
        'model': description,
        'stage': 2 if path.stem.endswith('_stagetwo') else 1,
        'errors': errors,
        'foundation_errors': before,
        'curvature': curvature_table(frames, labels),
        'energy_volume': energy_volume(frames, labels),
        'failure': unseen or training_failure(initial, errors, before),
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


def curvature_table(frames: list[Atoms], labels: list[Any]) -> list[dict[str, Any]]:
    """Return the errors of each whole set of displaced frames, with ``split`` and ``index``.

    See ``science.curvature.curvature_errors``; ``index`` is that of the first frame of the set.
    """
    found = []
    for split in sorted(set(map(of, frames))):
        places = [index for index, frame in enumerate(frames) if of(frame) == split]
        sets = displaced_sets([frames[index] for index in places])
        rows = curvature_errors(sets, [labels[index].forces for index in places])
        for one, row in zip(sets, rows, strict=True):
            index = int(frames[places[one.members[0]]].info['index'])
            found.append({'split': split, 'index': index, **row})
    return found


def energy_volume(frames: list[Atoms], labels: list[Any]) -> dict[str, Any] | None:
    """Return the cold curves of labels and model, see ``science.eos.compare_curves``.

    They are of the frames that are cells along the pressure, of which there have to be enough.
    """
    cells = [
        (frame, label)
        for frame, label in zip(frames, labels, strict=True)
        if frame.info.get('source') in COLD and dataset.ENERGY in frame.info
    ]
    return compare_curves(
        [frame.get_volume() / len(frame) for frame, _ in cells],
        [frame.info[dataset.ENERGY] / len(frame) for frame, _ in cells],
        [label.energy / len(frame) for frame, label in cells],
    )
