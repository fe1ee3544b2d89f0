"""JCAMP-DX, the exchange format of vibrational spectroscopy: one spectrum in labelled records.

R. S. McDonald and P. A. Wilks, Appl. Spectrosc. 42, 151 (1988), version 4.24. Data are
``XYDATA=(X++(Y..Y))`` with plain numbers (AFFN), packed ones (PAC) or compressed ones (SQZ, DIF,
DUP), or ``XYPOINTS``, ``XYDATA``, ``PEAK TABLE`` with pairs ``(XY..XY)``. Errors have no place in
it. Compound files (LINK) and NTUPLES are not read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

from aiida_mlip_ins.science.measured import ENERGY_UNITS, MeasuredSpectrum
from aiida_mlip_ins.science.readers.common import (
    ReadSettings,
    decode,
    finished,
    refuse_unused,
    settled_unit,
    unit_of,
)

TABLES = ('XYDATA', 'XYPOINTS', 'PEAKTABLE')
SQZ = {mark: str(digit) for digit, mark in enumerate('@ABCDEFGHI')}
SQZ |= {mark: f'-{digit}' for digit, mark in enumerate('abcdefghi', start=1)}
DIF = {mark: str(digit) for digit, mark in enumerate('%JKLMNOPQR')}
DIF |= {mark: f'-{digit}' for digit, mark in enumerate('jklmnopqr', start=1)}
DUP = {mark: str(digit) for digit, mark in enumerate('STUVWXYZ', start=1)} | {'s': '9'}
TOKEN = re.compile(r'[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]\d+)?|[@A-Ia-i%J-Rj-rS-Zs]\d*|\S')
MARK = re.compile(r'[@A-DF-Za-df-s%]')
"""What only compressed numbers have; E is their mark for 5 as well as that of an exponent."""
BARE_E = re.compile(r'\d[eE]\d')
"""An exponent has a sign, by the standard; not everywhere it is written."""
ROUNDING = 1e-4
"""Of an abscissa: how far it may be rounded at the start of a line."""


def is_jcamp(content: bytes) -> bool:
    """Return whether the first record is a title, as the format demands."""
    return content.lstrip(b'\xef\xbb\xbf \r\n\t').startswith(b'##')


def read(content: bytes, name: str, settings: ReadSettings) -> MeasuredSpectrum:
    """Return the spectrum in the bytes of a JCAMP-DX file.

    :raises ValueError: if there is no table of data that is read, a record that it needs is
        missing, or the numbers contradict the records or their own checks.
    """
    refuse_unused(settings, (), 'jcamp', name)
    records = _records(decode(content, name), name)
    tables = [label for label in TABLES if label in records]
    if len(tables) != 1:
        raise ValueError(
            f'{name}: expected one table of data ({", ".join(TABLES)}), found '
            f'{", ".join(tables) or "none"}'
        )
    form, _, body = records[tables[0]].partition('\n')
    form = re.sub(r'\s', '', form).upper()
    if form.startswith('(X++(Y..Y))'):
        energy, intensity = _steps(body, records, name)
    elif form.startswith('(XY..XY)'):
        energy, intensity = _pairs(body, records, name)
    else:
        raise ValueError(
            f"{name}: the form '{form}' of {tables[0]} is neither (X++(Y..Y)) nor (XY..XY)"
        )
    said = records.get('XUNITS', '').strip()
    if said and unit_of(said) is None:
        raise ValueError(
            f"{name}: XUNITS is '{said}', no energy in one of {', '.join(ENERGY_UNITS)}"
        )
    return finished(
        name,
        'jcamp',
        settled_unit(unit_of(said), settings, name),
        energy,
        intensity,
        None,
        (records.get('YUNITS', '').strip() or 'intensity',),
        title=records.get('TITLE', ''),
        intensity_unit=records.get('YUNITS', '').strip().lower() or 'arbitrary',
        metadata={
            'data_type': records.get('DATATYPE', '').strip(),
            'origin': records.get('ORIGIN', '').strip(),
            'table': tables[0],
        },
    )


def _records(text: str, name: str) -> dict[str, str]:
    """Return the records by label; labels are compared without case, spaces and ``-_/``.

    :raises ValueError: for files of several blocks.
    """
    records: dict[str, str] = {}
    plain = '\n'.join(line.split('$$')[0].rstrip() for line in text.splitlines())
    for record in plain.split('##')[1:]:
        label, equals, value = record.partition('=')
        key = re.sub(r'[\s\-_/]', '', label).upper()
        if not equals or key == 'END':
            continue
        if key in records and key in ('TITLE', *TABLES):
            raise ValueError(f'{name}: the file has several blocks (LINK); save one by itself')
        records[key] = value.strip('\n')
    return records


def _number(records: Mapping[str, str], label: str, name: str, default: float | None) -> float:
    """Return the number in a record.

    :raises ValueError: if it is missing without a default, or no number.
    """
    text = records.get(label, '').strip()
    if not text and default is not None:
        return default
    try:
        return float(text)
    except ValueError:
        what = f"is '{text}', no number" if text else 'is missing'
        raise ValueError(f'{name}: the record {label} {what}') from None


def _pairs(body: str, records: Mapping[str, str], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return abscissas and ordinates of ``x, y`` pairs."""
    try:
        values = np.array(re.split(r'[,;\s]+', body.strip(' ,;\n\t')), dtype=float)
    except ValueError as error:
        raise ValueError(f'{name}: the pairs are not all numbers ({error})') from None
    if len(values) % 2:
        raise ValueError(f'{name}: {len(values)} numbers are no pairs; are commas decimal points?')
    x = values[0::2] * _number(records, 'XFACTOR', name, 1.0)
    y = values[1::2] * _number(records, 'YFACTOR', name, 1.0)
    _check_count(len(x), records, name)
    return x, y


