"""The INS driver, run as its job runs it, by the engines' Python."""

import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ins_settings import SETTINGS as INS_SETTINGS
from springs import brucite_cell, brucite_dft, phonopy_arrays, spring_arrays, spring_crystal

from aiida_mlip_ins.science.instruments import INSTRUMENTS, limits_of, path_of

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
            error = json.loads((tmp_path / 'error.json').read_text())
            (tmp_path / 'error.json').unlink()
            return error, {}
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


@pytest.mark.parametrize('instrument', ['TOSCA', 'VISION', 'Lagrange', 'TFXA', 'TOSCA1'])
def test_ten_orders_follow_the_poisson_series_on_every_indirect_instrument(driver, instrument):
    frequency = 333.4
    results, found = driver(
        oscillator(frequency), mesh=[1, 1, 1], temperature=0.0, overtones='harmonic',
        max_order=10, instrument=instrument,
    )  # fmt: skip
    machine = INSTRUMENTS[instrument]
    assert results['instrument']['final_energy_per_cm'] == machine.final_energy
    assert len(found['intensity']) == 10 * len(machine.banks)
    for row, line in zip(results['rows'], found['intensity'], strict=True):
        order, path = row['order'], path_of(machine, row['bank'], None)
        x = path.squared(np.array([order * frequency]))[:, 0] * mean_square(frequency)
        expected = 82.02 * (path.shares * np.exp(-x) * x**order).sum() / math.factorial(order)
        assert line.sum() == pytest.approx(expected, rel=1e-3)


def test_banks_have_weights_and_may_be_left_out(driver):
    _, both = driver(spring_arrays(), max_order=3)
    results, one = driver(spring_arrays(), max_order=3, banks={'backward': 2.0})
    assert {row['bank'] for row in results['rows']} == {'backward'}
    assert one['intensity'] == pytest.approx(2 * both['intensity'][15:])
    assert results['instrument']['bank_weights'] == {'backward': 2.0}


def test_nuclei_without_spin_have_no_incoherent_scattering(driver):
    results, found = driver(spring_arrays(), max_order=1, cross_section='incoherent')
    assert [n['incoherent_barn'] for n in results['nuclides']] == [0.08, 0, 0, 80.26, 80.26]
    sums = found['intensity'].sum(axis=1)
    assert (sums[[1, 2]] == 0).all()
    assert (sums[[0, 3, 4]] > 0).all()


@pytest.mark.parametrize(('kind', 'barn'), [('incoherent', 80.26), ('coherent', 1.7568)])
def test_a_part_of_the_cross_section_counts(driver, kind, barn):
    _, total = driver(oscillator(500.3), mesh=[1, 1, 1], max_order=3)
    _, part = driver(oscillator(500.3), mesh=[1, 1, 1], max_order=3, cross_section=kind)
    assert part['intensity'] == pytest.approx(total['intensity'] * barn / 82.02, rel=1e-6)


def test_deuteration_changes_mass_and_cross_section_from_the_force_constants_on(driver):
    frequency = 1000.3
    results, found = driver(
        oscillator(frequency), mesh=[1, 1, 1], max_order=1, temperature=0.0, isotopes={'H': 'D'}
    )
    assert results['nuclides'] == [
        {'nuclide': '2H', 'mass_u': pytest.approx(2.014101778), 'total_barn': 7.64,
         'incoherent_barn': 2.05, 'coherent_barn': 5.592},
    ]  # fmt: skip
    shifted = frequency * np.sqrt(1.008 / 2.014101778)
    assert results['max_frequency_per_cm'] == pytest.approx(shifted, rel=1e-5)
    x = tosca_q2(shifted, 'forward') * mean_square(frequency) * np.sqrt(1.008 / 2.014101778)
    assert found['intensity'][0].sum() == pytest.approx(7.64 * x * np.exp(-x), rel=1e-5)


def test_one_site_can_be_deuterated_and_its_crystal_is_the_one_with_that_mass(driver):
    results, found = driver(spring_arrays(), max_order=2, isotopes={'3': '2H'})
    assert [n['nuclide'] for n in results['nuclides']][3:] == ['2H', 'natural H']
    arrays = spring_arrays()
    arrays['masses'][3] = 2.014101777844
    _, expected = driver(arrays, max_order=2)
    assert found['intensity'] == pytest.approx(expected['intensity'], rel=1e-6, abs=1e-9)
    back, again = driver(arrays, max_order=2, isotopes={'3': 'natural'})
    assert back['nuclides'][3]['mass_u'] == pytest.approx(1.007975)
    assert not np.allclose(again['intensity'], expected['intensity'], rtol=0.1)


