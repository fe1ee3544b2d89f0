"""The report of a comparison of spectra: one self-contained HTML page, figures, data as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from matplotlib.figure import Figure

from aiida_mlip_ins.calculations.functions.measured import parts_of
from aiida_mlip_ins.query.provenance import settings_of
from aiida_mlip_ins.query.run import Run
from aiida_mlip_ins.report import figures_spectra as drawn
from aiida_mlip_ins.report.figures_measured import agreement
from aiida_mlip_ins.report.page import fill, write_images, write_json
from aiida_mlip_ins.report.spectra_files import difference_csv, overlay_csv, shifts_csv
from aiida_mlip_ins.science.agreement import Overlay
from aiida_mlip_ins.science.spectra_difference import Difference

PROCESS = 'CompareSpectraWorkChain'
TEMPLATE = 'spectra.html'
CLASSES = {'agrees': 'pass', 'does not agree': 'miss'}
YLABELS = {'none': 'difference'}
"""What differences are called, by normalisation."""


class SpectraRun:
    """A comparison of spectra and what it has made so far."""

    def __init__(self, node: orm.ProcessNode) -> None:
        self.node = node
        self.run = Run(node)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Metrics of the pairs and changes, empty if they were not reached."""
        return self.run.content('metrics')

    @cached_property
    def table(self) -> dict[str, Any]:
        """The table of peaks, empty if it was not reached."""
        return self.run.content('table')

    @cached_property
    def verdict(self) -> dict[str, Any]:
        """The verdict, empty if it was not reached."""
        return self.run.content('verdict')

    @property
    def sentences(self) -> list[str]:
        """The verdict in words, or why there is none."""
        said = self.verdict.get('sentences')
        return said or [self.node.exit_message or 'The comparison has not been judged yet.']

    @property
    def reference(self) -> str:
        """Role that the others are compared with."""
        return str(self.metrics.get('reference', 'reference'))

    @property
    def colours(self) -> dict[str, str]:
        """Colour of each role."""
        return drawn.colours_of(self.metrics.get('roles', []), self.reference)

    def parts(self, kind: type, namespace: str) -> dict[str, list[Any]]:
        """Return by label what an output namespace holds, one part for each window."""
        prefix = f'{namespace}.'
        return {
            name.removeprefix(prefix): parts_of(node, kind)
            for name, node in sorted(self.run.outputs.items())
            if name.startswith(prefix) and isinstance(node, orm.ArrayData)
        }

    @cached_property
    def overlays(self) -> dict[str, list[Overlay]]:
        """Pairs of spectra by label."""
        return self.parts(Overlay, 'overlays')

    @cached_property
    def differences(self) -> dict[str, list[Difference]]:
        """Changes within a role by label."""
        return self.parts(Difference, 'differences')

    @cached_property
    def change_overlays(self) -> dict[str, list[Overlay]]:
        """Pairs of changes by label."""
        return self.parts(Overlay, 'difference_overlays')


