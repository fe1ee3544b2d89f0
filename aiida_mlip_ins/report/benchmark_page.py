"""The report of a benchmark: one page, one figure, the table as text, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_mlip_ins.query.provenance import settings_of
from aiida_mlip_ins.query.run import Run
from aiida_mlip_ins.query.tables import format_table
from aiida_mlip_ins.report.figures_benchmark import benchmark
from aiida_mlip_ins.report.page import fill, write_images, write_table
from aiida_mlip_ins.science.benchmark import best_models, lines

PROCESS = 'BenchmarkWorkChain'
TEMPLATE = 'benchmark.html'
COLUMNS = {
    'crystal': 'crystal',
    'model': 'model',
    'pressure_gpa': 'p (GPa)',
    'status': 'status',
    'relaxed': 'relaxed',
    'volume_angstrom3': 'V (A^3)',
    'volume_change_percent': 'dV (%)',
    'min_frequency_per_cm': 'lowest (1/cm)',
    'imaginary': 'imaginary',
    'reference': 'against',
    'window': 'window (1/cm)',
    'r_squared': 'R2',
    'r_squared_aligned': 'aligned',
    'wasserstein_per_cm': 'W1 (1/cm)',
    'similarity': 'similarity',
    'peaks': 'peaks',
    'peak_shift_per_cm': 'off by (1/cm)',
    'total_s': 'cost (s)',
}
"""Columns of the text table with their headings."""


def write_benchmark_report(node: orm.ProcessNode, folder: Path | str) -> tuple[Path, str]:
    """Write ``report.html``, ``benchmark.png``, ``table.txt``, ``.csv``, ``.json`` into a folder.

    :param node: a `BenchmarkWorkChain`, finished or not.
    :param folder: made if it is not there; files of an earlier report are replaced.
    :return: path of the page, and the table as text.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(node)
    table = run.content('table')
    rows = table.get('rows', [])
    flat = lines(rows)
    text = text_of(rows, node)
    (folder / 'table.txt').write_text(text + '\n')
    (folder / 'table.csv').write_text(csv_of(flat))
    write_table(node, table, folder)
    images = write_images([('benchmark', benchmark(flat))] if flat else [], folder)
    page = folder / 'report.html'
    page.write_text(
        fill(
            TEMPLATE,
            title='Benchmark',
            node=node,
            lines=[shown(line) for line in flat],
            columns=COLUMNS,
            best=best_models(rows),
            gaps=gaps(rows),
            images=images,
            inputs=sorted(run.inputs.items()),
            outputs=sorted(run.outputs.items()),
            settings=settings_of(run.outputs.get('table', node)),
        )
    )
    return page, text


def shown(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line with the columns that people read in place of several numbers."""
    own = dict(line)
    if line.get('reference') is not None:
        own['window'] = f'{line["low_per_cm"]:g}-{line["high_per_cm"]:g}'
        count = line['peaks_found'] + line['peaks_missing']
        own['peaks'] = f'{line["peaks_found"]} of {count}'
    return own


def gaps(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return in words what is not in the table, and why."""
    return [
        f'{row["crystal"]} with {row["model"]} at {row["pressure_gpa"]:g} GPa, {row["status"]}: '
        f'{row["reason"]}'
        for row in rows
        if row['reason'] is not None
    ]


def text_of(rows: Sequence[Mapping[str, Any]], node: orm.ProcessNode) -> str:
    """Return the table as text, followed by the best models and by what is missing."""
    if not rows:
        return node.exit_message or 'There is no table yet.'
    parts = [format_table([shown(line) for line in lines(rows)], COLUMNS)]
    parts += ['\n'.join(found) for found in (best_models(rows), gaps(rows)) if found]
    return '\n\n'.join(parts)


def csv_of(flat: Sequence[Mapping[str, Any]]) -> str:
    """Return the table with all its columns, one line for each reference and window."""
    names = list(dict.fromkeys(name for line in flat for name in line))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval='', lineterminator='\n')
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()
