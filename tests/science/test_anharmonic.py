"""Neutron scattering of motion: harmonic motion has to give the harmonic spectrum."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ase import Atoms, units
from ins_settings import MD_SETTINGS

from aiida_mlip_ins.science import anharmonic, ins
from aiida_mlip_ins.science.anharmonic import MdInsSettings, Run
from aiida_mlip_ins.science.instruments import INSTRUMENTS, ConstantQ, path_of
from aiida_mlip_ins.science.multiquantum import Grid
from aiida_mlip_ins.science.multiquantum import prepare as prepare_modes
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.trajectory import ASE_PER_ANGSTROM_PER_PS
from aiida_mlip_ins.science.vibrations import Vibrations, amplitude

TO_PER_PS = 0.0299792458
"""Periods per ps of 1 1/cm."""
FAINT = 1e-7
"""A step of the integrator, ps, that shifts nothing."""


def settings(**changes) -> MdInsSettings:
    return build(MdInsSettings, {**MD_SETTINGS, **changes}, 'parameters')


def moving(
    frequencies: np.ndarray, vectors: np.ndarray, masses: np.ndarray, count: int, spacing: float
) -> Run:
    """Return a run in which each mode has the kinetic energy of equipartition at 100 K.

    :param frequencies: (n_modes,) 1/cm, all different.
    :param vectors: (n_modes, n_atoms, 3), orthonormal.
    """
    times = np.arange(count) * spacing
    speed = np.sqrt(2 * units.kB * 100.0) / ASE_PER_ANGSTROM_PER_PS
    phases = 2.0 * np.arange(len(frequencies))
    waves = speed * np.cos(2 * np.pi * TO_PER_PS * np.outer(times, frequencies) + phases)
    velocities = np.einsum('tm,mai->tai', waves, vectors) / np.sqrt(masses)[:, None]
    return Run(times, FAINT, velocities, masses, np.arange(len(masses)))


def crystal_at_gamma(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return modes of three atoms, those of the whole left out: frequencies, vectors, masses."""
    rng = np.random.default_rng(seed)
    masses = np.array([1.008, 12.011, 15.999])
    whole = np.sqrt(masses / masses.sum())[:, None, None] * np.eye(3)
    basis = np.concatenate([whole.reshape(9, 3).T, rng.normal(size=(6, 9))])
    vectors = np.linalg.qr(basis.T)[0].T[3:].reshape(6, 3, 3)
    return np.array([95.5, 210.5, 388.5, 512.5, 701.5, 893.5]), vectors, masses


def law(run: Run, given: MdInsSettings, path) -> np.ndarray:
    edges = ins.energy_bins(given)
    states = anharmonic.states_of(run, Grid.covering(edges), given)
    scatterer = anharmonic.prepare(
        states, edges, given.temperature, given.max_order, given.frequency_min
    )
    return scatterer.law(path)


def blurred(line: np.ndarray, width: float, reach: int = 80) -> np.ndarray:
    """Return a line (n,) in bins of 1 1/cm as Gaussians of a standard deviation."""
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return np.convolve(line, kernel / kernel.sum(), mode='same')


def test_an_isotropic_oscillator_is_a_poisson_series() -> None:
    """Eight cells, in which the three directions are in all phases, beside heavy atoms at rest."""
    frequency, count, spacing = 333.3, 10000, 0.002
    times = np.arange(count) * spacing
    phases = 2 * np.pi * np.arange(8)[:, None] / 8 * np.array([0, 1, 3])
    velocities = np.zeros((count, 16, 3))
    velocities[:, :8] = np.cos(2 * np.pi * TO_PER_PS * frequency * times[:, None, None] + phases)
    masses = np.repeat([1.008, 1e9], 8)
    run = Run(times, FAINT, velocities, masses, np.repeat([0, 1], 8))
    given = settings(max_order=6, temperature=0.0, line_width=3.0)
    path = path_of(INSTRUMENTS['TOSCA'], 'backward', None)
    found = law(run, given, path)[:, 0]
    square = float(amplitude(np.array(frequency), 0.0, both_ways=True)) / 1.008
    centres = np.arange(4000) + 0.5
    for order in range(1, 7):
        x = path.squared(np.array([order * frequency]))[0, 0] * square
        expected = np.exp(-x) * x**order / math.factorial(order)
        assert found[order - 1].sum() == pytest.approx(expected, rel=5e-3)
        mean = found[order - 1] @ centres / found[order - 1].sum()
        assert mean == pytest.approx(order * frequency, abs=0.5)


