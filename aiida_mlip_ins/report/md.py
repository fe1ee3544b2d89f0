"""Figures of molecular dynamics as nodes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction
from matplotlib.figure import Figure

from aiida_mlip_ins.report.figures_md import stability
from aiida_mlip_ins.report.page import to_png


@calcfunction
def draw_stability(analysis: orm.ArrayData, verdict: orm.Dict, key: orm.Str) -> orm.SinglefileData:
    """Return the figure (PNG) of one run of a stability test.

    :param analysis: of the run, an output of ``MdStabilityWorkChain``.
    :param verdict: on all its runs.
    :param key: of the run, such as ``pressure_0_temperature_0``.
    """
    figure = figure_of(dict(analysis.get_iterarrays()), verdict['runs'][key.value])
    return orm.SinglefileData(io.BytesIO(to_png(figure)), filename=f'{key.value}.png')


def figure_of(arrays: Mapping[str, Any], run: Mapping[str, Any]) -> Figure:
    """Return the figure of one run, given the arrays of its analysis and the verdict on it."""
    return stability(arrays, title_of(run), run['temperature_asked_k'])


def title_of(run: Mapping[str, Any]) -> str:
    """Return the conditions of a run, and the verdict on it."""
    where = f'{run["temperature_asked_k"]:g} K, {run["pressure_asked_gpa"]:g} GPa'
    return f'{where}: {run["verdict"]}'
