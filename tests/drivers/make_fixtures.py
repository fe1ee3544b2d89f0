"""Make tests/fixtures/mace: real outputs of the drivers on the toy crystal.

    .envs/aiida/bin/python tests/drivers/make_fixtures.py .envs/engines/bin/python

Run it after a change of what the drivers write.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ase import Atoms

from aiida_mlip_ins.science.dataset import bare, write_frames
from aiida_mlip_ins.workflows.protocols import load_protocol

HERE = Path(__file__).parent
OUT = HERE.parent / 'fixtures' / 'mace'
KEPT = {
    'mace_train': (
        'results.json',
        'model.model',
        'training.jsonl',
        'predictions.xyz',
        'trainer.out',
    ),
    'mace_evaluate': ('results.json', 'labelled.xyz'),
    'mace_describe': ('results.json', 'descriptors.npz'),
    'mace_relax': ('results.json', 'relaxed.xyz', 'trajectory.xyz'),
    'mace_inspect': ('results.json',),
    'mace_md': (
        'results.json',
        'trajectory_0000000000.npz',
        'trajectory_0000000006.npz',
        'trajectory_0000000012.npz',
        'checkpoint.npz',
    ),
}


def main() -> None:
    spec = importlib.util.spec_from_file_location('toys', HERE / 'conftest.py')
    toys = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toys)
    frames = toys.make_toy_frames()
    dataset = write_frames(frames)
    start = bare(frames[0])
    start.info, start.arrays = (
        {'source': 'input'},
        {name: frames[0].arrays[name] for name in ('numbers', 'positions')},
    )
    trained = {
        **toys.SETTINGS, 'max_epochs': 80, 'ema_decay': 0.9, 'stage_two_start': 60,
        'stage_two_energy_weight': 100.0, 'stage_two_forces_weight': 100.0,
        'stage_two_stress_weight': 1000.0, 'stage_two_learning_rate': 0.003,
        'learning_rate_decay': 0.98,
    }  # fmt: skip
    run('mace_train', {'parameters': trained, 'dataset': 'dataset.xyz'}, {'dataset.xyz': dataset})
    model = (OUT / 'train' / 'model.model').read_bytes()
    (OUT / 'dataset.xyz').write_bytes(dataset)
    run('mace_inspect', {'model': 'model.model'}, {'model.model': model})
    run(
        'mace_evaluate',
        {'parameters': toys.EVALUATE, 'model': 'model.model', 'frames': 'frames.xyz'},
        {'model.model': model, 'frames.xyz': dataset},
    )
    run(
        'mace_relax',
        {
            'parameters': toys.RELAX, 'model': 'model.model', 'structure': 'structure.xyz',
            'pressures': [8.0, -60.0, 12.0],
        },
        {'model.model': model, 'structure.xyz': write_frames([start])},
    )  # fmt: skip
    make_features(model, dataset)
    make_md(model)
    make_hydride(toys)


def make_hydride(toys: Any) -> None:
    """Only the model of a crystal with hydrogen, for what needs a spectrum."""
    frames = toys.make_toy_hydride()
    settings = {**toys.SETTINGS, 'max_epochs': 120, 'learning_rate_decay': 0.98, 'ema_decay': 0.9}
    with tempfile.TemporaryDirectory() as name:
        run(
            'mace_train', {'parameters': settings, 'dataset': 'dataset.xyz'},
            {'dataset.xyz': write_frames(frames)}, Path(name),
        )  # fmt: skip
        target = OUT / 'hydride'
        target.mkdir(exist_ok=True)
        shutil.copy(Path(name) / 'model.model', target)


def make_features(model: bytes, dataset: bytes) -> None:
    """Features of the atoms of the labelled frames."""
    inputs = {
        'parameters': load_protocol('describe')['parameters'], 'model': 'model.model',
        'frames': 'frames.xyz',
    }  # fmt: skip
    run('mace_describe', inputs, {'model.model': model, 'frames.xyz': dataset})


def make_md(model: bytes) -> None:
    """Two atoms for twelve steps of 1 fs at 8 GPa."""
    crystal = Atoms('NiAl', scaled_positions=[(0, 0, 0), (0.5,) * 3], cell=[2.85] * 3, pbc=True)
    crystal.info['source'] = 'input'
    parameters = {
        **load_protocol('md')['md']['parameters'], 'duration_ps': 0.012, 'timestep_fs': 1.0,
        'record_every': 2, 'batch_frames': 3, 'settle_ps': 0.0,
    }  # fmt: skip
    inputs = {
        'parameters': parameters, 'model': 'model.model', 'structure': 'structure.xyz',
        'temperature_k': 300.0, 'pressure_gpa': 8.0, 'wallclock_s': None,
    }  # fmt: skip
    files = {'model.model': model, 'structure.xyz': write_frames([crystal])}
    run('mace_md', inputs, files)


def run(driver: str, inputs: dict, files: dict[str, bytes], target: Path | None = None) -> None:
    target = target or OUT / driver.removeprefix('mace_')
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / 'inputs.json').write_text(json.dumps({'num_threads': 1, **inputs}))
        for file, content in files.items():
            (folder / file).write_bytes(content)
        env = {k: v for k, v in os.environ.items() if k != 'PYTHONDONTWRITEBYTECODE'}
        env.update(PYTHONPATH=str(HERE.parents[1]), OMP_NUM_THREADS='1')
        words = [str(Path(sys.argv[1]).absolute()), '-m', f'aiida_mlip_ins.drivers.{driver}']
        subprocess.run(words, cwd=folder, env=env, check=True)
        for kept in KEPT[driver]:
            shutil.copy(folder / kept, target / kept)


if __name__ == '__main__':
    main()
