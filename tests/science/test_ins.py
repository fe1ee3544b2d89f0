import numpy as np
import pytest
from ins_settings import SETTINGS

from aiida_mlip_ins.science import ins
from aiida_mlip_ins.science.settings import build, problems


def test_bins_end_at_the_last_whole_one():
    bins = ins.energy_bins(build(ins.InsSettings, SETTINGS, 'parameters'))
    assert len(bins) == 4001
    assert bins[[0, -1]].tolist() == [0.0, 4000.0]
    uneven = {**SETTINGS, 'energy_max': 10.0, 'bin_width': 3.0}
    assert ins.energy_bins(build(ins.InsSettings, uneven, 'x')).tolist() == [0, 3, 6, 9]
    tenths = {**SETTINGS, 'energy_max': 1.0, 'bin_width': 0.1}
    assert len(ins.energy_bins(build(ins.InsSettings, tenths, 'x'))) == 11


def test_every_wrong_setting_is_named_at_once():
    wrong = {**SETTINGS, 'temperature': -1.0, 'instrument': 'TOSKA', 'max_order': 11, 'bins': 1}
    text = '\n'.join(problems(ins.InsSettings, wrong, 'parameters'))
    for part in ("did you mean 'TOSCA'", 'temperature', 'max_order', "unknown key 'bins'"):
        assert part in text


@pytest.mark.parametrize(
    ('changes', 'messages'),
    [
        ({'banks': {'forwards': 1.0}}, ["unknown key 'forwards' (did you mean 'forward'?)"]),
        ({'banks': {'forward': 0.0}}, ['all weights are zero']),
        ({'isotopes': {'H': '2Q'}}, ['isotopes.H: 2Q is an isotope of Q']),
        ({'isotopes': {'H': 'deuterium', 'O': '13C'}}, ['is no nuclide', 'isotope of C, not of O']),
        ({'incident_energy': 500.0}, ['TOSCA has a fixed final energy']),
        ({'q_step': 0.1}, ['TOSCA sees one Q for each energy']),
        ({'instrument': 'MARI'}, ["'incident_energy' (meV) is missing, which MARI needs"]),
        (
            {'instrument': 'MARI', 'incident_energy': 400.0},
            ['4000 1/cm is not below the incident energy of 3226 1/cm (400 meV)'],
        ),
        (
            {'banks': {'up': 1.0}, 'isotopes': {'3': 'x'}, 'q_step': 1.0},
            ["unknown key 'up'", "'x' is no nuclide", 'leave it out'],
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_named_at_once(changes, messages):
    settings = build(ins.InsSettings, {**SETTINGS, **changes}, 'parameters')
    text = '\n'.join(ins.combination_problems(settings, 'parameters'))
    for message in messages:
        assert message in text
    good = build(ins.InsSettings, SETTINGS, 'parameters')
    assert ins.combination_problems(good, 'parameters') == []


def test_banks_that_count_keep_the_order_of_the_instrument():
    settings = build(ins.InsSettings, {**SETTINGS, 'banks': {'backward': 2.0, 'forward': 0.0}}, 'x')
    assert ins.banks_of(settings) == {'backward': 2.0}
    assert list(ins.banks_of(build(ins.InsSettings, SETTINGS, 'x'))) == ['forward', 'backward']


def test_a_cut_is_the_mean_of_what_is_reachable():
    axis = np.array([1.0, 2.0, 3.0])
    values = np.array([[[1.0, 2.0], [3.0, 0.0], [9.0, 9.0]]])
    reachable = np.array([[True, True], [True, False], [True, True]])
    assert ins.cut(axis, values, reachable, 0.5, 2.5).tolist() == [[2.0, 2.0]]
    assert ins.cut(axis, values, ~reachable, 0.5, 1.5).tolist() == [[0.0, 0.0]]
    with pytest.raises(ValueError, match='the axis runs from 1 to 3'):
        ins.cut(axis, values, reachable, 3.5, 9.0)


@pytest.fixture
def table():
    rows = ins.describe_rows(['O', 'H', 'H'], [1, 2], ['forward', 'backward'])
    return rows, np.arange(12.0)[:, None] * np.ones((1, 3))


def test_rows_name_every_atom_order_and_bank(table):
    rows, _ = table
    assert len(rows) == 12
    assert rows[0] == {'atom': 0, 'element': 'O', 'order': 1, 'bank': 'forward'}
    assert rows[-1] == {'atom': 2, 'element': 'H', 'order': 2, 'bank': 'backward'}


def test_groups_hold_every_sum_and_do_not_count_twice(table):
    rows, intensity = table
    grouped, sums = ins.group(rows, intensity, ['element', 'order', 'bank'])
    assert len(grouped) == 8 + 4 + 4 + 4 + 2 + 2 + 2 + 1
    assert {} in grouped
    assert sums[grouped.index({})] == pytest.approx(intensity.sum(axis=0))
    assert ins.select(grouped, sums, {}) == pytest.approx(intensity.sum(axis=0))
    for row, line in zip(grouped, sums, strict=True):
        assert ins.select(grouped, sums, row) == pytest.approx(line)
        assert ins.select(rows, intensity, row) == pytest.approx(line)


def test_select_says_what_rows_do_not_have(table):
    rows, intensity = table
    with pytest.raises(KeyError, match='no row has'):
        ins.select(rows, intensity, {'element': 'C'})
    grouped, sums = ins.group(rows, intensity, ['element'])
    with pytest.raises(KeyError, match="rows have no 'order'"):
        ins.select(grouped, sums, {'order': 1})
