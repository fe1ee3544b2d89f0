"""The molecular dynamics driver: every integrator, going on after a stop, and bad potentials."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import pytest

from aiida_mlip_ins.science.trajectory import CHECKPOINT, Trajectory, displacements, read_batches
from aiida_mlip_ins.workflows.protocols import load_protocol

pytestmark = [pytest.mark.engines, pytest.mark.slow]

INTEGRATORS = {
    'bussi': {'ensemble': 'nvt', 'thermostat': 'bussi'},
    'langevin': {'ensemble': 'nvt', 'thermostat': 'langevin'},
    'mtk': {'ensemble': 'npt', 'barostat': 'mtk'},
    'mtk_isotropic': {'ensemble': 'npt', 'barostat': 'mtk_isotropic'},
}


def crystal() -> ase.Atoms:
    """NiAl, 16 atoms, at the cell that the toy model relaxes to at some 8 GPa."""
    cell = ase.Atoms('NiAl', scaled_positions=[(0, 0, 0), (0.5,) * 3], cell=[2.85] * 3, pbc=True)
    return cell.repeat((2, 2, 2))


def prepare(folder: Path, model: Path, **changes: Any) -> dict[str, Any]:
    """Put model and crystal into a job's folder and return its inputs: 24 steps of 1 fs."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(model, folder / 'model.model')
    atoms = crystal()
    atoms.info['source'] = 'input'
    ase.io.write(folder / 'structure.xyz', atoms, format='extxyz')
    parameters = {
        **load_protocol('md')['md']['parameters'], 'duration_ps': 0.024, 'timestep_fs': 1.0,
        'record_every': 2, 'batch_frames': 3, 'settle_ps': 0.0,
    }  # fmt: skip
    names = {'temperature_k': 300.0, 'pressure_gpa': 8.0, 'wallclock_s': None}
    return {
        'parameters': {**parameters, **{k: v for k, v in changes.items() if k not in names}},
        'model': 'model.model',
        'structure': 'structure.xyz',
        **{name: changes.get(name, value) for name, value in names.items()},
    }


def frames(folder: Path) -> Trajectory:
    found = read_batches(folder, crystal().get_chemical_symbols())
    assert found is not None
    return found


SEVERAL = """
import json, sys
from pathlib import Path
from aiida_mlip_ins.drivers import mace_md
from aiida_mlip_ins.drivers.common import Job
for name in sys.argv[1:]:
    results = mace_md.run(Job(Path(name)))
    Path(name, 'results.json').write_text(json.dumps(results))
"""
"""The driver on several folders; importing the engine takes longer than all the steps."""


