"""Matching and spreads of the modes of members made from one real crystal."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from springs import dft_modes, mace_modes

from aiida_mlip_ins.science.comparison import CompareSettings
from aiida_mlip_ins.science.error_bands import Calibration
from aiida_mlip_ins.science.member_modes import member_table, sentences
from aiida_mlip_ins.science.modes import Modes
from aiida_mlip_ins.workflows.protocols import load_protocol

SETTINGS = CompareSettings(**load_protocol('compare')['parameters'])
PRESSURES = [0.0, 1.5]
LOW, HIGH = 9, 10
"""Two modes of kinds of their own, 42 1/cm apart (454.6 and 497.0 1/cm)."""


def member(factor: float = 1.0, shift: float = 1.0, swap: bool = False) -> list[Modes]:
    """Return brucite at two pressures with all frequencies times a factor.

    :param factor: of all frequencies at both pressures.
    :param shift: another one at the second pressure.
    :param swap: give the mode LOW the higher frequency, so that their order changes.
    """
    made = []
    for pressure, own in (('0.0', factor), ('1.5', factor * shift)):
        modes = dft_modes(pressure)
        frequencies = own * modes.frequencies
        order = np.arange(len(frequencies))
        if swap:
            order[[LOW, HIGH]] = order[[HIGH, LOW]]
        made.append(
            dataclasses.replace(
                modes, frequencies=frequencies, eigenvectors=modes.eigenvectors[order]
            )
        )
    return made


def turned(modes: Modes, first: int, second: int, angle: float) -> Modes:
    """Return the modes with two eigenvectors mixed."""
    c, s = np.cos(angle), np.sin(angle)
    vectors = modes.eigenvectors.copy()
    pair = [first, second]
    vectors[pair] = np.einsum('ab,bij->aij', [[c, s], [-s, c]], vectors[pair])
    return dataclasses.replace(modes, eigenvectors=vectors)


def table_of(*members: list, calibration: Calibration | None = None) -> dict:
    named = {f'member_{index}': modes for index, modes in enumerate(members)}
    return member_table(named, PRESSURES, SETTINGS, calibration)


def column(table: dict, name: str, what: str, index: int | None = None) -> np.ndarray:
    cells = [row[name] if index is None else row[name][index] for row in table['rows']]
    return np.array([cell[what] for cell in cells], dtype=float)


def test_frequencies_times_known_factors() -> None:
    table = table_of(member(0.98), member(1.0), member(1.02))
    low, high = (dft_modes(name) for name in ('0.0', '1.5'))
    optical = low.optical()
    assert [row['mode'] for row in table['rows']] == list(optical)
    np.testing.assert_allclose(
        column(table, 'frequency_per_cm', 'mean', 0), low.frequencies[optical]
    )
    np.testing.assert_allclose(
        column(table, 'frequency_per_cm', 'spread', 0), 0.02 * low.frequencies[optical]
    )
    # The members' shifts are their factors times the shift: far less than the frequencies' spreads.
    shifts = column(table, 'shift_per_cm', 'mean', 1)
    np.testing.assert_allclose(
        column(table, 'shift_per_cm', 'spread', 1), 0.02 * np.abs(shifts), atol=1e-9
    )
    np.testing.assert_allclose(column(table, 'slope_per_cm_per_gpa', 'mean') * 1.5, shifts)
    assert set(column(table, 'shift_per_cm', 'n_members', 1)) == {3}
    assert not any(row['unmatched'] for row in table['rows'])
    assert {row['trend'] for row in table['rows']} <= {'blue', 'red', 'none'}
    volume = table['volume_angstrom3'][0]
    assert volume['spread'] == pytest.approx(0.0, abs=1e-9)
    assert volume['mean'] == pytest.approx(abs(np.linalg.det(low.cell)))
    assert high.frequencies[optical][-1] != low.frequencies[optical][-1]


def test_shifts_with_a_spread_of_their_own_may_have_no_direction() -> None:
    table = table_of(member(shift=0.99), member(shift=1.0), member(shift=1.01))
    high = dft_modes('1.5')
    spread = 0.01 * high.frequencies[high.optical()]
    np.testing.assert_allclose(column(table, 'shift_per_cm', 'spread', 1), spread, rtol=1e-6)
    np.testing.assert_allclose(column(table, 'slope_per_cm_per_gpa', 'spread'), spread / 1.5)
    mean = np.abs(column(table, 'shift_per_cm', 'mean', 1))
    directed = [row['trend'] != 'none' for row in table['rows']]
    assert directed == list((mean > SETTINGS.slope_errors * spread) & (mean >= 0.5))
    assert False in directed


def test_modes_in_another_order_are_still_the_same_modes() -> None:
    table = table_of(member(), member(swap=True))
    rows = {row['mode']: row for row in table['rows']}
    frequencies = dft_modes('0.0').frequencies
    middle = (frequencies[LOW] + frequencies[HIGH]) / 2
    for mode in (LOW, HIGH):
        found = rows[mode]['frequency_per_cm'][0]
        assert found['mean'] == pytest.approx(middle)
        assert found['spread'] == pytest.approx((frequencies[HIGH] - frequencies[LOW]) / np.sqrt(2))
        assert not rows[mode]['unmatched']
    assert rows[8]['frequency_per_cm'][0]['spread'] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize('angle', [0.3, np.pi / 4, 1.2])
def test_any_mixture_of_degenerate_modes_is_the_same(angle: float) -> None:
    other = [turned(modes, 3, 4, angle) for modes in member(1.02)]
    table = table_of(member(), other)
    rows = {row['mode']: row for row in table['rows']}
    low = dft_modes('0.0')
    assert low.frequencies[4] - low.frequencies[3] < SETTINGS.degeneracy_tolerance
    assert rows[3]['degenerate_with'] == [4]
    assert rows[LOW]['degenerate_with'] == []
    for mode in (3, 4):
        found = rows[mode]['frequency_per_cm'][0]
        expected = 0.02 * low.frequencies[mode] / np.sqrt(2)
        assert found['spread'] == pytest.approx(expected, rel=1e-3)
        assert not rows[mode]['unmatched']


def test_what_is_half_one_mode_and_half_another_is_left_out() -> None:
    mixed = member(1.02)
    mixed[0] = turned(mixed[0], LOW, HIGH, np.pi / 4)
    table = table_of(member(), mixed, member(1.04))
    for row in table['rows']:
        found = row['frequency_per_cm'][0]
        if row['mode'] in (LOW, HIGH):
            assert {doubt['member'] for doubt in row['unmatched']} == {'member_1'}
            assert row['unmatched'][0]['pressure_gpa'] == 0.0
            assert row['unmatched'][0]['overlap'] == pytest.approx(0.5, abs=0.01)
            assert found['n_members'] == 2
            assert found['mean'] == pytest.approx(1.02 * dft_modes('0.0').frequencies[row['mode']])
        else:
            assert found['n_members'] == 3
            assert not row['unmatched']
    assert 'member_1: 2 of 12 modes not matched for sure' in sentences(table)


def test_a_mixture_at_one_pressure_costs_only_what_is_there() -> None:
    mixed = member(1.02)
    mixed[1] = turned(mixed[1], LOW, HIGH, np.pi / 4)
    table = table_of(member(), mixed, member(1.04))
    row = next(row for row in table['rows'] if row['mode'] == LOW)
    assert [found['n_members'] for found in row['frequency_per_cm']] == [3, 2]
    assert [doubt['pressure_gpa'] for doubt in row['unmatched']] == [1.5]


def test_members_with_gaps() -> None:
    late, early = [None, member()[1]], [member()[0], None]
    table = table_of(late, member(1.02), member(), early)
    assert table['reference'] == 'member_1'
    assert table['left_out'] == {'member_0': 'no modes at 0 GPa, where shifts begin'}
    assert [found['n_members'] for found in table['volume_angstrom3']] == [3, 3]
    row = table['rows'][0]
    assert [found['n_members'] for found in row['shift_per_cm']] == [3, 2]
    assert 'member_0 is in no row: no modes at 0 GPa, where shifts begin' in sentences(table)
    alone = table_of(late, member())
    assert alone['rows'][0]['shift_per_cm'][1] == {
        'mean': None, 'spread': None, 'calibrated_spread': None, 'n_members': 1,
    }  # fmt: skip
    nothing = table_of(late)
    assert nothing['rows'] == []
    assert nothing['reference'] is None


def test_another_crystal_is_said_to_be_one() -> None:
    other = [dataclasses.replace(modes, symbols=('Ca', 'O', 'O', 'H', 'H')) for modes in member()]
    table = table_of(member(), other, member(1.02))
    assert 'modes of different atoms' in table['left_out']['member_1']
    assert table['rows'][0]['frequency_per_cm'][0]['n_members'] == 2


def test_calibration_scales_what_it_was_found_for() -> None:
    table = table_of(member(), member(1.02), calibration=Calibration('test', 2.0, None))
    found = table['rows'][0]['shift_per_cm'][1]
    assert found['calibrated_spread'] == pytest.approx(2 * found['spread'])
    assert table['volume_angstrom3'][0]['calibrated_spread'] is None
    assert table['calibration'] == {'split': 'test', 'force': 2.0, 'stress': None}
    assert 'spreads are calibrated on test: 2.00 (force)' in sentences(table)


def test_a_real_potential_through_six_pressures_against_itself() -> None:
    pressures, modes = mace_modes()
    table = member_table({'one': modes, 'two': modes}, pressures, SETTINGS)
    assert len(table['rows']) == 12
    for row in table['rows']:
        for found in row['shift_per_cm']:
            assert found['mean'] is None or found['spread'] == 0.0
    assert sum(row['shift_per_cm'][-1]['mean'] is not None for row in table['rows']) >= 10
