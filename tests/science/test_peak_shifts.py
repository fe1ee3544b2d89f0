"""Peaks followed through pressures and matched between roles."""

import pytest

from aiida_mlip_ins.science.peak_shifts import follow_peaks, peak_shifts
from aiida_mlip_ins.science.peaks import Peak


def peaks(*places: float) -> list[Peak]:
    return [Peak(place, 1.0, 5.0, 5.0, 1.0) for place in places]


def positions(lines) -> list[list[float | None]]:
    return [[None if peak is None else peak.position for peak in line] for line in lines]


def test_peaks_are_followed_step_by_step():
    lists = [peaks(100, 300), peaks(120, 305), peaks(140, 310)]
    # 40 1/cm in all, but 20 in each step
    assert positions(follow_peaks(lists, 25.0)) == [[100, 120, 140], [300, 305, 310]]


def test_a_peak_that_is_lost_is_found_again_and_new_ones_have_no_line():
    lists = [peaks(100), peaks(400), peaks(110), None]
    assert positions(follow_peaks(lists, 25.0)) == [[100, None, 110, None]]
    assert positions(follow_peaks([None, peaks(50), peaks(55)], 25.0)) == [[None, 50, 55]]
    assert follow_peaks([[], peaks(50)], 25.0) == []


def test_table_and_agreement_on_shifts():
    given = {
        'experiment': [peaks(100, 300, 500), peaks(106, 297, 500)],
        'mace': [peaks(104, 310, 900), peaks(108, 306, 905)],
        'dft': [None, peaks(90)],
    }
    rows, agreement = peak_shifts(given, 'experiment', [0.0, 2.0], 30.0, 0.5, {'lattice': 95.0})
    assert [row['per_cm']['experiment'][0] for row in rows] == [100, 300, 500, None]
    first, second, third, extra = rows
    assert first['shift_per_cm'] == {'experiment': [0, 6], 'mace': [0, 4], 'dft': [None, 0]}
    assert first['slope_per_cm_per_gpa']['mace'] == pytest.approx(2.0)
    assert first['assignment'] == 'lattice'
    assert second['shift_per_cm']['mace'] == [0, -4]
    assert third['per_cm']['mace'] == [None, None]
    assert extra['per_cm']['mace'] == [900, 905]
    assert agreement['mace'] == {
        'n_shifts': 2,
        'n_same_direction': 2,
        'mean_absolute_difference_per_cm': pytest.approx(1.5),
        'relative_difference': pytest.approx(1.5 / 4.5),
        'mean_shift_per_cm': pytest.approx(0.0),
        'reference_mean_shift_per_cm': pytest.approx(1.5),
    }
    assert agreement['dft']['n_shifts'] == 0
    assert agreement['dft']['mean_shift_per_cm'] is None


def test_roles_that_share_no_pressure_share_no_row():
    given = {'experiment': [peaks(100), None], 'mace': [None, peaks(100)]}
    rows, _ = peak_shifts(given, 'experiment', [0.0, 2.0], 30.0, 0.5, {})
    assert len(rows) == 2
