"""The q-points that a supercell has exactly, and crystals that are soft at them alone."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from springs import phonopy_arrays, soft_row, spring_arrays

from aiida_mlip_ins.science import phonons, zone

PER_CM = 521.47
"""1/cm of 1 eV/angstrom^2 and 1 u."""


def made(arrays: dict) -> phonons.Phonon:
    return phonons.make_phonopy(**{**arrays, 'symbols': [str(s) for s in arrays['symbols']]})


def looked_at(phonon: phonons.Phonon, mesh: list[int]) -> tuple[dict, dict]:
    """Return the summary of a shifted mesh alone, and with the exact points."""
    gamma, vectors = phonons.gamma_modes(phonon)
    acoustic = phonons.acoustic_modes(vectors, phonon.primitive.masses)
    points, weights = phonons.mesh_points(mesh, False)
    frequencies, _ = phonons.modes_at(phonon, points)
    alone = phonons.summarise(gamma, acoustic, points, weights, frequencies, 1.0)
    return alone, zone.with_exact(alone, zone.exact_modes(phonon, gamma), acoustic, 1.0)


@pytest.mark.parametrize(
    ('multiples', 'expected', 'weights'),
    [
        (1, [0], [1]),
        (2, [0, 0.5], [0.5, 0.5]),
        (3, [0, 1 / 3], [1 / 3, 2 / 3]),
        (4, [0, 0.25, 0.5], [0.25, 0.5, 0.25]),
    ],
)
def test_exact_points_of_a_row(multiples, expected, weights):
    points, shares = zone.exact_points(made(soft_row(1.0, 0.2, multiples)))
    assert points[:, 0] == pytest.approx(expected)
    assert not points[:, 1:].any()
    assert shares == pytest.approx(weights)


def test_waves_of_exact_points_are_periodic_in_the_supercell():
    """Also of one that is no multiple of the axes; there are as many as cells in it."""
    matrix = np.array([[2, 1, 0], [0, 2, 0], [0, 1, 3]])
    count = 12
    atoms = Atoms('H', cell=[[2.0, 0, 0], [0.4, 3.0, 0], [0, 0.3, 4.0]], pbc=True)
    constants = np.einsum('ij,ab->ijab', np.eye(count), np.eye(3))
    arrays = phonopy_arrays(atoms, [1, 1, 1], constants)
    phonon = made({**arrays, 'supercell_matrix': matrix.astype(float)})
    points, weights = zone.exact_points(phonon)
    turns = points @ np.linalg.inv(phonon.primitive.cell).T @ phonon.supercell.cell.T
    assert turns == pytest.approx(np.rint(turns), abs=1e-9)
    assert weights.sum() == pytest.approx(1.0)
    assert points[0].tolist() == [0.0, 0.0, 0.0]
    both = np.concatenate([points, -points])
    places = {tuple(place) for place in np.rint(both * count).astype(int) % count}
    assert len(places) == count
    assert np.abs(points).max() <= 0.5


def test_a_row_that_dimerises_is_not_called_stable():
    """Soft at q = 1/2 alone, which a mesh of four shifted by half a step passes by."""
    alone, whole = looked_at(made(soft_row(onsite=1.0, spring=-0.26)), [4, 1, 1])
    assert alone['imaginary'] is False
    assert alone['min_frequency_per_cm'] > 150
    lowest = -PER_CM * np.sqrt(0.04)
    assert whole['imaginary'] is True
    assert whole['imaginary_share'] == 0.0
    assert whole['min_frequency_per_cm'] == pytest.approx(lowest, rel=1e-4)
    assert whole['min_frequency_q'] == [0.5, 0.0, 0.0]
    (point,) = whole['imaginary_points']
    assert point['q'] == [0.5, 0.0, 0.0]
    assert point['frequencies_per_cm'] == pytest.approx([lowest], rel=1e-4)
    assert point['weight'] == pytest.approx(0.25)
    assert whole['exact_imaginary_share'] == pytest.approx(0.25 / 3)
    assert whole['n_exact_qpoints'] == 3
    said = zone.describe(whole['imaginary_points'])
    assert said == f'{lowest:.1f} 1/cm at q = (0.5 0 0) with a weight of 25 %'


def test_a_stable_crystal_stays_stable():
    """Acoustic modes at the exact points near Gamma are above any tolerance for noise."""
    alone, whole = looked_at(made(spring_arrays()), [2, 2, 2])
    assert whole['imaginary'] is alone['imaginary'] is False
    assert whole['imaginary_points'] == []
    assert 0 < whole['min_frequency_per_cm'] <= alone['min_frequency_per_cm']
    assert whole['min_frequency_q'] != [0.0, 0.0, 0.0]
    assert whole['n_exact_qpoints'] == 10
    assert zone.describe([]) == ''


def test_translations_at_gamma_do_not_count_and_a_cell_alone_costs_nothing(monkeypatch):
    block = np.diag([4.0, 5.0, 5.0])
    constants = np.array([[block, -block], [-block, block]]) - 1e-3 * np.eye(3)
    atoms = Atoms('H2', positions=[(0, 0, 0), (1, 0, 0)], cell=[4, 9, 9], pbc=True)
    phonon = made(phonopy_arrays(atoms, [1, 1, 1], constants))
    gamma, vectors = phonons.gamma_modes(phonon)
    assert gamma[0] < -1.0
    monkeypatch.setattr(zone, 'modes_at', None)
    exact = zone.exact_modes(phonon, gamma)
    assert exact.points.tolist() == [[0.0, 0.0, 0.0]]
    assert exact.frequencies[0] == pytest.approx(gamma)
    acoustic = phonons.acoustic_modes(vectors, phonon.primitive.masses)
    points, weights = phonons.mesh_points([1, 1, 1], True)
    alone = phonons.summarise(gamma, acoustic, points, weights, gamma[None], 1.0)
    whole = zone.with_exact(alone, exact, acoustic, 1.0)
    assert {name: whole[name] for name in alone} == alone
    assert whole['imaginary'] is False
    assert whole['imaginary_points'] == []


def test_a_soft_optical_mode_at_gamma_is_listed_like_any_other():
    block = np.diag([-0.5, 5.0, 5.0])
    constants = np.array([[block, -block], [-block, block]])
    atoms = Atoms('H2', positions=[(0, 0, 0), (1, 0, 0)], cell=[4, 9, 9], pbc=True)
    phonon = made(phonopy_arrays(atoms, [1, 1, 1], constants))
    gamma, vectors = phonons.gamma_modes(phonon)
    acoustic = phonons.acoustic_modes(vectors, phonon.primitive.masses)
    alone = phonons.summarise(
        gamma, acoustic, np.array([[0.5, 0, 0]]), np.ones(1), np.full((1, 6), 9.0), 1.0
    )
    whole = zone.with_exact(alone, zone.exact_modes(phonon, gamma), acoustic, 1.0)
    (point,) = whole['imaginary_points']
    assert point['q'] == [0.0, 0.0, 0.0]
    assert point['frequencies_per_cm'] == pytest.approx([alone['min_frequency_per_cm']])
    assert point['weight'] == 1.0
