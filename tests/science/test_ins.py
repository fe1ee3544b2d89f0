import numpy as np
import pytest
from ins_settings import SETTINGS

from aiida_mlip_ins.science import ins
from aiida_mlip_ins.science.settings import build, problems


def test_momentum_transfer_of_elastic_scattering():
    # k = 0.6947 sqrt(E/meV) 1/angstrom; elastic Q = 2 k sin(angle / 2).
    energy = 32.0 / 8.065543937
    for angle in (45.0, 134.98885653282196):
        expected = (2 * 0.694692 * np.sqrt(energy) * np.sin(np.radians(angle / 2))) ** 2
        found = ins.momentum_transfer_squared(np.array([0.0]), angle, 32.0)
        assert found == pytest.approx([expected], rel=1e-5)


def test_momentum_transfer_back_and_forward_are_sum_and_difference_of_wave_vectors():
    incident = 0.694692 * np.sqrt((1000 + 32) / 8.065543937)
    final = 0.694692 * np.sqrt(32 / 8.065543937)
    back = ins.momentum_transfer_squared(np.array([1000.0]), 180.0, 32.0)
    forward = ins.momentum_transfer_squared(np.array([1000.0]), 0.0, 32.0)
    assert back == pytest.approx([(incident + final) ** 2], rel=1e-5)
    assert forward == pytest.approx([(incident - final) ** 2], rel=1e-5)


def test_bins_end_at_the_last_whole_one():
    bins = ins.energy_bins(build(ins.InsSettings, SETTINGS, 'parameters'))
    assert len(bins) == 4001
    assert bins[[0, -1]].tolist() == [0.0, 4000.0]
    uneven = {**SETTINGS, 'energy_max': 10.0, 'bin_width': 3.0}
    assert ins.energy_bins(build(ins.InsSettings, uneven, 'x')).tolist() == [0, 3, 6, 9]
    tenths = {**SETTINGS, 'energy_max': 1.0, 'bin_width': 0.1}
    assert len(ins.energy_bins(build(ins.InsSettings, tenths, 'x'))) == 11


def test_every_wrong_setting_is_named_at_once():
    wrong = {**SETTINGS, 'temperature': -1.0, 'instrument': 'TOSKA', 'max_order': 3, 'bins': 1}
    text = '\n'.join(problems(ins.InsSettings, wrong, 'parameters'))
    for part in ("did you mean 'TOSCA'", 'temperature', 'max_order', "unknown key 'bins'"):
        assert part in text


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
