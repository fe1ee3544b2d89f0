"""Driver: open a model file and say what is in it."""

from __future__ import annotations

import sys
from typing import Any

from aiida_mlip_ins.drivers.common import DriverError, Job, main


def run(job: Job) -> dict[str, Any]:
    """Return the description of the model."""
    with job.timed('import'):
        from aiida_mlip_ins.drivers import mace_model
    path = job.folder / job.inputs['model']
    model = mace_model.load_model(path)
    description = mace_model.describe(model, path)
    if not description['finite']:
        raise DriverError('MODEL_UNREADABLE', 'the weights of the model are not finite (NaN)')
    return description


if __name__ == '__main__':
    sys.exit(main(run, ('mace-torch', 'torch', 'e3nn', 'ase', 'numpy')))
