"""Processed NeXus files of Mantid: ``mantid_workspace_N`` with values, errors and axes.

As Mantid's SaveNexusProcessed writes them (Framework/Nexus/src/NexusFileIO.cpp): the group
``workspace`` has ``values`` and ``errors`` (n_spectra, n), ``axis1`` with n energies (points) or
n + 1 (histogram), once or for each spectrum, and ``axis2`` with numbers or names of the spectra.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from aiida_mlip_ins.science.measured import ENERGY_UNITS, MeasuredSpectrum
from aiida_mlip_ins.science.readers.common import (
    ReadSettings,
    chosen_rows,
    finished,
    open_hdf5,
    refuse_unused,
    settled_unit,
    text_of,
    unit_of,
)

if TYPE_CHECKING:
    import h5py

ENTRY = re.compile(r'mantid_workspace_(\d+)')
NO_UNIT = ('', 'empty', 'label', 'unknown', 'arbitrary')


def read(content: bytes, name: str, settings: ReadSettings) -> MeasuredSpectrum:
    """Return the spectra of one workspace in the bytes of a file.

    :raises ValueError: if the workspace or its arrays are not there, its axis is no energy
        transfer, or the spectra have different axes.
    """
    refuse_unused(settings, ('workspace', 'spectra'), 'mantid', name)
    with open_hdf5(content, name) as file:
        entry = _entry(file, settings, name)
        where = f'{name}: {entry.name.strip("/")}'
        if 'workspace' not in entry:
            kept = ', '.join(sorted(entry)) or 'nothing'
            raise ValueError(
                f'{where}: there is no spectrum in it ({kept}); of events, rebin and save a '
                'histogram with Mantid'
            )
        group = entry['workspace']
        missing = [key for key in ('values', 'axis1') if key not in group]
        if missing:
            raise ValueError(f'{where}: workspace lacks {" and ".join(missing)}')
        values = np.atleast_2d(group['values'][()])
        rows = chosen_rows(len(values), settings, where)
        energy = _axis(group['axis1'][()], rows, where)
        unit = settled_unit(_unit(group['axis1'], where), settings, where)
        errors = np.atleast_2d(group['errors'][()])[rows] if 'errors' in group else None
        labels = _labels(group, len(values))
        histogram = len(energy) == values.shape[1] + 1
        said = text_of(group['axis1'].attrs.get('distribution', '0'))
        return finished(
            where,
            'mantid',
            unit,
            energy,
            values[rows],
            errors,
            tuple(labels[row] for row in rows),
            kind='histogram' if histogram else 'points',
            density=said.startswith('1') or not histogram,
            title=_string(entry, 'title'),
            intensity_unit=_intensity_unit(group['values']),
            metadata={
                'workspace': entry.name.strip('/'),
                'workspace_name': _string(entry, 'workspace_name'),
                'instrument': _string(entry, 'instrument/name'),
            },
        )


def _string(entry: h5py.Group, path: str) -> str:
    """Return a string of an entry, empty if it is not there."""
    return text_of(entry[path][()]) if path in entry else ''


def _entry(file: h5py.File, settings: ReadSettings, name: str) -> h5py.Group:
    """Return the workspace to read.

    :raises ValueError: if there is none, or several and none was chosen.
    """
    found = {int(match[1]): key for key in file if (match := ENTRY.fullmatch(key))}
    if not found:
        raise ValueError(
            f'{name}: there is no group `mantid_workspace_N`, only {", ".join(file) or "nothing"}; '
            'this is no processed NeXus file of Mantid'
        )
    numbers = ', '.join(str(number) for number in sorted(found))
    if settings.workspace is None and len(found) > 1:
        raise ValueError(
            f'{name}: there are several workspaces: give `workspace`, one of {numbers}'
        )
    number = settings.workspace or next(iter(found))
    if number not in found:
        raise ValueError(f'{name}: there is no workspace {number}, only {numbers}')
    return file[found[number]]


def _axis(axis: np.ndarray, rows: list[int], where: str) -> np.ndarray:
    """Return the energies that the chosen spectra share."""
    if axis.ndim == 1:
        return axis
    chosen = axis[rows]
    if not np.allclose(chosen, chosen[0], rtol=1e-9, atol=0.0):
        raise ValueError(
            f'{where}: the spectra have different energy axes; choose some that share one with '
            '`spectra`, or rebin them with Mantid'
        )
    return np.asarray(chosen[0])


def _unit(axis: h5py.Dataset, where: str) -> str | None:
    """Return the unit that the energy axis has, ``None`` if it says none.

    :raises ValueError: if the axis is something else than an energy transfer.
    """
    said = [text_of(axis.attrs.get(key, '')) for key in ('units', 'label')]
    if said[0].lower() in NO_UNIT:
        said = said[1:]
    found = unit_of(said[0])
    if found is None and said[0].lower() not in NO_UNIT:
        raise ValueError(
            f"{where}: the axis is '{said[0]}', no energy transfer in {', '.join(ENERGY_UNITS)}; "
            'convert it with Mantid (ConvertUnits, DeltaE or DeltaE_inWavenumber)'
        )
    return found


def _labels(group: h5py.Group, count: int) -> list[str]:
    """Return a name for each spectrum: its text or its number in Mantid."""
    plain = [f'spectrum {row}' for row in range(count)]
    if 'axis2' not in group:
        return plain
    axis = group['axis2']
    units = text_of(axis.attrs.get('units', ''))
    values = axis[()]
    if np.asarray(values).dtype.kind in 'SOU' or units == 'TextAxis':
        raw = np.asarray(values)
        text = raw.tobytes().decode('utf-8', 'replace') if raw.dtype.kind in 'Su' else text_of(raw)
        names = text.strip('\x00\n').split('\n')
        return names if len(names) == count else plain
    if len(values) == count:
        kind = 'spectrum' if units in ('', 'spectraNumber') else units
        return [f'{kind} {value:g}' for value in values]
    return plain


def _intensity_unit(values: h5py.Dataset) -> str:
    """Return the unit of the intensities as Mantid has it."""
    names = [text_of(values.attrs.get(key, '')) for key in ('unit_label', 'units')]
    return next((name for name in names if name), 'arbitrary')
