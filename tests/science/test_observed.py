import pytest
from springs import mace_modes

from aiida_mlip_ins.science.comparison import CompareSettings
from aiida_mlip_ins.science.observed import assign_peaks, peak_problems
from aiida_mlip_ins.science.shift_table import anomalies, shift_table, volumes_of

SETTINGS = CompareSettings(
    degeneracy_tolerance=0.5, min_overlap=0.6, shift_threshold=0.5, slope_errors=2.0,
    symprec=0.01, min_irrep_share=0.95, peak_max_shift=30.0,
)  # fmt: skip


@pytest.fixture(scope='module')
def brucite():
    pressures, modes = mace_modes()
    return shift_table(modes, [], pressures, SETTINGS), pressures, volumes_of(modes)


def test_the_table_of_brucite_from_0_to_5_gpa(brucite):
    rows = {row['mode']: row for row in brucite[0]}
    libration = rows[7]
    assert libration['kind'] == 'libration'
    assert libration['mace_irrep'] == ['Eu'] * 5
    assert libration['mace_slope_per_cm_per_gpa'] == pytest.approx(-6.19, abs=0.02)
    assert libration['mace_grueneisen'] == pytest.approx(-1.10, abs=0.01)
    assert libration['mace_intensity_share'] == pytest.approx(0.302, abs=0.001)
    assert rows[3]['mace_grueneisen'] == pytest.approx(1.45, abs=0.01)
    assert [mode for mode, row in rows.items() if row['mace_anomalous']] == [7, 8, 13, 14]
    found = anomalies(brucite[0])
    assert found['mace']['modes'] == [7, 8, 13, 14]
    assert found['mace']['intensity_share'] == pytest.approx(0.667, abs=0.001)
    assert 'dft' not in found


def test_peaks_find_their_modes_through_all_pressures(brucite):
    table, pressures, volumes = brucite
    shifted = [
        [{'position': row['mace_per_cm'][i] - 8.0, 'width': 12.0, 'area': 3.0}
         for row in table if row['mode'] in (3, 7, 11)]
        for i in range(5)
    ]  # fmt: skip
    shifted[1].append({'position': 1600.0})
    shifted[2] = None
    found, summary = assign_peaks(table, shifted, pressures, volumes, SETTINGS)
    rows = {row['mode']: row for row in found}
    for mode in (3, 4, 7, 8, 11, 12):
        positions = rows[mode]['experiment_per_cm']
        assert positions[2] is None
        assert positions[4] == pytest.approx(rows[mode]['mace_per_cm'][4] - 8.0, abs=0.01)
    assert rows[7]['experiment_trend'] == 'red'
    assert rows[7]['experiment_slope_per_cm_per_gpa'] == pytest.approx(-6.22, abs=0.05)
    assert rows[7]['experiment_width_per_cm'][0] == 12.0
    assert rows[9]['experiment_per_cm'] == [None] * 5
    assert rows[9]['experiment_grueneisen'] is None
    assert [row['pressure_gpa'] for row in summary] == [0.0, 1.25, 3.75, 5.0]
    assert summary[1]['extra'] == [{'position': 1600.0}]
    missing = [modes for row in summary[0]['missing'] for modes in row['modes']]
    assert missing == [5, 6, 9, 10, 13, 14]
    matched = summary[0]['matched']
    assert [row['modes'] for row in matched] == [[3, 4], [7, 8], [11, 12]]
    assert matched[0]['mace_less_experiment_per_cm'] == pytest.approx(8.0, abs=1e-3)


def test_of_two_modes_near_a_peak_the_brighter_one_has_it(brucite):
    table, pressures, volumes = brucite
    # 13 1/cm from the lattice mode at 367.7, 14 from the libration, 45 times as bright, at 394.8.
    peaks = [[{'position': 380.7}], None, None, None, None]
    _, summary = assign_peaks(table, peaks, pressures, volumes, SETTINGS)
    assert summary[0]['matched'][0]['modes'] == [7, 8]


def test_no_peak_beyond_the_tolerance(brucite):
    table, pressures, volumes = brucite
    peaks = [[{'position': 900.0 + 6.0}], *[None] * 4]
    found, summary = assign_peaks(table, peaks, pressures, volumes, SETTINGS)
    assert summary[0]['matched'] == []
    assert summary[0]['extra'] == [{'position': 906.0}]
    assert all(row['experiment_per_cm'][0] is None for row in found)


def test_all_problems_of_peaks_are_told_at_once(brucite):
    found = peak_problems([{'positon': 300.0}, {'position': -2.0, 'width': 'wide'}, 7], 'peaks')
    text = '\n'.join(found)
    assert "peaks[0]: unknown key 'positon' (did you mean 'position'?)" in text
    assert "peaks[0]: 'position' is missing" in text
    assert 'peaks[1].position' in text
    assert 'peaks[1].width' in text
    assert 'peaks[2]: expected a mapping' in text
    table, pressures, volumes = brucite
    with pytest.raises(ValueError, match=r'experiment\.peaks\.pressure_0\[0\]'):
        assign_peaks(table, [[{'position': 'x'}], *[None] * 4], pressures, volumes, SETTINGS)
