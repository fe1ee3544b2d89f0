"""Readers of measured spectra: one module for each format, and the choice between them.

Every reader takes the bytes of a file, its name for messages and :class:`ReadSettings`, and returns
a :class:`~aiida_mlip_ins.science.measured.MeasuredSpectrum` in 1/cm or raises a ``ValueError`` that
says what is wrong with the file and what to do.
"""

from __future__ import annotations

from pathlib import Path

from aiida_mlip_ins.science.measured import MeasuredSpectrum
from aiida_mlip_ins.science.readers import isis, jcamp, mantid, nxspe, text
from aiida_mlip_ins.science.readers.common import FORMATS, ReadSettings, is_hdf5

READERS = {
    'isis': isis.read,
    'text': text.read,
    'mantid': mantid.read,
    'nxspe': nxspe.read,
    'jcamp': jcamp.read,
}
assert set(READERS) == set(FORMATS)


def read_file(path: Path, settings: ReadSettings) -> MeasuredSpectrum:
    """Return the spectrum in a file.

    :raises ValueError: if there is no such file, or what :func:`read_spectrum` raises.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f'{path}: cannot be read ({error.strerror})') from None
    return read_spectrum(content, path.name, settings)


def read_spectrum(content: bytes, name: str, settings: ReadSettings) -> MeasuredSpectrum:
    """Return the spectrum in the bytes of a file.

    :param content: the whole file.
    :param name: of the file, for messages.
    :param settings: what the file does not say itself.
    :raises ValueError: listing what is wrong with the file or the settings, and what to do.
    """
    if not content.strip():
        raise ValueError(f'{name}: the file is empty')
    found = settings.format or told_format(content, name)
    if is_hdf5(content) != (found in ('mantid', 'nxspe')):
        actual = 'an HDF5 file' if is_hdf5(content) else 'text'
        raise ValueError(f"{name}: this is {actual}, which the format '{found}' is not")
    return READERS[found](content, name, settings)


def told_format(content: bytes, name: str) -> str:
    """Return the format that the content of a file shows.

    :raises ValueError: if it is an HDF5 file that cannot be opened or holds neither format.
    """
    if is_hdf5(content):
        return 'nxspe' if nxspe.is_nxspe(content, name) else 'mantid'
    if jcamp.is_jcamp(content):
        return 'jcamp'
    return 'isis' if isis.is_isis(content) else 'text'
