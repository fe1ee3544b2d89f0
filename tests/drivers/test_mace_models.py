"""The drivers that use a model: inspection, evaluation, relaxation."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import ase
import ase.io
import numpy as np
import pytest

pytestmark = [pytest.mark.engines, pytest.mark.slow]

GPA = 160.21766208


@pytest.fixture(scope='module')
def evaluated(
    run_driver: Callable,
    tmp_path_factory: pytest.TempPathFactory,
    toy_model: Path,
    toy_frames: list[ase.Atoms],
    evaluate_settings: dict[str, Any],
) -> tuple[dict[str, Any], list[ase.Atoms], list[ase.Atoms]]:
    """Return results, labelled frames, and frames strained by +-1e-4 along each Voigt component.

    Toy frames of two atoms come first, then one supercell, then the strained copies of frame 1.
    """
    folder = tmp_path_factory.mktemp('evaluate')
    shutil.copy(toy_model, folder / 'model.model')
    frames = [frame.copy() for frame in toy_frames]
    for frame in frames:
        frame.calc = None
    frames.append(frames[1].repeat((2, 1, 1)))
    for row, column in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[row, column] += 0.5e-4 * sign
            strain[column, row] += 0.5e-4 * sign
            strained = frames[1].copy()
            strained.set_cell(strained.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            frames.append(strained)
    ase.io.write(folder / 'frames.xyz', frames, format='extxyz')
    inputs = {'parameters': evaluate_settings, 'model': 'model.model', 'frames': 'frames.xyz'}
    results = run_driver('mace_evaluate', folder, inputs)
    assert 'kind' not in results, results
    return results, ase.io.read(folder / 'labelled.xyz', index=':'), frames


def test_evaluate_keeps_order_and_info(evaluated: tuple[Any, ...]) -> None:
    """Frames come back in their order with what they said of themselves."""
    results, labelled, frames = evaluated
    assert results['n_frames'] == len(frames) == len(labelled)
    assert [frame.info['index'] for frame in labelled] == list(range(len(frames)))
    for new, old in zip(labelled, frames, strict=True):
        assert new.info['source'] == old.info['source']
        np.testing.assert_allclose(new.positions, old.positions, atol=1e-7)


def test_evaluate_replaces_labels(evaluated: tuple[Any, ...]) -> None:
    """The labels are the model's, close to but not the ones that were there."""
    _, labelled, frames = evaluated
    new, old = labelled[3].arrays['REF_forces'], frames[3].arrays['REF_forces']
    assert 0 < np.abs(new - old).mean() < 0.05


def test_supercell_is_twice_the_cell(evaluated: tuple[Any, ...]) -> None:
    """Batches of frames of different sizes are taken apart as they were put together."""
    _, labelled, _ = evaluated
    cell, supercell = labelled[1], labelled[22]
    assert supercell.info['REF_energy'] == pytest.approx(2 * cell.info['REF_energy'], abs=1e-9)
    np.testing.assert_allclose(
        supercell.arrays['REF_forces'][:2], cell.arrays['REF_forces'], atol=1e-7
    )
    np.testing.assert_allclose(supercell.info['REF_stress'], cell.info['REF_stress'], atol=1e-9)


def test_stress_is_the_derivative_of_the_energy(evaluated: tuple[Any, ...]) -> None:
    """Sign, unit and order of the stress: (1/V) dE/d(strain), tension positive."""
    _, labelled, frames = evaluated
    energies = np.array([frame.info['REF_energy'] for frame in labelled[23:]])
    slopes = (energies[0::2] - energies[1::2]) / 2e-4 / frames[1].get_volume()
    np.testing.assert_allclose(labelled[1].info['REF_stress'], slopes, atol=1e-5)
    assert np.abs(slopes).min() > 1e-3


def test_model_file_that_is_none(run_driver: Callable, tmp_path: Path) -> None:
    """A file that torch cannot read is an unreadable model, not a crash."""
    (tmp_path / 'model.model').write_text('not a model')
    error = run_driver('mace_inspect', tmp_path, {'model': 'model.model'})
    assert error['kind'] == 'MODEL_UNREADABLE'
    assert 'mace_run_train' in error['hint']


@pytest.fixture(scope='module')
def relaxed(
    run_driver: Callable,
    tmp_path_factory: pytest.TempPathFactory,
    toy_model: Path,
    relax_settings: dict[str, Any],
) -> tuple[dict[str, Any], Path]:
    """Return the relaxation of a distorted supercell at 10, -60 and 15 GPa."""
    folder = tmp_path_factory.mktemp('relax')
    shutil.copy(toy_model, folder / 'model.model')
    crystal = ase.Atoms(
        'NiAl', scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.46)], cell=[2.9, 2.9, 3.0], pbc=True
    )
    crystal.info['source'] = 'input'
    ase.io.write(folder / 'structure.xyz', crystal, format='extxyz')
    inputs = {
        'parameters': relax_settings,
        'model': 'model.model',
        'structure': 'structure.xyz',
        'pressures': [10.0, -60.0, 15.0],
    }
    return run_driver('mace_relax', folder, inputs), folder