@pytest.mark.parametrize('temperature', [10.0, 150.0])
def test_harmonic_motion_gives_the_harmonic_spectrum(temperature) -> None:
    """Broadened alike: one quantum to 1 % of the highest peak, more to 4 %; areas to 1 % each.

    Of two quanta the harmonic ones are at the centres of bins, half a bin from where they belong.
    """
    frequencies, vectors, masses = crystal_at_gamma()
    given = settings(temperature=temperature, max_order=4, line_width=4.0)
    path = path_of(INSTRUMENTS['TOSCA'], 'forward', None)
    found = law(moving(frequencies, vectors, masses, 20000, 0.002), given, path)
    modes = Vibrations(
        frequencies[None], vectors[None].astype(complex), np.ones(1), masses, temperature,
        np.zeros((1, 6), dtype=bool),
    )  # fmt: skip
    expected = prepare_modes(modes, ins.energy_bins(given), 4, 'harmonic').law(path)
    for order in range(4):
        # Each quantum has the width of its line.
        width = np.sqrt(15.0**2 - (order + 1) * 4.0**2)
        for atom in range(3):
            blur = blurred(expected[order, atom], 15.0)
            difference = np.abs(blurred(found[order, atom], width) - blur).max()
            assert difference < (0.01 if order == 0 else 0.04) * blur.max()
            total = expected[order, atom].sum()
            assert found[order, atom].sum() == pytest.approx(total, rel=0.01 * (order + 1))


def test_each_atom_has_its_states_however_hot_it_is() -> None:
    frequencies, vectors, masses = crystal_at_gamma()
    given = settings(energy_max=2500.0)
    run = moving(frequencies, vectors, masses, 10000, 0.002)
    grid = Grid.covering(ins.energy_bins(given))
    states = anharmonic.states_of(run, grid, given)
    assert states.expected == pytest.approx(3 * (1 - masses / masses.sum()))
    assert states.tensors[..., :3].sum(axis=(1, 2)) == pytest.approx(states.expected, rel=5e-3)
    assert states.equipartition == pytest.approx(np.ones(3), rel=0.02)
    assert states.temperature == pytest.approx(100.0, rel=0.02)
    hotter = Run(run.times, FAINT, 3 * run.velocities, masses, run.sites)
    again = anharmonic.states_of(hotter, grid, given)
    assert again.temperature == pytest.approx(9 * states.temperature)
    assert again.tensors == pytest.approx(states.tensors)


def test_copies_of_a_cell_are_averaged_and_their_order_does_not_matter() -> None:
    frequencies, vectors, masses = crystal_at_gamma()
    given = settings(energy_max=2500.0)
    one = moving(frequencies, vectors, masses, 10000, 0.002)
    order = [2, 0, 5, 1, 4, 3]
    twice = Run(
        one.times, FAINT, np.tile(one.velocities, (1, 2, 1))[:, order],
        np.tile(masses, 2)[order], np.tile(one.sites, 2)[order],
    )  # fmt: skip
    grid = Grid.covering(ins.energy_bins(given))
    single, double = (anharmonic.states_of(run, grid, given) for run in (one, twice))
    share = (double.expected / single.expected)[:, None, None]
    assert double.tensors == pytest.approx(share * single.tensors)
    assert double.masses == pytest.approx(masses)


