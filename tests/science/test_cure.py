"""Following modes: wells on paper, and a chain that folds in two."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from springs import phonopy_arrays, soft_row

from aiida_mlip_ins.science import cure, phonons
from aiida_mlip_ins.workflows.protocols import PROTOCOLS, load_protocol

LINE = np.array([-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3])


def test_a_double_well_is_found_where_paper_has_it():
    """E = -a x^2 + b x^4: x = sqrt(a / 2 b), depth a^2 / 4 b."""
    a, b = 2.0, 50.0
    place, depth = cure.well(LINE, -12.0 - a * LINE**2 + b * LINE**4)
    assert place == pytest.approx(np.sqrt(a / (2 * b)))
    assert place == pytest.approx(0.1414, abs=1e-4)
    assert depth == pytest.approx(a**2 / (4 * b))


def test_of_two_wells_the_deeper_one():
    place, depth = cure.well(LINE, 0.5 * LINE - 2.0 * LINE**2 + 50.0 * LINE**4)
    fine = np.linspace(-0.3, 0.3, 60001)
    energies = 0.5 * fine - 2.0 * fine**2 + 50.0 * fine**4
    assert place == pytest.approx(fine[energies.argmin()], abs=1e-4)
    assert place < 0
    assert depth == pytest.approx(-energies.min())


def test_a_single_well_has_no_depth():
    assert cure.well(LINE, 3.0 + LINE**2) == (0.0, 0.0)


def test_an_energy_that_still_falls_ends_with_the_line():
    place, depth = cure.well(LINE, -(LINE**2))
    assert abs(place) == 0.3
    assert depth == pytest.approx(0.09)


def test_few_points_are_taken_as_they_are():
    assert cure.well(LINE[2:5], np.array([-1.0, 0.0, -0.5])) == (-0.1, 1.0)


def chain(onsite: float, spring: float, multiples: int = 4) -> phonons.Phonon:
    """Return the phonons of a row of atoms."""
    return phonons.make_phonopy(**soft_row(onsite, spring, multiples))


def test_the_chain_that_folds_in_two():
    """Soft where neighbours move against each other: at q = 1/2, in two cells."""
    found = cure.softest_mode(chain(onsite=1.0, spring=-1.0), 2, 1.0, True)
    assert found.q == [0.5, 0.0, 0.0]
    assert found.multiples == [2, 1, 1]
    # m w^2 = 1 - 4 = -3 eV/angstrom^2; 521.47 1/cm for 1 eV/angstrom^2 and 1 u.
    assert found.frequency == pytest.approx(-521.47 * np.sqrt(3), rel=1e-4)
    frames = cure.along(chain(onsite=1.0, spring=-1.0), found, [0.1, 0.2])
    assert [frame.info['amplitude'] for frame in frames] == [-0.2, -0.1, 0.0, 0.1, 0.2]
    assert frames[0].cell.lengths() == pytest.approx([4.0, 9.0, 9.0])
    moves = frames[-1].positions - frames[2].positions
    assert np.abs(moves[:, 0]) == pytest.approx([0.2, 0.2])
    assert moves[0, 0] == pytest.approx(-moves[1, 0])
    assert np.abs(moves[:, 1:]).max() < 1e-9
    assert (frames[0].positions + frames[-1].positions) / 2 == pytest.approx(frames[2].positions)


def test_modes_that_need_larger_cells_are_not_found_in_small_ones():
    assert cure.softest_mode(chain(onsite=1.0, spring=-1.0), 1, 1.0, True) is None
    assert cure.softest_mode(chain(onsite=1.0, spring=1.0), 2, 1.0, True) is None


def test_modes_between_those_of_the_supercell_are_interpolated() -> None:
    """In three cells the border is no exact point; what is found there has to be asked for."""
    row = chain(onsite=1.0, spring=-1.0, multiples=3)
    assert cure.softest_mode(row, 2, 1.0, True) is None
    found = cure.softest_mode(row, 2, 1.0, False)
    assert found.q == [0.5, 0.0, 0.0]
    third = cure.softest_mode(row, 3, 1.0, True)
    # m w^2 = 1 - 2 (1 - cos(2 pi / 3)) = -2
    assert third.frequency == pytest.approx(-521.47 * np.sqrt(2), rel=1e-4)
    assert third.multiples == [3, 1, 1]


def test_a_point_is_looked_at_whether_it_is_exact_or_not() -> None:
    row = chain(onsite=1.0, spring=-1.0, multiples=3)
    found = cure.mode_at(row, [0.5, 0.0, 0.0], [2, 1, 1], 1.0)
    assert found == cure.softest_mode(row, 2, 1.0, False)
    assert cure.mode_at(row, [0.0, 0.0, 0.0], [1, 1, 1], 1.0) is None
    assert cure.mode_at(chain(onsite=1.0, spring=1.0), [0.5, 0, 0], [2, 1, 1], 1.0) is None


def two_atoms(strength: float) -> phonons.Phonon:
    """Return two atoms of one mass with springs to each other alone: x has this strength."""
    block = np.diag([strength, 5.0, 5.0])
    constants = np.array([[block, -block], [-block, block]])
    atoms = Atoms('H2', positions=[(0, 0, 0), (1, 0, 0)], cell=[4, 9, 9], pbc=True)
    arrays = phonopy_arrays(atoms, [1, 1, 1], constants)
    return phonons.make_phonopy(**{**arrays, 'symbols': ['H', 'H']})


def test_a_mode_at_gamma_and_no_translation():
    found = cure.softest_mode(two_atoms(-0.5), 2, 1.0, True)
    assert found.q == [0.0, 0.0, 0.0]
    assert found.multiples == [1, 1, 1]
    frames = cure.along(two_atoms(-0.5), found, [0.1, 0.3])
    moves = frames[-1].positions - frames[2].positions
    assert moves.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    assert cure.softest_mode(two_atoms(0.5), 2, 1.0, True) is None


def test_the_direction_of_degenerate_modes_is_no_chance():
    """Any mixture of x and y in the first atom is turned so that this atom moves along x."""
    space = np.array([[1.0, 0, 0, -1, 0, 0], [0, 1.0, 0, 0, -1, 0]]) / np.sqrt(2)
    for angle in (0.0, 0.4, 2.0):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert cure.first_direction(turn @ space) == pytest.approx(space[0])
    assert cure.first_direction(-space[:1]) == pytest.approx(space[0])


def test_degenerate_modes_of_a_row_are_followed_along_an_axis():
    """Soft across the row, both ways alike: whatever the solver mixes, the atoms move along y."""
    block = np.diag([5.0, -0.5, -0.5])
    constants = np.array([[block, -block], [-block, block]])
    atoms = Atoms('H2', positions=[(0, 0, 0), (1, 0, 0)], cell=[4, 9, 9], pbc=True)
    arrays = phonopy_arrays(atoms, [1, 1, 1], constants)
    row = phonons.make_phonopy(**{**arrays, 'symbols': ['H', 'H']})
    frames = cure.along(row, cure.softest_mode(row, 1, 1.0, True), [0.2])
    moves = frames[-1].positions - frames[1].positions
    assert moves == pytest.approx(np.array([[0, 0.2, 0], [0, -0.2, 0]]), abs=1e-9)


def test_a_larger_cell_needs_fewer_multiples():
    assert cure.shared_out([4, 3, 1], [2, 2, 1]) == [2, 2, 1]


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_protocols(protocol):
    assert cure.cure_problems(load_protocol('cure', protocol)['cure'], 'cure') == []


def test_settings_that_are_refused():
    given = load_protocol('cure')['cure']
    found = cure.cure_problems({**given, 'remedies': ['pray'], 'tighter': 2.0}, 'cure')
    assert "cure.remedies[0]: 'pray' is not allowed" in found[0]
    assert 'cure.tighter: 2.0 is above' in found[1]
    (found,) = cure.cure_problems({**given, 'remedies': ['relax', 'relax']}, 'cure')
    assert 'more than once' in found
    (found,) = cure.cure_problems({**given, 'amplitudes': [0.1]}, 'cure')
    assert 'give at least 2' in found
