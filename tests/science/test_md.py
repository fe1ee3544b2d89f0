"""Molecular dynamics analysed, on motions whose numbers are known on paper."""

from __future__ import annotations

from typing import Any

import ase
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.data import atomic_masses

from aiida_mlip_ins.science import pairs, trajectory, velocity_dos
from aiida_mlip_ins.science.md_settings import (
    MdSettings,
    StabilitySettings,
    md_problems,
    stability_problems,
    temperatures_problems,
)
from aiida_mlip_ins.science.series import slope, standard_error
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.stability import Conditions, analyse, judge
from aiida_mlip_ins.workflows.protocols import PROTOCOLS, load_protocol

C_PER_CM_PS = 0.0299792458
"""Periods per ps of 1 1/cm."""


def water_lattice() -> ase.Atoms:
    """Eight O-H sticks, 3 angstrom apart."""
    cell = ase.Atoms('OH', positions=[(0, 0, 0), (0, 0, 0.97)], cell=[3.0, 3.0, 3.0], pbc=True)
    return cell.repeat((2, 2, 2))


def made(
    sites: ase.Atoms, moves: np.ndarray, velocities: np.ndarray, spacing: float = 0.001
) -> trajectory.Trajectory:
    count = len(moves)
    return trajectory.Trajectory(
        symbols=sites.get_chemical_symbols(),
        steps=np.arange(count) * 2,
        times=np.arange(count) * spacing,
        positions=sites.positions + moves,
        velocities=velocities,
        cells=np.repeat(sites.cell.array[None], count, axis=0),
        potential_energy=np.zeros(count),
        conserved_energy=np.zeros(count),
        pressure=np.zeros(count),
    )


def thermal(sites: ase.Atoms, count: int, temperature: float) -> np.ndarray:
    """Velocities (angstrom/ps) of Maxwell and Boltzmann, without any memory."""
    rng = np.random.default_rng(3)
    masses = atomic_masses[sites.numbers]
    width = np.sqrt(units.kB * temperature / masses) / trajectory.ASE_PER_ANGSTROM_PER_PS
    return rng.normal(size=(count, len(sites), 3)) * width[:, None]


def settings(**changes: Any) -> tuple[MdSettings, StabilitySettings]:
    numbers = load_protocol('md')
    run = {**numbers['md']['parameters'], 'duration_ps': 0.4, 'timestep_fs': 0.5}
    criteria = {**numbers['criteria'], 'equilibration_ps': 0.1, 'pair_frames': 5, **changes}
    return build(MdSettings, run, 'run'), build(StabilitySettings, criteria, 'criteria')


def test_temperature_of_one_moving_atom() -> None:
    """Two atoms of one mass, one at rest: the centre takes half of the energy and a half is heat.

    m v^2 / 4 = 3/2 k_B T with v = 10 angstrom/ps = 1000 m/s, m = 4.002602 u.
    """
    velocities = np.array([[[10.0, 0, 0], [0, 0, 0]]])
    mass = 4.002602
    found = trajectory.temperatures(velocities, np.array([mass, mass]))
    expected = mass * 1.66053906660e-27 * 1e6 / 4 / (1.5 * 1.380649e-23)
    assert found[0] == pytest.approx(expected, rel=1e-5)


def test_temperature_does_not_see_the_motion_of_the_whole() -> None:
    sites = water_lattice()
    masses = atomic_masses[sites.numbers]
    velocities = thermal(sites, 2000, 300.0)
    found = trajectory.temperatures(velocities, masses)
    assert found.mean() == pytest.approx(300.0, rel=0.01)
    # canonical fluctuation of 3 * 16 - 3 degrees of freedom
    assert found.std() == pytest.approx(300.0 * np.sqrt(2 / 45), rel=0.05)
    np.testing.assert_allclose(trajectory.temperatures(velocities + 7.0, masses), found)


