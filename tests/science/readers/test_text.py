"""Text files: the ISIS INS database, plain columns, CSV; right ones and broken ones."""

import time

import numpy as np
import pytest

from aiida_mlip_ins.science.readers import ReadSettings, read_file, read_spectrum
from aiida_mlip_ins.science.units import PER_CM_PER_MEV

DECLARED = ReadSettings(units='1/cm', columns=['energy', 'intensity', 'error'])
ISIS = ' A title   with spaces \r\nC    (CM-1)         COUNTS           ERROR\r\n'


def rows(*lines: str, head: str = '') -> bytes:
    return (head + '\n'.join(lines) + '\n').encode()


GOOD = ('20.0 1.0 0.1', '30.0 2.0 0.2', '55.5 3.0 0.3')


def refused(content: bytes, settings: ReadSettings = DECLARED) -> str:
    with pytest.raises(ValueError, match=r'x\.dat') as caught:
        read_spectrum(content, 'x.dat', settings)
    return str(caught.value)


def test_isis_database():
    found = read_spectrum(rows(*GOOD, head=ISIS), 'x.dat', ReadSettings())
    assert found.title == 'A title with spaces'
    assert (found.kind, found.density) == ('points', True)
    assert found.energy.tolist() == [20.0, 30.0, 55.5]
    assert found.intensity.tolist() == [[1.0, 2.0, 3.0]]
    assert found.errors.tolist() == [[0.1, 0.2, 0.3]]
    assert found.metadata['format'] == 'isis'


def test_isis_database_in_mev():
    head = 'title\n C (meV) COUNTS\n'
    found = read_spectrum(rows('10 1', '20 2', '30 4', head=head), 'x.dat', ReadSettings())
    assert found.energy == pytest.approx(np.array([10, 20, 30]) * PER_CM_PER_MEV)
    assert found.errors is None


def test_hexane(reference_data):
    found = read_file(reference_data / 'hexane' / 'hexane_tosca.dat', ReadSettings())
    assert found.title.startswith('Hexane S.F.Parker, ISIS')
    assert found.intensity.shape == found.errors.shape == (1, 794)
    assert found.energy[[0, -1]] == pytest.approx([20.29187, 3998.738])
    assert found.intensity[0, 0] == pytest.approx(1.566107)
    assert found.errors[0, -1] == pytest.approx(0.1256078)


def test_declared_columns_and_units():
    settings = ReadSettings(units='meV', columns=['skip', 'energy', 'intensity', 'error'])
    content = rows('# nothing', '1 10 5 0.5', '2 20 6 0.6')
    found = read_spectrum(content, 'x.dat', settings)
    assert found.energy == pytest.approx(np.array([10, 20]) * PER_CM_PER_MEV)
    assert found.intensity.tolist() == [[5, 6]]
    assert found.errors.tolist() == [[0.5, 0.6]]


@pytest.mark.parametrize(
    'head',
    [
        'energy_per_cm,intensity,error',
        '# Energy transfer (cm^-1), Counts, sigma',
        'wavenumber/cm-1, I, err',
        'wavenumber,intensity,error',
    ],
)
def test_a_header_tells_columns_and_unit(head):
    content = rows(head, '20, 1, 0.1', '30, 2, 0.2')
    found = read_spectrum(content, 'x.dat', ReadSettings())
    assert found.energy.tolist() == [20, 30]
    assert found.errors.tolist() == [[0.1, 0.2]]


def test_a_header_with_white_space_and_columns_of_other_names():
    content = rows('Energy (meV)  Q  Counts', '20 9 1', '30 9 2')
    found = read_spectrum(content, 'x.dat', ReadSettings())
    assert found.energy == pytest.approx(np.array([20, 30]) * PER_CM_PER_MEV)
    assert found.intensity.tolist() == [[1, 2]]
    assert found.metadata['ignored'] == ['Q']


def test_several_spectra_of_which_some_are_taken():
    columns = ['energy', 'intensity', 'error', 'intensity', 'error']
    content = rows('20;1;0.1;5;0.5', '30;2;0.2;6;0.6')
    both = read_spectrum(content, 'x.dat', ReadSettings(units='1/cm', columns=columns))
    assert both.intensity.tolist() == [[1, 2], [5, 6]]
    assert both.errors.tolist() == [[0.1, 0.2], [0.5, 0.6]]
    settings = ReadSettings(units='1/cm', columns=columns, spectra=[1])
    one = read_spectrum(content, 'x.dat', settings)
    assert one.intensity.tolist() == [[5, 6]]
    assert one.errors.tolist() == [[0.5, 0.6]]
    wrong = ReadSettings(units='1/cm', columns=columns, spectra=[2])
    assert 'from 0 to 1' in refused(content, wrong)


def test_descending_energies_are_turned_round():
    found = read_spectrum(rows('30 2 0.2', '20 1 0.1'), 'x.dat', DECLARED)
    assert found.energy.tolist() == [20, 30]
    assert found.errors.tolist() == [[0.1, 0.2]]


