import dataclasses

import numpy as np
import pytest
from springs import brucite_dft, dft_modes

from aiida_mlip_ins.science import comparison
from aiida_mlip_ins.science.comparison import CompareSettings
from aiida_mlip_ins.science.shift_table import shift_table, track

SETTINGS = CompareSettings(
    degeneracy_tolerance=0.5, min_overlap=0.5, shift_threshold=0.5, slope_errors=2.0,
    symprec=0.01, min_irrep_share=0.95, peak_max_shift=30.0,
)  # fmt: skip
PRESSURES = [0.0, 1.5]


@pytest.fixture(scope='module')
def dft():
    return [dft_modes('0.0'), dft_modes('1.5')]


@pytest.fixture(scope='module')
def potential(dft):
    """DFT's modes with every frequency 10 1/cm up, and two modes swapped."""
    found = []
    for modes in dft:
        order = np.arange(15)
        order[[9, 10]] = [10, 9]
        found.append(
            dataclasses.replace(
                modes,
                frequencies=modes.frequencies + 10.0,
                eigenvectors=modes.eigenvectors[order],
            )
        )
    return found


def test_errors_leave_out_the_translations(dft):
    shifted = dataclasses.replace(dft[0], frequencies=dft[0].frequencies + 4.0)
    found = comparison.frequencies_against_dft(shifted, dft[0], SETTINGS)
    assert found['gamma_mae_per_cm'] == pytest.approx(4.0)
    assert found['gamma_max_per_cm'] == pytest.approx(4.0)
    assert len(found['gamma_pairs']) == 12
    assert found['gamma_n_ambiguous'] == 0


def test_sorting_hides_what_matching_shows(dft, potential):
    found = comparison.frequencies_against_dft(potential[0], dft[0], SETTINGS)
    gap = dft[0].frequencies[10] - dft[0].frequencies[9]
    assert found['gamma_sorted_mae_per_cm'] == pytest.approx(10.0)
    expected = (10 * 10.0 + (gap + 10) + (gap - 10)) / 12
    assert found['gamma_mae_per_cm'] == pytest.approx(expected)
    assert found['gamma_max_per_cm'] == pytest.approx(gap + 10)


def test_lattice_errors():
    cells = [brucite_dft(p)[0].cell[:] for p in ('1.5', '0.0')]
    found = comparison.lattice_against_dft(*cells)
    assert found['volume_angstrom3'] == pytest.approx(38.6742, abs=1e-3)
    assert found['volume_error_percent'] == pytest.approx(100 * (38.6742 / 39.7197 - 1), abs=1e-3)
    assert found['lattice_error_percent']['gamma'] == pytest.approx(0.0, abs=1e-6)
    alone = comparison.lattice_against_dft(cells[0], None)
    assert 'volume_error_percent' not in alone


def test_shifts_of_real_modes(dft):
    rows = {row['mode']: row for row in track(dft, PRESSURES, SETTINGS)}
    assert set(rows) == set(range(3, 15))
    for mode in (3, 4, 5, 6, 9, 10, 11, 12):
        assert rows[mode]['direction'] == ['none', 'blue']
    # The hydroxides' stretches and the soft libration go the other way.
    for mode in (7, 8, 13, 14):
        assert rows[mode]['direction'] == ['none', 'red']
    assert rows[13]['shift_per_cm'][1] == pytest.approx(3678.57 - 3685.53, abs=0.05)


def test_table_puts_both_methods_side_by_side(dft, potential):
    table = shift_table(potential, dft, PRESSURES, SETTINGS)
    assert [row['mode'] for row in table] == list(range(3, 15))
    by_mode = {row['mode']: row for row in table}
    assert by_mode[9]['dft_mode'] == 10
    assert by_mode[9]['dft_per_cm'][0] == pytest.approx(dft[0].frequencies[10])
    assert by_mode[9]['mace_per_cm'][0] == pytest.approx(dft[0].frequencies[9] + 10)
    assert by_mode[14]['kind'] == 'stretch'
    assert by_mode[14]['mace_direction'][1] == by_mode[14]['dft_direction'][1] == 'red'
    assert comparison.direction_agreement(table) == {'n_modes': 12, 'n_same_direction': 12}


def test_table_goes_on_without_a_pressure_or_without_dft(dft):
    table = shift_table([dft[0], None, dft[1]], [], [0.0, 1.0, 1.5], SETTINGS)
    assert len(table) == 12
    for row in table:
        assert row['mace_per_cm'][1] is None
        assert row['mace_shift_per_cm'][2] is not None
        assert 'dft_per_cm' not in row
    assert comparison.direction_agreement(table) is None
    assert shift_table([None, dft[1]], [], PRESSURES, SETTINGS) == []


@pytest.mark.parametrize(
    ('shift', 'expected'), [(2.0, 'blue'), (-2.0, 'red'), (0.4, 'none'), (-0.4, 'none')]
)
def test_direction(shift, expected):
    assert comparison.direction(shift, 0.5) == expected


def test_spectra_are_compared_along_one_axis_at_a_time():
    edges = np.arange(0.0, 101.0)
    centres = edges[:-1] + 0.5

    def peak(place):
        return np.exp(-0.5 * ((centres - place) / 3) ** 2)

    spectra = [
        ('mace', 0.0, edges, peak(40)),
        ('mace', 1.5, edges, peak(44)),
        ('pw', 0.0, edges, peak(41)),
        ('pw', 1.5, np.arange(0.0, 201.0), np.ones(200)),
    ]
    found = comparison.spectra_alike(spectra)
    labels = [tuple(sorted({*p['first'].values(), *p['second'].values()}, key=str)) for p in found]
    assert labels == [(0.0, 1.5, 'mace'), (0.0, 'mace', 'pw')]
    assert found[0]['wasserstein_per_cm'] == pytest.approx(4.0, rel=1e-3)
    assert found[1]['wasserstein_per_cm'] == pytest.approx(1.0, rel=1e-3)
    assert 0 < found[1]['r_squared'] < 1
