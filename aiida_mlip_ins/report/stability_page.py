"""The report of molecular dynamics: one page, a figure of each run, series and numbers as data."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_mlip_ins.query.provenance import settings_of
from aiida_mlip_ins.query.run import Run
from aiida_mlip_ins.query.tables import format_table
from aiida_mlip_ins.report.md import figure_of, title_of
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
    arrays = {key: dict(run.outputs[f'analyses.{key}'].get_iterarrays()) for key in judged}
    files = []
    for key in judged:
        files.append(f'series_{key}.csv')
        (folder / files[-1]).write_text(series_csv(arrays[key]))
    write_table(node, verdict, folder)
    figures = ((f'run_{key}', figure_of(arrays[key], each)) for key, each in judged.items())
    images = write_images(figures, folder)
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
    # The others go with a distance or an energy.
    series = {name for name in arrays if not name.startswith(('rdf_', 'dos_'))}
    names = ['time', *sorted(series - {'time'})]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator='\n')
    writer.writerow(names)
    writer.writerows(zip(*(arrays[name] for name in names), strict=True))
    return buffer.getvalue()
