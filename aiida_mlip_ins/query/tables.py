"""Rows (a list of dicts) as text: one formatter for the command line and the examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def cell(value: Any) -> str:
    """Return one value as a short text; nothing becomes a dash."""
    if value is None:
        return '-'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, float):
        return f'{value:.4g}' if abs(value) < 1e5 else f'{value:.6e}'
    if isinstance(value, Mapping):
        return ', '.join(f'{key}={cell(item)}' for key, item in value.items())
    if isinstance(value, list | tuple):
        return ', '.join(cell(item) for item in value)
    return str(value)


def format_table(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str] | Sequence[str] | None = None,
    empty: str = 'nothing found',
) -> str:
    """Return rows as an aligned text table.

    :param rows: what to show.
    :param columns: the keys to show, in order, or a mapping of them to their headings; by default
        all keys of the first row.
    :param empty: what to say where there are no rows.
    """
    if not rows:
        return empty
    if columns is None:
        columns = list(rows[0])
    headings = dict(columns) if isinstance(columns, Mapping) else {key: key for key in columns}
    lines = [list(headings.values())]
    lines += [[cell(row.get(key)) for key in headings] for row in rows]
    widths = [max(len(line[number]) for line in lines) for number in range(len(headings))]
    numeric = [
        all(isinstance(row.get(key), int | float | None) for row in rows) for key in headings
    ]

    def joined(line: Sequence[str]) -> str:
        pairs = zip(line, widths, numeric, strict=True)
        return '  '.join(t.rjust(w) if right else t.ljust(w) for t, w, right in pairs).rstrip()

    rule = '  '.join('-' * width for width in widths)
    return '\n'.join([joined(lines[0]), rule, *map(joined, lines[1:])])
