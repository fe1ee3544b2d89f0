"""Comparisons whose answer is known on paper."""

import dataclasses
import json

import numpy as np
import pytest

from aiida_mlip_ins.science import reduction
from aiida_mlip_ins.science.agreement import AgreementSettings, compare, shift_sentence
from aiida_mlip_ins.science.measured import MeasuredSpectrum
from aiida_mlip_ins.science.readers import ReadSettings, read_file

EDGES = np.arange(0.0, 1201.0)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
SETTINGS = AgreementSettings(
    windows=[[0.0, 1200.0]], bin_width=1.0, background_degree=0, baseline='minimum',
    similarity_width=30.0, peak_prominence=0.05, peak_significance=3.0, peak_max_shift=30.0,
    align_segment=40.0, align_stretch=0.125,
    assignments={},
)  # fmt: skip


def settings(**changes) -> AgreementSettings:
    return dataclasses.replace(SETTINGS, **changes)


def gauss(*positions: float, sigma: float = 6.0) -> np.ndarray:
    return sum(np.exp(-0.5 * ((CENTRES - p) / sigma) ** 2) for p in positions)


def spectrum(values, errors=None) -> MeasuredSpectrum:
    return MeasuredSpectrum(
        EDGES, np.atleast_2d(values), None if errors is None else np.full((1, 1200), errors),
        kind='histogram', labels=tuple(f's{i}' for i in range(len(np.atleast_2d(values)))),
    )  # fmt: skip


def one(measured, simulated, **changes) -> dict:
    row = compare(measured, simulated, settings(**changes))[0][0]
    json.dumps(row, allow_nan=False)
    return row


def test_identical_spectra_are_perfect():
    same = spectrum(gauss(200, 300, 900), 0.01)
    row = one(same, same)
    assert row['r_squared'] == pytest.approx(1.0)
    assert row['chi_square'] == pytest.approx(0.0, abs=1e-15)
    assert row['wasserstein_per_cm'] == pytest.approx(0.0, abs=1e-9)
    assert row['similarity'] == pytest.approx(1.0)
    assert len(row['peaks']['matched']) == 3
    assert row['peaks']['mean_absolute_shift'] == 0.0
    assert row['peaks']['missing'] == row['peaks']['extra'] == row['problems'] == []


def test_scale_and_background_do_not_matter():
    simulated = spectrum(gauss(200, 900))
    plain = one(spectrum(gauss(210, 905), 0.01), simulated)
    lifted = one(spectrum(7 * gauss(210, 905) + 20, 0.07), simulated)
    for key in ('r_squared', 'reduced_chi_square', 'wasserstein_per_cm', 'similarity'):
        assert lifted[key] == pytest.approx(plain[key], rel=1e-6)
    assert lifted['scale'] == pytest.approx(7 * plain['scale'])
    slope = spectrum(gauss(200, 900) + 0.001 * CENTRES)
    assert one(slope, simulated, background_degree=1)['r_squared'] == pytest.approx(1.0)
    tilted = one(slope, simulated, background_degree=1, baseline='background')
    assert tilted['wasserstein_per_cm'] == pytest.approx(0.0, abs=1e-6)


def test_energies_and_intensities_are_told_apart():
    row = one(spectrum(gauss(200, 300, 900)), spectrum(gauss(188, 288, 892)))
    assert row['r_squared'] < 0.4
    assert row['r_squared_aligned'] > 0.98
    moves = np.interp([188, 288, 892], *row['alignment'].values())
    assert moves == pytest.approx([12, 12, 8], abs=1.5)
    lost = one(spectrum(gauss(200, 300, 900)), spectrum(gauss(188, 892)))
    assert lost['r_squared_aligned'] == pytest.approx(0.6, abs=0.1)


def test_what_is_masked_in_the_second_tells_nothing_where_it_is_moved_to():
    """A measured feature beside a masked plateau of the other is not explained by it."""
    measured = gauss(300, 900) + ((CENTRES > 670) & (CENTRES < 690))
    hidden = (CENTRES > 640) & (CENTRES < 670)
    rows = [
        one(
            spectrum(measured),
            dataclasses.replace(spectrum(gauss(300, 900) + height * hidden), mask=hidden),
        )
        for height in (0.0, 1.0, 1e6)
    ]
    for row in rows:
        assert row['r_squared_aligned'] == pytest.approx(rows[0]['r_squared_aligned'])
        assert row['r_squared_aligned'] < 0.8


def test_a_peak_from_outside_the_window_may_come_in():
    pair = spectrum(gauss(205, 300, 450)), spectrum(gauss(192, 300, 450))
    assert one(*pair, windows=[[200.0, 600.0]])['r_squared_aligned'] > 0.98


def test_a_continuum_is_a_floor_under_the_distance():
    """What several quanta leave everywhere goes with the minimum of the measurement only."""
    simulated = spectrum(gauss(300, 900) + np.linspace(0.002, 0.001, 1200))
    same = spectrum(3 * simulated.intensity[0] + 0.1)
    row = one(same, simulated)
    assert row['wasserstein_per_cm'] == pytest.approx(row['wasserstein_floor_per_cm'])
    assert row['wasserstein_floor_per_cm'] > 5
    row = one(same, simulated, baseline='minima')
    assert row['wasserstein_per_cm'] == pytest.approx(0.0, abs=1e-6)
    assert row['wasserstein_floor_per_cm'] == pytest.approx(0.0, abs=1e-6)


