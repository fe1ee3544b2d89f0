"""Figures of molecular dynamics as nodes."""

from __future__ import annotations

import io

from aiida import orm
from aiida.engine import calcfunction

from aiida_mlip_ins.report.figures_md import stability
from aiida_mlip_ins.report.page import to_png


@calcfunction
def draw_stability(analysis: orm.ArrayData, verdict: orm.Dict, key: orm.Str) -> orm.SinglefileData:
    """Return the figure (PNG) of one run of a stability test.

    :param analysis: of the run, an output of ``MdStabilityWorkChain``.
    :param verdict: on all its runs.
    :param key: of the run, such as ``pressure_0_temperature_0``.
    """
    run = verdict['runs'][key.value]
    temperature = run['temperature_asked_k']
    title = f'{temperature:g} K, {run["pressure_asked_gpa"]:g} GPa: {run["verdict"]}'
    arrays = {name: analysis.get_array(name) for name in analysis.get_arraynames()}
    figure = stability(arrays, title, temperature)
    return orm.SinglefileData(io.BytesIO(to_png(figure)), filename=f'{key.value}.png')
