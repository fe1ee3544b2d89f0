"""Run the real mace_run_train into one of its silent failures, past our guards before it.

    python provoke.py CASE      (engines' Python, in an empty folder with dataset.xyz, model.model)

Prints as JSON what the guards after a training say of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from aiida_mlip_ins.drivers import mace_failures, mace_trainer
from aiida_mlip_ins.drivers.common import Job
from aiida_mlip_ins.drivers.mace_train import of
from aiida_mlip_ins.science.dataset import read_frames
from aiida_mlip_ins.science.training import TrainSettings
from aiida_mlip_ins.science.training_report import validations

REPLAY = ['--foundation_model=model.model', '--multiheads_finetuning=True']


def main(case: str) -> None:
    job = Job(Path.cwd())
    settings = TrainSettings(**job.inputs['parameters'])
    frames = read_frames('dataset.xyz')
    if case == 'nan_label':
        frames[3].arrays['REF_forces'][0, 0] = np.nan
    files = {'E0s': '{13: 0.5, 28: 0.5}'}
    for split in ('train', 'valid'):
        files[f'{split}_file'] = f'{split}.xyz'
        mace_trainer.write_frames(
            Path(f'{split}.xyz'), [frame for frame in frames if of(frame) == split]
        )
    words = mace_trainer.command(settings, files)
    if case == 'no_forces':
        words = [w.replace('forces_key=REF_forces', 'forces_key=force') for w in words]
    if case == 'no_replay':
        words += [*REPLAY, '--patience=1', '--lr=1e-300', '--ema', '--ema_decay=0.99']
    if case == 'e0_bug':
        words += ['--foundation_model=model.model', '--multiheads_finetuning=False']
        words = [w.replace('{13: 0.5, 28: 0.5}', '{13: 9.5, 28: 9.5}') for w in words]
    training = mace_trainer.Training(job, settings, words)
    training.wait()
    output = Path(mace_failures.OUTPUT).read_text()
    entries = training.entries()
    found = mace_failures.log_failures(
        output, entries, training.process.returncode, replay=case == 'no_replay'
    )
    validated = validations(entries, mace_trainer.HEAD)
    print(
        json.dumps(
            {
                'kinds': [kind for kind, _, _ in found],
                'status': training.process.returncode,
                'stopping': 'Stopping optimization after' in output,
                'epochs': len(validated) - 1,
                'initial': dict((validated or [{}])[0]),
                'checkpoints': sorted(path.name for path in Path('checkpoints').glob('*.pt')),
                'models': sorted(path.name for path in Path().glob('mace*.model')),
                'output': output[-3000:],
            }
        )
    )


if __name__ == '__main__':
    main(sys.argv[1])