def test_relax_reaches_the_pressure(relaxed: tuple[dict[str, Any], Path]) -> None:
    """Positive pressure compresses, and both limits are met."""
    rows = relaxed[0]['pressures']
    for row in (rows[0], rows[2]):
        assert row['converged']
        assert row['max_force_ev_per_angstrom'] <= 1e-4
        assert row['stress_residual_gpa'] <= 1e-3
    assert rows[2]['volume_angstrom3'] < rows[0]['volume_angstrom3']
    slope = (rows[2]['energy_ev'] - rows[0]['energy_ev']) / (
        rows[2]['volume_angstrom3'] - rows[0]['volume_angstrom3']
    )
    assert -15.0 < slope * GPA < -10.0


def test_relax_keeps_the_space_group(relaxed: tuple[dict[str, Any], Path]) -> None:
    """The start is tetragonal and polar, and its operations stay."""
    results, _ = relaxed
    assert results['spacegroup_before'] == 'P4mm (99)'
    assert all(row['symmetry_kept'] for row in results['pressures'] if not row['diverged'])


def test_cell_that_runs_away(relaxed: tuple[dict[str, Any], Path]) -> None:
    """Under tension the crystal tears; the other pressures are kept under their own index."""
    results, folder = relaxed
    assert results['failure']['kind'] == 'CELL_DIVERGED'
    assert 'at -60.0 GPa' in results['failure']['message']
    assert 'volume_angstrom3' not in results['pressures'][1]
    frames = ase.io.read(folder / 'relaxed.xyz', index=':')
    assert [frame.info['pressure_index'] for frame in frames] == [0, 2]


def test_relax_not_converged(
    run_driver: Callable, tmp_path: Path, toy_model: Path, relax_settings: dict[str, Any]
) -> None:
    """Too few steps end with what was reached and a message that says how far it is."""
    shutil.copy(toy_model, tmp_path / 'model.model')
    crystal = ase.Atoms(
        'NiAl', scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.46)], cell=[2.9, 2.9, 3.0], pbc=True
    )
    crystal.info['source'] = 'input'
    ase.io.write(tmp_path / 'structure.xyz', crystal, format='extxyz')
    inputs = {
        'parameters': {**relax_settings, 'max_steps': 2, 'keep_symmetry': False},
        'model': 'model.model',
        'structure': 'structure.xyz',
        'pressures': [10.0],
    }
    results = run_driver('mace_relax', tmp_path, inputs)
    assert results['failure']['kind'] == 'NOT_CONVERGED'
    assert 'after 2 steps' in results['failure']['message']
    assert (tmp_path / 'relaxed.xyz').is_file()


