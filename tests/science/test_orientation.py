"""What a crystal was read as, and how much of its symmetry pw.x sees."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from springs import brucite_cell

from aiida_mlip_ins.science.orientation import description, operations_seen


@pytest.fixture(scope='module')
def chains() -> Atoms:
    """Return zigzag chains of H-F (Cmc2_1), the conventional cell of two primitive ones."""
    places = [(0, 0.1243, 0.25), (0, 0.0298, 0.44)]
    return crystal('FH', places, spacegroup=36, cellpar=[3.31, 5.26, 4.26, 90, 90, 90])


def primitive(atoms: Atoms) -> Atoms:
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    vectors, places, numbers = spglib.standardize_cell(cell, to_primitive=True, symprec=0.01)
    return Atoms(numbers, cell=vectors, scaled_positions=places, pbc=True)


def test_a_cell_that_is_not_primitive_is_said_to_be(chains):
    first, second = description(chains)
    assert first == 'H4F4: 8 atoms, 74.2 angstrom^3, Cmc2_1 (36)'
    assert second == 'its primitive cell has 4 atoms and would do'
    assert len(description(primitive(chains))) == 1
    assert len(description(brucite_cell())) == 1


def test_what_pw_sees_depends_on_how_the_cell_is_turned(chains):
    """pw.x 7.2 itself found 4 and 2 operations of these two (8 and 10 k-points of 3x3x2)."""
    good = primitive(chains)
    turned = Atoms(
        good.numbers, cell=good.cell.cellpar(), scaled_positions=good.get_scaled_positions(), pbc=1
    )
    assert operations_seen(good) == (4, 4)
    assert operations_seen(turned) == (2, 4)
    assert 'pw.x sees 2 of the 4 rotations' in description(turned)[-1]


@pytest.mark.parametrize('angle', [0.0, 17.0, 30.0, 90.0])
def test_hexagons_and_cubes(angle):
    hexagon = brucite_cell()
    hexagon.rotate(angle, 'z', rotate_cell=True)
    assert operations_seen(hexagon) == (12 if angle != 17.0 else 6, 12)
    cube = bulk('NaCl', 'rocksalt', a=5.6)
    cube.rotate(angle, 'z', rotate_cell=True)
    seen, every = operations_seen(cube)
    assert every == 48
    assert (seen == 48) == (angle in (0.0, 90.0))
    assert np.isclose(cube.get_volume(), 5.6**3 / 4)
