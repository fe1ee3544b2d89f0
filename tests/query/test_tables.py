from __future__ import annotations

from aiida_mlip_ins.query.tables import cell, format_table

ROWS = [{'name': 'a', 'value': 1.23456}, {'name': 'long name', 'value': None}]


def test_numbers_are_right_and_words_left():
    assert format_table(ROWS).splitlines() == [
        'name       value',
        '---------  -----',
        'a          1.235',
        'long name      -',
    ]


def test_columns_can_be_chosen_and_renamed():
    lines = format_table(ROWS, {'value': 'GPa'}).splitlines()
    assert lines[0] == '  GPa'
    assert 'name' not in ''.join(lines)


def test_nothing_is_said():
    assert format_table([], empty='no spectra') == 'no spectra'


def test_cells():
    assert cell(True) == 'yes'
    assert cell([1, 2.5]) == '1, 2.5'
    assert cell({'H': 0.94}) == 'H=0.94'
    assert cell(123456.789) == '1.234568e+05'