def _steps(body: str, records: Mapping[str, str], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return abscissas and ordinates of lines of an abscissa and the ordinates from there on."""
    ordinates: list[float] = []
    starts: list[tuple[float, int]] = []
    check: float | None = None
    compressed = bool(MARK.search(body) or (BARE_E.search(body) and '.' not in body))
    for number, line in enumerate(body.splitlines(), start=1):
        if not line.strip():
            continue
        start, values, differences = _line(line, compressed, f'{name}: line {number} of the data')
        if check is not None:
            # after differences a line repeats the ordinate before it
            if not values or not math.isclose(values[0], check):
                raise ValueError(
                    f'{name}: line {number} of the data starts with {values[:1]}, but the line '
                    f'before ends with {check:g}: the file is damaged'
                )
            values = values[1:]
        starts.append((start, len(ordinates) - (check is not None)))
        ordinates.extend(values)
        check = ordinates[-1] if differences else None
    if len(ordinates) < 2:
        raise ValueError(f'{name}: there are fewer than two ordinates')
    _check_count(len(ordinates), records, name)
    first = _number(records, 'FIRSTX', name, None)
    last = _number(records, 'LASTX', name, None)
    x = np.linspace(first, last, len(ordinates))
    _check_abscissas(starts, x, _number(records, 'XFACTOR', name, 1.0), name)
    return x, np.array(ordinates) * _number(records, 'YFACTOR', name, 1.0)


def _line(line: str, compressed: bool, where: str) -> tuple[float, list[float], bool]:
    """Return the abscissa of a line, its ordinates, and whether the last is a difference."""
    if compressed:
        return _compressed(TOKEN.findall(line), where)
    # PAC leaves out the space before a sign
    tokens = re.sub(r'(?<![eE])([+-])', r' \1', re.sub(r'[,;]', ' ', line)).split()
    try:
        found = [float(token) for token in tokens]
    except ValueError as error:
        raise ValueError(f'{where}: {error}') from None
    return found[0], found[1:], False


def _compressed(tokens: list[str], where: str) -> tuple[float, list[float], bool]:
    """Return the same of a line with compressed numbers."""
    values: list[float] = []
    step: float | None = None
    try:
        start = float(tokens[0])
        for token in tokens[1:]:
            mark, rest = token[0], token[1:]
            if mark in SQZ:
                values.append(float(SQZ[mark] + rest))
                step = None
            elif mark in DIF:
                step = float(DIF[mark] + rest)
                values.append(values[-1] + step)
            elif mark in DUP:
                # the count includes the one that is repeated
                for _ in range(int(DUP[mark] + rest) - 1):
                    values.append(values[-1] + (step or 0.0))
            else:
                values.append(float(token))
                step = None
    except (ValueError, IndexError):
        raise ValueError(f"{where}: '{' '.join(tokens)[:60]}' cannot be decoded") from None
    return start, values, step is not None


def _check_count(count: int, records: Mapping[str, str], name: str) -> None:
    """Raise a ``ValueError`` if NPOINTS is another number than that of the points."""
    expected = _number(records, 'NPOINTS', name, float(count))
    if int(expected) != count:
        raise ValueError(
            f'{name}: NPOINTS is {int(expected)}, but there are {count} points: the file is '
            'truncated or damaged'
        )


def _check_abscissas(
    starts: list[tuple[float, int]], x: np.ndarray, factor: float, name: str
) -> None:
    """Raise a ``ValueError`` if a line starts elsewhere than FIRSTX and LASTX say.

    Abscissas of lines are often rounded, and after differences some
    programs write that of the next point, so that only a gap of more than a point counts.
    """
    step = abs(x[1] - x[0])
    for start, index in starts:
        rounding = ROUNDING * abs(start * factor)
        if abs(start * factor - x[index]) > 1.5 * step + rounding:
            raise ValueError(
                f'{name}: the line at x = {start * factor:g} should start at {x[index]:g}, as '
                'FIRSTX, LASTX and the number of points have it: the file is damaged'
            )
