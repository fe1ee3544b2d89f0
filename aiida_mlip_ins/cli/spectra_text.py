"""Spectra and their comparison in words and tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiida_mlip_ins.science.measured import MeasuredSpectrum

COLUMNS = (
    ('R2', 'r_squared', '.3f'),
    ('aligned', 'r_squared_aligned', '.3f'),
    ('W1 (1/cm)', 'wasserstein_per_cm', '.1f'),
    ('its floor', 'wasserstein_floor_per_cm', '.1f'),
    ('similarity', 'similarity', '.3f'),
    ('chi2/dof', 'reduced_chi_square', '.4g'),
    ('scale', 'scale', '.4g'),
)


def described(spectrum: MeasuredSpectrum) -> str:
    """Return in one line what was read."""
    n_spectra, n = spectrum.intensity.shape
    kind = 'bins' if spectrum.kind == 'histogram' else 'points'
    several = f'{n_spectra} spectra, ' if n_spectra > 1 else ''
    errors = 'with' if spectrum.errors is not None else 'without'
    return (
        f'{spectrum.title or "no title"}; {several}{n} {kind} from {spectrum.energy[0]:.1f} to '
        f'{spectrum.energy[-1]:.1f} 1/cm, {errors} errors, format {spectrum.metadata["format"]}'
    )


def comparison_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table with a line a window, then the peaks of each window."""
    yield f'{"window (1/cm)":>15} ' + ' '.join(f'{name:>11}' for name, _, _ in COLUMNS)
    for row in rows:
        cells = [
            '-' if row.get(key) is None else format(row[key], form) for _, key, form in COLUMNS
        ]
        yield f'{_window(row):>15} ' + ' '.join(f'{cell:>11}' for cell in cells)
    for row in rows:
        peaks = row['peaks']
        shift = peaks['mean_absolute_shift']
        mean = '' if shift is None else f', off by {shift:.1f} 1/cm on average'
        yield f'\n{_window(row)}: {len(peaks["matched"])} peaks matched{mean}'
        for pair in peaks['matched']:
            name = pair['other']['assignment']
            yield (
                f'  {pair["reference"]["position"]:8.1f} {pair["shift"]:+7.1f}'
                f'{f"  {name}" if name else ""}'
            )
        for kind, words in (('missing', 'not in the simulation'), ('extra', 'only simulated')):
            for peak in peaks[kind]:
                name = f'  {peak["assignment"]}' if peak['assignment'] else ''
                yield f'  {peak["position"]:8.1f} {kind:>7}  {words}{name}'
        yield from (f'  ! {problem}' for problem in row['problems'])


def _window(row: Mapping[str, Any]) -> str:
    """Return the range of a window."""
    low, high = row['window_per_cm']
    return f'{low:g}-{high:g}'