def test_the_time_step_of_the_integrator_is_taken_off() -> None:
    """An oscillator of 3600 1/cm, integrated with steps of 0.5 fs, is seen at 3617.5 1/cm."""
    frequency, step, count = 3600.0, 0.0005, 80000
    omega = 2 * np.pi * TO_PER_PS * frequency
    positions = np.zeros(count + 1)
    positions[:2] = 1.0, np.cos(omega * step)
    for index in range(1, count):
        positions[index + 1] = (2 - (omega * step) ** 2) * positions[index] - positions[index - 1]
    speeds = (positions[2:] - positions[:-2]) / (2 * step)
    velocities = np.zeros((len(speeds[::8]), 2, 3))
    velocities[:, 0, 2] = speeds[::8]
    times = 8 * step * np.arange(len(velocities))
    run = Run(times, step, velocities, np.array([1.008, 1e9]), np.arange(2))
    for verlet, expected in ((True, 3600.0), (False, 3600.0 + 17.5)):
        given = settings(verlet=verlet, max_order=1)
        states = anharmonic.states_of(run, Grid.covering(ins.energy_bins(given)), given)
        line = states.tensors[0, :, 2]
        assert line @ states.energies / line.sum() == pytest.approx(expected, abs=1.0)
        assert line.sum() == pytest.approx(3.0, rel=5e-3)
    assert anharmonic.integrated(np.array([frequency]), step)[0] == pytest.approx(3617.47, abs=0.01)


def test_slow_motion_is_left_out() -> None:
    frequencies, vectors, masses = crystal_at_gamma()
    given = settings(energy_max=2500.0, frequency_min=150.0)
    run = moving(frequencies, vectors, masses, 10000, 0.002)
    found = law(run, given, ConstantQ(3.0))[0].sum(axis=0)
    assert found[:150].sum() == 0.0
    assert found[150:].sum() > 0.0


def supercell(order: list[int]) -> tuple[Atoms, Atoms]:
    crystal = Atoms('OH', positions=[(0, 0, 0), (0, 0, 0.97)], cell=[3.0, 3.1, 3.2], pbc=True)
    return crystal, crystal.repeat((2, 1, 2))[order]


def test_sites_are_found_in_any_order() -> None:
    crystal, run = supercell([3, 0, 1, 2, 7, 4, 5, 6])
    run.positions += np.random.default_rng(2).normal(scale=0.05, size=(8, 3)) + run.cell[0]
    found = anharmonic.find_sites(run.get_chemical_symbols(), run.positions, run.cell[:], crystal)
    assert found.tolist() == [1, 0, 1, 0, 1, 0, 1, 0]


def test_another_crystal_is_refused() -> None:
    crystal, run = supercell(list(range(8)))
    symbols = run.get_chemical_symbols()
    with pytest.raises(ValueError, match='no multiple of that of the crystal'):
        anharmonic.find_sites(symbols, run.positions, run.cell[:] * 1.3, crystal)
    with pytest.raises(ValueError, match='has 7 atoms, 4 cells of the crystal have 8'):
        anharmonic.find_sites(symbols[:7], run.positions[:7], run.cell[:], crystal)
    run.positions[0] = run.positions[1]
    with pytest.raises(ValueError, match='not on the sites'):
        anharmonic.find_sites(['H', *symbols[1:]], run.positions, run.cell[:], crystal)


def test_runs_that_give_no_spectrum() -> None:
    times = np.arange(3000) * 0.004
    assert anharmonic.time_problems(times, 0.0005, settings()) == []
    # The last frame may come early.
    late = np.append(times, times[-1] + 0.001)
    assert anharmonic.time_problems(late, 0.0005, settings()) == []
    for given, step, changes, message in (
        (times, 0.0005, {'line_width': 1.0}, 'a resolution of 1 1/cm needs 26.2'),
        (times, 0.0005, {'energy_max': 5000.0}, 'show vibrations up to 4170'),
        (times, 0.003, {}, 'time step of 3 fs'),
        (times, 0.0005, {'equilibration_ps': 20.0}, 'of 3000 frames 0 are left'),
        (times[:1], 0.0005, {}, 'of 1 frames 1 are left'),
        (times**2, 0.0005, {}, 'not evenly spaced'),
    ):
        (found,) = anharmonic.time_problems(given, step, settings(**changes))
        assert message in found