def write_spectra_report(node: orm.ProcessNode, folder: Path | str) -> Path:
    """Write ``report.html``, PNG figures, ``summary.json``, curves and peaks as CSV into a folder.

    :param node: a `CompareSpectraWorkChain`, finished or not.
    :param folder: made if it is not there; files of an earlier report are replaced.
    :return: path of the page.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run = SpectraRun(node)
    images = write_images(figures(run), folder)
    tables = []
    for name, content in files(run):
        (folder / name).write_text(content)
        tables.append(name)
    numbers = {'verdict': run.verdict, 'metrics': run.metrics, 'table': run.table}
    write_json(numbers, folder / 'summary.json')
    page = folder / 'report.html'
    page.write_text(
        fill(
            TEMPLATE,
            title=title_of(run),
            node=node,
            run=run,
            images=images,
            tables=tables,
            classes=CLASSES,
            settings=settings_of(run.run.outputs.get('verdict', node)),
            inputs=sorted(run.run.inputs.items()),
        )
    )
    return page


def title_of(run: SpectraRun) -> str:
    """Return a headline: who is compared with whom."""
    others = [role for role in run.metrics.get('roles', []) if role != run.reference]
    if not others:
        return 'Comparison of spectra'
    return f'{", ".join(others)} against {run.reference}'


def figures(run: SpectraRun) -> Iterator[tuple[str, Figure]]:
    """Yield each figure that there are numbers for, under the name of its file."""
    pairs, moves = run.metrics.get('pairs', []), run.metrics.get('changes', [])
    panels = list(_overview(run))
    if any(len(panel.others) > 1 for panel in panels):
        # with one role beside the reference, its own figures show the same and more
        yield 'spectra', drawn.overview(panels, run.colours)
    for pair in pairs:
        title = f'{pair["role"]} against {run.reference} at {pair["pressure_gpa"]:g} GPa'
        yield (
            f'overlay_{pair["label"]}',
            agreement(
                pair['windows'],
                run.overlays[pair['label']],
                title,
                (run.reference, pair['role']),
                colour=run.colours[pair['role']],
            ),
        )
    ylabel = YLABELS.get(run.run.inputs['parameters']['normalisation'], 'normalised difference')
    panels = list(_changes(run))
    if panels:
        yield 'differences', drawn.changes(panels, run.colours, ylabel)
    for move in moves:
        low, high = move['pressures_gpa']
        title = f'{move["role"]} against {run.reference}, {high:g} GPa less {low:g} GPa'
        yield (
            f'difference_{move["label"]}',
            agreement(
                move['windows'], run.change_overlays[move['label']], title,
                (run.reference, move['role']), ylabel, run.colours[move['role']],
            ),
        )  # fmt: skip
    if any(
        shift is not None and shift != 0
        for row in run.table.get('rows', [])
        for shifts in row['shift_per_cm'].values()
        for shift in shifts[1:]
    ):
        yield 'peak_shifts', drawn.peak_shifts(run.table, run.colours)


def files(run: SpectraRun) -> Iterator[tuple[str, str]]:
    """Yield name and content of each file of data."""
    for label, overlays in run.overlays.items():
        for overlay in overlays:
            yield f'overlay_{label}_{_range(overlay.edges)}.csv', overlay_csv(overlay)
    for label, parts in run.differences.items():
        for part in parts:
            yield f'difference_{label}_{_range(part.edges)}.csv', difference_csv(part)
    for label, overlays in run.change_overlays.items():
        for overlay in overlays:
            name = f'difference_overlay_{label}_{_range(overlay.edges)}.csv'
            yield name, overlay_csv(overlay)
    if run.table:
        yield 'peaks.csv', shifts_csv(run.table)


def _overview(run: SpectraRun) -> Iterator[drawn.Panel]:
    """Yield for each pressure and window all roles over the reference."""
    for pressure in run.metrics.get('pressures_gpa', []):
        pairs = [p for p in run.metrics['pairs'] if p['pressure_gpa'] == pressure]
        for window in range(len(pairs[0]['windows']) if pairs else 0):
            first = run.overlays[pairs[0]['label']][window]
            yield drawn.Panel(
                f'{pressure:g} GPa',
                (first.edges[0], first.edges[-1]),
                _trace(run.reference, first.edges, first.measured, first.mask, first.errors),
                [
                    _trace(pair['role'], part.edges, part.model, part.mask)
                    for pair in pairs
                    for part in [run.overlays[pair['label']][window]]
                ],
            )


def _changes(run: SpectraRun) -> Iterator[drawn.Panel]:
    """Yield for each pressure beyond the lowest and each window the changes of all roles."""
    groups: dict[tuple[float, ...], list[dict[str, Any]]] = {}
    for change in run.metrics.get('differences', []):
        groups.setdefault(tuple(change['pressures_gpa']), []).append(change)
    for (low, high), group in groups.items():
        for window, first in enumerate(run.differences[group[0]['label']]):
            traces = [
                _trace(change['role'], part.edges, part.difference, part.mask, part.errors)
                for change in group
                for part in [run.differences[change['label']][window]]
            ]
            yield drawn.Panel(
                f'{high:g} GPa less {low:g} GPa',
                (first.edges[0], first.edges[-1]),
                next((trace for trace in traces if trace.name == run.reference), None),
                [trace for trace in traces if trace.name != run.reference],
            )


def _trace(
    name: str,
    edges: np.ndarray,
    values: np.ndarray,
    mask: np.ndarray,
    errors: np.ndarray | None = None,
) -> drawn.Trace:
    """Return a curve with gaps where it is masked."""
    return drawn.Trace(name, (edges[1:] + edges[:-1]) / 2, np.where(mask, np.nan, values), errors)


def _range(edges: np.ndarray) -> str:
    """Return a window for the name of a file."""
    return f'{edges[0]:g}-{edges[-1]:g}'
