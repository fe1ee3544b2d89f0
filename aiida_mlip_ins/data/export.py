"""Spectra as text for other programs: CSV for tables, JSON for scripts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from aiida_mlip_ins.science.measured import MeasuredSpectrum


def spectrum_csv(
    conditions: Mapping[str, Any], energy: np.ndarray, total: np.ndarray, intensity: np.ndarray
) -> str:
    """Return comment lines with the conditions, a line of names, and a line for each bin.

    :param conditions: ``rows``, ``units`` and whatever else says what the numbers are.
    :param energy: (n,) centres of the bins, 1/cm.
    :param total: (n,), and ``intensity`` (n_rows, n), in the unit of the conditions.
    """
    buffer = io.StringIO()
    units = conditions['units']
    for name, value in conditions.items():
        if name not in ('rows', 'units'):
            buffer.write(f'# {name}: {json.dumps(value)}\n')
    buffer.write(f'# energy: {units["energy_bins"]}, centre of the bin\n')
    buffer.write(f'# intensities: {units["intensity"]}\n')
    writer = csv.writer(buffer, lineterminator='\n')
    writer.writerow(['energy_per_cm', 'total', *map(row_name, conditions['rows'])])
    columns = np.column_stack([energy, total, intensity.T])
    writer.writerows([f'{value:.8g}' for value in line] for line in columns)
    return buffer.getvalue()


def spectrum_json(
    conditions: Mapping[str, Any],
    energy_bins: np.ndarray,
    total: np.ndarray,
    intensity: np.ndarray,
) -> str:
    """Return the conditions with ``arrays``: ``energy_bins``, ``total`` and ``intensity``."""
    arrays = {'energy_bins': energy_bins, 'total': total, 'intensity': intensity}
    return arrays_json(conditions, arrays)


def arrays_json(conditions: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Return the conditions with ``arrays`` by name."""
    return json.dumps(
        {**conditions, 'arrays': {name: array.tolist() for name, array in arrays.items()}}
    )


def measured_csv(conditions: Mapping[str, Any], spectrum: MeasuredSpectrum) -> str:
    """Return comment lines with the conditions, a line of names, and a line for each value in use.

    The reader of text files takes it as it is; bins become their centres, masked values are left
    out.

    :param conditions: what the numbers are.
    """
    buffer = io.StringIO()
    for name, value in conditions.items():
        buffer.write(f'# {name}: {json.dumps(value)}\n')
    names, columns = ['energy_per_cm'], [spectrum.centres]
    for index, values in enumerate(spectrum.intensity):
        names.append('intensity')
        columns.append(values)
        if spectrum.errors is not None:
            names.append('error')
            columns.append(spectrum.errors[index])
    writer = csv.writer(buffer, lineterminator='\n')
    writer.writerow(names)
    lines = np.column_stack(columns)[~spectrum.masked]
    writer.writerows([f'{value:.10g}' for value in line] for line in lines)
    return buffer.getvalue()


def row_name(row: Mapping[str, Any]) -> str:
    """Return what a row is of, such as ``element=H order=1``."""
    return ' '.join(f'{key}={value}' for key, value in row.items()) or 'sum'
