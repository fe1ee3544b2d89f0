"""The verdict: words that follow from the numbers."""

import copy

import pytest

from aiida_mlip_ins.science.spectra_verdict import SpectraSettings, judge

SETTINGS = SpectraSettings(
    pressure_tolerance=0.1, normalisation='spread', shift_threshold=0.5, good_r_squared=0.8,
    good_wasserstein=10.0, good_peak_shift=10.0, good_shift_error=0.5, good_peak_share=0.8,
    good_correlation=0.7,
)  # fmt: skip


def window(r_squared: float | None, distance: float | None, matched: int, shift: float | None):
    return {
        'window_per_cm': [50.0, 800.0], 'r_squared': r_squared, 'wasserstein_per_cm': distance,
        'peaks': {
            'matched': [{}] * matched, 'missing': [{}] * (10 - matched),
            'mean_absolute_shift': shift,
        },
    }  # fmt: skip


def pair(role: str, *numbers) -> dict:
    return {'role': role, 'pressure_gpa': 1.5, 'windows': [window(*numbers)]}


METRICS = {
    'reference': 'experiment',
    'pairs': [pair('mace', 0.95, 4.0, 9, 3.0), pair('dft', 0.5, 40.0, 3, 20.0)],
    'changes': [],
    'left_out': ['mace at 3 GPa has no spectrum of experiment beside it.'],
}


def words(*pairs: dict) -> list[str]:
    metrics = {**METRICS, 'pairs': list(pairs)}
    return [verdict['word'] for verdict in judge(metrics, {}, SETTINGS)['verdicts']]


def test_all_some_or_none_of_the_limits():
    assert words(pair('m', 0.8, 10.0, 8, 10.0)) == ['agrees']
    assert words(pair('m', 0.79, 10.0, 8, 10.0)) == ['agrees in part']
    assert words(pair('m', 0.7, 11.0, 7, 11.0)) == ['does not agree']


def test_it_is_said_what_the_energies_cost():
    given = pair('m', 0.65, 34.0, 8, 9.0)
    given['windows'][0]['r_squared_aligned'] = 0.824
    sentence = judge({**METRICS, 'pairs': [given]}, {}, SETTINGS)['sentences'][0]
    assert 'R² 0.65 (at least 0.8; 0.82 with energies aligned); ' in sentence


def test_what_is_not_defined_does_not_count():
    assert words(pair('m', 0.9, None, 0, None)) == ['agrees in part']
    assert words(pair('m', 0.9, None, 10, None)) == ['agrees']
    unknown = copy.deepcopy(pair('m', None, None, 0, None))
    unknown['windows'][0]['peaks']['missing'] = []
    assert words(unknown) == ['cannot be judged']


def test_sentences_have_the_numbers():
    verdict = judge(METRICS, {}, SETTINGS)
    assert verdict['sentences'] == [
        'mace against experiment at 1.5 GPa, 50 to 800 1/cm: agrees. R² 0.95 (at least 0.8); '
        'Wasserstein distance 4.0 1/cm (at most 10); 9 of 10 peaks found, a share of 0.90 (at '
        'least 0.8); which are off by 3.0 1/cm on average (at most 10).',
        'dft against experiment at 1.5 GPa, 50 to 800 1/cm: does not agree. R² 0.50 (at least '
        '0.8); Wasserstein distance 40.0 1/cm (at most 10); 3 of 10 peaks found, a share of 0.30 '
        '(at least 0.8); which are off by 20.0 1/cm on average (at most 10).',
        'At 1.5 GPa mace describes experiment best: R² 0.95 (dft 0.50).',
        'mace at 3 GPa has no spectrum of experiment beside it.',
    ]
    assert verdict['best'] == [
        {'pressure_gpa': 1.5, 'role': 'mace', 'r_squared': pytest.approx(0.95)}
    ]
    assert verdict['remarks'] == verdict['sentences'][2:]


def test_changes_and_shifts():
    change = {
        'role': 'mace', 'pressures_gpa': [0.0, 1.5],
        'windows': [{'window_per_cm': [50.0, 800.0], 'correlation': 0.6, 'scale': 1.2}],
    }  # fmt: skip
    shifts = {
        'mace': {
            'n_shifts': 4, 'n_same_direction': 3, 'mean_absolute_difference_per_cm': 2.0,
            'relative_difference': 0.3, 'mean_shift_per_cm': 5.0,
            'reference_mean_shift_per_cm': 6.5,
        },
        'dft': {'n_shifts': 0},
    }  # fmt: skip
    found = judge({**METRICS, 'pairs': [], 'changes': [change]}, shifts, SETTINGS)
    first, second = found['verdicts']
    assert (first['kind'], first['word']) == ('change', 'does not agree')
    assert 'change from 0 to 1.5 GPa, 50 to 800 1/cm, scaled by 1.20' in first['sentence']
    assert (second['kind'], second['word']) == ('shifts', 'agrees in part')
    assert '(on average +5.0 against +6.5 1/cm)' in second['sentence']
    assert second['checks'][1]['value'] == 0.75
