"""What the readers share: settings, decoding, units, and the way from a file to 1/cm."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_mlip_ins.science.measured import ENERGY_UNITS, MeasuredSpectrum, checked
from aiida_mlip_ins.science.settings import setting

if TYPE_CHECKING:
    import h5py

FORMATS = ('isis', 'text', 'mantid', 'nxspe', 'jcamp')
COLUMNS = ('energy', 'intensity', 'error', 'skip')
HDF5_SIGNATURE = b'\x89HDF\r\n\x1a\n'

SPELLINGS = {
    '1/cm': ('1/cm', 'cm-1', 'cm^-1', 'cm**-1', 'cm^{-1}', '/cm', 'percm', 'wavenumber',
             'wavenumbers', 'deltaeinwavenumber', 'inversecentimetre'),
    'meV': ('mev', 'deltae', 'millielectronvolt'),
    'THz': ('thz', 'terahertz'),
}  # fmt: skip


@dataclass(frozen=True)
class ReadSettings:
    """What a file does not say itself; everything may be left to the file."""

    format: str | None = setting(
        'Format of the file; by default its content tells.', choices=FORMATS, optional=True
    )
    units: str | None = setting(
        'Unit of the energy transfer; needed where the file does not say it.',
        choices=tuple(ENERGY_UNITS),
        optional=True,
    )
    columns: list[str] | None = setting(
        'What each column of a text file is; an error belongs to the intensity before it.',
        choices=COLUMNS,
        optional=True,
    )
    workspace: int | None = setting(
        'Number N of `mantid_workspace_N`; needed where a file holds several.',
        minimum=1,
        optional=True,
    )
    spectra: list[int] | None = setting(
        'Which spectra of the file to take, counted from 0; by default all.',
        minimum=0,
        optional=True,
    )


def is_hdf5(content: bytes) -> bool:
    """Return whether the bytes start as an HDF5 file does."""
    return content.startswith(HDF5_SIGNATURE)


@contextmanager
def open_hdf5(content: bytes, name: str) -> Iterator[h5py.File]:
    """Open the bytes of an HDF5 file.

    :raises ValueError: if the file is truncated or damaged, also where that shows only later.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(content), 'r') as file:
            yield file
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f'{name}: the HDF5 file is truncated or damaged ({error}); copy it again'
        ) from error


def text_of(value: Any) -> str:
    """Return what HDF5 holds as a string: of bytes, of one element, padded with zeros or not."""
    array = np.asarray(value)
    first = array.ravel()[0] if array.size else ''
    decoded = first.decode('utf-8', 'replace') if isinstance(first, bytes) else str(first)
    return decoded.strip('\x00 \n')


def decode(content: bytes, name: str) -> str:
    """Return text; old instruments write Latin-1.

    :raises ValueError: if the file is binary.
    """
    if b'\x00' in content[:4096]:
        raise ValueError(f'{name}: the file is binary and no HDF5 file, so its format is unknown')
    try:
        return content.decode('utf-8-sig')
    except UnicodeDecodeError:
        return content.decode('latin-1')


def unit_of(text: str) -> str | None:
    """Return the unit of energy that some words spell, ``None`` if they spell none."""
    plain = re.sub(r'[\s_]', '', text).lower()
    for unit, names in SPELLINGS.items():
        if plain in names:
            return unit
    return None


def settled_unit(said: str | None, settings: ReadSettings, name: str) -> str:
    """Return the unit of energy that the file says or, if it does not, the user.

    :raises ValueError: if nobody says it, or both say different ones.
    """
    if said is None and settings.units is None:
        raise ValueError(
            f'{name}: the file does not say the unit of the energy transfer; declare `units`, one '
            f'of {", ".join(ENERGY_UNITS)}'
        )
    if said is not None and settings.units is not None and said != settings.units:
        raise ValueError(
            f'{name}: the file says that energies are in {said}, but {settings.units} is declared'
        )
    return said or settings.units or ''


def unused_problems(settings: ReadSettings, used: tuple[str, ...], format: str) -> list[str]:
    """Return a problem for each setting that is given although the format has no use for it."""
    return [
        f"`{key}` has no meaning for the format '{format}'"
        for key in ('columns', 'workspace', 'spectra')
        if key not in used and getattr(settings, key) is not None
    ]


def refuse_unused(settings: ReadSettings, used: tuple[str, ...], format: str, name: str) -> None:
    """Raise a ``ValueError`` for settings that the format has no use for."""
    found = unused_problems(settings, used, format)
    if found:
        raise ValueError('\n'.join(f'{name}: {problem}' for problem in found))


def chosen_rows(count: int, settings: ReadSettings, name: str) -> list[int]:
    """Return the indices of the spectra to take from ``count``.

    :raises ValueError: if some are not there or given twice.
    """
    chosen = settings.spectra
    if chosen is None:
        return list(range(count))
    beyond = [index for index in chosen if index >= count]
    if beyond or not chosen or len(set(chosen)) != len(chosen):
        raise ValueError(
            f'{name}: `spectra` {chosen} must be different numbers from 0 to {count - 1}'
        )
    return chosen


def finished(
    name: str,
    format: str,
    unit: str,
    energy: np.ndarray,
    intensity: np.ndarray,
    errors: np.ndarray | None,
    labels: tuple[str, ...],
    kind: str = 'points',
    density: bool = True,
    title: str = '',
    intensity_unit: str = 'arbitrary',
    metadata: Mapping[str, Any] | None = None,
) -> MeasuredSpectrum:
    """Return what was read in 1/cm and ascending order, checked.

    Energies that descend from first to last, as infrared spectra are written, are turned round.
    An intensity of a histogram that is per energy is rescaled with the unit of energy.

    :param unit: of ``energy``, as the file has it.
    :raises ValueError: listing all problems.
    """
    factor = ENERGY_UNITS[unit]
    energy = np.asarray(energy, dtype=float) * factor
    intensity = np.atleast_2d(np.asarray(intensity, dtype=float))
    errors = None if errors is None else np.atleast_2d(np.asarray(errors, dtype=float))
    if len(energy) > 1 and (np.diff(energy) < 0).all():
        energy, intensity = energy[::-1], intensity[:, ::-1]
        errors = None if errors is None else errors[:, ::-1]
    if kind == 'histogram' and density and factor != 1.0:
        intensity = intensity / factor
        errors = None if errors is None else errors / factor
    spectrum = MeasuredSpectrum(
        energy=np.ascontiguousarray(energy),
        intensity=np.ascontiguousarray(intensity),
        errors=None if errors is None else np.ascontiguousarray(errors),
        kind=kind,
        density=density,
        labels=labels,
        title=' '.join(title.split()),
        intensity_unit=intensity_unit,
        metadata={**(metadata or {}), 'format': format, 'energy_unit_of_file': unit},
    )
    return checked(spectrum, name)