def test_the_choice_of_the_supercell_does_not_matter(driver):
    """Nearest neighbours see each other in both: 1 x 1 x 1 twice repeated is the same crystal."""
    results, found = driver(oscillator(700.3), mesh=[2, 2, 2], max_order=4)
    arrays = oscillator(700.3)
    arrays['supercell_matrix'] = np.diag([2.0, 2.0, 2.0])
    constants = np.zeros((8, 8, 3, 3))
    constants[range(8), range(8)] = arrays['force_constants'][0, 0]
    arrays['force_constants'] = constants
    other, again = driver(arrays, mesh=[2, 2, 2], max_order=4)
    assert other['max_frequency_per_cm'] == pytest.approx(results['max_frequency_per_cm'])
    assert again['intensity'] == pytest.approx(found['intensity'], rel=1e-8)


def by_atom(results: dict, found: dict, order: int) -> np.ndarray:
    """Return the intensities (n_banks, n_atoms, n_bins) of an order."""
    rows = [row['order'] == order for row in results['rows']]
    count = len({row['atom'] for row in results['rows']})
    return found['intensity'][rows].reshape(-1, count, found['intensity'].shape[1])


def test_a_crystal_of_bound_atoms_is_the_same_in_any_supercell_that_holds_its_springs(driver):
    _, found = driver(spring_arrays(), max_order=5)
    _, other = driver(spring_crystal(brucite_cell(), [4, 3, 3]), max_order=5)
    scale = found['intensity'].max(axis=1, keepdims=True)
    # Frequencies that differ in the twelfth digit may be on both sides of the border of a bin.
    moved = np.abs(found['intensity'] - other['intensity']).sum(axis=1) / scale[:, 0]
    assert moved.max() < 1e-3


def test_the_order_of_the_atoms_only_moves_their_rows(driver):
    order = [3, 0, 4, 2, 1]
    first = driver(spring_arrays(), max_order=3, overtones='harmonic')
    second = driver(
        spring_crystal(brucite_cell()[order], [3, 3, 2]), max_order=3, overtones='harmonic'
    )
    for quanta in (1, 2, 3):
        expected = by_atom(*first, quanta)[:, order]
        moved = np.abs(by_atom(*second, quanta) - expected).sum(axis=-1)
        assert (moved < 1e-3 * expected.max(axis=-1)).all()


def test_one_quantum_is_the_same_in_a_doubled_cell_on_the_same_q_points(driver):
    """Two quanta are not quite, as their pairs are those at one q-point of the cell."""
    atoms = brucite_cell()
    first = driver(
        spring_crystal(atoms, [4, 3, 2]), mesh=[4, 3, 2], max_order=2, overtones='harmonic'
    )
    second = driver(
        spring_crystal(atoms * (2, 1, 1), [2, 3, 2]),
        mesh=[2, 3, 2],
        max_order=2,
        overtones='harmonic',
    )
    found = [by_atom(*made, 1) for made in (first, second)]
    for half in (found[1][:, :5], found[1][:, 5:]):
        moved = np.abs(half - found[0]).sum(axis=-1)
        assert (moved < 1e-3 * found[0].max(axis=-1)).all()
    sums = [by_atom(*made, 2).sum(axis=-1) for made in (first, second)]
    assert sums[1][:, :5] == pytest.approx(sums[0], rel=0.02)


def test_direct_geometry_gives_a_map_and_cuts_and_the_mean_over_its_angles(driver):
    frequency, incident = 400.3, 200.0
    results, found = driver(
        oscillator(frequency), mesh=[1, 1, 1], temperature=0.0, max_order=3, q_step=0.5,
        overtones='harmonic', instrument='MARI', incident_energy=incident, energy_max=1500.0,
    )  # fmt: skip
    assert results['instrument']['incident_energy_per_cm'] == pytest.approx(1613.1, rel=1e-4)
    path = path_of(INSTRUMENTS['MARI'], 'all', incident * 8.065543937)
    for order, line in enumerate(found['intensity'], start=1):
        x = path.squared(np.array([order * frequency]))[:, 0] * mean_square(frequency)
        expected = 82.02 * (path.shares * np.exp(-x) * x**order).sum() / math.factorial(order)
        assert line.sum() == pytest.approx(expected, rel=1e-3)
    q, seen = found['map_q'], found['map_reachable']
    assert found['map_intensity'].shape == (1, len(q), 1500)
    assert q[0] == 0.5
    limits = limits_of(INSTRUMENTS['MARI'], incident * 8.065543937)
    low, high = np.sqrt(limits.squared(np.array([400.5])))
    assert seen[:, 400].tolist() == ((q >= low) & (q <= high)).tolist()
    assert (found['map_intensity'][0][~seen] == 0).all()
    x = q**2 * mean_square(frequency)
    expected = 82.02 * x * np.exp(-x) * seen[:, 400]
    assert found['map_intensity'][0, :, 400] == pytest.approx(expected, rel=1e-5)


