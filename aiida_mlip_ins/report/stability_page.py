"""The report of molecular dynamics: one page, a figure of each run, series and numbers as data."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aiida import orm
from matplotlib.figure import Figure

from aiida_mlip_ins.query.provenance import settings_of
from aiida_mlip_ins.query.run import Run
from aiida_mlip_ins.query.tables import format_table
from aiida_mlip_ins.report.md import arrays_of, figure_of, title_of
from aiida_mlip_ins.report.page import fill, write_images, write_table

PROCESS = 'MdStabilityWorkChain'
TEMPLATE = 'stability.html'


def write_stability_report(node: orm.ProcessNode, folder: Path | str) -> tuple[Path, str]:
    """Write ``report.html``, a figure and a CSV of each run, and ``table.json`` into a folder.

    :param node: an `MdStabilityWorkChain`, finished or not.
    :param folder: made if it is not there; files of an earlier report are replaced.
    :return: path of the page, and the verdict as text.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(node)
    verdict = run.content('verdict')
    judged = verdict.get('runs', {})
    files = []
    for key in judged:
        files.append(f'series_{key}.csv')
        (folder / files[-1]).write_text(series_csv(arrays_of(run.outputs[f'analyses.{key}'])))
    write_table(node, verdict, folder)
    images = write_images(_figures(run, judged), folder)
    lines = [line_of(each) for each in judged.values()]
    page = folder / 'report.html'
    page.write_text(
        fill(
            TEMPLATE,
            title='Molecular dynamics',
            node=node,
            verdict=verdict,
            lines=lines,
            equilibration=run.inputs['criteria']['equilibration_ps'],
            runs={f'run_{key}': title_of(each) for key, each in judged.items()},
            files=[*files, 'table.json'],
            images=images,
            inputs=sorted(run.inputs.items()),
            outputs=sorted(run.outputs.items()),
            settings=settings_of(node),
        )
    )
    if not judged:
        return page, node.exit_message or 'There is no verdict yet.'
    return page, '\n'.join([verdict['verdict'], *verdict['reasons'], '', format_table(lines)])


def line_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a run as people read them.

    One that ended before its averages began has none of them.
    """
    numbers = run['numbers']
    change = numbers.get('volume_change')
    return {
        'T asked (K)': run['temperature_asked_k'],
        'p asked (GPa)': run['pressure_asked_gpa'],
        'verdict': run['verdict'],
        'run (ps)': numbers['simulated_ps'],
        'T (K)': numbers.get('temperature_k'),
        'p (GPa)': numbers.get('pressure_gpa'),
        'dV (%)': None if change is None else 100 * change,
        'drift (meV/atom/ps)': numbers.get('conserved_drift_mev_per_atom_ps'),
        **{f'{el} from sites (A)': value for el, value in numbers['rmsd_angstrom'].items()},
        'bonds broken': len(numbers['broken_bonds']),
        'bonds formed': len(numbers['formed_bonds']),
    }


def series_csv(arrays: Mapping[str, Any]) -> str:
    """Return what is known at each time: a line for each frame."""
    names = [name for name in arrays if len(arrays[name]) == len(arrays['time'])]
    names = ['time', *sorted(name for name in names if name != 'time' and _is_series(name))]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator='\n')
    writer.writerow(names)
    writer.writerows(zip(*(arrays[name] for name in names), strict=True))
    return buffer.getvalue()


def _is_series(name: str) -> bool:
    """Return whether an array goes with the time, not with a distance or an energy."""
    return not name.startswith(('rdf_', 'dos_'))


def _figures(run: Run, judged: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    """Yield the figure of each run, by name."""
    for key, each in judged.items():
        yield f'run_{key}', figure_of(run.outputs[f'analyses.{key}'], each)
