"""The report of a run: one self-contained HTML page, its figures, its numbers and its spectra."""

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

from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.query.provenance import pseudos_of, settings_of
from aiida_mlip_ins.query.run import Run
from aiida_mlip_ins.query.stages import History
from aiida_mlip_ins.query.summary import finite, summary
from aiida_mlip_ins.query.tables import cell
from aiida_mlip_ins.report import content, content_dataset, content_modes
from aiida_mlip_ins.report.verdicts import verdicts

DPI = 160
TEMPLATE = 'template.html'


def write_report(
    node: orm.ProcessNode,
    folder: Path | str,
    measured_memory_gb: float | None = None,
    write_summary: bool = True,
) -> Path:
    """Write ``report.html``, PNG figures, ``summary.json`` and the spectra as CSV into a folder.

    Works for a run of the whole chain, for one of its links, and for a run that failed or still
    goes on: the page says what is missing.

    :param node: the process.
    :param folder: made if it is not there; files of an earlier report are replaced.
    :param measured_memory_gb: peak memory (GB) that whoever started the run measured.
    :param write_summary: whether ``summary.json`` is written too.
    :return: path of the page.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run, history = Run(node), History(node)
    numbers = finite(summary(node, measured_memory_gb, history))
    images = write_images(content.all_figures(run, history, title_of(run)), folder)
    tables = [name for point in run.points if point.spectrum is not None
              for name in [_write_csv(point.spectrum, folder, point.index)]]  # fmt: skip
    if write_summary:
        (folder / 'summary.json').write_text(json.dumps(numbers, indent=1, ensure_ascii=False))
    page = folder / 'report.html'
    page.write_text(render(run, history, numbers, images, tables))
    return page


def render(
    run: Run,
    history: History,
    numbers: dict[str, Any],
    images: Mapping[str, str],
    tables: list[str],
) -> str:
    """Return the page.

    :param run: what was made, and ``history`` how.
    :param numbers: of :func:`aiida_mlip_ins.query.summary.summary`.
    :param images: PNG files by name, base64.
    :param tables: names of the files with the spectra.
    """
    return fill(
        TEMPLATE,
        title=title_of(run),
        run=run,
        numbers=numbers,
        images=images,
        tables=tables,
        verdicts=verdicts(numbers, run.shifts),
        missing=content.missing(run),
        stages=history.stages,
        jobs=history.jobs,
        shifts=run.shifts,
        slope_methods=content_modes.methods(run),
        mode_notes=content_modes.notes(run),
        cures=content_modes.cures(run),
        over_the_zone=content_modes.over_the_zone(run),
        errors=content.error_rows(run),
        rounds=content.rounds(run),
        rounds_ended=run.content('rounds').get('ended'),
        dataset_checks=content_dataset.dataset_checks(run),
        pseudos=_distinct(pseudos_of(run.node), 'md5'),
        settings=settings_of(start_of(run)),
    )


def fill(template: str, **values: Any) -> str:
    """Return the page that a template of this folder makes of the values, dated ``now``."""
    made = Environment(
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


def title_of(run: Run) -> str:
    """Return a headline: the crystal, the instrument and the temperature."""
    words = []
    structure = run.structure
    if structure is not None:
        words.append(structure.label or structure.get_formula())
    for point in run.points:
        if point.spectrum is not None:
            attributes = point.spectrum.base.attributes
            words.append(str(attributes.get('instrument', '')))
            words.append(f'{attributes.get("temperature_k", 0):g} K')
            break
    return ', '.join(word for word in words if word) or str(run.node.process_label)


def start_of(run: Run) -> orm.Node:
    """Return the node whose ancestors hold the settings of the run: its last result."""
    for name in ('comparison.metrics', 'model', 'dataset'):
        if name in run.outputs:
            return run.outputs[name]
    return next(iter(run.outputs.values()), run.node)


def write_images(figures: Iterable[tuple[str, Figure]], folder: Path) -> dict[str, str]:
    """Write each figure as ``NAME.png`` and return them by name, base64, for the page."""
    images = {}
    for name, figure in figures:
        png = to_png(figure)
        (folder / f'{name}.png').write_bytes(png)
        images[name] = base64.b64encode(png).decode()
    return images


def to_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file, the same bytes for the same figure."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=DPI, metadata={'Software': None})
    return buffer.getvalue()


def fixed(value: Any, digits: int = 2, sign: bool = False) -> str:
    """Return a number with a fixed count of decimals; nothing becomes a dash."""
    if value is None:
        return '\u2013'
    return f'{value:{"+" if sign else ""}.{digits}f}'.replace('-', '\u2212')


def _write_csv(node: InsSpectrumData, folder: Path, index: int) -> str:
    """Write a spectrum with all its rows and return the name of the file."""
    name = f'spectrum_pressure_{index}.csv'
    (folder / name).write_text(node.to_csv())
    return name


def _distinct(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return the first row of each value of a key."""
    return list({row[key]: row for row in reversed(rows)}.values())[::-1]
