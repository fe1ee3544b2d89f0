"""What all report pages are made with: figures as PNG files, templates, numbers as text."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiida import orm
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from aiida_mlip_ins.query.summary import finite
from aiida_mlip_ins.query.tables import cell

DPI = 160


def fill(template: str, **values: Any) -> str:
    """Return the page that a template of this folder makes of the values, dated ``now``."""
    made = Environment(
        keep_trailing_newline=True,
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters['cell'] = cell
    made.filters['fixed'] = fixed
    now = datetime.now(UTC).isoformat(timespec='seconds')
    return made.get_template(template).render(now=now, **values)


def write_images(figures: Iterable[tuple[str, Figure]], folder: Path) -> dict[str, str]:
    """Write each figure as ``NAME.png`` and return them by name, base64, for the page."""
    images = {}
    for name, figure in figures:
        png = to_png(figure)
        (folder / f'{name}.png').write_bytes(png)
        images[name] = encoded(png)
    return images


def write_json(content: Any, path: Path) -> None:
    """Write what may hold numbers that JSON has no name for."""
    path.write_text(json.dumps(finite(content), indent=1, ensure_ascii=False) + '\n')


def write_table(node: orm.ProcessNode, table: Mapping[str, Any], folder: Path) -> None:
    """Write ``table.json``: the table that a process made, and which process it was."""
    content = {'process': node.uuid, 'exit_message': node.exit_message, **table}
    write_json(content, folder / 'table.json')


def to_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file, the same bytes for the same figure."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=DPI, metadata={'Software': None})
    return buffer.getvalue()


def encoded(content: bytes) -> str:
    """Return a file as base64, as a page holds it."""
    return base64.b64encode(content).decode()


def fixed(value: Any, digits: int = 2, sign: bool = False) -> str:
    """Return a number with a fixed count of decimals; nothing becomes a dash."""
    if value is None:
        return '\u2013'
    return f'{value:{"+" if sign else ""}.{digits}f}'.replace('-', '\u2212')
