"""Plain text and CSV, whose columns and unit of energy are declared or named in a header.

A header counts if it names the energy and an intensity, as in ``energy_per_cm,intensity,error`` or
``Energy (meV) Counts Sigma``; a column of another name is left out then. Without one, the columns
have to be declared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aiida_mlip_ins.science.measured import ENERGY_UNITS, MeasuredSpectrum
from aiida_mlip_ins.science.readers.common import (
    COLUMNS,
    ReadSettings,
    chosen_rows,
    decode,
    finished,
    settled_unit,
    unit_of,
)
from aiida_mlip_ins.science.readers.tables import COMMENT, DECIMAL_COMMA, numbers
from aiida_mlip_ins.science.text import shortened

NAMES = {
    'energy': ('energy', 'energytransfer', 'e', 'w', 'omega', 'wavenumber', 'x'),
    'intensity': ('intensity', 'counts', 'total', 'i', 's', 'sqw', 'y'),
    'error': ('error', 'errors', 'err', 'sigma', 'std', 'stdev', 'uncertainty', 'dy'),
}
UNIT = re.compile(r'^(?P<name>.*?)\s*[\[(/]\s*(?P<unit>[^\])]+)[\])]?$')
FAR = 50
"""Lines of text before the first number, beyond which a file is no table."""


@dataclass(frozen=True)
class Header:
    """What the lines above the numbers say."""

    columns: tuple[str, ...]
    unit: str | None
    labels: tuple[str, ...]
    ignored: tuple[str, ...]


def read(content: bytes, name: str, settings: ReadSettings) -> MeasuredSpectrum:
    """Return the spectra in the bytes of a text file.

    :raises ValueError: if columns or unit are neither declared nor named, or numbers are wrong.
    """
    if settings.workspace is not None:
        raise ValueError(f"{name}: `workspace` has no meaning for the format 'text'")
    lines = decode(content, name).splitlines()
    skip = _first_numbers(lines, name)
    delimiter = _delimiter(lines[skip])
    _refuse_decimal_commas(lines[skip], delimiter, name)
    header = _header(lines[:skip], delimiter, name)
    columns = _columns(settings.columns, header, lines[skip], delimiter, name)
    table = numbers(lines, skip, delimiter, columns, name)
    unit = settled_unit(header.unit if header else None, settings, name)
    values = [index for index, column in enumerate(columns) if column == 'intensity']
    chosen = [values[row] for row in chosen_rows(len(values), settings, name)]
    errors = None
    if 'error' in columns:
        errors = table[:, [index + 1 for index in chosen]].T
    labels = tuple(header.labels[index] if header else f'column {index + 1}' for index in chosen)
    return finished(
        name,
        'text',
        unit,
        table[:, columns.index('energy')],
        table[:, chosen].T,
        errors,
        labels,
        title=_title(lines[:skip]),
        metadata={'columns': list(columns), 'ignored': list(header.ignored) if header else []},
    )


def _first_numbers(lines: Sequence[str], name: str) -> int:
    """Return the index of the first line that starts with a number."""
    for index, line in enumerate(lines[:FAR]):
        cells = re.split(r'[,;\s]+', line.split(COMMENT)[0].strip())
        try:
            float(cells[0])
        except ValueError:
            continue
        return index
    raise ValueError(f'{name}: there are no numbers at the start of any of the first {FAR} lines')


def _delimiter(line: str) -> str | None:
    """Return what separates the columns of a line, ``None`` for white space."""
    line = line.split(COMMENT)[0].strip()
    for mark in (';', '\t'):
        if mark in line:
            return mark
    cells = line.split()
    if len(cells) > 1 and not any(cell.endswith(',') for cell in cells[:-1]) and ' ,' not in line:
        return None
    return ',' if ',' in line else None


def _refuse_decimal_commas(line: str, delimiter: str | None, name: str) -> None:
    """Raise a ``ValueError`` if the numbers of a line have commas inside."""
    if delimiter == ',':
        return
    cells = [cell.strip() for cell in line.split(COMMENT)[0].strip().split(delimiter)]
    wrong = [cell for cell in cells if DECIMAL_COMMA.fullmatch(cell)]
    if wrong:
        raise ValueError(
            f"{name}: numbers are written with decimal commas ('{wrong[0]}'); write decimal points"
        )


def _header(lines: Sequence[str], delimiter: str | None, name: str) -> Header | None:
    """Return what the last line above the numbers names, ``None`` if it names no spectrum.

    :raises ValueError: if it gives energies in a unit that is not understood.
    """
    above = [line.strip().lstrip(COMMENT).strip() for line in lines if line.strip()]
    if not above:
        return None
    cells = above[-1].split(delimiter)
    if delimiter is None and len(cells) > 1:
        # a unit in brackets may stand apart from the name
        cells = re.sub(r'\s+(?=[\[(])', '', above[-1]).split()
    unit: str | None = None
    columns, labels, ignored = [], [], []
    for cell in cells:
        kind, said = _named(cell)
        columns.append(kind)
        labels.append(cell.strip())
        if kind == 'energy':
            unit = said
            if said is not None and said not in ENERGY_UNITS:
                raise ValueError(
                    f"{name}: the header gives energies in '{said}', which is none of "
                    f'{", ".join(ENERGY_UNITS)}'
                )
        if kind == 'skip':
            ignored.append(cell.strip())
    if columns.count('energy') != 1 or 'intensity' not in columns:
        return None
    return Header(tuple(columns), unit, tuple(labels), tuple(ignored))


def _named(cell: str) -> tuple[str, str | None]:
    """Return what the name of a column says it is, and its unit as we spell it, or as it is."""
    text = cell.strip().strip('"\'')
    said = None
    match = UNIT.match(text)
    if match:
        text, said = match['name'], unit_of(match['unit']) or match['unit'].strip()
    for suffix, unit in (('_per_cm', '1/cm'), ('_mev', 'meV'), ('_thz', 'THz')):
        if text.lower().endswith(suffix):
            text, said = text[: -len(suffix)], unit
    plain = re.sub(r'[\s_]', '', text).lower()
    for kind, names in NAMES.items():
        if plain in names:
            return kind, said or (unit_of(plain) if kind == 'energy' else None)
    return 'skip', None


def _columns(
    declared: Sequence[str] | None,
    header: Header | None,
    line: str,
    delimiter: str | None,
    name: str,
) -> tuple[str, ...]:
    """Return what each column is, as declared or as the header has it.

    :raises ValueError: if neither says it, or what is declared is no spectrum.
    """
    columns = tuple(declared) if declared else header.columns if header else ()
    if not columns:
        count = len(line.split(COMMENT)[0].strip().split(delimiter))
        raise ValueError(
            f'{name}: nothing says what the {count} column{"s" * (count != 1)} are; begin '
            'the file with a line such as `# energy_per_cm,intensity`, or declare `columns`, each '
            f'one of {", ".join(COLUMNS)}, in `aiida-mlip-ins import-spectrum`, and use its node'
        )
    found = []
    if columns.count('energy') != 1:
        found.append(f'one column must be the energy, not {columns.count("energy")}')
    if 'intensity' not in columns:
        found.append('no column is an intensity')
    alone = [
        index + 1
        for index, column in enumerate(columns)
        if column == 'error' and (index == 0 or columns[index - 1] != 'intensity')
    ]
    if alone:
        found.append(f'an error must follow its intensity, but column {shortened(alone)} does not')
    elif 0 < columns.count('error') < columns.count('intensity'):
        found.append('either every intensity has an error or none')
    if found:
        raise ValueError('\n'.join(f'{name}: columns: {problem}' for problem in found))
    return columns


def _title(lines: Sequence[str]) -> str:
    """Return the first line above the header, if there is one."""
    above = [line.strip().lstrip(COMMENT).strip() for line in lines if line.strip()]
    return above[0] if len(above) > 1 else ''
