"""The text format of the ISIS INS database: a title, the names of the columns, the numbers.

The energies are points, in general not evenly spaced; see the database, www.isis.stfc.ac.uk.
"""

from __future__ import annotations

import re

from aiida_mlip_ins.science.measured import MeasuredSpectrum
from aiida_mlip_ins.science.readers.common import (
    ReadSettings,
    decode,
    finished,
    refuse_unused,
    settled_unit,
    unit_of,
)
from aiida_mlip_ins.science.readers.tables import numbers

HEADER = re.compile(rb'\((CM-1|1/CM|CM\^-1|MEV|THZ)?\)\s+COUNTS(\s+ERRORS?)?\s*$', re.IGNORECASE)


def is_isis(content: bytes) -> bool:
    """Return whether the second line names the columns as the database does."""
    lines = content[:4096].splitlines()
    return len(lines) > 1 and HEADER.search(lines[1]) is not None


def read(content: bytes, name: str, settings: ReadSettings) -> MeasuredSpectrum:
    """Return the spectrum in the bytes of a file of the ISIS INS database.

    :raises ValueError: if it has no such second line, or numbers are missing or wrong.
    """
    refuse_unused(settings, (), 'isis', name)
    match = HEADER.search([*content[:4096].splitlines(), b'', b''][1])
    if match is None:
        raise ValueError(
            f"{name}: line 2 does not name the columns as the ISIS INS database does, '(CM-1) "
            "COUNTS ERROR'; is the format 'text'?"
        )
    said = unit_of((match.group(1) or b'').decode())
    lines = decode(content, name).splitlines()
    with_errors = match.group(2) is not None
    columns = ('energy', 'intensity', 'error')[: 2 + with_errors]
    table = numbers(lines, 2, None, columns, name)
    unit = settled_unit(said, settings, name)
    return finished(
        name,
        'isis',
        unit,
        table[:, 0],
        table[:, 1],
        table[:, 2] if with_errors else None,
        ('counts',),
        title=lines[0],
        intensity_unit='counts, arbitrary scale',
    )
