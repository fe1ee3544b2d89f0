"""The report of error bands: one page, two figures, bands and shifts as CSV and JSON."""

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
from aiida_mlip_ins.report.figures_error_bands import BandPanel, band_panels, member_shifts
from aiida_mlip_ins.report.page import fill, write_images, write_table
from aiida_mlip_ins.report.spectra_files import band_csv
from aiida_mlip_ins.report.style import gpa, pressure_colours
from aiida_mlip_ins.science import ins
from aiida_mlip_ins.science.member_modes import sentences
from aiida_mlip_ins.workflows.pressures import pressure_key

PROCESS = 'ErrorBandsWorkChain'
TEMPLATE = 'error_bands.html'
KINDS = {'bands': 'band', 'differences': 'difference'}
"""Outputs that hold bands, and how their files are called."""


def write_error_bands_report(node: orm.ProcessNode, folder: Path | str) -> tuple[Path, str]:
    """Write ``report.html``, figures, ``shifts.csv``, ``table.json`` and each band into a folder.

    :param node: an `ErrorBandsWorkChain`, finished or not.
    :param folder: made if it is not there; files of an earlier report are replaced.
    :return: path of the page, and the table as text.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(node)
    table = run.content('table')
    files = []
    for kind, name in KINDS.items():
        for index, band in _nodes(run, kind):
            files.append(f'{name}_{pressure_key(index)}.csv')
            (folder / files[-1]).write_text(band_csv(dict(band.get_iterarrays())))
    lines = list(lines_of(table)) if table else []
    if table:
        files.append('shifts.csv')
        (folder / files[-1]).write_text(_shifts_csv(table))
    write_table(node, table, folder)
    files.append('table.json')
    said = sentences(table) if table else []
    images = write_images(_figures(run, table), folder)
    page = folder / 'report.html'
    page.write_text(
        fill(
            TEMPLATE,
            title='Error bands',
            node=node,
            sentences=said,
            table=table,
            lines=lines,
            files=files,
            images=images,
            inputs=sorted(run.inputs.items()),
            outputs=sorted(run.outputs.items()),
            settings=settings_of(node),
        )
    )
    parts = [format_table(lines), *said] if lines else said
    return page, '\n'.join(parts) or node.exit_message or 'There is no table yet.'


def columns_of(table: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the numbers of a mode that are shown, with their headings."""
    first, last = table['pressures_gpa'][0], table['pressures_gpa'][-1]
    columns = {f'at {first:g} GPa (1/cm)': row['frequency_per_cm'][0]}
    if last != first:
        columns[f'shift to {last:g} GPa (1/cm)'] = row['shift_per_cm'][-1]
        columns['slope (1/cm/GPa)'] = row['slope_per_cm_per_gpa']
    return columns


def lines_of(table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a line for each mode as people read it."""
    for row in table['rows']:
        yield {
            'mode': row['mode'],
            'what': row['description'],
            **{name: _words(found) for name, found in columns_of(table, row).items()},
            'trend': row['trend'],
            **_remarks(row),
        }


def _words(found: Mapping[str, Any]) -> str | None:
    """Return a mean with its spread, and the calibrated one in brackets."""
    if found['mean'] is None:
        return None
    words = f'{found["mean"]:.2f} \u00b1 {found["spread"]:.2f}'
    calibrated = found['calibrated_spread']
    return words if calibrated is None else f'{words} ({calibrated:.2f})'


def _remarks(row: Mapping[str, Any]) -> dict[str, str]:
    """Return what has to be known of a mode."""
    return {
        'degenerate with': ' '.join(map(str, row['degenerate_with'])),
        'unmatched': ' '.join(dict.fromkeys(doubt['member'] for doubt in row['unmatched'])),
    }


def _shifts_csv(table: Mapping[str, Any]) -> str:
    """Return a line for each mode with all numbers."""
    lines = []
    for row in table['rows']:
        line = {'mode': row['mode'], 'what': row['description']}
        for name, found in columns_of(table, row).items():
            line |= {f'{what} {name}': value for what, value in found.items()}
        lines.append({**line, 'trend': row['trend'], **_remarks(row)})
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(lines[0]) if lines else [], lineterminator='\n')
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _nodes(run: Run, kind: str) -> list[tuple[int, orm.ArrayData]]:
    """Return the bands of a kind with the indices of their pressures, ascending."""
    names = [f'{kind}.{pressure_key(index)}' for index in range(len(run.pressures))]
    return [(i, run.outputs[name]) for i, name in enumerate(names) if name in run.outputs]


def _figures(run: Run, table: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    """Yield the figures that there is something for, by name."""
    colours = pressure_colours(len(run.pressures))
    panels = []
    for kind in KINDS:
        for index, node in _nodes(run, kind):
            title = gpa(run.pressures[index])
            if kind == 'differences':
                title += f' less {gpa(run.pressures[0])}'
            panels.append(_panel(node, title, colours[index]))
    if panels:
        yield 'bands', band_panels(panels, f'intensity ({ins.UNITS})')
    shifts = member_shifts(table) if table else None
    if shifts is not None:
        yield 'shifts', shifts


def _panel(node: orm.ArrayData, title: str, colour: str) -> BandPanel:
    """Return what is drawn of a band."""
    edges = node.get_array('energy_bins')
    calibrated = 'calibrated_spread' in node.get_arraynames()
    return BandPanel(
        title=f'{title}, {len(node.base.attributes.get("members"))} members',
        colour=colour,
        energy=(edges[1:] + edges[:-1]) / 2,
        mean=node.get_array('mean'),
        spread=node.get_array('calibrated_spread' if calibrated else 'spread'),
        lower=node.get_array('lower'),
        upper=node.get_array('upper'),
    )