def test_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r'nothing\.dat: cannot be read \(No such file'):
        read_file(tmp_path / 'nothing.dat', ReadSettings())


@pytest.mark.parametrize('content', [b'', b' \r\n\n'])
def test_an_empty_file(content):
    assert 'the file is empty' in refused(content)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (rows('20', '30', '40'), 'there is 1 column, expected 3'),
        (rows('20 1 0.1', '40 1 0.1', '30 1 0.1'), 'not in ascending order: 30 after 40 1/cm'),
        (rows('20 1 0.1', '20 1 0.1', '30 1 0.1'), 'energies are repeated: 20 1/cm'),
        (rows('20 nan 0.1', '30 1 0.1'), '1 of the intensities are not finite numbers (at 20 1/cm'),
        (rows('20 1 0.1', '30 1 inf'), '1 of the errors are not finite numbers (at 30 1/cm'),
        (rows('20 1 0.1', 'nan 1 0.1'), '1 of the energies are not finite numbers (the 2.)'),
        (rows('20 1 -0.1', '30 1 0.1'), '1 of the errors are negative (at 20 1/cm)'),
        (rows('20,5 1,0 0,1', '30,5 1,0 0,1'), 'decimal commas'),
        (rows('20,5;1,0;0,1', '30,5;1,0;0,1'), 'decimal commas'),
        (rows('20,5,1,0,0,1', '30,5,1,0,0,1'), 'if commas are decimal points'),
        (rows('20 1 0.1', '30 1,5 0.1'), 'decimal commas'),
        (rows('20 1 0.1', '30 1', '40 1 0.1'), 'expected 3 columns (energy, intensity, error)'),
        (rows('20 1 0.1', '30 bad 0.1'), "not a number: 'bad' in line 2"),
        (b'words and no numbers\n', 'there are no numbers'),
        (b'\x00\x01\x02' * 99, 'the file is binary'),
        (rows('20 1 0.1'), 'fewer than two values'),
    ],
)  # fmt: skip
def test_a_broken_file_says_what_is_wrong(content, words):
    assert words in refused(content)


def test_all_problems_are_told_at_once():
    said = refused(rows('20 nan 0.1', '20 1 -1'))
    assert 'repeated' in said
    assert 'not finite' in said
    assert 'negative' in said


def test_a_header_without_numbers():
    assert 'there are no numbers' in refused(rows(head=ISIS), ReadSettings())


def test_units_are_asked_for():
    said = refused(rows(*GOOD), ReadSettings(columns=['energy', 'intensity', 'error']))
    assert 'does not say the unit' in said
    assert '1/cm, meV, THz' in said


def test_columns_are_asked_for():
    assert 'nothing says what the 3 columns are' in refused(rows(*GOOD), ReadSettings(units='1/cm'))


@pytest.mark.parametrize(
    ('content', 'settings', 'words'),
    [
        (rows(*GOOD, head=ISIS), ReadSettings(units='meV'), 'are in 1/cm, but meV is declared'),
        (rows('100 1', '4000 1'), ReadSettings(units='meV', columns=['energy', 'intensity']),
         'the largest energy transfer would be 32262'),
        (rows('0.1 1', '3.5 1'), ReadSettings(units='1/cm', columns=['energy', 'intensity']),
         'is the unit right?'),
        (rows('Energy (eV) Counts', '0.1 1', '0.3 1'), ReadSettings(units='meV'),
         "energies in 'eV', which is none of"),
    ],
)  # fmt: skip
def test_wrong_units_are_found_out(content, settings, words):
    assert words in refused(content, settings)


@pytest.mark.parametrize(
    ('columns', 'words'),
    [
        (['energy', 'energy', 'intensity'], 'one column must be the energy, not 2'),
        (['energy', 'skip', 'skip'], 'no column is an intensity'),
        (['energy', 'error', 'intensity'], 'an error must follow its intensity'),
        (['energy', 'intensity'], 'there are 3 columns, expected 2'),
    ],
)
def test_columns_that_are_no_spectrum(columns, words):
    assert words in refused(rows(*GOOD), ReadSettings(units='1/cm', columns=columns))


def test_a_format_that_it_is_not():
    assert 'this is text' in refused(rows(*GOOD), ReadSettings(format='mantid'))
    assert 'line 2 does not name the columns' in refused(rows(*GOOD), ReadSettings(format='isis'))
    settings = ReadSettings(workspace=2, units='1/cm', columns=DECLARED.columns)
    assert '`workspace` has no meaning' in refused(rows(*GOOD), settings)


def test_a_million_rows_are_read_quickly():
    one = '  2.000000E+01   1.500000E+00   3.000000E-02'
    lines = [f'  {20 + 0.003 * index:.6E}{one[14:]}' for index in range(1_000_000)]
    content = rows(*lines, head=ISIS)
    start = time.process_time()
    found = read_spectrum(content, 'x.dat', ReadSettings())
    assert time.process_time() - start < 2.0
    assert found.intensity.shape == (1, 1_000_000)
    assert found.energy[-1] == pytest.approx(3019.997)
