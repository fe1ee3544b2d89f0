"""Curves and tables of spectra as CSV, for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aiida_mlip_ins.science.agreement import Overlay
from aiida_mlip_ins.science.spectra_difference import Difference


def overlay_csv(overlay: Overlay) -> str:
    """Return what a figure of one window shows, a line for each bin in use; energies in 1/cm."""
    return _columns(
        overlay.edges,
        overlay.mask,
        {
            'measured': overlay.measured,
            'error': overlay.errors,
            'model': overlay.model,
            'background': overlay.background,
        },
    )


def difference_csv(part: Difference) -> str:
    """Return a difference of spectra in one window, a line for each bin in use."""
    return _columns(part.edges, part.mask, {'difference': part.difference, 'error': part.errors})


def band_csv(arrays: Mapping[str, np.ndarray]) -> str:
    """Return a band, a line for each bin.

    :param arrays: ``energy_bins`` (n + 1, 1/cm) and columns (n,).
    """
    columns = dict(arrays)
    edges = columns.pop('energy_bins')
    return _columns(edges, np.zeros(len(edges) - 1, dtype=bool), columns)


def shifts_csv(table: Mapping[str, Any]) -> str:
    """Return the table of peaks: position and shift (1/cm) by role and pressure."""
    names = [
        (role, index, f'{role} {pressure:g} GPa')
        for role in table['roles']
        for index, pressure in enumerate(table['pressures_gpa'])
    ]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator='\n')
    writer.writerow(
        [
            *(f'{name} (1/cm)' for _, _, name in names),
            *(f'shift {name} (1/cm)' for _, _, name in names),
            'assignment',
        ]
    )
    for row in table['rows']:
        cells: list[Any] = [
            '' if row[kind][role][index] is None else f'{row[kind][role][index]:.3f}'
            for kind in ('per_cm', 'shift_per_cm')
            for role, index, _ in names
        ]
        writer.writerow([*cells, row['assignment'] or ''])
    return buffer.getvalue()


def _columns(edges: np.ndarray, mask: np.ndarray, columns: Mapping[str, np.ndarray | None]) -> str:
    """Return columns (n,) after the centres of the bins, without what is masked."""
    known: dict[str, np.ndarray] = {'energy_per_cm': (edges[1:] + edges[:-1]) / 2}
    known |= {name: values for name, values in columns.items() if values is not None}
    lines: Sequence[Sequence[float]] = np.column_stack(list(known.values()))[~mask].tolist()
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator='\n')
    writer.writerow(list(known))
    writer.writerows([f'{value:.8g}' for value in line] for line in lines)
    return buffer.getvalue()