def soft_arrays() -> dict:
    """Return brucite with one hydrogen that rolls off sideways: a few imaginary modes."""
    arrays = spring_arrays()
    constants = arrays['force_constants']
    own = int(np.argmax(np.abs(constants[3]).sum(axis=(1, 2))))
    constants[3, own, 0, 0] -= 12.0
    constants[3, own, 1, 1] -= 12.0
    return arrays


def test_imaginary_modes_may_be_left_out_and_what_is_lost_is_said(driver):
    refused, _ = driver(soft_arrays())
    assert refused['kind'] == 'IMAGINARY_MODES'
    results, found = driver(soft_arrays(), imaginary='leave_out')
    assert np.isfinite(found['intensity']).all()
    assert results['n_modes_imaginary'] > 0
    lost = results['imaginary_weight_lost']
    assert set(lost) == {'total', 'Mg', 'O', 'H'}
    assert 0.05 < lost['H'] < 0.5
    assert lost['Mg'] < 0.05
    assert f'{results["n_modes_imaginary"]} imaginary modes left out' in results['remarks'][0]


def noisy_arrays() -> dict:
    """Return brucite whose self terms are too small to obey the acoustic sum rule."""
    arrays = spring_arrays()
    constants = arrays['force_constants']
    for atom in range(5):
        own = int(np.argmax(np.abs(constants[atom]).sum(axis=(1, 2))))
        constants[atom, own] -= 0.3 * np.eye(3)
    return arrays


def test_the_sum_rule_cures_its_noise_and_says_how_much_there_was(driver):
    changes = {'gamma_centred': True, 'mesh': [7, 7, 5], 'asr_threshold': 100.0}
    assert driver(noisy_arrays(), **changes)[0]['kind'] == 'IMAGINARY_MODES'
    clean, expected = driver(spring_arrays(), **changes)
    results, found = driver(noisy_arrays(), imaginary='asr', **changes)
    rule = results['sum_rule']
    assert rule['violation_before_ev_per_angstrom2'] == pytest.approx(0.3, rel=1e-3)
    assert rule['violation_after_ev_per_angstrom2'] < 1e-8
    assert -100 < rule['lowest_before_per_cm'] < -1
    assert rule['largest_shift_per_cm'] > 10
    assert 'acoustic sum rule imposed: it was broken by 0.3 eV/' in results['remarks'][0]
    assert results['n_modes_imaginary'] == 0
    assert results['max_frequency_per_cm'] == pytest.approx(clean['max_frequency_per_cm'], abs=1e-3)
    assert found['intensity'].sum() == pytest.approx(expected['intensity'].sum(), rel=1e-6)


def test_what_is_no_noise_of_the_sum_rule_is_refused(driver):
    error, _ = driver(soft_arrays(), imaginary='asr')
    assert error['kind'] == 'IMAGINARY_MODES'
    assert 'below -30 1/cm' in error['message']


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


@pytest.mark.parametrize('what', ['settings', 'shape', 'element', 'isotope', 'site', 'combination'])
def test_bad_input_is_named(driver, what):
    arrays, changes = spring_arrays(), {}
    if what == 'settings':
        changes = {'temperature': -5.0}
    elif what == 'shape':
        arrays['force_constants'] = arrays['force_constants'][:, :30]
    elif what == 'isotope':
        changes = {'isotopes': {'H': '7H', 'O': '16O'}}
    elif what == 'site':
        changes = {'isotopes': {'9': 'D', 'C': '13C'}}
    elif what == 'combination':
        changes = {'incident_energy': 30.0, 'banks': {'sideways': 1.0}}
    else:
        arrays['masses'][3] = 9.0
    error, _ = driver(arrays, **changes)
    assert error['kind'] == 'BAD_INPUT'
    expected = {
        'settings': ['temperature'],
        'shape': ['do not fit'],
        'element': ['atom 3: H of mass 9 u has no known total cross section'],
        'isotope': ['atom 3: H 7 has no known total cross section (known: natural, 1, 2, 3)'],
        'site': ['the atoms 0 to 4', 'isotopes.C: no such element'],
        'combination': ['incident_energy', 'sideways'],
    }[what]
    for message in expected:
        assert message in error['message']
