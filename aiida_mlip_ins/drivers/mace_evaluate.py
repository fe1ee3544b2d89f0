"""Driver: energies, forces and stresses of all frames of a set in one go."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from aiida_mlip_ins.drivers.common import DriverError, Job, main
from aiida_mlip_ins.science.dataset import read_frames, write_frames
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.training import EvaluateSettings

LABELLED = 'labelled.xyz'


def run(job: Job) -> dict[str, Any]:
    """Write the labelled frames and return their number and what labelled them."""
    settings = build(EvaluateSettings, job.inputs['parameters'], 'parameters')
    with job.timed('import'):
        from aiida_mlip_ins.drivers import mace_model
    mace_model.set_up(settings.dtype, settings.device, job.inputs['num_threads'])
    path = job.folder / job.inputs['model']
    model = mace_model.load_model(path, settings.dtype, settings.device)
    frames = read_frames(job.folder / job.inputs['frames'])
    with job.timed('evaluate'):
        labels = mace_model.evaluate(
            model,
            frames,
            settings.batch_size,
            settings.device,
            settings.head,
            settings.compute_stress,
            lambda done: job.progress('evaluate', done, len(frames)),
        )
    _require_finite(labels)
    with job.timed('write'):
        (job.folder / LABELLED).write_bytes(write_frames(mace_model.labelled(frames, labels)))
    description = mace_model.describe(model, path)
    return {
        'n_frames': len(frames),
        'n_atoms': int(sum(len(frame) for frame in frames)),
        'head': mace_model.choose_head(model, settings.head),
        'model_sha256': description['sha256'],
    }


def _require_finite(labels: list[Any]) -> None:
    """Refuse to pass on labels that are NaN, naming the first frame that has one."""
    for index, label in enumerate(labels):
        values = [
            label.energy,
            *label.forces.ravel(),
            *(() if label.stress is None else label.stress),
        ]
        if not np.isfinite(values).all():
            raise DriverError(
                'NOT_FINITE',
                f'the model gives NaN or infinite values for frame {index}',
                'Its weights are not finite, or atoms of the frame lie on one another.',
            )


if __name__ == '__main__':
    sys.exit(main(run, ('mace-torch', 'torch', 'e3nn', 'ase', 'numpy')))
