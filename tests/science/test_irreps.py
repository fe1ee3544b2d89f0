import dataclasses

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from springs import (
    brucite_cell,
    dft_modes,
    displaced_phonopy,
    mace_modes,
    modes_from,
    spring_arrays,
)

from aiida_mlip_ins.science.irreps import UNKNOWN, irreps
from aiida_mlip_ins.science.modes import Modes

BRUCITE = ['Eg'] * 2 + ['Eu'] * 4 + ['A1g', 'A2u', 'Eg', 'Eg', 'A1g', 'A2u']
"""In order of energy. Four Raman (2 A1g + 2 Eg) and four infrared (2 A2u + 2 Eu) ones: P. Dawson et
al., J. Phys. Chem. Solids 34, 2217 (1973)."""


def made_up(atoms: Atoms, vectors: np.ndarray) -> Modes:
    masses = atoms.get_masses()
    return Modes(
        np.arange(1.0, len(vectors) + 1), vectors, tuple(atoms.get_chemical_symbols()), masses,
        np.array(atoms.cell), atoms.positions,
    )  # fmt: skip


@pytest.mark.parametrize('modes', [dft_modes('0.0'), dft_modes('1.5'), *mace_modes()[1]])
def test_brucite(modes):
    found = irreps(modes, 0.01, 0.95)
    assert [irrep.label for irrep in found[3:]] == BRUCITE
    assert {irrep.point_group for irrep in found} == {'-3m'}


@pytest.mark.parametrize(
    ('atoms', 'expected'),
    [
        (bulk('NaCl', 'rocksalt', 5.64), ('T1u', 'T1u')),
        (bulk('Si', 'diamond', 5.43), ('T1u', 'T2g')),
        (bulk('GaAs', 'zincblende', 5.65), ('T2', 'T2')),
    ],
)
def test_cubic_crystals(atoms, expected):
    """Acoustic and optical modes as in every textbook; diamond's operations hold translations."""
    masses = atoms.get_masses()
    along = np.sqrt(masses / masses.sum())
    against = np.array([along[1], -along[0]])
    axes = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
    vectors = np.array([np.outer(w, axis) for w in (along, against) for axis in axes])
    labels = [irrep.label for irrep in irreps(made_up(atoms, vectors), 0.01, 0.95)]
    assert labels == [expected[0]] * 3 + [expected[1]] * 3


def test_the_same_as_phonopy_finds_from_force_constants():
    atoms, arrays = brucite_cell(), spring_arrays()
    phonon = displaced_phonopy(atoms, [3, 3, 2])
    phonon.force_constants = arrays['force_constants']
    theirs = phonon.run_irreps([0.0, 0.0, 0.0], degeneracy_tolerance=1e-3)
    labels = {
        index: label
        for group, label in zip(theirs.band_indices, theirs._ir_labels, strict=True)
        for index in group
    }
    modes = modes_from(arrays)
    optical = modes.optical()
    assert len(optical) == 12
    ours = irreps(modes, 0.01, 0.95)
    assert [ours[i].label for i in optical] == [labels[i] for i in optical]
    assert {labels[i] for i in optical} == {'A1g', 'Eg', 'A2u', 'Eu'}


def test_what_cannot_be_named_says_why():
    modes = dft_modes('0.0')
    turn = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    vectors = modes.eigenvectors.copy()
    vectors[9:11] = np.einsum('ab,bij->aij', turn, vectors[9:11])
    found = irreps(dataclasses.replace(modes, eigenvectors=vectors), 0.01, 0.95)
    assert found[9].label == UNKNOWN
    assert 'A1g 50 %' in found[9].reason
    assert 'A2u 50 %' in found[9].reason
    assert found[8].reason is None


def test_broken_symmetry_is_that_of_what_is_left():
    modes = dft_modes('0.0')
    moved = modes.positions.copy()
    moved[4] += [0.11, 0.07, 0.05]
    found = irreps(dataclasses.replace(modes, positions=moved), 0.01, 0.95)
    assert {irrep.point_group for irrep in found} == {'1'}
    assert {irrep.label for irrep in found} == {'A'}


def test_a_cell_of_several_primitive_ones_has_no_names():
    atoms = bulk('Si', 'diamond', 5.43, cubic=True)
    found = irreps(made_up(atoms, np.eye(24).reshape(24, 8, 3)), 0.01, 0.95)
    assert {irrep.label for irrep in found} == {UNKNOWN}
    assert 'several primitive cells' in found[0].reason
