"""Numbers in the lines of a text file, fast where they are right and clear where they are not."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import numpy as np

from aiida_mlip_ins.science.text import shortened

COMMENT = '#'
DECIMAL_COMMA = re.compile(r'[+-]?\d+,\d+([eE][+-]?\d+)?')


def numbers(
    lines: Sequence[str], skip: int, delimiter: str | None, columns: Sequence[str], name: str
) -> np.ndarray:
    """Return the table (n_rows, n_columns) of numbers below the first ``skip`` lines.

    Lines without anything and what follows a ``#`` are passed over.

    :param delimiter: between columns, ``None`` for white space.
    :param columns: what each column is.
    :raises ValueError: if there are no numbers, or naming lines that are not as many numbers.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'loadtxt: input contained no data')
            table = np.loadtxt(lines[skip:], delimiter=delimiter, comments=COMMENT, ndmin=2)
    except ValueError:
        raise ValueError(_faults(lines, skip, delimiter, columns, name)) from None
    if not table.size:
        raise ValueError(f'{name}: there are no numbers in the file')
    if table.shape[1] != len(columns):
        raise ValueError(_count_message(table.shape[1], columns, delimiter, name))
    return table


def _count_message(found: int, columns: Sequence[str], delimiter: str | None, name: str) -> str:
    """Say that there are other columns than expected."""
    message = (
        f'{name}: there {"is 1 column" if found == 1 else f"are {found} columns"}, expected '
        f'{len(columns)} ({", ".join(columns)})'
    )
    if delimiter == ',' and found == 2 * len(columns):
        message += '; if commas are decimal points, write them as points'
    elif found == 1:
        message += '; an energy alone is no spectrum'
    return message


def _faults(
    lines: Sequence[str], skip: int, delimiter: str | None, columns: Sequence[str], name: str
) -> str:
    """Return a message for every kind of fault in the lines, with where it is."""
    wrong: list[str] = []
    uneven: list[str] = []
    decimal = False
    for number, line in enumerate(lines[skip:], start=skip + 1):
        fields = line.split(COMMENT)[0].strip()
        if not fields:
            continue
        cells = fields.split(delimiter)
        if len(cells) != len(columns):
            uneven.append(f'{number} ({len(cells)})')
        for cell in cells:
            try:
                float(cell)
            except ValueError:
                wrong.append(f"'{cell.strip()}' in line {number}")
                decimal = decimal or DECIMAL_COMMA.fullmatch(cell.strip()) is not None
    found = []
    if wrong:
        found.append(f'{name}: not a number: {shortened(wrong, 3)}')
    if decimal:
        found.append(f'{name}: numbers are written with decimal commas; write decimal points')
    if uneven:
        found.append(
            f'{name}: expected {len(columns)} columns ({", ".join(columns)}), which these lines do '
            f'not have: {shortened(uneven, 4)}'
        )
    return '\n'.join(found) or f'{name}: the numbers cannot be read'
