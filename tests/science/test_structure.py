"""Crystals and conditions: what is accepted and what is refused, and why."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write

from aiida_mlip_ins.science import structure

CIF = """data_brucite
_chemical_formula_sum '{formula}'
_cell_length_a 3.142
_cell_length_b 3.142
_cell_length_c 4.766
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_symmetry_space_group_name_H-M 'P -3 m 1'
_symmetry_Int_Tables_number 164
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Mg1 Mg 0 0 0 1.0
O1 O 0.333333 0.666667 0.2203(2) {occupancy}
{hydrogen}
"""
HYDROGEN = 'H1 H 0.333333 0.666667 0.4130 1'


def write_cif(folder, formula='H2 Mg O2', occupancy='1.000(3)', hydrogen=HYDROGEN):
    path = folder / 'brucite.cif'
    path.write_text(CIF.format(formula=formula, occupancy=occupancy, hydrogen=hydrogen))
    return path


def test_good_crystal(brucite):
    assert structure.crystal_problems(brucite) == []


def test_cif_is_read(tmp_path, brucite):
    atoms = structure.read_crystal(write_cif(tmp_path))
    assert atoms.get_chemical_formula() == brucite.get_chemical_formula()
    assert atoms.get_volume() == pytest.approx(brucite.get_volume())
    assert atoms.info == {}


def test_other_formats_are_read(tmp_path, brucite):
    write(tmp_path / 'POSCAR', brucite, format='vasp')
    atoms = structure.read_crystal(tmp_path / 'POSCAR')
    np.testing.assert_allclose(atoms.get_volume(), brucite.get_volume())


def test_partial_occupancy_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'partly occupied \(O1 0\.5\).*\[brucite\.cif\]'):
        structure.read_crystal(write_cif(tmp_path, occupancy='0.5'))


@pytest.mark.parametrize('occupancy', ['.', '?', '1', '0.9995'])
def test_full_occupancy_however_written(tmp_path, occupancy):
    assert len(structure.read_crystal(write_cif(tmp_path, occupancy=occupancy))) == 5


def test_hydrogen_of_the_formula_is_missed(tmp_path):
    with pytest.raises(ValueError, match=r'2 hydrogen atoms.*positions for 0') as caught:
        structure.read_crystal(write_cif(tmp_path, hydrogen=''))
    assert len(str(caught.value).splitlines()) == 1


def test_a_formula_counts_even_where_hydrogen_is_not_required(tmp_path):
    path = write_cif(tmp_path, hydrogen='')
    with pytest.raises(ValueError, match='add the missing hydrogen'):
        structure.read_crystal(path, require_hydrogen=False)
    assert len(structure.read_crystal(write_cif(tmp_path, 'Mg O2', hydrogen=''), False)) == 3


def test_all_problems_of_a_cif_at_once(tmp_path):
    near = 'H1 H 0.333333 0.666667 0.26 1'
    with pytest.raises(ValueError, match='partly') as caught:
        structure.read_crystal(write_cif(tmp_path, 'H3 Mg O2', '0.9', near))
    message = str(caught.value)
    assert len(message.splitlines()) == 3
    assert 'atoms overlap' in message
    assert 'formula' in message


def test_unreadable_file(tmp_path):
    path = tmp_path / 'text.cif'
    path.write_text('no structure')
    with pytest.raises(ValueError, match='cannot be read'):
        structure.read_crystal(path)
    with pytest.raises(ValueError, match='there is no file'):
        structure.read_crystal(tmp_path / 'nothing.cif')


def test_no_hydrogen():
    magnesia = bulk('MgO', 'rocksalt', a=4.21)
    (problem,) = structure.crystal_problems(magnesia)
    assert 'MgO has no hydrogen' in problem
    assert structure.crystal_problems(magnesia, require_hydrogen=False) == []


def test_overlap_through_the_boundary(brucite):
    brucite.positions[3] = brucite.positions[0] - brucite.cell[2] + [0.0, 0.0, 0.3]
    (problem,) = structure.crystal_problems(brucite)
    assert 'Mg0-H3 0.30' in problem


def test_shortest_real_bonds_are_no_overlap():
    hydrogen = Atoms('H2', [[0, 0, 0], [0, 0, 0.74]], cell=[4, 4, 4], pbc=True)
    assert structure.contact_problems(hydrogen) == []
    stretched_in = Atoms('OH', [[0, 0, 0], [0, 0, 0.85]], cell=[4, 4, 4], pbc=True)
    assert structure.contact_problems(stretched_in) == []


def test_image_of_itself_too_near():
    chain = Atoms('C', cell=[0.9, 5, 5], pbc=True)
    (i, j, distance), *_ = structure.close_contacts(chain)
    assert (i, j) == (0, 0)
    assert distance == pytest.approx(0.9)


def test_no_periodicity_and_no_volume():
    water = molecule('H2O', cell=[5, 5, 5], pbc=[True, True, False])
    assert 'not periodic along c' in structure.crystal_problems(water)[0]
    flat = molecule('H2O', cell=[[5, 0, 0], [0, 5, 0], [5, 5, 0]], pbc=True)
    assert 'no volume' in structure.crystal_problems(flat)[-1]
    assert structure.crystal_problems(Atoms()) == ['structure: it has no atoms']


def test_positions_that_are_not_numbers(brucite):
    brucite.positions[0, 0] = np.nan
    assert 'not finite' in structure.crystal_problems(brucite)[0]


@pytest.mark.parametrize('pressures', [[0.0, 1.5], [0], (2.5,), [0, 0.5, 1, 20]])
def test_good_pressures(pressures):
    assert structure.pressure_problems(pressures) == []


@pytest.mark.parametrize(
    ('pressures', 'words'),
    [
        ([], ['at least one']),
        (1.5, ['expected a list']),
        (['1'], ['expected numbers']),
        ([True], ['expected numbers']),
        ([0.0, float('nan')], ['finite']),
        ([-1.0, 0.0], ['negative values are not supported: [-1.0]']),
        ([0.0, 0.0], ['more than once: [0.0]']),
        ([1.5, 0.0], ['ascending order: [0.0, 1.5]']),
        ([2, -1, 2], ['negative', 'more than once', 'ascending order: [-1, 2]']),
    ],
)
def test_bad_pressures(pressures, words):
    found = structure.pressure_problems(pressures)
    assert len(found) == len(words)
    for problem, word in zip(found, words, strict=True):
        assert word in problem


def test_temperature():
    assert structure.temperature_problems(0.0) == []
    assert '-1 K' in structure.temperature_problems(-1)[0]
    assert structure.temperature_problems(float('nan'))


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ((0, 4000, 1), []),
        ((100, 100, 1), ['is empty']),
        ((200, 100, 1), ['is empty']),
        ((-5, 100, 1), ['below zero']),
        ((0, 100, 0), ['above 0']),
        ((0, 100, 200), ['wider than the whole range']),
        ((0, float('inf'), 1), ['not all finite']),
        ((-1, -2, -1), ['below zero', 'is empty', 'above 0']),
    ],
)
def test_energy_range(values, words):
    found = structure.energy_range_problems(*values)
    assert len(found) == len(words)
    for problem, word in zip(found, words, strict=True):
        assert word in problem


def test_row_of_a_relaxed_crystal(brucite):
    forces = np.array([[0.0, 0.0, 0.0]] * 3 + [[0.03, 0.0, 0.04], [0.0, 0.0, 0.01]])
    gpa = 1 / 160.21766208
    stress = np.array([-1.5, -1.4, -1.5, 0.0, 0.0, 0.2]) * gpa
    row = structure.relaxed_cell(brucite, 1.5, -10.0, forces, stress, 1e-3)
    assert row['spacegroup'] == 'P-3m1 (164)'
    assert row['max_force_ev_per_angstrom'] == pytest.approx(0.05)
    assert row['stress_residual_gpa'] == pytest.approx(0.2)
    assert row['enthalpy_ev'] == pytest.approx(-10.0 + 1.5 * gpa * brucite.get_volume())
    assert row['cell_lengths_angstrom'] == pytest.approx([3.142, 3.142, 4.766])
    without = structure.relaxed_cell(brucite, 1.5, -10.0, forces, None, 1e-3)
    assert without['stress_residual_gpa'] is None
