"""The verdict on a set of spectra: words with the numbers they stand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiida_mlip_ins.science.settings import setting
from aiida_mlip_ins.science.spectra_difference import NORMALISATIONS

WORDS = {True: 'agrees', False: 'does not agree', None: 'agrees in part'}
UNKNOWN = 'cannot be judged'


@dataclass(frozen=True)
class SpectraSettings:
    """What counts as the same pressure, how spectra are subtracted, and what is called good."""

    pressure_tolerance: float = setting(
        'Pressures this close are taken as the same.', 'GPa', minimum=0.0
    )
    normalisation: str = setting(
        'What spectra are divided by before one is subtracted from another: the standard deviation '
        'of the intensity over the window, the area above its minimum, or nothing.',
        choices=NORMALISATIONS,
    )
    shift_threshold: float = setting('A smaller shift has no direction.', '1/cm', minimum=0.0)
    good_r_squared: float = setting('Smallest R2 that is good.', maximum=1.0)
    good_wasserstein: float = setting(
        'Largest Wasserstein distance that is good.', '1/cm', minimum=0.0
    )
    good_peak_shift: float = setting(
        'Largest mean distance of matched peaks that is good.', '1/cm', minimum=0.0
    )
    good_shift_error: float = setting(
        'Largest mean difference of shifts under pressure that is good, as a share of the mean '
        "size of the reference's.",
        minimum=0.0,
    )
    good_peak_share: float = setting(
        "Smallest share of the reference's peaks that are found.", minimum=0.0, maximum=1.0
    )
    good_correlation: float = setting(
        'Smallest correlation of two changes that is good.', minimum=-1.0, maximum=1.0
    )


@dataclass(frozen=True)
class _Check:
    """One number against its limit."""

    words: str
    value: float | None
    limit: float
    at_least: bool
    form: str = '.2f'
    unit: str = ''
    note: str = ''

    @property
    def passed(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        side = 'at least' if self.at_least else 'at most'
        return (
            f'{self.words} {self.value:{self.form}}{self.unit} ({side} {self.limit:g}{self.note})'
        )


def judge(
    metrics: Mapping[str, Any],
    shifts: Mapping[str, Mapping[str, Any]],
    settings: SpectraSettings,
) -> dict[str, Any]:
    """Return the verdict on every comparison, and in sentences on all of them.

    What meets all its limits agrees, what meets none does not, anything else agrees in part.

    :param metrics: ``reference`` (a role), ``pairs`` and ``changes``, each with ``role``,
        ``pressure_gpa`` or ``pressures_gpa`` and ``windows`` (rows of ``agreement.compare`` and
        ``spectra_difference.compare_differences``), and ``left_out`` (sentences).
    :param shifts: by role, as ``peak_shifts.peak_shifts`` returns them.
    :return: ``verdicts`` (each with ``kind`` (``spectrum``, ``change``, ``shifts``), ``role``,
        ``word``, ``numbers``, ``sentence``, ``checks``), ``best`` (role by pressure, where there
        are several), ``sentences`` and, of these, ``remarks``, those that are on no single
        comparison.
    """
    reference = metrics['reference']
    verdicts = [
        _verdict(
            'spectrum', pair['role'],
            f'{pair["role"]} against {reference} at {pair["pressure_gpa"]:g} GPa, {_range(row)}',
            _spectrum_checks(row, settings),
        )
        for pair in metrics['pairs']
        for row in pair['windows']
    ]  # fmt: skip
    for change in metrics['changes']:
        low, high = change['pressures_gpa']
        verdicts += [
            _verdict(
                'change', change['role'],
                f'{change["role"]} against {reference}, change from {low:g} to {high:g} GPa, '
                f'{_range(row)}, scaled by {row["scale"]:.2f}',
                _change_checks(row, settings),
            )
            for row in change['windows']
        ]  # fmt: skip
    verdicts += [
        _verdict('shifts', role, f'{role} against {reference}, {_shift_words(numbers)}',
                 _shift_checks(numbers, settings))
        for role, numbers in shifts.items()
        if numbers['n_shifts']
    ]  # fmt: skip
    best, ranking = _best(metrics)
    return {
        'verdicts': verdicts,
        'best': best,
        'sentences': [
            *(verdict['sentence'] for verdict in verdicts), *ranking, *metrics['left_out'],
        ],
        'remarks': [*ranking, *metrics['left_out']],
    }  # fmt: skip


def _spectrum_checks(row: Mapping[str, Any], settings: SpectraSettings) -> list[_Check]:
    """Return the checks of one window of a pair of spectra."""
    peaks = row['peaks']
    known = len(peaks['matched']) + len(peaks['missing'])
    aligned = row.get('r_squared_aligned')
    return [
        _Check('R\u00b2', row['r_squared'], settings.good_r_squared, True,
               note='' if aligned is None else f'; {aligned:.2f} with energies aligned'),
        _Check('Wasserstein distance', row['wasserstein_per_cm'], settings.good_wasserstein,
               False, '.1f', ' 1/cm'),
        _Check(f'{len(peaks["matched"])} of {known} peaks found, a share of',
               len(peaks['matched']) / known if known else None, settings.good_peak_share, True),
        _Check('which are off by', peaks['mean_absolute_shift'], settings.good_peak_shift,
               False, '.1f', ' 1/cm on average'),
    ]  # fmt: skip


def _change_checks(row: Mapping[str, Any], settings: SpectraSettings) -> list[_Check]:
    """Return the checks of one window of a pair of changes."""
    return [_Check('correlation', row['correlation'], settings.good_correlation, True)]


def _shift_checks(numbers: Mapping[str, Any], settings: SpectraSettings) -> list[_Check]:
    """Return the checks of the shifts of one role."""
    return [
        _Check(f'shifts differ by {numbers["mean_absolute_difference_per_cm"]:.1f} 1/cm on '
               'average, a share of', numbers['relative_difference'], settings.good_shift_error,
               False),
        _Check(f'{numbers["n_same_direction"]} of {numbers["n_shifts"]} go the same way, a share '
               'of', numbers['n_same_direction'] / numbers['n_shifts'],
               settings.good_peak_share, True),
    ]  # fmt: skip


def _shift_words(numbers: Mapping[str, Any]) -> str:
    """Return how the peaks move on average."""
    return (
        f'shifts of {numbers["n_shifts"]} peaks (on average '
        f'{numbers["mean_shift_per_cm"]:+.1f} against '
        f'{numbers["reference_mean_shift_per_cm"]:+.1f} 1/cm)'
    )


def _verdict(kind: str, role: str, what: str, checks: Sequence[_Check]) -> dict[str, Any]:
    """Return the verdict of some checks."""
    known = [check for check in checks if check.passed is not None]
    word = UNKNOWN
    if known:
        outcomes = {check.passed for check in known}
        word = WORDS[outcomes.pop() if len(outcomes) == 1 else None]
    numbers = '; '.join(map(str, known)) or 'no number is defined'
    return {
        'kind': kind,
        'role': role,
        'what': what,
        'word': word,
        'numbers': numbers,
        'sentence': f'{what}: {word}. {numbers[0].upper()}{numbers[1:]}.',
        'checks': [
            {'name': check.words, 'value': check.value, 'limit': check.limit,
             'at_least': check.at_least, 'passed': check.passed}
            for check in checks
        ],
    }  # fmt: skip


def _best(metrics: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return which role describes the reference best at each pressure, and the same in sentences.

    By R2, the mean over the windows: a Wasserstein distance is moved by the level of the background
    more than by peaks that are a little off.
    """
    found, sentences = [], []
    qualities: dict[float, dict[str, float]] = {}
    for pair in metrics['pairs']:
        values = [row['r_squared'] for row in pair['windows']]
        if None not in values:
            mean = sum(values) / len(values)
            qualities.setdefault(pair['pressure_gpa'], {})[pair['role']] = mean
    for pressure, roles in qualities.items():
        if len(roles) < 2:
            continue
        order = sorted(roles, key=lambda role: -roles[role])
        found.append({'pressure_gpa': pressure, 'role': order[0], 'r_squared': roles[order[0]]})
        rest = ', '.join(f'{role} {roles[role]:.2f}' for role in order[1:])
        sentences.append(
            f'At {pressure:g} GPa {order[0]} describes {metrics["reference"]} best: R\u00b2 '
            f'{roles[order[0]]:.2f} ({rest}).'
        )
    return found, sentences


def _range(row: Mapping[str, Any]) -> str:
    """Return a window in words."""
    low, high = row['window_per_cm']
    return f'{low:g} to {high:g} 1/cm'
