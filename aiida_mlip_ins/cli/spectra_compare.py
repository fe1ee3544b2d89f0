"""What ``compare-spectra`` does: spectra from files or nodes, metrics, picture, files."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from aiida_mlip_ins.cli.spectra_text import comparison_lines
from aiida_mlip_ins.science import agreement
from aiida_mlip_ins.science.measured import MeasuredSpectrum
from aiida_mlip_ins.science.readers import ReadSettings, read_file
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.spectrum_peaks import common_window

PREFIX = 'simulated_'


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    profile: str | None
    measured: str
    simulated: str
    windows: tuple[list[float], ...]
    background: int | None
    protocol: str | None
    overrides: Path | None
    store: bool


def carry_out(request: Request, given: Mapping[str, Any], output: Path) -> None:
    """Compare, print and write; refuse with every problem there is.

    :param given: options that say what the files do not; those of the simulation with a prefix.
    """
    from aiida_mlip_ins.cli import profile as profiles
    from aiida_mlip_ins.cli.inputs import Inputs
    from aiida_mlip_ins.cli.nodes import Refusal

    inputs = Inputs()
    own = {key: value for key, value in given.items() if not key.startswith(PREFIX)}
    theirs = {k.removeprefix(PREFIX): v for k, v in given.items() if k.startswith(PREFIX)}
    names = (request.measured, request.simulated)
    if request.store or not all(Path(name).is_file() for name in names):
        profiles.load(request.profile)
    found = [
        _spectrum(inputs, kind, name, settings, request.store)
        for kind, name, settings in zip(
            ('measured', 'simulated'), names, (own, theirs), strict=True
        )
    ]
    rows: list[dict[str, Any]] = []
    overlays: list[agreement.Overlay] = []
    settings = None
    if not inputs.problems:
        spectra = [spectrum for spectrum, _ in found if spectrum is not None]
        settings = _settings(inputs, request, spectra)
        if settings is not None:
            chosen = inputs.attempt(build, agreement.AgreementSettings, settings, 'settings')
            if chosen is not None:
                rows, overlays = inputs.attempt(agreement.compare, *spectra, chosen) or ([], [])
    if inputs.problems:
        raise Refusal.of('compared', inputs.problems)
    for line in comparison_lines(rows):
        click.echo(line)
    titles = [
        spectrum.title or Path(name).name for (spectrum, _), name in zip(found, names, strict=True)
    ]
    written = _write(output, rows, overlays, titles)
    click.echo('\n' + '\n'.join(str(path) for path in written))
    if request.store:
        _store([node for _, node in found], settings)


def _spectrum(
    inputs: Any, kind: str, name: str, settings: Mapping[str, Any], store: bool
) -> tuple[MeasuredSpectrum | None, Any]:
    """Return a spectrum and its node, if it is one."""
    if Path(name).is_file():
        if store:
            inputs.problems.append(
                f'{kind}: {name} is a file; `aiida-mlip-ins import-spectrum {name}` makes a node '
                'of it, which --store needs'
            )
        chosen = inputs.attempt(build, ReadSettings, settings, kind)
        return (inputs.attempt(read_file, Path(name), chosen) if chosen else None), None
    from aiida_mlip_ins.data.measured import as_spectrum

    node = inputs.spectrum(kind, name)
    if settings:
        inputs.problems.append(
            f'{kind}: {name} is a node, so {", ".join(settings)} cannot be declared'
        )
    return (None if node is None else inputs.attempt(as_spectrum, node)), node


def _settings(
    inputs: Any, request: Request, spectra: list[MeasuredSpectrum]
) -> dict[str, Any] | None:
    """Return the settings of the comparison: protocol, overrides, options."""
    from aiida_mlip_ins.workflows.protocols import load_protocol

    overrides = inputs.overrides(request.overrides)
    if overrides is None:
        return None
    loaded = inputs.attempt(load_protocol, 'agreement', request.protocol, overrides)
    if loaded is None:
        return None
    settings: dict[str, Any] = loaded['settings']
    windows = list(request.windows)
    if not windows:
        common = inputs.attempt(common_window, spectra)
        if common is None:
            return None
        windows = [common]
    settings['windows'] = windows
    if request.background is not None:
        settings['background_degree'] = request.background
    return settings


def _write(
    output: Path,
    rows: list[dict[str, Any]],
    overlays: list[agreement.Overlay],
    titles: list[str],
) -> list[Path]:
    """Write picture, numbers and curves; return their paths."""
    from aiida_mlip_ins.report.figures_measured import agreement as figure
    from aiida_mlip_ins.report.page import to_png
    from aiida_mlip_ins.report.spectra_files import overlay_csv

    output.mkdir(parents=True, exist_ok=True)
    picture, numbers = output / 'comparison.png', output / 'comparison.json'
    picture.write_bytes(
        to_png(figure(rows, overlays, ' against '.join(textwrap.shorten(t, 42) for t in titles)))
    )
    content = {'measured': titles[0], 'simulated': titles[1], 'windows': rows}
    numbers.write_text(json.dumps(content, indent=2) + '\n')
    paths = [picture, numbers]
    for overlay in overlays:
        path = output / f'comparison_{overlay.edges[0]:g}-{overlay.edges[-1]:g}.csv'
        path.write_text(overlay_csv(overlay))
        paths.append(path)
    return paths


def _store(nodes: list[Any], settings: dict[str, Any] | None) -> None:
    """Run the same as a calcfunction, so that the result has its provenance."""
    from aiida import orm

    from aiida_mlip_ins.calculations.functions.measured import compare_with_measurement

    made = compare_with_measurement(nodes[0], nodes[1], orm.Dict(settings))
    click.echo(f'metrics <{made["metrics"].pk}>, overlay <{made["overlay"].pk}>')