@pytest.fixture(scope='module')
def runs(engine_run: Callable, tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    """Return a folder with, for each integrator, a run ``whole``, and one in two parts.

    The parts, ``first`` of ten steps and ``second`` with the rest, are in folders of their own.
    """
    top = tmp_path_factory.mktemp('md')

    def run(names: list[str], **changes: Any) -> None:
        for name in names:
            kind = INTEGRATORS[name.split('/')[0]]
            inputs = prepare(top / name, toy_model, **kind, **changes)
            (top / name / 'inputs.json').write_text(json.dumps({'num_threads': 1, **inputs}))
        done = engine_run(top, '-c', SEVERAL, *names)
        assert done.returncode == 0, done.stderr

    for name, end in (('ringing', 0.0), ('settled', 0.4)):
        long = {'duration_ps': 0.4, 'pressure_gpa': 16.0, 'barostat_time_fs': 100.0}
        run([f'mtk/{name}', f'mtk_isotropic/{name}'], settle_ps=end, **long)
    run([f'{kind}/first' for kind in INTEGRATORS], duration_ps=0.010)
    for kind in INTEGRATORS:
        (top / kind / 'second').mkdir()
        shutil.copy(top / kind / 'first' / CHECKPOINT, top / kind / 'second')
    run([f'{kind}/{part}' for kind in INTEGRATORS for part in ('whole', 'second')])
    return top


@pytest.mark.parametrize('kind', INTEGRATORS)
def test_a_run(runs: Path, kind: str) -> None:
    folder = runs / kind / 'whole'
    results = json.loads((folder / 'results.json').read_text())
    assert results['ended'] is None
    assert (results['steps'], results['n_frames']) == (24, 13)
    found = frames(folder)
    assert found.steps.tolist() == list(range(0, 25, 2))
    np.testing.assert_allclose(found.times, found.steps / 1000)
    if kind == 'langevin':
        assert np.isnan(found.conserved_energy).all()
    else:
        assert np.ptp(found.conserved_energy) < 0.05 * np.ptp(found.potential_energy)
        # velocities are the slope of the positions, the flow of the cell apart
        start = crystal()
        moved = displacements(
            found.positions, found.cells, start.positions, start.cell.array, start.get_masses()
        )
        slopes = (moved[2:] - moved[:-2]) / 0.004
        assert np.abs(slopes - found.velocities[1:-1]).max() < 0.1 * np.abs(slopes).max()
    assert (np.ptp(found.volumes) > 0) == kind.startswith('mtk')
    last = json.loads((folder / 'progress.jsonl').read_text().splitlines()[-1])
    assert (last['stage'], last['done'], last['total']) == ('md', 24, 24)


@pytest.mark.parametrize('kind', INTEGRATORS)
def test_going_on_gives_what_there_would_have_been(runs: Path, kind: str) -> None:
    """Ten steps, then the rest from the checkpoint in another folder: the same frames."""
    results = json.loads((runs / kind / 'second' / 'results.json').read_text())
    assert (results['first_step'], results['steps'], results['n_frames']) == (10, 24, 7)
    expected, found = frames(runs / kind / 'whole'), frames(runs / kind / 'second')
    for name in ('positions', 'velocities', 'cells', 'conserved_energy', 'pressure'):
        wanted = getattr(expected, name)[6:]
        np.testing.assert_allclose(getattr(found, name), wanted, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize('kind', ['mtk', 'mtk_isotropic'])
def test_a_cell_that_is_damped_settles(runs: Path, kind: str) -> None:
    """A crystal that is heated at once swings past its volume; damped, it comes to rest there."""
    ringing, settled = (frames(runs / kind / name).volumes for name in ('ringing', 'settled'))
    assert len(ringing) == len(settled) == 201
    late = slice(len(settled) // 2, None)
    assert np.ptp(settled[late]) < 0.5 * np.ptp(ringing[late])
    growth = settled[late].mean() - settled[0]
    assert ringing.max() - settled[0] > 2 * growth > 0


def test_time_is_up_and_a_frame_too_many(
    run_driver: Callable, tmp_path: Path, toy_model: Path
) -> None:
    """A job ends by itself, and one that goes on in its folder drops what has no checkpoint."""
    inputs = prepare(tmp_path, toy_model, duration_ps=100.0, wallclock_s=8.0)
    results = run_driver('mace_md', tmp_path, inputs)
    assert results['ended']['kind'] == 'OUT_OF_WALLTIME'
    before = frames(tmp_path)
    stray = tmp_path / 'trajectory_0099999999.npz'
    shutil.copy(next(tmp_path.glob('trajectory_*.npz')), stray)
    last = int(before.steps[-1])
    inputs = prepare(tmp_path, toy_model, duration_ps=(last + 4) / 1000)
    results = run_driver('mace_md', tmp_path, inputs)
    assert results['ended'] is None
    assert results['first_step'] == last
    assert frames(tmp_path).steps.tolist() == [*before.steps, last + 2, last + 4]


def test_sigterm_and_sigkill_keep_what_was_done(
    engines_python: Path, driver_env: dict[str, str], tmp_path: Path, toy_model: Path
) -> None:
    ended = {}
    for name in ('SIGTERM', 'SIGKILL'):
        folder = tmp_path / name
        inputs = prepare(folder, toy_model, duration_ps=100.0)
        (folder / 'inputs.json').write_text(json.dumps({'num_threads': 1, **inputs}))
        job = subprocess.Popen(
            [str(engines_python), '-m', 'aiida_mlip_ins.drivers.mace_md'],
            cwd=folder, env=driver_env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while len(list(folder.glob('trajectory_*.npz'))) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
        job.send_signal(getattr(signal, name))
        ended[name] = job.wait(30)
        assert len(frames(folder)) >= 6
        assert (folder / CHECKPOINT).is_file()
    assert ended == {'SIGTERM': 0, 'SIGKILL': -signal.SIGKILL}
    error = json.loads((tmp_path / 'SIGTERM' / 'error.json').read_text())
    assert error['kind'] == 'INTERRUPTED'
    results = json.loads((tmp_path / 'SIGTERM' / 'results.json').read_text())
    assert results['n_frames'] == len(frames(tmp_path / 'SIGTERM'))
    assert not (tmp_path / 'SIGKILL' / 'results.json').exists()


def test_bad_potentials(
    engine_run: Callable, run_driver: Callable, tmp_path: Path, toy_model: Path
) -> None:
    """Turned upside down, what held the crystal together tears it apart; NaN ends at once."""
    script = str(Path(__file__).with_name('spoil.py'))
    for name, factor, kinds in (
        ('upside_down', '-5', ('TOO_HOT', 'EVAPORATED')),
        ('nan', 'nan', ('NOT_FINITE',)),
    ):
        folder = tmp_path / name
        done = engine_run(tmp_path, script, str(toy_model), f'{name}.model', factor)
        assert done.returncode == 0, done.stderr
        inputs = prepare(folder, tmp_path / f'{name}.model', ensemble='nvt', duration_ps=2.0)
        results = run_driver('mace_md', folder, inputs)
        assert results['ended']['kind'] in kinds
        assert results['steps'] < 2000


def test_a_checkpoint_that_does_not_fit(
    run_driver: Callable, tmp_path: Path, toy_model: Path
) -> None:
    run_driver('mace_md', tmp_path, prepare(tmp_path, toy_model, duration_ps=0.002))
    inputs = prepare(tmp_path, toy_model, ensemble='nvt')
    (tmp_path / 'results.json').unlink()
    error = run_driver('mace_md', tmp_path, inputs)
    assert error['kind'] == 'BAD_INPUT'
    assert "it is of 'mtk', but the settings ask for 'bussi'" in error['message']
    (tmp_path / 'error.json').unlink()
    (tmp_path / CHECKPOINT).write_bytes(b'PK')
    assert 'the checkpoint is damaged' in run_driver('mace_md', tmp_path, inputs)['message']
