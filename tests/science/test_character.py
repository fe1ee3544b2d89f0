import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from springs import dft_modes

from aiida_mlip_ins.science.character import KINDS, Crystal
from aiida_mlip_ins.science.modes import Modes


def still(atoms: Atoms) -> Modes:
    """Return a crystal whose modes are not asked for."""
    count = len(atoms)
    return Modes(
        np.zeros(3 * count),
        np.eye(3 * count).reshape(-1, count, 3),
        tuple(atoms.get_chemical_symbols()),
        atoms.get_masses(),
        atoms.cell[:],
        atoms.positions,
    )


def weighted(atoms: Atoms, motion: np.ndarray) -> np.ndarray:
    vector = motion * np.sqrt(atoms.get_masses())[:, None]
    return vector / np.linalg.norm(vector)


@pytest.fixture
def water() -> Atoms:
    """One water molecule in a box, cut in two by a face of it."""
    atoms = molecule('H2O')
    atoms.set_cell([6, 7, 8])
    atoms.pbc = True
    atoms.wrap()
    return atoms


def test_modes_of_brucite_are_what_they_are_known_to_be():
    modes = dft_modes('0.0')
    crystal = Crystal(modes)
    assert sorted(unit.atoms.tolist() for unit in crystal.units) == [[0], [1, 3], [2, 4]]
    found = [crystal.characterise(vector) for vector in modes.eigenvectors]
    kinds = [character.kind for character in found]
    assert kinds[:7] == ['lattice'] * 7
    # 411.6: the hydroxides turn, all hydrogen; 455 and 479: they move as a whole; 849: turn.
    assert kinds[7:] == ['libration'] * 2 + ['lattice'] * 2 + ['libration'] * 2 + ['stretch'] * 2
    assert found[14].description.startswith('O-H stretch (H 9')
    assert found[7].description.startswith('OH libration (H 9')
    for character in found:
        assert sum(character.parts.values()) == pytest.approx(1.0, abs=1e-5)
        assert set(character.parts) == set(KINDS)
        assert sum(character.elements.values()) == pytest.approx(1.0, abs=1e-5)
        assert len(character.atoms) == 5


def test_the_three_translations_are_pure_lattice_modes():
    modes = dft_modes('1.5')
    crystal = Crystal(modes)
    for vector in modes.eigenvectors[:3]:
        assert crystal.characterise(vector).parts['lattice'] == pytest.approx(1.0, abs=1e-6)


def test_a_molecule_cut_by_a_face_is_one_unit(water):
    assert np.ptp(water.positions, axis=0).max() > 3
    crystal = Crystal(still(water))
    assert len(crystal.units) == 1
    assert crystal.units[0].finite
    assert np.ptp(crystal.units[0].places, axis=0).max() < 2
    assert len(crystal.rotations) == 3


def test_motions_of_water_are_told_apart(water):
    crystal = Crystal(still(water))
    whole = molecule('H2O').positions
    bonds = whole[1:] - whole[0]
    units = bonds / np.linalg.norm(bonds, axis=1)[:, None]
    normal = np.cross(units[0], units[1])
    normal /= np.linalg.norm(normal)
    across = np.cross(normal, units)

    stretch = np.array([-(units[0] + units[1]) * 1.008 / 15.999, units[0], units[1]])
    assert crystal.characterise(weighted(water, stretch)).parts['stretch'] > 0.95
    bend = np.array([-(across[1] - across[0]) * 1.008 / 15.999, -across[0], across[1]])
    character = crystal.characterise(weighted(water, bend))
    assert character.kind == 'bend'
    assert character.parts['stretch'] < 0.05
    centre = water.get_masses() @ whole / water.get_masses().sum()
    turn = np.cross([0.3, 1.0, -0.2], whole - centre)
    character = crystal.characterise(weighted(water, turn))
    assert character.parts['libration'] == pytest.approx(1.0, abs=1e-6)
    assert character.description.startswith('H2O libration')
    shift = crystal.characterise(weighted(water, np.ones((3, 3))))
    assert shift.parts['lattice'] == pytest.approx(1.0, abs=1e-6)


def test_two_molecules_against_each_other_are_a_lattice_mode():
    one, other = molecule('CH4'), molecule('CH4')
    other.translate([5, 0, 0])
    both = one + other
    both.set_cell([10, 9, 9])
    both.pbc = True
    crystal = Crystal(still(both))
    assert [len(unit.atoms) for unit in crystal.units] == [5, 5]
    motion = np.zeros((10, 3))
    motion[:5, 0], motion[5:, 0] = 1, -1
    character = crystal.characterise(weighted(both, motion))
    assert character.kind == 'lattice'
    assert character.parts['lattice'] == pytest.approx(1.0, abs=1e-6)


def test_a_skeletal_mode_has_no_hydrogen_in_it():
    atoms = molecule('C6H6')
    atoms.set_cell([12, 12, 9])
    atoms.pbc = True
    crystal = Crystal(still(atoms))
    carbon = np.array(atoms.get_chemical_symbols()) == 'C'
    motion = np.zeros((12, 3))
    # The ring breathes and takes its hydrogen along: no bond to hydrogen changes.
    centre = atoms.positions[carbon].mean(axis=0)
    arms = atoms.positions[carbon] - centre
    motion[carbon] = arms / np.linalg.norm(arms, axis=1)[:, None]
    motion[~carbon] = motion[carbon]
    character = crystal.characterise(weighted(atoms, motion))
    assert character.kind == 'skeletal'
    assert character.description.startswith('skeletal mode (C 9')


def test_a_chain_without_end_does_not_turn():
    chain = Atoms('Se', positions=[[0, 0, 0]], cell=[2.3, 8, 8], pbc=True)
    crystal = Crystal(still(chain))
    assert not crystal.units[0].finite
    assert len(crystal.rotations) == 0
