"""The driver of INS from trajectories, run as its job runs it, by the engines' Python."""

import math

import numpy as np
import pytest
from ins_settings import MD_SETTINGS
from moving import heavy_cell, rattling

from aiida_mlip_ins.science.instruments import INSTRUMENTS, path_of
from aiida_mlip_ins.science.vibrations import amplitude

pytestmark = pytest.mark.engines


@pytest.fixture
def simulate(run_driver, tmp_path):
    """Return a function that runs the driver on a trajectory: results or error, arrays."""

    def run(trajectory, **changes):
        crystal = heavy_cell()
        np.savez(
            tmp_path / 'crystal.npz', symbols=np.array(crystal.get_chemical_symbols()),
            positions=crystal.positions, cell=crystal.cell.array,
        )  # fmt: skip
        np.savez(
            tmp_path / 'trajectory.npz', symbols=np.array(trajectory.symbols),
            steps=trajectory.steps, times=trajectory.times, velocities=trajectory.velocities,
            positions=trajectory.positions[0], cell=trajectory.cells[0],
        )  # fmt: skip
        results = run_driver('md_ins', tmp_path, {'parameters': {**MD_SETTINGS, **changes}})
        if 'kind' in results:
            return results, {}
        with np.load(tmp_path / 'intensities.npz', allow_pickle=False) as file:
            return results, dict(file)

    return run


def test_an_oscillator_gives_a_poisson_series_in_both_banks(simulate):
    frequency = 400.3
    results, found = simulate(
        rattling(frequency), max_order=3, temperature=0.0, verlet=False, line_width=5.0
    )
    assert found['intensity'].shape == (12, 4000)
    square = float(amplitude(np.array(frequency), 0.0, both_ways=True)) / 1.008
    for row, line in zip(results['rows'], found['intensity'], strict=True):
        if row['element'] != 'H':
            continue
        path = path_of(INSTRUMENTS['TOSCA'], row['bank'], None)
        x = path.squared(np.array([row['order'] * frequency]))[0, 0] * square
        expected = 82.02 * np.exp(-x) * x ** row['order'] / math.factorial(row['order'])
        assert line.sum() == pytest.approx(expected, rel=0.01)
    assert [nuclide['nuclide'] for nuclide in results['nuclides']] == ['natural H', 'natural Pb']
    assert results['share_too_slow'] == pytest.approx(0.0, abs=1e-3)
    # Hydrogen has the energy of all 45 degrees of freedom in its 24.
    assert results['equipartition']['H'] == pytest.approx(45 / 24, rel=0.01)
    assert 'H +87 %, Pb -100 %' in results['remarks'][-1]
    assert 'K' in results['remarks'][0]


def test_what_does_not_fit_is_an_error(simulate):
    results, _ = simulate(rattling(400.3, count=200))
    assert results['kind'] == 'UNFIT_TRAJECTORY'
    assert 'a resolution of 5 1/cm needs 5.26 ps, the run has 0.80 ps' in results['message']
    results, _ = simulate(rattling(400.3), banks={'up': 1.0}, temperature=-1.0)
    assert results['kind'] == 'BAD_INPUT'
    assert 'temperature' in results['message']
