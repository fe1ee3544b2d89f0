"""JCAMP-DX in each of its forms; the compressed lines are worked out by hand from the standard."""

import numpy as np
import pytest

from aiida_mlip_ins.science.readers import ReadSettings, read_spectrum

HEAD = """##TITLE= methanol $$ a comment
##JCAMP-DX= 4.24
##DATA TYPE= INELASTIC NEUTRON SCATTERING
##ORIGIN= here
##XUNITS= 1/CM
##YUNITS= ARBITRARY UNITS
##XFACTOR= 1.0
##YFACTOR= 0.5
##FIRSTX= 400
##LASTX= 409
##NPOINTS= 10
"""
VALUES = [2, 4, 4, 4, 4, 5, 3, -2, -2, 10]
"""Ordinates in the file, before YFACTOR."""
TABLES = {
    'AFFN': '400 2 4 4 4\n404 4 5 3\n407 -2 -2 10',
    'AFFN with exponents and commas': '400, 2.0E+00, 4, 4, 4\n404, 4, 5, 3\n407, -2, -2, 1e1',
    'PAC': '400+2+4+4+4\n404+4+5+3\n407-2-2+10',
    'SQZ': '400BDDD\n404DEC\n407bbA0',
    'SQZ and DUP': '400BDU\n404DEC\n407bTA0',
    'DIF and DUP': '400BK%U\n404DJkn%\n408bJ2\n409A0',
}


def content(table: str, head: str = HEAD, form: str = 'XYDATA= (X++(Y..Y))') -> bytes:
    return f'{head}##{form}\n{table}\n##END=\n'.encode()


def refused(text: bytes, settings: ReadSettings | None = None) -> str:
    with pytest.raises(ValueError, match=r'x\.dx') as caught:
        read_spectrum(text, 'x.dx', settings or ReadSettings())
    return str(caught.value)


@pytest.mark.parametrize('form', TABLES)
def test_ordinates_in_each_form(form):
    found = read_spectrum(content(TABLES[form]), 'x.dx', ReadSettings())
    assert found.energy == pytest.approx(np.arange(400, 410))
    assert found.intensity[0].tolist() == [value / 2 for value in VALUES]
    assert found.errors is None
    assert found.title == 'methanol'
    assert found.intensity_unit == 'arbitrary units'
    assert found.metadata['data_type'] == 'INELASTIC NEUTRON SCATTERING'


@pytest.mark.parametrize('form', ['XYPOINTS= (XY..XY)', 'PEAK TABLE= (XY..XY)', 'XYDATA=(XY..XY)'])
@pytest.mark.parametrize(
    'table', ['400,1; 410,2; 425,3', '400, 1\n410, 2\n425, 3', '400 1 410 2 425 3']
)
def test_pairs(form, table):
    head = HEAD.replace('= 10', '= 3')
    found = read_spectrum(content(table, head, form), 'x.dx', ReadSettings())
    assert found.energy.tolist() == [400, 410, 425]
    assert found.intensity.tolist() == [[0.5, 1.0, 1.5]]


def test_descending_and_in_mev():
    head = HEAD.replace('1/CM', 'MEV').replace('400', '49').replace('409', '40')
    found = read_spectrum(content('49 1 2 3 4 5\n44 6 7 8 9 10', head), 'x.dx', ReadSettings())
    assert found.intensity[0].tolist() == [value / 2 for value in range(10, 0, -1)]
    assert found.energy[0] == pytest.approx(40 * 8.065544)


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        (content('400 2 4 4 4\n404 4 5 3'), 'NPOINTS is 10, but there are 7 points'),
        (content('400BK%U\n404EJkn%\n408bJ2\n409A0'), 'the file is damaged'),
        (content('400 2 4 4 4\n444 4 5 3\n447 -2 -2 10'), 'should start at 404'),
        (content('400BK?U'), 'cannot be decoded'),
        (content('400 2 4 4.4.4'), 'could not convert'),
        (content('400,1; 410', form='XYPOINTS=(XY..XY)'), '3 numbers are no pairs'),
        (content('400 1', form='XYDATA=(R++(A..A))'), "the form '(R++(A..A))' of XYDATA"),
        (content('400 1', form='NTUPLES= IR'), 'expected one table of data'),
        (content(TABLES['AFFN'], HEAD.replace('##FIRSTX= 400\n', '')), 'FIRSTX is missing'),
        (content(TABLES['AFFN'], HEAD.replace('1/CM', 'MICROMETERS')), "XUNITS is 'MICROMETERS'"),
        (content(TABLES['AFFN'], HEAD.replace('##XUNITS= 1/CM\n', '')), 'does not say the unit'),
        (content(TABLES['AFFN']) * 2, 'several blocks'),
    ],
)  # fmt: skip
def test_a_broken_file_says_what_is_wrong(text, words):
    assert words in refused(text)


def test_other_units_declared():
    assert 'are in 1/cm, but meV' in refused(content(TABLES['AFFN']), ReadSettings(units='meV'))
