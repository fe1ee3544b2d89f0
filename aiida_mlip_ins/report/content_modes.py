"""What a report says of the modes under pressure: lines of the figure and sentences."""

from __future__ import annotations

from typing import Any

from aiida_mlip_ins.query.run import Run
from aiida_mlip_ins.report.figures_modes import Line
from aiida_mlip_ins.report.style import gpa

METHODS = {'mace': 'MACE', 'dft': 'DFT', 'experiment': 'measured'}


def lines(run: Run) -> list[Line]:
    """Return the modes as they were followed; degenerate ones are one line."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in run.shifts:
        rounded = tuple(None if v is None else round(v) for v in row['mace_per_cm'])
        groups.setdefault((row['description'], rounded), []).append(row)
    return [
        Line(
            label=_name(rows),
            mace=rows[0]['mace_per_cm'],
            dft=rows[0].get('dft_per_cm', ()),
            experiment=rows[0].get('experiment_per_cm', ()),
            anomalous=bool(rows[0].get('mace_anomalous')),
            doubtful=rows[0]['mace_ambiguous'],
        )
        for rows in groups.values()
    ]


def _name(rows: list[dict[str, Any]]) -> str:
    """Return a short label: the representation and what the mode is, without its elements."""
    words = rows[0]['description'].partition(' (')[0]
    irrep = (rows[0].get('mace_irrep') or ['unknown'])[0]
    return words if irrep == 'unknown' else f'{irrep} {words}'


def methods(run: Run) -> dict[str, str]:
    """Return the methods whose slopes the table has, with what they are called."""
    return {
        key: name
        for key, name in METHODS.items()
        if any(row.get(f'{key}_slope_per_cm_per_gpa') is not None for row in run.shifts)
    }


def notes(run: Run) -> list[str]:
    """Return sentences on what stands out: odd modes, lines that are not sure, peaks left over."""
    found = []
    for method, numbers in run.metrics.get('anomalous', {}).items():
        if numbers['n_modes']:
            odd = ' and '.join(dict.fromkeys(
                row['description'] for row in run.shifts if row['mode'] in numbers['modes']
            ))  # fmt: skip
            found.append(
                f'{METHODS[method]}: {numbers["n_modes"]} modes go down under pressure while most '
                f'go up, with {100 * numbers["intensity_share"]:.0f} % of the one-quantum '
                f'intensity: {odd}.'
            )
    for row in run.shifts:
        for method in ('mace', 'dft'):
            found.extend(_doubts(row, method, run.pressures))
    for point in run.content('comparison.table').get('experiment', []):
        extra = ', '.join(f'{peak["position"]:.0f}' for peak in point['extra'])
        missing = ', '.join(
            f'{mode["description"]} at {mode["mace_per_cm"]:.0f}' for mode in point['missing']
        )
        found.append(
            f'Measured at {gpa(point["pressure_gpa"])}: {len(point["matched"])} peaks have a mode'
            + (f'; peaks without a mode (cm⁻¹): {extra}' if extra else '')
            + (f'; modes without a peak (cm⁻¹): {missing}' if missing else '')
            + '.'
        )
    # Degenerate modes have the same to say.
    return list(dict.fromkeys(found))


def _doubts(row: dict[str, Any], method: str, pressures: list[float]) -> list[str]:
    """Return where a mode could not be followed for sure, and where only the beginning decided."""
    found = []
    where = f'{METHODS[method]}, {row["description"]}'
    for number, pressure in enumerate(pressures):
        doubt = row.get(f'{method}_ambiguous', [])
        route = row.get(f'{method}_route', [])
        overlaps = row.get(f'{method}_overlap', [])
        if number < len(doubt) and doubt[number]:
            found.append(
                f'{where}: not sure at {gpa(pressure)} (overlap {overlaps[number]:.2f}): there it '
                'mixes with another mode.'
            )
        elif number < len(route) and route[number] == 'direct':
            found.append(
                f'{where}: at {gpa(pressure)} found by its motion at the first pressure (overlap '
                f'{overlaps[number]:.2f}), because the step there was not sure: it comes close to '
                'a mode that it mixes with.'
            )
    return found


def over_the_zone(run: Run) -> list[dict[str, Any]]:
    """Return one row for each q-point that DFT's supercell has, at each pressure."""
    return [
        {
            'pressure': gpa(point.pressure_gpa),
            'where': ' '.join(f'{value:.3g}' for value in row['q']),
            **row,
        }
        for point in run.points
        for row in run.on_supercell(point.index).get('points', [])
    ]


def cures(run: Run) -> list[str]:
    """Return what was done about imaginary modes at each pressure where there were any."""
    found = []
    for point in run.points:
        report = run.content(f'cure.reports.pressure_{point.index}')
        if report:
            end = 'cured' if report['cured'] else 'not cured'
            steps = '; '.join(report['sentences'])
            found.append(f'Imaginary modes at {gpa(point.pressure_gpa)}, {end}: {steps}.')
    return found
