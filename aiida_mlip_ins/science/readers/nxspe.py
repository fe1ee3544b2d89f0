"""The ``.nxspe`` format of reduced data of direct-geometry (and other) spectrometers.

The NeXus application definition NXspe (nexusformat.org): an entry with the collection
``NXSPE_info``, and in ``data`` the arrays ``energy`` (n + 1 edges in meV), ``data`` and ``error``
(n_detectors, n) and the angles of the detectors. Intensities are per energy. A masked detector is
NaN throughout, or -1e30 in older files; it is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aiida_mlip_ins.science.measured import MeasuredSpectrum
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

MASKED_BELOW = -1e29


def is_nxspe(content: bytes, name: str) -> bool:
    """Return whether an entry of an HDF5 file is defined as NXspe.

    :raises ValueError: if the file cannot be opened.
    """
    with open_hdf5(content, name) as file:
        return any(_is_entry(file[key]) for key in file)


def _is_entry(group: h5py.Group) -> bool:
    """Return whether a group is an entry of this format."""
    if not hasattr(group, 'keys'):
        return False
    said = text_of(group['definition'][()]) if 'definition' in group else ''
    return said.lower() == 'nxspe' or 'NXSPE_info' in group


def read(content: bytes, name: str, settings: ReadSettings) -> MeasuredSpectrum:
    """Return the spectra of the detectors in the bytes of a file.

    :raises ValueError: if the arrays are not there or all detectors are masked.
    """
    refuse_unused(settings, ('spectra',), 'nxspe', name)
    with open_hdf5(content, name) as file:
        entries = [file[key] for key in file if _is_entry(file[key])]
        if len(entries) != 1:
            raise ValueError(f'{name}: expected one NXspe entry, found {len(entries)}')
        entry = entries[0]
        missing = [key for key in ('data/data', 'data/error', 'data/energy') if key not in entry]
        if missing:
            raise ValueError(f'{name}: {entry.name.strip("/")} lacks {", ".join(missing)}')
        group = entry['data']
        values = np.atleast_2d(group['data'][()])
        errors = np.atleast_2d(group['error'][()])
        masked = (np.isnan(values) | (values < MASKED_BELOW)).all(axis=1)
        rows = [row for row in chosen_rows(len(values), settings, name) if not masked[row]]
        if not rows:
            raise ValueError(f'{name}: all detectors are masked')
        said = text_of(group['energy'].attrs.get('units', ''))
        unit = settled_unit(unit_of(said), settings, name)
        energy = group['energy'][()]
        polar = group['polar'][()] if 'polar' in group else None
        fixed = entry.get('NXSPE_info/fixed_energy')
        return finished(
            name,
            'nxspe',
            unit,
            energy,
            values[rows],
            errors[rows],
            tuple(_label(row, polar) for row in rows),
            kind='histogram' if len(energy) == values.shape[1] + 1 else 'points',
            title=entry.name.strip('/'),
            intensity_unit='per energy, arbitrary scale',
            metadata={
                'masked_detectors': int(masked.sum()),
                'fixed_energy_mev': None if fixed is None else _finite(fixed[()]),
                'polar_degrees': None if polar is None else [float(polar[row]) for row in rows],
            },
        )


def _label(row: int, polar: np.ndarray | None) -> str:
    """Return a name for a detector: its scattering angle, if that is known."""
    return f'detector {row}' if polar is None else f'detector {row}, {polar[row]:g} degrees'


def _finite(value: np.ndarray) -> list[float] | None:
    """Return numbers, ``None`` if they are not all finite: the format writes NaN for unknown."""
    array = np.atleast_1d(np.asarray(value, dtype=float))
    return [float(item) for item in array] if np.isfinite(array).all() else None