def test_peaks_at_300_and_900_are_600_apart():
    row = one(spectrum(gauss(300)), spectrum(4 * gauss(900)), baseline='none')
    assert row['wasserstein_per_cm'] == pytest.approx(600.0)
    assert row['similarity'] == pytest.approx(0.0, abs=1e-12)
    assert row['peaks']['matched'] == []
    assert row['peaks']['missing'][0]['position'] == pytest.approx(300.0, abs=0.01)
    assert row['peaks']['extra'][0]['position'] == pytest.approx(900.0, abs=0.01)


@pytest.mark.parametrize('shift', [1.0, 5.0, 20.0])
def test_a_shifted_peak_costs_its_shift(shift):
    row = one(spectrum(gauss(500)), spectrum(gauss(500 + shift)))
    assert row['wasserstein_per_cm'] == pytest.approx(shift, rel=1e-6)
    assert row['peaks']['matched'][0]['shift'] == pytest.approx(shift, abs=0.01)


def test_each_window_is_fitted_by_itself():
    measured = spectrum(np.where(CENTRES < 600, 1.0, 5.0) * gauss(200, 900))
    rows, overlays = compare(
        measured, spectrum(gauss(200, 900)), settings(windows=[[0, 600], [600, 1200]])
    )
    assert [row['scale'] for row in rows] == pytest.approx([1.0, 5.0])
    assert [row['r_squared'] for row in rows] == pytest.approx([1.0, 1.0])
    assert overlays[1].model == pytest.approx(measured.intensity[0, 600:])


def test_what_is_masked_does_not_count():
    spoiled = gauss(200, 900)
    spoiled[450:550] = 40.0
    measured = reduction.mask(spectrum(spoiled, 0.01), [[450, 550]])
    row = one(measured, spectrum(gauss(200, 900)))
    assert row['r_squared'] == pytest.approx(1.0)
    assert row['wasserstein_per_cm'] == pytest.approx(0.0, abs=1e-9)
    assert row['n_bins'] == row['n_measured'] == 1100
    assert row['peaks']['missing'] == []


def test_what_is_not_defined_is_none_with_a_reason():
    row = one(spectrum(gauss(300)), spectrum(np.zeros(1200)))
    assert row['wasserstein_per_cm'] is None
    assert row['similarity'] is None
    assert row['chi_square'] is None
    said = ' '.join(row['problems'])
    assert 'wasserstein_per_cm: a spectrum is empty' in said
    assert 'the measurement has no errors' in said
    assert 'R2 is not defined' in one(spectrum(np.ones(1200)), spectrum(gauss(300)))['problems'][-3]


def test_a_simulation_that_does_not_help_is_said():
    row = one(spectrum(2 - gauss(300)), spectrum(gauss(300)))
    assert row['scale'] == 0.0
    assert any('the best one is below zero' in problem for problem in row['problems'])


def test_assignments_name_the_simulated_peaks():
    row = one(spectrum(gauss(300)), spectrum(gauss(310)), assignments={'CH3 torsion': 308.0})
    assert row['peaks']['matched'][0]['other']['assignment'] == 'CH3 torsion'


def test_peaks_that_moved_in_words():
    row = one(spectrum(gauss(300, 700, 900)), spectrum(gauss(310, 702)))
    said = shift_sentence(row, 'harmonic', 'in motion')
    assert said.startswith('0 to 1200 1/cm: 2 of 3 peaks (harmonic) are there in motion, and 0 ')
    assert said.endswith('off by 6.0 1/cm, most of all 300.0 to 310.0 1/cm')
    row = one(spectrum(gauss(300)), spectrum(gauss(700)))
    assert shift_sentence(row, 'a', 'in b').endswith('0 of 1 peaks (a) are there in b, and 1 more')


def test_all_problems_are_told_at_once():
    with pytest.raises(ValueError, match='choose one or sum') as caught:
        compare(spectrum([gauss(1), gauss(2)]), spectrum(gauss(3)), settings(windows=[[5, 1]]))
    assert 'windows[0]' in str(caught.value)
    with pytest.raises(ValueError, match='simulated: the window from 0 to 1300') as caught:
        compare(spectrum(gauss(3)), spectrum(gauss(3)), settings(windows=[[0, 1300]]))
    assert 'measured: the window' in str(caught.value)


def test_hexane_against_itself(reference_data):
    measured = read_file(reference_data / 'hexane' / 'hexane_tosca.dat', ReadSettings())
    row = one(measured, measured, windows=[[60.0, 1600.0]])
    assert row['r_squared'] == pytest.approx(1.0)
    assert row['n_measured'] == ((measured.energy >= 60) & (measured.energy <= 1600)).sum()
    found = [pair['reference']['position'] for pair in row['peaks']['matched']]
    assert any(abs(position - 303.9) < 1 for position in found)
    # against its own values on a grid of points, by other code
    grid = np.arange(60.5, 1600)
    plain = np.interp(grid, measured.energy, measured.intensity[0])
    other = MeasuredSpectrum(grid, plain[None], labels=('a',))
    again = one(measured, other, windows=[[61.0, 1599.0]])
    assert again['r_squared'] > 0.9999