def described(
    run_driver: Callable, folder: Path, frames: list[ase.Atoms], settings: dict[str, Any]
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return results and the features (n_atoms, n_features) of each frame."""
    for frame in frames:
        frame.info.setdefault('source', 'test')
    ase.io.write(folder / 'frames.xyz', frames, format='extxyz')
    parameters = {name: settings[name] for name in ('batch_size', 'dtype', 'device')}
    inputs = {'parameters': parameters, 'model': 'model.model', 'frames': 'frames.xyz'}
    results = run_driver('mace_describe', folder, inputs)
    assert 'kind' not in results, results
    with np.load(folder / 'descriptors.npz', allow_pickle=False) as arrays:
        assert arrays['numbers'].tolist() == [z for frame in frames for z in frame.numbers]
        ends = np.cumsum(arrays['atoms_per_frame'])[:-1]
        return results, np.split(arrays['descriptors'], ends)


def turned_frames() -> list[ase.Atoms]:
    """Return a distorted crystal, the same turned, shifted, in another order, doubled, and another.

    Seven frames in batches of three, of different sizes.
    """
    crystal = ase.Atoms(
        'NiAl', scaled_positions=[(0, 0, 0), (0.48, 0.5, 0.53)], cell=[2.9, 3.0, 3.05], pbc=True
    )
    turned, shifted, other = crystal.copy(), crystal.copy(), crystal.copy()
    turned.rotate(37.0, (1, 2, 3), rotate_cell=True)
    shifted.positions += [0.3, -0.2, 0.5]
    other.positions[1] += [0.05, 0.0, 0.0]
    mirrored = crystal.copy()
    mirrored.positions *= [1, 1, -1]
    return [
        crystal, turned, shifted, crystal[[1, 0]], crystal.repeat((2, 1, 1)), mirrored, other,
    ]  # fmt: skip


@pytest.mark.parametrize(('kind', 'n_features'), [('scalars', 8), ('vectors', 8)])
def test_features_are_of_the_surroundings_alone(
    run_driver: Callable,
    engine_run: Callable,
    tmp_path: Path,
    toy_model: Path,
    evaluate_settings: dict[str, Any],
    kind: str,
    n_features: int,
) -> None:
    """Turning, shifting, renaming and doubling change nothing; a displacement does.

    Two layers of four scalars each; the vectors of the first layer of the other model are left out.
    """
    if kind == 'scalars':
        shutil.copy(toy_model, tmp_path / 'model.model')
    else:
        script = Path(__file__).with_name('vector_model.py')
        done = engine_run(tmp_path, str(script))
        assert done.returncode == 0, done.stderr
    results, found = described(run_driver, tmp_path, turned_frames(), evaluate_settings)
    assert results['n_features'] == n_features
    assert (results['n_frames'], results['n_atoms']) == (7, 16)
    crystal, turned, shifted, renamed, doubled, mirrored, other = found
    for same in (turned, shifted, renamed[[1, 0]], doubled[:2], doubled[2:], mirrored):
        np.testing.assert_allclose(same, crystal, atol=1e-8)
    assert np.abs(crystal[0] - crystal[1]).max() > 1e-2
    assert np.abs(other - crystal).max() > 1e-4


def test_features_of_unknown_elements(
    run_driver: Callable, tmp_path: Path, toy_model: Path, evaluate_settings: dict[str, Any]
) -> None:
    shutil.copy(toy_model, tmp_path / 'model.model')
    frame = ase.Atoms('Cu', cell=[3, 3, 3], pbc=True)
    frame.info['source'] = 'test'
    ase.io.write(tmp_path / 'frames.xyz', [frame], format='extxyz')
    parameters = {name: evaluate_settings[name] for name in ('batch_size', 'dtype', 'device')}
    inputs = {'parameters': parameters, 'model': 'model.model', 'frames': 'frames.xyz'}
    error = run_driver('mace_describe', tmp_path, inputs)
    assert error['kind'] == 'BAD_INPUT'
    assert 'Cu' in error['message']


FETCH = """
import sys
from mace.calculators import foundations_models
foundations_models.mace_mp_urls['tiny'] = sys.argv[1]
from aiida_mlip_ins.drivers import mace_fetch
from aiida_mlip_ins.drivers.common import main
sys.exit(main(mace_fetch.run, ()))
"""


@pytest.fixture
def fetch(engine_run: Callable, tmp_path: Path) -> Callable[[str, str], dict[str, Any]]:
    """Return a function that fetches a model by name, where mace says that `tiny` is at an URL."""

    def run(name: str, url: str) -> dict[str, Any]:
        (tmp_path / 'inputs.json').write_text(json.dumps({'name': name}))
        done = engine_run(tmp_path, '-c', FETCH, url)
        for file in ('error.json', 'results.json'):
            if (tmp_path / file).is_file():
                return json.loads((tmp_path / file).read_text())
        raise AssertionError(done.stderr)

    return run


def test_a_model_is_fetched_by_its_name(fetch: Callable, toy_model: Path, tmp_path: Path) -> None:
    found = fetch('mace_mp:tiny', toy_model.as_uri())
    assert (tmp_path / 'model.model').read_bytes() == toy_model.read_bytes()
    assert found['sha256'] == hashlib.sha256(toy_model.read_bytes()).hexdigest()
    assert (found['elements'], found['name']) == (['Al', 'Ni'], 'mace_mp:tiny')
    assert found['url'] == toy_model.as_uri()


class HalfAnAnswer(BaseHTTPRequestHandler):
    """Announces more than it sends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header('Content-Length', '100')
        self.end_headers()
        self.wfile.write(bytes(60))


def test_a_download_that_breaks_off(fetch: Callable) -> None:
    with HTTPServer(('127.0.0.1', 0), HalfAnAnswer) as server:
        Thread(target=server.handle_request).start()
        error = fetch('mace_mp:tiny', f'http://127.0.0.1:{server.server_port}/tiny.model')
    assert error['kind'] == 'DOWNLOAD_FAILED'
    assert 'broke off after 60 of 100 bytes' in error['message']


@pytest.mark.parametrize(
    ('name', 'kind', 'words'),
    [
        ('mace_mp:tyni', 'BAD_INPUT', "did you mean 'mace_mp:tiny'?"),
        ('mace_mp:tiny', 'DOWNLOAD_FAILED', 'http://127.0.0.1:9/tiny.model'),
    ],
)
def test_a_model_that_cannot_be_had(fetch: Callable, name: str, kind: str, words: str) -> None:
    error = fetch(name, 'http://127.0.0.1:9/tiny.model')
    assert error['kind'] == kind
    assert words in error['message']
    if kind == 'DOWNLOAD_FAILED':
        assert 'launch inspect-model' in error['hint']
