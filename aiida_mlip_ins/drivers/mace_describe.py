"""Driver: the invariant features that a MACE model has of each atom of all frames of a set."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from aiida_mlip_ins.drivers.common import DriverError, Job, main
from aiida_mlip_ins.science.dataset import read_frames
from aiida_mlip_ins.science.descriptors import FILE, DescribeSettings, joined
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.trajectory import write_arrays


def run(job: Job) -> dict[str, Any]:
    """Write the features of all atoms and return their number and whose they are."""
    settings = build(DescribeSettings, job.inputs['parameters'], 'parameters')
    with job.timed('import'):
        from aiida_mlip_ins.drivers import mace_model
    mace_model.set_up(settings.dtype, settings.device, job.inputs['num_threads'])
    path = job.folder / job.inputs['model']
    model = mace_model.load_model(path, settings.dtype, settings.device)
    frames = read_frames(job.folder / job.inputs['frames'])
    columns = scalar_columns(model)
    features: list[np.ndarray] = []

    def keep(module: Any, arguments: Any, output: dict[str, Any]) -> None:
        features.append(output['node_feats'].detach().cpu().numpy()[:, columns])

    # The labels are thrown away; this way batches are made and run as in every other job.
    model.register_forward_hook(keep)
    with job.timed('describe'):
        mace_model.evaluate(
            model,
            frames,
            settings.batch_size,
            settings.device,
            settings.head,
            compute_stress=False,
            on_progress=lambda done: job.progress('describe', done, len(frames)),
        )
    arrays = joined(features, frames)
    _require_finite(arrays['descriptors'], arrays['atoms_per_frame'])
    with job.timed('write'):
        write_arrays(job.folder / FILE, arrays)
    return {
        'n_frames': len(frames),
        'n_atoms': len(arrays['numbers']),
        'n_features': int(arrays['descriptors'].shape[1]),
        'model_sha256': mace_model.describe(model, path)['sha256'],
    }


def scalar_columns(model: Any) -> list[int]:
    """Return which of the features of an atom do not change when the crystal is turned.

    The features of each layer stand one after the other; of a layer that has vectors too, only the
    scalars count.
    """
    from e3nn import o3

    columns: list[int] = []
    start = 0
    for product in model.products:
        irreps = o3.Irreps(str(product.linear.irreps_out))
        for (_, kind), place in zip(irreps, irreps.slices(), strict=True):
            if kind == o3.Irrep('0e'):
                columns.extend(range(start + place.start, start + place.stop))
        start += irreps.dim
    return columns


def _require_finite(descriptors: np.ndarray, counts: np.ndarray) -> None:
    """Refuse to pass on features that are NaN, naming the first frame that has one."""
    wrong = np.flatnonzero(~np.isfinite(descriptors).all(axis=1))
    if len(wrong):
        frame = int(np.searchsorted(np.cumsum(counts), wrong[0], side='right'))
        raise DriverError(
            'NOT_FINITE',
            f'the model gives NaN or infinite features for frame {frame}',
            'Its weights are not finite, or atoms of the frame lie on one another.',
        )


if __name__ == '__main__':
    sys.exit(main(run, ('mace-torch', 'torch', 'e3nn', 'ase', 'numpy')))
