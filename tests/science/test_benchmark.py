"""The table of a benchmark: how far each model got, and why no further."""

import pytest

from aiida_mlip_ins.science.benchmark import (
    DONE,
    FAILED,
    NOT_RELAXED,
    RUN,
    UNFIT,
    UNSTABLE,
    Cell,
    best_models,
    lines,
    table,
)

PRESSURES = [0.0, 1.5]


def relaxed(pressure, volume=99.0, **changes):
    return {
        'pressure_gpa': pressure, 'volume_angstrom3': volume, 'converged': True, 'diverged': '',
        'spacegroup': 'P-1 (2)', 'steps': 12, **changes,
    }  # fmt: skip


def metrics(r_squared, label='pressure_0', **changes):
    window = {
        'window_per_cm': [60.0, 1600.0], 'r_squared': r_squared, 'wasserstein_per_cm': 12.0,
        'similarity': 0.9, 'reduced_chi_square': None, 'scale': 2.0, **changes,
        'peaks': {'matched': [{}, {}], 'missing': [{}], 'extra': [], 'mean_absolute_shift': 4.0},
    }  # fmt: skip
    return {'pairs': [{'label': label, 'role': 'mine', 'windows': [window]}]}


def only(cell, index=0):
    return table([cell], PRESSURES, {'hexane': 100.0})[index]


def test_a_row_that_is_done():
    cell = Cell(
        'hexane', 'mine',
        relaxation={'pressures': [relaxed(0.0), relaxed(1.5, 90.0)]},
        phonons={0: {'imaginary': False, 'min_frequency_per_cm': 31.0}},
        spectra={0},
        seconds={
            'mace_scan': 20.0, 'mace_phonons_pressure_0': 30.0, 'ins_pressure_0': 5.0,
            'mace_phonons_pressure_1': 40.0,
        },
        agreement={'experiment': metrics(0.8)},
    )  # fmt: skip
    row = only(cell)
    assert (row['status'], row['reason']) == (DONE, None)
    assert row['volume_change_percent'] == pytest.approx(-1.0)
    assert row['cost_s'] == {'relaxation': 10.0, 'forces': 30.0, 'spectrum': 5.0, 'total': 45.0}
    (found,) = row['agreement']
    assert (found['reference'], found['low_per_cm'], found['high_per_cm']) == (
        'experiment', 60.0, 1600.0,
    )  # fmt: skip
    assert (found['peaks_found'], found['peaks_missing'], found['peaks_extra']) == (2, 1, 0)
    other = only(cell, 1)
    assert other['status'] == FAILED
    assert other['agreement'] == []
    assert other['cost_s']['total'] == 50.0


def test_what_a_model_does_not_get_to():
    assert only(Cell('hexane', 'mine', unfit='no C'))['reason'] == 'no C'
    assert only(Cell('hexane', 'mine', unfit='no C'))['status'] == UNFIT
    gone = Cell(
        'hexane', 'mine',
        relaxation={'pressures': [relaxed(0.0, None, converged=False, diverged='it flew apart')]},
    )  # fmt: skip
    assert (only(gone)['status'], only(gone)['reason']) == (NOT_RELAXED, 'it flew apart')
    assert only(gone)['relaxed'] is False
    left = relaxed(
        0.0, converged=False, max_force_ev_per_angstrom=0.012, stress_residual_gpa=0.4, steps=200
    )
    row = only(Cell('hexane', 'mine', relaxation={'pressures': [left]}))
    assert row['status'] == NOT_RELAXED
    assert row['reason'] == '0.012 eV/angstrom and 0.4 GPa were left after 200 steps'
    soft = Cell(
        'hexane', 'mine', relaxation={'pressures': [relaxed(0.0)]},
        phonons={0: {'imaginary': True, 'min_frequency_per_cm': -44.4}},
        failures={RUN: 'the spectrum is missing'},
    )  # fmt: skip
    assert (only(soft)['status'], only(soft)['imaginary']) == (UNSTABLE, True)
    assert 'lowest at -44 1/cm' in only(soft)['reason']
    broken = Cell('hexane', 'mine', failures={RUN: 'the job died'})
    assert (only(broken)['status'], only(broken)['reason']) == (FAILED, 'the job died')
    assert only(broken)['relaxed'] is None
    assert only(broken)['cost_s']['total'] is None


def test_a_spectrum_that_could_not_be_compared_says_so():
    cell = Cell('hexane', 'mine', spectra={0}, failures={'experiment': 'no peaks'})
    assert only(cell)['status'] == DONE
    assert only(cell)['reason'] == 'not compared with experiment: no peaks'


def test_lines_and_the_best():
    cells = [
        Cell('hexane', name, spectra={0}, agreement={'experiment': metrics(value)})
        for name, value in (('mine', 0.81), ('mp', 0.38))
    ]
    rows = table(cells, PRESSURES, {'hexane': 100.0})
    flat = lines(rows)
    assert len(flat) == 4
    assert [line.get('r_squared') for line in flat] == [0.81, None, 0.38, None]
    assert {'total_s', 'relaxation_s'} <= set(flat[1])
    assert best_models(rows) == [
        'hexane at 0 GPa against experiment, 60-1600 1/cm: mine is best of 2 with R2 0.810, '
        'W1 12.0 1/cm'
    ]
    undefined = Cell('hexane', 'mp', spectra={0}, agreement={'dft': metrics(None)})
    assert best_models(table([undefined], PRESSURES, {'hexane': 1.0})) == []
