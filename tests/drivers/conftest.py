"""A toy crystal for the engines: NiAl in the CsCl structure with ASE's EMT as its "DFT"."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from ase.calculators.emt import EMT

TOP = Path(__file__).resolve().parents[2]
FIXTURES = TOP / 'tests' / 'fixtures' / 'mace'

SETTINGS: dict[str, Any] = {
    'seed': 1, 'dtype': 'float64', 'device': 'cpu', 'r_max': 3.5, 'num_channels': 4, 'max_L': 0,
    'max_ell': 2, 'correlation': 2, 'num_interactions': 2, 'num_radial_basis': 4,
    'radial_MLP': [8, 8], 'reference_energies': 'least_squares', 'loss': 'stress',
    'energy_weight': 10.0, 'forces_weight': 100.0, 'stress_weight': 1000.0, 'batch_size': 4,
    'valid_batch_size': 4, 'max_epochs': 3, 'eval_interval': 1, 'learning_rate': 0.03,
    'weight_decay': 5e-7, 'clip_grad': 10.0, 'scheduler': 'ExponentialLR',
    'learning_rate_decay': 0.99, 'scheduler_patience': 50, 'scheduler_factor': 0.8,
    'minimum_frames': 4,
}  # fmt: skip
"""The smallest model that trains; three epochs, one stage, no average."""

RELAX: dict[str, Any] = {
    'fmax': 1e-4, 'smax': 1e-3, 'max_steps': 100, 'max_step': 0.1, 'max_volume_change': 0.2,
    'keep_symmetry': True, 'symprec': 1e-3, 'dtype': 'float64', 'device': 'cpu',
}  # fmt: skip

EVALUATE: dict[str, Any] = {
    'batch_size': 3, 'dtype': 'float64', 'device': 'cpu', 'compute_stress': True,
}  # fmt: skip


def make_toy_frames() -> list[ase.Atoms]:
    """Return 22 labelled frames of two atoms: 16 to train on, 3 to validate, 3 to test."""
    return labelled('NiAl', 2.95 * np.eye(3))


def make_toy_hydride() -> list[ase.Atoms]:
    """Return the same of a crystal with hydrogen, rock salt."""
    return labelled('NiH', 2.25 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))


def labelled(symbols: str, cell: np.ndarray) -> list[ase.Atoms]:
    """Return frames of two atoms in cells of about this size (angstrom), half of them rattled."""
    rng = np.random.default_rng(1)
    frames = []
    for index in range(22):
        scale = 1 + 0.05 * rng.uniform(-1, 1)
        atoms = ase.Atoms(
            symbols, scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=scale * cell, pbc=True
        )
        if index % 2:
            atoms.rattle(0.05, seed=index)
        atoms.calc = EMT()
        frame = atoms.copy()
        frame.info = {
            'source': 'rattle' if index % 2 else 'volume',
            'split': (['train'] * 16 + ['valid'] * 3 + ['test'] * 3)[index],
            'REF_energy': atoms.get_potential_energy(),
            'REF_stress': atoms.get_stress(),
        }
        frame.arrays['REF_forces'] = atoms.get_forces()
        frames.append(frame)
    return frames


@pytest.fixture(scope='session')
def toy_frames() -> list[ase.Atoms]:
    """Return the labelled frames of the toy crystal."""
    return make_toy_frames()


@pytest.fixture(scope='session')
def toy_model() -> Path:
    """Return a model trained on the toy crystal (by the driver itself, see the README there)."""
    return FIXTURES / 'train' / 'model.model'


@pytest.fixture(scope='session')
def toy_settings() -> dict[str, Any]:
    """Return training settings for the toy crystal: three epochs, one stage."""
    return dict(SETTINGS)


@pytest.fixture(scope='session')
def relax_settings() -> dict[str, Any]:
    """Return settings of a relaxation."""
    return dict(RELAX)


@pytest.fixture(scope='session')
def evaluate_settings() -> dict[str, Any]:
    """Return settings of an evaluation."""
    return dict(EVALUATE)


@pytest.fixture(scope='session')
def driver_env() -> dict[str, str]:
    """Return the environment that drivers are run in from this checkout."""
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONDONTWRITEBYTECODE'}
    return {**env, 'PYTHONPATH': str(TOP), 'OMP_NUM_THREADS': '1'}


@pytest.fixture(scope='session')
def engine_run(
    warm_python: Path, driver_env: dict[str, str]
) -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that runs the engines' Python with this checkout's package."""

    def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(warm_python), *words],
            cwd=folder,
            env=driver_env,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(scope='session')
def run_driver(engine_run: Callable) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a driver and returns its results or its error."""

    def run(driver: str, folder: Path, inputs: dict[str, Any]) -> dict[str, Any]:
        (folder / 'inputs.json').write_text(json.dumps({'num_threads': 1, **inputs}))
        done = engine_run(folder, '-m', f'aiida_mlip_ins.drivers.{driver}')
        for name in ('error.json', 'results.json'):
            if (folder / name).is_file():
                return json.loads((folder / name).read_text())
        raise AssertionError(done.stderr)

    return run
