"""The report of a run: one self-contained HTML page, its figures, its numbers and its spectra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.query.provenance import pseudos_of, settings_of
from aiida_mlip_ins.query.run import Run
from aiida_mlip_ins.query.stages import History
from aiida_mlip_ins.query.summary import finite, summary
from aiida_mlip_ins.report import content, content_dataset, content_modes
from aiida_mlip_ins.report.page import encoded, fill, write_images, write_json
from aiida_mlip_ins.report.spectra_page import CLASSES, SpectraRun, write_spectra_report
from aiida_mlip_ins.report.verdicts import verdicts

TEMPLATE = 'template.html'
MEASURED = 'measured'
"""Folder of the report of the comparison with measured spectra."""


def write_report(
    node: orm.ProcessNode,
    folder: Path | str,
    measured_memory_gb: float | None = None,
    write_summary: bool = True,
) -> Path:
    """Write ``report.html``, PNG figures, ``summary.json`` and the spectra as CSV into a folder.

    What was compared with measured spectra has a page of its own in the folder ``measured`` below.
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
    images |= _write_measured(history, folder / MEASURED)
    tables = [name for point in run.points if point.spectrum is not None
              for name in [_write_csv(point.spectrum, folder, point.index)]]  # fmt: skip
    if write_summary:
        write_json(numbers, folder / 'summary.json')
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
        agreement=run.content('agreement.verdict'),
        classes=CLASSES,
        overlays=[name for name in images if name.startswith(f'{MEASURED}/')],
        measured_page=f'{MEASURED}/report.html',
        missing=content.missing(run),
        moved=content.moved(run),
        stages=history.stages,
        jobs=history.jobs,
        shifts=run.shifts,
        slope_methods=content_modes.methods(run),
        mode_notes=content_modes.notes(run),
        cures=content_modes.cures(run),
        remarks=content.remarks(run),
        over_the_zone=content_modes.over_the_zone(run),
        errors=content.error_rows(run),
        cold_curve=content.cold_curve(run),
        curvature=run.content('training.results').get('curvature', []),
        rounds=content.rounds(run),
        rounds_ended=run.content('rounds').get('ended'),
        dataset_checks=content_dataset.dataset_checks(run),
        pseudos=_distinct(pseudos_of(run.node), 'md5'),
        settings=settings_of(start_of(run)),
    )


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


def _write_measured(history: History, folder: Path) -> dict[str, str]:
    """Write the report of the comparison with measured spectra, if the run has called one.

    :return: its figures of spectra over one another, base64, by name with the folder.
    """
    compared = history.called('compare_spectra')
    if compared is None:
        return {}
    write_spectra_report(compared, folder)
    names = [f'overlay_{pair["label"]}' for pair in SpectraRun(compared).metrics.get('pairs', [])]
    return {f'{folder.name}/{n}': encoded((folder / f'{n}.png').read_bytes()) for n in names}


def _write_csv(node: InsSpectrumData, folder: Path, index: int) -> str:
    """Write a spectrum with all its rows and return the name of the file."""
    name = f'spectrum_pressure_{index}.csv'
    (folder / name).write_text(node.to_csv())
    return name


def _distinct(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return the first row of each value of a key."""
    return list({row[key]: row for row in reversed(rows)}.values())[::-1]
