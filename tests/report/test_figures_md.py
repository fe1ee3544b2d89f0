"""The figure shows the numbers it is given, and becomes a node."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from moving import series

from aiida_mlip_ins.report.figures_md import stability
from aiida_mlip_ins.report.md import draw_stability


def labels(axes) -> set[str]:
    return {line.get_label() for line in axes.lines}


def test_all_panels():
    figure = stability(series(), '300 K', 300.0)
    assert [a.get_title(loc='left') for a in figure.axes] == [
        'Temperature', 'Energy', 'Volume', 'Distance from the sites (rms)', 'Pairs', 'Vibrations',
    ]  # fmt: skip
    assert {'potential', 'conserved'} <= labels(figure.axes[1])
    assert {'H', 'O'} == labels(figure.axes[3])
    average = figure.axes[0].lines[1].get_ydata()
    assert len(average) == 92
    assert average.max() < 320


def test_a_run_that_left_one_frame():
    one = {
        name: values[:1]
        for name, values in series(np.nan).items()
        if name[:3] not in ('rdf', 'dos')
    }
    figure = stability(one, 'short', 300.0)
    assert labels(figure.axes[1]) == {'potential'}


@pytest.mark.usefixtures('aiida_profile')
def test_as_a_node():
    analysis = orm.ArrayData()
    for name, values in series().items():
        analysis.set_array(name, values)
    run = {'temperature_asked_k': 300.0, 'pressure_asked_gpa': 1.5, 'verdict': 'stable'}
    made = draw_stability(analysis, orm.Dict({'runs': {'a': run}}), orm.Str('a'))
    assert made.filename == 'a.png'
    assert made.get_content(mode='rb').startswith(b'\x89PNG')
