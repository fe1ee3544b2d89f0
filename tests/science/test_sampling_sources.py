"""Frames from isolated atoms, supercells, thermal motion and trajectories, and their splits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.units import _amu, _e, _hbar, _k
from springs import brucite_cell, spring_arrays

from aiida_mlip_ins.calculations.functions.frames import composed
from aiida_mlip_ins.science import phonons, sampling
from aiida_mlip_ins.science.trajectory import Trajectory

SPRING = 5.0
"""eV/angstrom^2."""


def test_isolated_atoms_are_what_a_training_asks_for() -> None:
    frames = sampling.isolated_atoms(['Mg', 'O', 'H'], 12.0)
    assert [frame.get_chemical_formula() for frame in frames] == ['Mg', 'O', 'H']
    for frame in frames:
        assert frame.info['config_type'] == 'IsolatedAtom'
        assert frame.get_volume() == pytest.approx(12.0**3)
        assert all(frame.pbc)
    assert sampling.assign_splits(frames, {'valid': 0.4, 'test': 0.4}, seed=1) == ['train'] * 3


def test_isolated_atoms_are_refused_all_at_once() -> None:
    with pytest.raises(ValueError, match=r"(?s)'Hh' is none.*Mg is given 2 times.*box: 3.0"):
        sampling.isolated_atoms(['Hh', 'Mg', 'Mg'], 3.0)
    with pytest.raises(ValueError, match='there are none'):
        sampling.isolated_atoms([], 12.0)


def test_displaced_supercells_are_those_phonopy_asks_for() -> None:
    matrix = [[2, 0, 0], [0, 1, 0], [1, 0, 2]]
    frames = sampling.displaced(brucite_cell(), 0.02, matrix)
    rest = sampling.supercells(brucite_cell(), [matrix])[0]
    for frame in frames:
        assert len(frame) == 20
        np.testing.assert_allclose(frame.cell.array, rest.cell.array, atol=1e-9)
        gaps = frame.get_scaled_positions()[:, None] - rest.get_scaled_positions()[None]
        moves = np.linalg.norm((gaps - np.round(gaps)) @ rest.cell.array, axis=2).min(axis=1)
        np.testing.assert_allclose(np.sort(moves)[-2:], [0.0, 0.02], atol=1e-7)
        assert frame.info['matrix'] == '2 0 0 0 1 0 1 0 2'
    one_cell = sampling.displaced(brucite_cell(), 0.02)
    assert len(frames) > len(one_cell)  # the supercell has less symmetry


def test_displaced_supercells_in_the_targeted_set() -> None:
    section = {'pressures': [0.0], 'distance': 0.02}
    structures = {0.0: brucite_cell()}
    cell = sampling.targeted_set(structures, {'displaced': section}, seed=1)
    doubled = {**section, 'matrices': [np.diag([1, 1, 2]).tolist()]}
    large = sampling.targeted_set(structures, {'displaced': doubled}, seed=1)
    assert {len(frame) for frame in cell} == {5}
    assert {len(frame) for frame in large} == {10}
    assert {frame.info['pressure'] for frame in large} == {0.0}
    assert all('split' not in frame.info for frame in large)


def test_displaced_frames_may_choose_the_epoch() -> None:
    """All of them or none are held out: a set that is not whole has no frequencies."""
    section = {'pressures': [0.0, 1.0], 'distance': 0.02, 'split': 'valid'}
    path = {'pressures': [-1.0, 2.0]}
    settings = {'displaced': section, 'path': path, 'splits': {}}
    frames = composed({0.0: brucite_cell(), 1.5: brucite_cell(c=4.6)}, settings, seed=1)
    assert {(f.info['source'], f.info['split']) for f in frames} == {
        ('displaced', 'valid'), ('path', 'train'),
    }  # fmt: skip
    wrong = {'displaced': {**section, 'split': 'vlaid'}, 'path': path}
    problems = sampling.sampling_problems(wrong)
    assert problems == ["sampling.displaced.split: 'vlaid' is not allowed (did you mean 'valid'?)"]
    problems = sampling.sampling_problems({'path': {**path, 'split': 'valid'}})
    assert "unknown key 'split'" in problems[0]


def diatomic(images: int = 1) -> phonons.Phonon:
    """Return two atoms bound to each other by an isotropic spring, a cell of them on its own.

    One frequency, ``w^2 = k (1/m1 + 1/m2)``, at every q-point.
    """
    pair = np.zeros((2, 2, 3, 3))
    pair[0, 0] = pair[1, 1] = SPRING * np.eye(3)
    pair[0, 1] = pair[1, 0] = -SPRING * np.eye(3)
    constants = np.zeros((2 * images, 2 * images, 3, 3))
    for cell in range(images):
        # phonopy's order: all images of the first atom, then those of the second
        own = [cell, images + cell]
        constants[np.ix_(own, own)] = pair
    return phonons.make_phonopy(
        cell=np.diag([4.0, 5.0, 6.0]),
        positions=np.array([[0.0, 0.0, 0.0], [1.6, 0.0, 0.0]]),
        symbols=['Mg', 'O'],
        masses=np.array([24.0, 16.0]),
        supercell_matrix=np.diag([images, 1, 1]),
        primitive_matrix=np.eye(3),
        force_constants=constants,
    )


def spread(temperature: float) -> float:
    """Return the width (angstrom) of one component of the distance of the two atoms."""
    reduced = 24.0 * 16.0 / 40.0 * _amu
    frequency = np.sqrt(SPRING * _e * 1e20 / reduced)
    square = _hbar / (2 * reduced * frequency)
    if temperature:
        square /= np.tanh(_hbar * frequency / (2 * _k * temperature))
    return float(np.sqrt(square) * 1e10)


def settings(**changes: Any) -> sampling.ThermalSettings:
    return sampling.ThermalSettings(
        **{'temperature': 300.0, 'count': 400, 'lowest': 20.0, **changes}
    )


@pytest.mark.parametrize('temperature', [0.0, 300.0, 2000.0])
@pytest.mark.parametrize(('images', 'supercell'), [(1, None), (3, None), (3, np.eye(3, dtype=int))])
def test_thermal_widths_are_those_of_an_oscillator(
    temperature: float, images: int, supercell: np.ndarray | None
) -> None:
    matrix = None if supercell is None else supercell.tolist()
    chosen = settings(temperature=temperature, supercell=matrix)
    frames = sampling.thermal_rattles(diatomic(images), chosen, seed=3)
    count = 1 if matrix else images
    assert len(frames) == 400
    assert {len(frame) for frame in frames} == {2 * count}
    # Without it, pw.x would label them at other k-points than those of the crystal.
    assert {frame.info['matrix'] for frame in frames} == {f'{count} 0 0 0 1 0 0 0 1'}
    apart = [
        frame.positions[count:] - frame.positions[:count] - [1.6, 0.0, 0.0] for frame in frames
    ]
    np.testing.assert_allclose(np.std(apart), spread(temperature), rtol=0.06)


@pytest.mark.parametrize('temperature', [10.0, 300.0])
def test_classical_widths_are_those_of_equipartition(temperature: float) -> None:
    """Each component of the distance has the energy k T / 2 in its spring."""
    chosen = settings(temperature=temperature, classical=True)
    frames = sampling.thermal_rattles(diatomic(), chosen, seed=3)
    apart = [frame.positions[1] - frame.positions[0] - [1.6, 0.0, 0.0] for frame in frames]
    np.testing.assert_allclose(np.std(apart), np.sqrt(_k / _e * temperature / SPRING), rtol=0.06)


def test_thermal_rattles_are_fixed_by_seed_and_number() -> None:
    few = sampling.thermal_rattles(diatomic(), settings(count=2), seed=3)
    many = sampling.thermal_rattles(diatomic(), settings(count=5), seed=3)
    other = sampling.thermal_rattles(diatomic(), settings(count=2), seed=4)
    for one, two, three in zip(few, many[:2], other, strict=True):
        np.testing.assert_allclose(one.positions, two.positions, atol=1e-12)
        assert np.abs(one.positions - three.positions).max() > 1e-3


def test_stiff_bonds_move_less_than_soft_contacts() -> None:
    arrays = spring_arrays()
    phonon = phonons.make_phonopy(**{**arrays, 'symbols': [str(s) for s in arrays['symbols']]})
    chosen = settings(count=30, supercell=np.diag([1, 1, 2]).tolist())
    stretch, turn = [], []
    for frame in sampling.thermal_rattles(phonon, chosen, seed=1):
        assert len(frame) == 10
        for hydrogen, oxygen, vector in sampling.bonded_hydrogens(frame):
            assert (frame.numbers[hydrogen], frame.numbers[oxygen]) == (1, 8)
            stretch.append(vector[2] if vector[2] > 0 else -vector[2])
            turn.extend(vector[:2])
    assert len(stretch) > 110  # a few are longer than what counts as a bond
    assert np.std(stretch) < 0.8 * np.std(turn)


def test_a_supercell_without_volume_is_refused() -> None:
    with pytest.raises(ValueError, match='supercell: its determinant is 0'):
        sampling.thermal_rattles(diatomic(), settings(supercell=[[1, 0, 0]] * 3), seed=1)


def run_of(times: np.ndarray, seed: int = 1) -> Trajectory:
    rng = np.random.default_rng(seed)
    count = len(times)
    moves = 0.05 * rng.normal(size=(count, 5, 3))
    return Trajectory(
        symbols=brucite_cell().get_chemical_symbols(),
        steps=np.arange(count),
        times=times,
        positions=brucite_cell().positions + moves,
        velocities=np.zeros((count, 5, 3)),
        cells=np.broadcast_to(brucite_cell().cell.array, (count, 3, 3)),
        potential_energy=np.zeros(count),
        conserved_energy=np.zeros(count),
        pressure=np.zeros(count),
    )


def test_snapshots_are_apart_and_after_the_start() -> None:
    run = run_of(np.arange(21) * 0.1)
    frames = sampling.snapshots(run, apart=0.5, after=0.3)
    np.testing.assert_allclose([frame.info['time_ps'] for frame in frames], [0.3, 0.8, 1.3, 1.8])
    np.testing.assert_array_equal(frames[1].positions, run.positions[8])
    assert {frame.info['source'] for frame in frames} == {'md'}
    assert len({frame.info['trajectory'] for frame in frames}) == 1
    other = sampling.snapshots(run_of(run.times, seed=2), apart=0.5, after=0.3)
    assert other[0].info['trajectory'] != frames[0].info['trajectory']
    with pytest.raises(ValueError, match='ends at 2 ps, no frame is at 5 ps or later'):
        sampling.snapshots(run, apart=0.5, after=5.0)


def test_a_relaxation_is_thinned_by_how_far_it_goes() -> None:
    """Steps of 0.01 angstrom along x; the second pressure starts at the tenth."""
    path = []
    for index in range(12):
        frame = brucite_cell()
        frame.positions[3, 0] += 0.01 * index
        frame.info = {'source': 'x', 'pressure_index': int(index > 8), 'REF_energy': -1.0}
        path.append(frame)
    frames = sampling.along_relaxation(path, apart=0.0399)
    moved = [frame.positions[3, 0] - brucite_cell().positions[3, 0] for frame in frames]
    np.testing.assert_allclose(moved, [0.0, 0.04, 0.08, 0.11], atol=1e-9)
    assert [frame.info['pressure_index'] for frame in frames] == [0, 0, 0, 1]
    assert {frame.info['source'] for frame in frames} == {'relaxation'}
    assert 'REF_energy' not in frames[0].info
    with pytest.raises(ValueError, match='no steps'):
        sampling.along_relaxation([], apart=0.1)


def test_separations_by_hand() -> None:
    rest, moved, strained = brucite_cell(), brucite_cell(), brucite_cell()
    moved.positions[0] += [0.03, 0.04, 0.0]
    moved.positions[1] += moved.cell.array[0]
    strained.set_cell(strained.cell.array + np.diag([0.0, 0.0, 0.2]), scale_atoms=True)
    swapped = rest[[1, 0, 2, 3, 4]]
    found = sampling.separations([rest, moved, strained, swapped])
    np.testing.assert_allclose(np.diag(found), 0.0, atol=1e-12)
    np.testing.assert_allclose(found[0, :3], [0.0, 0.05, 0.2], atol=1e-9)
    assert np.isinf(found[0, 3])
    np.testing.assert_array_equal(found, found.T)


def trajectories(lengths: list[int]) -> list[Atoms]:
    frames = []
    for number, length in enumerate(lengths):
        for _ in range(length):
            frame = brucite_cell()
            frame.info = {'source': 'md', 'trajectory': f'run-{number}'}
            frames.append(frame)
    return frames


def test_frames_of_one_trajectory_stay_on_one_side() -> None:
    frames = trajectories([4] * 10)
    splits = sampling.assign_splits(frames, {'valid': 0.1, 'test': 0.2}, seed=5)
    sides: dict[str, set[str]] = {}
    for frame, split in zip(frames, splits, strict=True):
        sides.setdefault(frame.info['trajectory'], set()).add(split)
    assert all(len(found) == 1 for found in sides.values())
    assert [splits.count(name) for name in ('train', 'valid', 'test')] == [28, 4, 8]


def test_a_trajectory_too_long_to_be_held_out_is_trained_on() -> None:
    splits = sampling.assign_splits(trajectories([20]), {'valid': 0.1, 'test': 0.2}, seed=5)
    assert set(splits) == {'train'}


def test_splits_without_trajectories_are_as_they_were() -> None:
    """The same draws as before trajectories were known: shuffled members, taken from the front."""
    frames = trajectories([1] * 20)
    for frame in frames:
        del frame.info['trajectory']
    expected = ['train'] * 20
    order = np.random.default_rng(5).permutation(list(range(20)))
    for position, index in enumerate(order[:6]):
        expected[int(index)] = 'valid' if position < 2 else 'test'
    assert sampling.assign_splits(frames, {'valid': 0.1, 'test': 0.2}, seed=5) == expected