def test_standard_error_of_correlated_values() -> None:
    """x(t+1) = a x(t) + noise: the error is that of n (1 - a) / (1 + a) independent values."""
    rng = np.random.default_rng(1)
    count, memory = 2**15, 0.9
    values = np.zeros(count)
    for index, noise in enumerate(rng.normal(size=count - 1)):
        values[index + 1] = memory * values[index] + noise
    independent = values.std() / np.sqrt(count)
    assert standard_error(values) == pytest.approx(independent * np.sqrt(19), rel=0.25)
    white = rng.normal(size=count)
    assert standard_error(white) == pytest.approx(1 / np.sqrt(count), rel=0.5)
    assert standard_error(np.array([1.0])) == np.inf


def test_slope_with_its_error() -> None:
    times = np.linspace(0, 10, 400)
    noise = np.random.default_rng(2).normal(size=400)
    found, error = slope(times, 2.5 * times + noise)
    expected = 1 / np.sqrt(((times - 5) ** 2).sum())
    assert error == pytest.approx(expected, rel=0.5)
    assert abs(found - 2.5) < 3 * error
    assert slope(times, 2.5 * times)[0] == pytest.approx(2.5)
    assert slope(times[:2], times[:2])[1] == np.inf


def test_displacements_through_faces_and_with_a_drift() -> None:
    """One atom goes round the whole cell; wrapped or not, and whatever the whole does."""
    sites = bulk('Cu', cubic=True)
    count, length = 41, sites.cell[0, 0]
    moves = np.zeros((count, 4, 3))
    moves[:, 0, 0] = np.linspace(0, 2 * length, count)
    drift = np.linspace(0, 5.0, count)[:, None, None] * np.ones(3)
    positions = sites.positions + moves + drift
    cells = np.repeat(sites.cell.array[None], count, axis=0)
    masses = np.full(4, 63.5)
    expected = moves - moves.mean(axis=1, keepdims=True)
    for given, followed in ((positions, True), (positions % length, False)):
        found = trajectory.displacements(
            given, cells, sites.positions, sites.cell.array, masses, followed
        )
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_sites_move_with_the_cell() -> None:
    sites = bulk('Cu', cubic=True)
    strained = sites.copy()
    strained.set_cell(sites.cell.array * 1.1, scale_atoms=True)
    found = trajectory.displacements(
        strained.positions[None], strained.cell.array[None], sites.positions,
        sites.cell.array, np.ones(4),
    )  # fmt: skip
    np.testing.assert_allclose(found, 0.0, atol=1e-9)


def test_bonds_of_a_crystal() -> None:
    sites = water_lattice()
    bonds = pairs.find_bonds(sites, 1.15)
    assert len(bonds.lengths) == 8
    np.testing.assert_allclose(bonds.lengths, 0.97)
    diamond = bulk('C', 'diamond', a=3.567)
    assert len(pairs.find_bonds(diamond, 1.15).lengths) == 4
    assert len(pairs.find_bonds(bulk('Cu', cubic=True), 1.15).lengths) == 0
    chain = ase.Atoms('C', cell=[1.4, 9, 9], pbc=True)
    bonds = pairs.find_bonds(chain, 1.15)
    assert bonds.images.tolist() == [[1, 0, 0]]


def test_a_bond_that_breaks_and_one_that_forms() -> None:
    """The hydrogen of the first stick goes over to the oxygen above it, in eleven frames."""
    sites = water_lattice()
    moves = np.zeros((11, len(sites), 3))
    moves[:, 1, 2] = np.linspace(0, 1.1, 11)
    cells = np.repeat(sites.cell.array[None], 11, axis=0)
    times = np.arange(11) * 0.1
    bonds = pairs.find_bonds(sites, 1.15)
    (broken,) = pairs.broken_bonds(bonds, sites, moves, cells, times, 1.5)
    assert broken['atoms'] == 'O0-H1'
    assert broken['time_ps'] == pytest.approx(0.5)  # 0.97 + 0.55 > 1.455
    assert broken['longest_angstrom'] == pytest.approx(2.07)
    assert not broken['healed']
    healed = np.concatenate([moves, moves[:1]])
    (broken,) = pairs.broken_bonds(
        bonds, sites, healed, np.concatenate([cells, cells[:1]]), np.arange(12) * 0.1, 1.5
    )
    assert broken['healed']
    frames = []
    for row in moves:
        frame = sites.copy()
        frame.positions += row
        frames.append(frame)
    (formed,) = pairs.formed_bonds(bonds, frames, list(times), 1.0)
    assert formed['atoms'] == 'H1-O2'
    assert formed['length_angstrom'] == pytest.approx(0.93)
    assert formed['time_ps'] == pytest.approx(1.0)


