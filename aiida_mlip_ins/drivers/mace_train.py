"""Driver: train a MACE model on labelled frames, or fine-tune one, and say how good it is.

Guards stand before the training (a dataset that cannot be trained on), around it (mace's silent
failures) and after it (a model that is no better than what there was).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from aiida_mlip_ins.drivers import mace_failures, mace_keeper, mace_lbfgs, mace_trainer
from aiida_mlip_ins.drivers.common import DriverError, Job, main
from aiida_mlip_ins.drivers.mace_judgement import judge, of, watch
from aiida_mlip_ins.drivers.mace_restart import take_over
from aiida_mlip_ins.science import dataset
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.training import (
    STRESS_LOSSES,
    TrainSettings,
    force_weights,
    split_problems,
    train_problems,
)
from aiida_mlip_ins.science.training_report import fit_reference_energies

LOG = 'training.jsonl'
START = 'start.model'
STARTED = time.monotonic()
"""As early as the driver can tell."""
RESERVE_SHARE, RESERVE_S = 0.1, 300.0
"""Of the wall time, what is left for writing and evaluating the model: a share, and at most (s)."""

UNFINISHED = (None, 'INTERRUPTED', 'NO_IMPROVEMENT', 'WORSE_THAN_FOUNDATION')
"""Failures that say nothing of a training that had no time."""


def run(job: Job) -> dict[str, Any]:
    """Train, check, evaluate; what went wrong with usable results is under ``failure``."""
    settings, frames, isolated = read(job)
    extra = mace_trainer.extra_arguments(settings.mace_arguments or {})
    with job.timed('prepare'):
        energies, start = prepare(job, settings, frames, isolated)
    files = write_files(job, settings, frames, energies['values'])
    watch(job, settings, frames)
    mace_lbfgs.tell(job.folder, settings)
    beginning = take_over(job, settings)
    with job.timed('train'):
        words = mace_trainer.command(settings, files, extra)
        training = mace_trainer.Training(job, settings, words, beginning, deadline(job))
        try:
            training.wait(load_engine)
        finally:
            training.stop()
            training.write_log(job.folder / LOG)
    results: dict[str, Any] = {
        'reference_energies': energies,
        'stage_two_start': settings.stage_two_start,
        'lbfgs_start': settings.lbfgs_start,
        'n_frames': {split: sum(of(f) == split for f in frames) for split in map(of, frames)},
        'interrupted': training.interrupted,
        'first_epoch': beginning.epoch,
    }
    output = (job.folder / mace_failures.OUTPUT).read_text(errors='replace')
    results['stalled'] = mace_keeper.STALLED in output
    results['failure'] = check_training(job, training, output)
    if results['failure'] is None:
        try:
            with job.timed('evaluate'):
                results.update(judge(job, settings, frames, training, start))
        except (MemoryError, RuntimeError) as error:
            message = f'{type(error).__name__}: {error}'
            if not mace_failures.OUT_OF_MEMORY.search(message):
                raise
            hint = 'Lower valid_batch_size.'
            results['failure'] = {'kind': 'OUT_OF_MEMORY', 'message': message, 'hint': hint}
    if training.out_of_time and (results['failure'] or {}).get('kind') in UNFINISHED:
        message = f'the wall time of {job.inputs["wallclock_s"]} s ended before the training did'
        hint = 'Another job goes on from there, given this one as `restart`.'
        results['failure'] = {'kind': 'OUT_OF_WALLTIME', 'message': message, 'hint': hint}
    return results


def deadline(job: Job) -> float:
    """Return when the training has to be stopped, in the time of ``time.monotonic``."""
    wallclock = job.inputs.get('wallclock_s')
    if not wallclock:
        return math.inf
    return STARTED + float(wallclock) - min(RESERVE_SHARE * wallclock, RESERVE_S)


def load_engine() -> None:
    """Import the engine, which takes seconds that are free while mace_run_train starts."""
    from aiida_mlip_ins.drivers import mace_model  # noqa: F401


def read(job: Job) -> tuple[TrainSettings, list[Atoms], dict[str, float]]:
    """Return settings, frames to train on and with, and the energies (eV) of isolated atoms.

    :raises DriverError: ``BAD_INPUT`` listing every problem of settings and dataset.
    """
    values = job.inputs['parameters']
    found = train_problems(values, 'parameters')
    if found:
        raise DriverError('BAD_INPUT', '; '.join(found))
    settings = build(TrainSettings, values, 'parameters')
    frames = dataset.read_frames(job.folder / job.inputs['dataset'])
    for index, frame in enumerate(frames):
        frame.info['index'] = index
    isolated = {
        str(frame.symbols[0]): float(frame.info[dataset.ENERGY])
        for frame in frames
        if is_isolated(frame)
    }
    frames = [frame for frame in frames if not is_isolated(frame)]
    found = dataset.dataset_problems(frames)
    splits = [of(frame) for frame in frames]
    found += split_problems({name: splits.count(name) for name in splits}, values, 'dataset')
    training = [frame for frame in frames if of(frame) == 'train']
    wants_stress = settings.loss in STRESS_LOSSES and settings.stress_weight > 0
    if training and wants_stress and not any(dataset.STRESS in f.info for f in training):
        found.append(
            f"dataset: no training frame has a stress ('{dataset.STRESS}'), but the loss "
            f"'{settings.loss}' with a stress_weight of {settings.stress_weight} wants one"
        )
    if 'replay' in job.inputs and settings.loss != 'universal':
        found.append("parameters.loss: mace replays with the loss 'universal' alone")
    if found:
        raise DriverError('BAD_INPUT', '; '.join(found))
    weigh(settings, frames)
    return settings, frames, isolated


def weigh(settings: TrainSettings, frames: list[Atoms]) -> None:
    """Give the forces of each frame their weight, where the dataset does not give one."""
    if settings.force_scale is None:
        return
    forces = [frame.arrays[dataset.FORCES] for frame in frames]
    weights = force_weights(forces, settings.force_scale, settings.force_weight_ratio or 1.0)
    for frame, weight in zip(frames, weights, strict=True):
        frame.info.setdefault('config_forces_weight', float(weight))


def is_isolated(frame: Atoms) -> bool:
    """Return whether a frame is one isolated atom, there for its energy only."""
    return len(frame) == 1 and frame.info.get('config_type') == 'IsolatedAtom'


def prepare(
    job: Job, settings: TrainSettings, frames: list[Atoms], isolated: Mapping[str, float]
) -> tuple[dict[str, Any], Any]:
    """Return the energies of isolated atoms and the model to start from (``None``: from scratch).

    mace overwrites new energies with the foundation model's own where both have the same elements,
    so they are written into a copy of that model, which is what mace then starts from.
    """
    elements = sorted({symbol for frame in frames for symbol in frame.symbols})
    if 'foundation' not in job.inputs:
        if settings.reference_energies == 'foundation':
            raise DriverError(
                'BAD_INPUT',
                "reference_energies is 'foundation', but no foundation model is given",
                "Use 'least_squares', or give the input 'foundation'.",
            )
        return reference_energies(settings, frames, elements, isolated, None), None
    with job.timed('import'):
        from aiida_mlip_ins.drivers import mace_foundation, mace_model
    mace_model.set_up(settings.dtype, settings.device, job.inputs['num_threads'])
    path = job.folder / job.inputs['foundation']
    start = mace_foundation.load_start(path, settings)
    mace_model.check_elements(start, frames, 'the dataset')
    base = mace_foundation.Base(start, settings)
    energies = reference_energies(settings, frames, elements, isolated, base)
    mace_foundation.save_start(
        start, energies['values'], job.folder / START, 'replay' in job.inputs
    )
    return energies, start


def reference_energies(
    settings: TrainSettings,
    frames: list[Atoms],
    elements: list[str],
    isolated: Mapping[str, float],
    base: Any,
) -> dict[str, Any]:
    """Return ``values`` (eV per element), their ``source``, and ``rank`` and ``residual`` of a fit.

    :param base: what the foundation model says of the training frames, ``None`` from scratch.
    """
    kind = settings.reference_energies
    if kind == 'foundation':
        return {'source': kind, 'values': {name: base.energies[name] for name in elements}}
    if kind == 'isolated_atoms':
        missing = [name for name in elements if name not in isolated]
        if missing:
            raise DriverError(
                'BAD_INPUT',
                f"reference_energies is '{kind}', but the dataset has no lone atom of {missing}",
                "Add frames of one atom with config_type = IsolatedAtom, or use 'least_squares'.",
            )
        return {'source': kind, 'values': {name: isolated[name] for name in elements}}
    fitted = [f for f in frames if of(f) == 'train' and dataset.ENERGY in f.info]
    if not fitted:
        return {'source': 'none', 'values': dict.fromkeys(elements, 0.0)}
    counts = np.array([[f.symbols.count(name) for name in elements] for f in fitted], dtype=float)
    targets = np.array([f.info[dataset.ENERGY] for f in fitted])
    offsets = np.zeros(len(elements))
    if base is not None:
        targets = targets - base.totals(fitted)
        offsets = np.array([base.energies[name] for name in elements])
    values, rank, residual = fit_reference_energies(counts, targets)
    return {
        'source': kind,
        'values': dict(zip(elements, (values + offsets).tolist(), strict=True)),
        'rank': rank,
        'n_elements': len(elements),
        'residual_mev_per_atom': residual * 1e3,
    }


def write_files(
    job: Job, settings: TrainSettings, frames: list[Atoms], energies: Mapping[str, float]
) -> dict[str, str]:
    """Write the input files of mace and return the arguments that name them."""
    files = {}
    for split in ('train', 'valid'):
        files[f'{split}_file'] = f'{split}.xyz'
        chosen = [frame for frame in frames if of(frame) == split]
        mace_trainer.write_frames(job.folder / f'{split}.xyz', chosen)
    files['E0s'] = repr({atomic_numbers[name]: value for name, value in energies.items()})
    if 'foundation' in job.inputs:
        files['foundation_model'] = START
        if 'replay' not in job.inputs:
            files['E0s'] = 'foundation'
    if 'replay' in job.inputs:
        replayed = dataset.read_frames(job.folder / job.inputs['replay'])
        for split, name in (('train', 'pt_train_file'), ('valid', 'pt_valid_file')):
            chosen = [frame for frame in replayed if of(frame) == split]
            if chosen:
                files[name] = f'replay_{split}.xyz'
                mace_trainer.write_frames(job.folder / files[name], chosen)
    return files


def check_training(job: Job, training: mace_trainer.Training, output: str) -> dict[str, str] | None:
    """Return what went wrong in the training although mace ended well.

    :param output: what it printed.
    """
    status = int(training.process.returncode)
    found = mace_failures.log_failures(
        output, training.entries(), status, 'replay' in job.inputs, training.oom_killed()
    )
    failure = next(found, None)
    if failure is None and training.model_path() is None:
        failure = ('TRAINING_FAILED', 'mace_run_train left no model', '')
    if failure is None:
        return None
    return dict(zip(('kind', 'message', 'hint'), failure, strict=True))


if __name__ == '__main__':
    sys.exit(main(run, ('mace-torch', 'torch', 'e3nn', 'ase', 'numpy')))
