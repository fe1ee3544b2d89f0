import numpy as np
import pytest

from aiida_mlip_ins.science import isotopes

SYMBOLS = ['Mg', 'O', 'O', 'H', 'H']


def test_nuclides_are_read():
    assert isotopes.parse('2H') == isotopes.parse('D') == ('H', 2)
    assert isotopes.parse('35Cl') == ('Cl', 35)
    assert isotopes.parse('natural') == (None, None)
    with pytest.raises(ValueError, match='write the mass number and the symbol'):
        isotopes.parse('H2')


def test_an_atom_wins_over_its_element():
    found = isotopes.mass_numbers({'H': 'D', '4': 'natural', 'O': '18O'}, SYMBOLS)
    assert found == [None, 18, 18, 2, 'natural']


@pytest.mark.parametrize(
    ('given', 'messages'),
    [
        ({'C': '13C'}, ['no such element in the crystal', 'H, Mg, O']),
        ({'7': 'D'}, ['isotopes.7: the primitive cell has the atoms 0 to 4']),
        ({'1': 'D'}, ['isotopes.1: D, but atom 1 is O']),
        ({'N': '15N', '9': 'D'}, ['isotopes.N', 'isotopes.9']),
    ],
)
def test_what_a_crystal_cannot_have_is_named_at_once(given, messages):
    text = '\n'.join(isotopes.crystal_problems(given, SYMBOLS, 'isotopes'))
    for message in messages:
        assert message in text
    assert isotopes.crystal_problems({'H': 'D', '1': 'natural'}, SYMBOLS, 'isotopes') == []


def test_masses_are_those_of_the_nuclides_and_of_the_mixture():
    own = np.array([24.0, 16.0, 16.0, 1.0, 1.0])
    found = isotopes.masses({'H': 'D', '4': 'T', '1': 'natural', '0': '26Mg'}, SYMBOLS, own)
    expected = [25.982593, 15.9994, 16.0, 2.014101778, 3.016049278]
    assert found == pytest.approx(expected, rel=1e-6)
    assert own.tolist() == [24.0, 16.0, 16.0, 1.0, 1.0]


def test_a_nuclide_without_a_mass_is_named_with_those_that_have_one():
    found = isotopes.mass_problems({'H': '7H', 'O': '18O', '4': 'natural', 'Tc': '5Tc'}, 'isotopes')
    assert found == [
        'isotopes.H: no mass of 7H is known (known: 1H, 2H, 3H)',
        'isotopes.Tc: no mass of 5Tc is known (known: none of the element)',
    ]
