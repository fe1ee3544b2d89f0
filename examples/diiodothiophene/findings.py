"""What arXiv:2603.05442 reports of 2,5-diiodothiophene, beside what a run of ours has found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm

from aiida_mlip_ins.query.run import Run

COLUMNS = ('finding of arXiv:2603.05442', 'here', 'same')


def findings(
    chain: orm.ProcessNode, dynamics: orm.ProcessNode | None, settings: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Return a row for each finding; what the run does not have yet is said.

    :param chain: the run of the chain.
    :param dynamics: of `MdStabilityWorkChain`, if it was run.
    :param settings: ``findings`` of settings.yaml: ``range``, ``red_shift``, ``margin`` (1/cm).
    """
    run = Run(chain)
    low, high = settings['range']
    rows = [
        row
        for row in run.shifts
        if row['mace_per_cm'][0] is not None
        and row['mace_shift_per_cm'][-1] is not None
        and max(low, 1.0) < row['mace_per_cm'][0] <= high
    ]
    pressures = ' and '.join(f'{pressure:g}' for pressure in run.pressures)
    return [
        _row(f'spectra at {pressures} GPa, {low:g}-{high:g} 1/cm', *_spectra(run)),
        _row('modes go up under pressure (blue shifts)', *_blue(rows)),
        _row(
            f'one mode goes down (red shift), at {settings["red_shift"]:g} 1/cm',
            *_red(rows, settings['red_shift'], settings['margin']),
        ),
        _row('the crystal is stable in molecular dynamics at 300 K', *_stable(dynamics)),
    ]


def _row(finding: str, here: str, same: bool | None) -> dict[str, str]:
    word = {True: 'yes', False: 'no', None: '-'}[same]
    return dict(zip(COLUMNS, (finding, here, word), strict=True))


def _spectra(run: Run) -> tuple[str, bool | None]:
    """Return whether there are spectra, and whether all modes are real."""
    there = [point for point in run.points if point.spectrum is not None]
    lowest = [
        f'{point.phonons["min_frequency_per_cm"]:.0f} 1/cm at {point.pressure_gpa:g} GPa'
        for point in run.points
        if 'min_frequency_per_cm' in point.phonons
    ]
    if not lowest:
        return 'not computed yet', None
    words = f'{len(there)} of {len(run.points)}, lowest modes {", ".join(lowest)}'
    stable = not any(point.phonons.get('imaginary') for point in run.points)
    return words, len(there) == len(run.points) and stable


def _blue(rows: list[dict[str, Any]]) -> tuple[str, bool | None]:
    """Return how many modes go up, by how much on average."""
    if not rows:
        return 'not computed yet', None
    up = [row for row in rows if row['mace_direction'][-1] == 'blue']
    shifts = [row['mace_shift_per_cm'][-1] for row in up]
    mean = f', by {sum(shifts) / len(shifts):.1f} 1/cm on average' if shifts else ''
    return f'{len(up)} of {len(rows)} modes{mean}', len(up) > len(rows) / 2


def _red(rows: list[dict[str, Any]], place: float, margin: float) -> tuple[str, bool | None]:
    """Return which modes go down, and whether only those near a place (1/cm) do."""
    if not rows:
        return 'not computed yet', None
    down = [row for row in rows if row['mace_direction'][-1] == 'red']
    if not down:
        return 'none', False
    listed = ', '.join(
        f'{row["mace_per_cm"][0]:.0f} ({row["mace_shift_per_cm"][-1]:+.1f})' for row in down
    )
    near = [abs(row['mace_per_cm'][0] - place) <= margin for row in down]
    return f'{listed} 1/cm', all(near)


def _stable(dynamics: orm.ProcessNode | None) -> tuple[str, bool | None]:
    """Return the verdict of the dynamics."""
    if dynamics is None or 'verdict' not in dynamics.outputs:
        return 'not run yet', None
    verdict = dynamics.outputs.verdict
    words = {'stable': True, 'unstable': False}
    return '; '.join([verdict['verdict'], *verdict['reasons']]), words.get(verdict['verdict'])


def markdown(rows: list[dict[str, str]], title: str) -> str:
    """Return the table as Markdown."""
    lines = [f'| {" | ".join(COLUMNS)} |', '|---' * len(COLUMNS) + '|']
    lines += [f'| {" | ".join(row[column] for column in COLUMNS)} |' for row in rows]
    return f'# {title}\n\n' + '\n'.join(lines) + '\n'
