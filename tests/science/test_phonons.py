import numpy as np
import pytest
from springs import (
    brucite_cell,
    brucite_dft,
    dft_modes,
    displaced_phonopy,
    modes_from,
    phonopy_arrays,
    spring_arrays,
    spring_forces,
)

from aiida_mlip_ins.science import phonons


@pytest.fixture(scope='module')
def springs():
    return phonons.make_phonopy(**spring_arrays())


def test_supercell_is_long_enough_between_faces():
    cell = brucite_cell().cell[:]
    assert phonons.supercell_from_length(cell, 0.0) == [1, 1, 1]
    # The distance between faces of a hexagonal cell is a sin(60), not a.
    assert phonons.supercell_from_length(cell, 3.0) == [2, 2, 1]
    assert phonons.supercell_from_length(cell, 10.0) == [4, 4, 3]
    assert phonons.supercell_from_length(np.eye(3) * 5, 10.0) == [2, 2, 2]


def test_mesh_steps_are_at_most_the_spacing():
    assert phonons.mesh_from_spacing(np.diag([2 * np.pi, np.pi, 4 * np.pi]), 0.5) == [2, 4, 1]


@pytest.mark.parametrize('mesh', [[1, 1, 1], [2, 3, 4], [3, 3, 2], [5, 1, 2]])
@pytest.mark.parametrize('gamma_centred', [True, False])
def test_mesh_is_whole_under_time_reversal(mesh, gamma_centred):
    points, weights = phonons.mesh_points(mesh, gamma_centred)
    assert weights.sum() == pytest.approx(1.0)
    whole = np.concatenate([points, -points])
    count = np.concatenate([weights, weights]) / 2
    offset = 0.0 if gamma_centred else 0.5
    places = np.rint(whole * mesh - offset).astype(int) % mesh
    assert np.abs(whole * mesh - offset - np.rint(whole * mesh - offset)).max() < 1e-9
    density = np.zeros(mesh)
    np.add.at(density, tuple(places.T), count)
    assert density == pytest.approx(np.full(mesh, 1 / np.prod(mesh)))
    at_gamma = np.all(np.abs(points) < 1e-9, axis=1).sum()
    assert at_gamma == (1 if gamma_centred else 0)


def test_gamma_frequencies_are_those_of_dft():
    # Up to the mass of hydrogen, 1.008 u here and 1.00794 u where they come from.
    atoms, constants, expected = brucite_dft('0.0')
    modes = modes_from(phonopy_arrays(atoms, [1, 1, 1], constants))
    assert modes.frequencies[3:] == pytest.approx(expected[3:], rel=1e-4)


def test_modes_at_gamma_agree_with_those_on_a_mesh(springs):
    frequencies, vectors = phonons.gamma_modes(springs)
    other, _ = phonons.modes_at(springs, np.zeros((1, 3)))
    assert frequencies[3:] == pytest.approx(other[0][3:], abs=1e-6)
    flat = vectors.reshape(15, 15)
    assert flat @ flat.T == pytest.approx(np.eye(15), abs=1e-10)
    assert vectors.dtype == float


def test_acoustic_modes_are_found_where_they_are_not_the_lowest():
    modes = dft_modes('0.0')
    assert phonons.acoustic_modes(modes.eigenvectors, modes.masses).tolist() == [0, 1, 2]
    order = np.roll(np.arange(15), 4)
    shuffled = modes.eigenvectors[order]
    assert phonons.acoustic_modes(shuffled, modes.masses).tolist() == [4, 5, 6]


def test_residual_forces_do_not_count_as_response():
    atoms = brucite_cell()
    phonon = displaced_phonopy(atoms, [2, 2, 2])
    clean = phonons.produce_force_constants(phonon, spring_forces(phonon), None, True).copy()
    offset = np.random.default_rng(1).normal(size=(len(phonon.supercell), 3)) * 0.02
    forces = spring_forces(phonon, offset)
    dirty = phonons.produce_force_constants(phonon, forces, None, True).copy()
    subtracted = phonons.produce_force_constants(phonon, forces, offset, True)
    assert np.abs(dirty - clean).max() > 0.1
    assert subtracted == pytest.approx(clean, abs=1e-9)


def test_symmetrising_makes_translations_free():
    phonon = displaced_phonopy(brucite_cell(), [2, 2, 2])
    noise = np.random.default_rng(2).normal(size=spring_forces(phonon).shape) * 1e-3
    raw = phonons.produce_force_constants(phonon, spring_forces(phonon, noise), None, False)
    drift = np.abs(raw.sum(axis=1)).max()
    fixed = phonons.produce_force_constants(phonon, spring_forces(phonon, noise), None, True)
    assert drift > 1e-2
    assert np.abs(fixed.sum(axis=1)).max() < 0.05 * drift


def test_force_constants_of_another_crystal_are_refused():
    arrays = spring_arrays()
    arrays['force_constants'] = arrays['force_constants'][:, :40]
    with pytest.raises(ValueError, match='do not fit a primitive cell of 5'):
        phonons.make_phonopy(**arrays)
    arrays = spring_arrays()
    arrays['force_constants'][0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match='not finite'):
        phonons.make_phonopy(**arrays)


def test_summary_leaves_out_translations_at_gamma():
    gamma = np.array([-5.0, -0.1, 0.2, 90.0, 100.0])
    points, weights = np.array([[0.0, 0, 0], [0.5, 0, 0]]), np.array([0.25, 0.75])
    frequencies = np.array([gamma, [30.0, 31, 32, 90, 100]])
    found = phonons.summarise(gamma, np.array([0, 1, 2]), points, weights, frequencies, 1.0)
    assert found['min_frequency_per_cm'] == 30.0
    assert found['min_frequency_q'] == [0.5, 0, 0]
    assert found['imaginary'] is False
    assert found['gamma_acoustic_per_cm'] == [-5.0, -0.1, 0.2]


def test_summary_counts_imaginary_modes():
    gamma = np.array([0.0, 0, 0, 50.0, 60.0])
    points, weights = np.array([[0.25, 0, 0], [0.5, 0, 0]]), np.array([0.25, 0.75])
    frequencies = np.array([[-20.0, 1, 2, 3, 4], [-0.5, 1, 2, 3, 4]])
    found = phonons.summarise(gamma, np.array([0, 1, 2]), points, weights, frequencies, 1.0)
    assert found['min_frequency_per_cm'] == -20.0
    assert found['n_imaginary'] == 1
    assert found['imaginary_share'] == pytest.approx(0.25 / 5)
    assert found['imaginary'] is True


def test_soft_optical_mode_at_gamma_is_seen_on_a_mesh_without_gamma():
    gamma = np.array([-0.1, 0, 0.1, -30.0, 60.0])
    points, weights = np.array([[0.5, 0, 0]]), np.array([1.0])
    found = phonons.summarise(
        gamma, np.array([0, 1, 2]), points, weights, np.array([[9.0, 10, 11, 12, 13]]), 1.0
    )
    assert found['min_frequency_per_cm'] == -30.0
    assert found['min_frequency_q'] == [0.0, 0.0, 0.0]
    assert found['imaginary'] is True