def test_coordination_numbers_of_a_lattice() -> None:
    """Rock salt: 6 unlike at a/2, 12 like at a/sqrt(2), beyond half of the small cell."""
    salt = bulk('NaCl', 'rocksalt', a=5.64)
    edges, found = pairs.radial_distributions([salt, salt], 6.0, 0.1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    density = 4 / 5.64**3
    for name, low, high, number in (('Cl-Na', 2.5, 3.0, 6), ('Na-Na', 3.8, 4.2, 12)):
        chosen = (edges[:-1] >= low - 1e-9) & (edges[1:] <= high + 1e-9)
        assert (found[name] * shells * density)[chosen].sum() == pytest.approx(number)
    assert set(found) == {'Cl-Cl', 'Cl-Na', 'Na-Na'}


def test_radial_distribution_of_a_gas() -> None:
    rng = np.random.default_rng(4)
    frames = [
        ase.Atoms('Ar100', positions=rng.uniform(0, 12, (100, 3)), cell=[12] * 3, pbc=True)
        for _ in range(10)
    ]
    _, found = pairs.radial_distributions(frames, 6.0, 0.5)
    np.testing.assert_allclose(found['Ar-Ar'][4:], 1.0, atol=0.08)


def test_power_spectrum_is_the_transform_of_the_autocorrelation() -> None:
    """Noise without memory has all frequencies alike, and tensors as velocities have them."""
    rng = np.random.default_rng(5)
    spacing, mixing = 0.004, np.array([[2.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.7]])
    velocities = rng.normal(size=(40000, 1, 3)) @ mixing
    energies = np.linspace(0.0, 4100.0, 300)
    found = velocity_dos.power_spectrum(velocities, spacing, energies, 40.0)[0]
    # flat up to the highest frequency there is, 1 / 2 spacing
    expected = mixing.T @ mixing * 2 * C_PER_CM_PS * spacing
    for index, (first, second) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        scale = np.sqrt(expected[first, first] * expected[second, second])
        assert found[:, index].mean() == pytest.approx(expected[first, second], abs=0.03 * scale)
    matrices = found[:, [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    assert np.linalg.eigvalsh(matrices).min() > 0


def test_spectrum_of_a_harmonic_oscillator() -> None:
    """Three oscillators of one atom: a Gaussian line of one state each, of the width asked for."""
    lines, resolution, spacing, mass, temperature = (
        (300.0, 700.0, 3700.0),
        15.0,
        0.002,
        1.008,
        300.0,
    )
    times = np.arange(20000) * spacing
    speed = np.sqrt(units.kB * temperature / mass) / trajectory.ASE_PER_ANGSTROM_PER_PS
    waves = [np.cos(2 * np.pi * C_PER_CM_PS * line * times + line) for line in lines]
    velocities = np.sqrt(2) * speed * np.stack(waves, axis=-1)[:, None]
    energies = np.arange(0.0, 4100.0, 2.0)
    found = velocity_dos.density_of_states(
        velocities, spacing, np.array([mass]), temperature, energies, resolution
    )[0]
    assert found.sum() * 2.0 == pytest.approx(3.0, rel=1e-3)
    for line in lines:
        near = np.abs(energies - line) < 100
        assert found[near].sum() * 2.0 == pytest.approx(1.0, rel=5e-3)
        mean = (found * energies)[near].sum() / found[near].sum()
        assert mean == pytest.approx(line, abs=0.5)
        width = np.sqrt((found * (energies - line) ** 2)[near].sum() / found[near].sum())
        assert width == pytest.approx(resolution, rel=0.03)


def test_spectrum_that_cannot_be() -> None:
    velocities, energies = np.zeros((100, 1, 3)), np.arange(0.0, 4000.0, 10.0)
    with pytest.raises(ValueError, match='up to 1668 1/cm'):
        velocity_dos.density_of_states(velocities, 0.01, np.ones(1), 300.0, energies, 20.0)
    with pytest.raises(ValueError, match=r'needs 1\.32 ps, the run has 0\.20 ps'):
        velocity_dos.density_of_states(velocities, 0.002, np.ones(1), 300.0, energies, 20.0)


def test_a_crystal_that_is_stable() -> None:
    sites = water_lattice()
    velocities = thermal(sites, 201, 300.0)
    moves = np.random.default_rng(6).normal(size=velocities.shape) * 0.05
    run, criteria = settings(dos_resolution=100.0, dos_max_energy=4000.0)
    conditions = Conditions(300.0, 0.0, run)
    findings = analyse(made(sites, moves, velocities, 0.002), sites, conditions, criteria)
    word, reasons = judge(findings.numbers, conditions, criteria, None)
    assert (word, len(reasons)) == ('stable', 1)
    assert 'all 8 bonds as they were' in reasons[0]
    # The centre of mass, whose motion is taken off, moves with the oxygen atoms.
    drift = (15.999**2 + 1.008**2) / (8 * 17.007**2) - 2 * 1.008 / (8 * 17.007)
    expected = 0.05 * np.sqrt(3 * (1 + drift))
    assert findings.numbers['rmsd_angstrom']['H'] == pytest.approx(expected, rel=0.02)
    assert findings.numbers['cell_lengths_angstrom'] == pytest.approx([6.0] * 3)
    # Velocities without memory have all frequencies alike, up to what the frames can show.
    total = sum(findings.arrays[f'dos_{el}'].sum() for el in 'HO') * criteria.dos_bin
    assert total == pytest.approx(45 * 4000 * 2 * 0.002 * C_PER_CM_PS, rel=0.05)
    assert findings.notes == []


def test_every_reason() -> None:
    """Too hot, drifting, swollen, melted, torn: each with its number."""
    sites = water_lattice()
    velocities = thermal(sites, 201, 500.0)
    moves = np.zeros_like(velocities)
    moves[:, 1] = np.linspace(0, 3, 201)[:, None] * [1.0, 0, 0]
    away = np.random.default_rng(6).normal(size=(8, 3))
    moves[:, ::2] += away * np.linspace(0, 1, 201)[:, None, None]
    run, criteria = settings()
    conditions = Conditions(300.0, 0.0, run)
    given = made(sites, moves, velocities, 0.002)
    given.cells[:] *= 1.1
    given.conserved_energy[:] = given.times * 16
    word, reasons = judge(
        analyse(given, sites, conditions, criteria).numbers,
        conditions,
        criteria,
        {'kind': 'TOO_HOT', 'message': '2000 K instead of 300 K at 0.4 ps'},
    )
    assert word == 'unstable'
    text = '\n'.join(reasons)
    assert reasons[0] == '2000 K instead of 300 K at 0.4 ps'
    assert 'instead of 300 K (allowed: 9 K)' in text
    assert 'the conserved energy drifts by 1e+03 +- ' in text
    assert 'the volume changed by +33.1 % (allowed: 10 %)' in text
    assert 'O is 1.' in text
    assert 'bonds broke: ' in text


def test_a_run_that_is_not_done_is_undecided() -> None:
    sites = water_lattice()
    velocities = thermal(sites, 101, 300.0)
    run, criteria = settings()
    conditions = Conditions(300.0, 0.0, run)
    numbers = analyse(
        made(sites, np.zeros_like(velocities), velocities, 0.002), sites, conditions, criteria
    ).numbers
    ended = {'kind': 'INTERRUPTED', 'message': 'the job received SIGTERM'}
    word, reasons = judge(numbers, conditions, criteria, ended)
    assert word == 'undecided'
    assert reasons == ['only 0.2 of 0.4 ps were run: the job received SIGTERM']


def test_one_frame_is_enough_to_say_why_it_ended() -> None:
    sites = water_lattice()
    run, criteria = settings()
    conditions = Conditions(300.0, 0.0, run)
    given = made(sites, np.zeros((1, 16, 3)), thermal(sites, 1, 300.0))
    ended = {'kind': 'NOT_FINITE', 'message': 'the forces are not finite at 0.0005 ps'}
    numbers = analyse(given, sites, conditions, criteria).numbers
    assert judge(numbers, conditions, criteria, ended) == ('unstable', [ended['message']])


def test_pieces_are_joined_and_repeats_dropped() -> None:
    sites = water_lattice()
    whole = made(sites, np.random.default_rng(7).normal(size=(20, 16, 3)), thermal(sites, 20, 9.0))
    pieces = [whole.select(slice(0, 12)), whole.select(slice(9, 20))]
    joined = trajectory.join(pieces)
    np.testing.assert_array_equal(joined.positions, whole.positions)
    np.testing.assert_array_equal(joined.steps, whole.steps)
    with pytest.raises(ValueError, match='no frames'):
        trajectory.join([])


def test_batches_and_damaged_ones(tmp_path: Any) -> None:
    sites = water_lattice()
    whole = made(sites, np.zeros((6, 16, 3)), thermal(sites, 6, 300.0))
    for part in (slice(0, 4), slice(4, 6)):
        piece = whole.select(part)
        arrays = {name: getattr(piece, name) for name in trajectory.ARRAYS}
        trajectory.write_arrays(tmp_path / trajectory.batch_name(piece.steps[0]), arrays)
    found = trajectory.read_batches(tmp_path, whole.symbols)
    assert found is not None
    np.testing.assert_array_equal(found.velocities, whole.velocities)
    (tmp_path / trajectory.batch_name(99)).write_bytes(b'PK half of it')
    with pytest.raises(ValueError, match=r'trajectory_0000000099\.npz cannot be read'):
        trajectory.read_batches(tmp_path, whole.symbols)
    (tmp_path / 'empty').mkdir()
    assert trajectory.read_batches(tmp_path / 'empty', whole.symbols) is None


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_protocols(protocol: str) -> None:
    numbers = load_protocol('md', protocol)
    run = numbers['md']['parameters']
    assert md_problems(run, 'run') == []
    assert stability_problems(numbers['criteria'], 'criteria', run) == []
    # the vibrational spectrum of the protocol can be made from the frames of the protocol
    spacing = run['record_every'] * run['timestep_fs'] / 1000
    assert numbers['criteria']['dos_max_energy'] <= 1 / (2 * C_PER_CM_PS * spacing)


def test_settings_that_are_refused() -> None:
    run = load_protocol('md')['md']['parameters']
    assert "did you mean 'duration_ps'" in md_problems({**run, 'duration': 1.0}, 'x')[0]
    (found,) = md_problems({**run, 'max_temperature_factor': 2.0}, 'x')
    assert 'raise max_temperature_factor' in found
    (found,) = md_problems({**run, 'duration_ps': 0.001}, 'x')
    assert 'are 2 steps, but a frame is kept every 8' in found
    criteria = load_protocol('md')['criteria']
    (found,) = stability_problems({**criteria, 'equilibration_ps': 10.0}, 'x', run)
    assert 'nothing is left to judge' in found
    early = {**criteria, 'equilibration_ps': 0.5}
    (found,) = stability_problems(early, 'x', run)
    assert 'but the cell is damped for 1 ps' in found
    assert stability_problems(early, 'x', {**run, 'ensemble': 'nvt'}) == []
    assert temperatures_problems([300, 10.0]) == []
    assert len(temperatures_problems([300, -1.0, 300])) == 2
    assert 'expected numbers' in temperatures_problems(['hot'])[0]
    assert 'at least one' in temperatures_problems([])[0]
