"""Shifts of modes from forces of frames in motion."""

import numpy as np
import pytest
from springs import brucite_dft, phonopy_arrays

from aiida_mlip_ins.science.mode_forces import mode_shifts, shifts_by_window
from aiida_mlip_ins.science.phonons import acoustic_modes, gamma_modes, make_phonopy
from aiida_mlip_ins.science.units import PER_CM_PER_THZ

TO_PER_CM = 15.633302 * PER_CM_PER_THZ
"""Square root of eV/(angstrom^2 u) in 1/cm."""


@pytest.fixture
def moving():
    """Return a phonon, its modes and displacements of 40 frames of classical motion."""
    atoms, constants, _ = brucite_dft('0.0')
    phonon = make_phonopy(**phonopy_arrays(atoms, [1, 1, 1], constants))
    frequencies, vectors = gamma_modes(phonon)
    optical = np.setdiff1d(
        np.arange(len(frequencies)), acoustic_modes(vectors, phonon.primitive.masses)
    )
    places = np.random.default_rng(5).normal(size=(40, len(optical))) / frequencies[optical]
    masses = np.asarray(phonon.primitive.masses)
    moved = np.einsum('fv,vai,a->fai', places, vectors[optical], masses**-0.5)
    return phonon, frequencies[optical], vectors[optical], places, moved


def forces_of(phonon, vectors, changes, places):
    """Return forces of changes (n, n; eV/(angstrom^2 u)) between modes."""
    masses = np.asarray(phonon.primitive.masses)
    return -np.einsum('fw,vw,vai,a->fai', places, changes, vectors, masses**0.5)


def test_a_stiffer_mode_is_found_with_its_shift(moving):
    phonon, frequencies, vectors, places, moved = moving
    changes = np.zeros((len(frequencies),) * 2)
    changes[4, 4] = 2 * frequencies[4] * 7.0 / TO_PER_CM**2  # d(w^2) of 7 1/cm
    at_rest = np.random.default_rng(3).normal(size=moved.shape[1:])
    differences = forces_of(phonon, vectors, changes, places) + at_rest
    found = mode_shifts(phonon, moved, differences)
    assert found['frequencies'] == pytest.approx(frequencies)
    expected = np.zeros(len(frequencies))
    expected[4] = 7.0
    assert found['shifts'] == pytest.approx(expected, abs=1e-6)
    assert found['errors'].max() < 1e-6


def test_coupling_is_noise_and_its_size_is_known(moving):
    phonon, frequencies, vectors, places, moved = moving
    coupling = np.random.default_rng(2).normal(size=(len(frequencies),) * 2)
    changes = 10.0 / TO_PER_CM**2 * np.outer(frequencies, frequencies) ** 0.5
    changes = changes * (coupling + coupling.T)
    found = mode_shifts(phonon, moved, forces_of(phonon, vectors, changes, places))
    true = np.diag(changes) * TO_PER_CM**2 / (2 * frequencies)
    deviations = (found['shifts'] - true) / found['errors']
    assert 0.5 < np.sqrt(np.mean(deviations**2)) < 1.6


def test_windows():
    found = {
        'frequencies': np.array([100.0, 300.0, 310.0]),
        'shifts': np.array([1.0, 2.0, 6.0]),
        'errors': np.array([1.0, 1.0, 2.0]),
    }
    first, second, empty = shifts_by_window(found, [[0, 200], [200, 600], [600, 900]])
    assert first['mean_shift_per_cm'] == 1.0
    assert second['mean_shift_per_cm'] == 4.0
    assert second['error_per_cm'] == pytest.approx(5**0.5 / 2)
    assert second['scatter_per_cm'] == pytest.approx(np.sqrt(20.0))
    assert empty['n_modes'] == 0
    assert empty['mean_shift_per_cm'] is None


def test_what_does_not_fit_is_refused(moving):
    phonon, _, _, _, moved = moving
    with pytest.raises(ValueError, match='2 frames are no line'):
        mode_shifts(phonon, moved[:2], moved[:2])
    with pytest.raises(ValueError, match='are not'):
        mode_shifts(phonon, moved, moved[:, :-1])
