"""The INS driver, run as its job runs it, by the engines' Python."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ins_settings import SETTINGS as INS_SETTINGS
from springs import brucite_dft, phonopy_arrays, spring_arrays

from aiida_mlip_ins.science.instruments import INSTRUMENTS, path_of

pytestmark = pytest.mark.engines

TOP = Path(__file__).resolve().parents[2]
SETTINGS = {**INS_SETTINGS, 'mesh': [3, 2, 2]}

HBAR = 1.054571817e-34
U = 1.66053906660e-27
EV = 1.602176634e-19
C_PER_CM = 2.99792458e10


@pytest.fixture
def driver(engines_python, tmp_path):
    """Return a function that runs the driver: settings and arrays -> results or error, arrays."""

    def run(arrays: dict, **changes) -> tuple[dict, dict]:
        np.savez(tmp_path / 'force_constants.npz', **arrays)
        inputs = {'parameters': {**SETTINGS, **changes}, 'num_threads': 1}
        (tmp_path / 'inputs.json').write_text(json.dumps(inputs))
        env = {**os.environ, 'PYTHONPATH': str(TOP), 'OMP_NUM_THREADS': '1'}
        done = subprocess.run(
            [engines_python, '-m', 'aiida_mlip_ins.drivers.ins'],
            cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        run.output = done.stdout
        if (tmp_path / 'error.json').exists():
            return json.loads((tmp_path / 'error.json').read_text()), {}
        with np.load(tmp_path / 'intensities.npz', allow_pickle=False) as file:
            return json.loads((tmp_path / 'results.json').read_text()), dict(file)

    return run


def oscillator(frequency: float) -> dict:
    """Return a hydrogen atom on three equal springs of its own; frequency in 1/cm."""
    mass = 1.008
    omega = 2 * np.pi * C_PER_CM * frequency
    stiffness = mass * U * omega**2 / EV * 1e-20
    atoms = Atoms('H', cell=[5, 5, 5], pbc=True, masses=[mass])
    return phonopy_arrays(atoms, [1, 1, 1], stiffness * np.eye(3)[None, None])


def mean_square(frequency: float) -> float:
    """Return <u^2> along one axis (angstrom^2) of that oscillator at rest."""
    return HBAR / (2 * 1.008 * U * 2 * np.pi * C_PER_CM * frequency) * 1e20


def tosca_q2(energy: float, bank: str) -> float:
    """Return Q^2 in 1/angstrom^2."""
    path = path_of(INSTRUMENTS['TOSCA'], bank, None)
    return path.squared(np.array([energy]))[0, 0]


def test_orders_one_and_two_agree_with_a_direct_use_of_abinslib(driver, engines_python, tmp_path):
    results, found = driver(spring_arrays())
    assert 'Found reference' not in driver.output
    (tmp_path / 'settings.json').write_text(json.dumps(SETTINGS))
    command = [
        engines_python, Path(__file__).with_name('direct_abinslib.py'),
        tmp_path / 'force_constants.npz', tmp_path / 'settings.json', tmp_path / 'direct.npz',
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, 'PYTHONPATH': ''})
    expected = np.load(tmp_path / 'direct.npz')['intensity']
    assert expected.shape == found['intensity'].shape == (20, 4000)
    assert [row['order'] for row in results['rows'][::5]] == [1, 2, 1, 2]
    peaks = expected.max(axis=1, keepdims=True)
    assert np.abs(found['intensity'] - expected).max() < 1e-6 * peaks.max()
    assert found['intensity'] / peaks == pytest.approx(expected / peaks, abs=1e-6)
    assert results['n_modes_excluded'] == 0
    assert results['n_modes_out_of_range'] == 0


@pytest.mark.parametrize(('overtones', 'share'), [('harmonic', 1.0), ('abins', 0.7)])
def test_an_isotropic_oscillator_gives_a_poisson_series(driver, overtones, share):
    # Abins halves the overtones of each of the three modes: (3 * 3 / 60 + 6 / 30) = 0.7 of 1/2.
    frequency = 1000.3
    results, found = driver(
        oscillator(frequency), mesh=[1, 1, 1], temperature=0.0, overtones=overtones
    )
    for row, line in zip(results['rows'], found['intensity'], strict=True):
        order = row['order']
        q2 = tosca_q2(frequency if order == 1 else 2000.5, row['bank'])
        x = q2 * mean_square(frequency)
        expected = 82.02 * np.exp(-x) * (x if order == 1 else share * x**2 / 2)
        assert np.flatnonzero(line).tolist() == [1000 if order == 1 else 2000]
        assert line.sum() == pytest.approx(expected, rel=2e-4)


def test_warmth_adds_quanta_and_damps(driver):
    frequency, temperature = 200.3, 300.0
    results, found = driver(oscillator(frequency), mesh=[1, 1, 1], temperature=temperature)
    n = 1 / np.expm1(frequency / (0.6950348 * temperature))
    row = results['rows'][0]
    q2 = tosca_q2(frequency, 'forward')
    x = q2 * mean_square(frequency)
    expected = 82.02 * x * (n + 1) * np.exp(-x * (2 * n + 1))
    assert row == {'atom': 0, 'element': 'H', 'order': 1, 'bank': 'forward'}
    assert found['intensity'][0].sum() == pytest.approx(expected, rel=2e-4)


def test_imaginary_modes_are_refused_with_the_lowest_frequency(driver):
    arrays = spring_arrays()
    arrays['force_constants'] = -arrays['force_constants']
    error, _ = driver(arrays)
    assert error['kind'] == 'IMAGINARY_MODES'
    assert 'the lowest frequency is -38' in error['message']
    assert 'at q = [' in error['message']
    assert error['hint']


def test_translations_at_gamma_are_left_out_and_do_no_harm(driver):
    atoms, constants, _ = brucite_dft('0.0')
    arrays = phonopy_arrays(atoms, [1, 1, 1], constants)
    results, found = driver(arrays, mesh=[1, 1, 1], gamma_centred=True)
    assert results['n_modes_excluded'] == 3
    assert np.isfinite(found['intensity']).all()
    first = [i for i, row in enumerate(results['rows']) if row['order'] == 1]
    lines = np.flatnonzero(found['intensity'][first].sum(axis=0))
    assert lines.tolist() == [281, 369, 411, 455, 478, 848, 3685, 3736]


def test_one_order_and_a_narrow_range(driver):
    results, found = driver(
        spring_arrays(), max_order=1, energy_min=200.0, energy_max=500.0, bin_width=2.5
    )
    assert {row['order'] for row in results['rows']} == {1}
    assert found['intensity'].shape == (10, 120)
    assert found['energy_bins'][[0, -1]].tolist() == [200.0, 500.0]
    assert results['n_modes_out_of_range'] > 0


@pytest.mark.parametrize('what', ['settings', 'shape', 'element'])
def test_bad_input_is_named(driver, what):
    arrays, changes = spring_arrays(), {}
    if what == 'settings':
        changes = {'temperature': -5.0}
    elif what == 'shape':
        arrays['force_constants'] = arrays['force_constants'][:, :30]
    else:
        arrays['masses'][3] = 9.0
    error, _ = driver(arrays, **changes)
    assert error['kind'] == 'BAD_INPUT'
    expected = {'settings': 'temperature', 'shape': 'do not fit', 'element': 'cross section'}[what]
    assert expected in error['message']
