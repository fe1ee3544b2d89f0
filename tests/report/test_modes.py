"""The figure and the sentences on the modes under pressure, from brucite's modes up to 5 GPa."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from springs import mace_modes

from aiida_mlip_ins.report import content_modes
from aiida_mlip_ins.report.figures_modes import Line, _apart, mode_lines, panels
from aiida_mlip_ins.report.page import to_png
from aiida_mlip_ins.report.style import VERMILLION
from aiida_mlip_ins.science.comparison import CompareSettings
from aiida_mlip_ins.science.observed import assign_peaks
from aiida_mlip_ins.science.shift_table import anomalies, shift_table, volumes_of
from aiida_mlip_ins.workflows.protocols import load_protocol


@pytest.fixture(scope='module')
def run():
    pressures, modes = mace_modes()
    settings = CompareSettings(**load_protocol('compare')['parameters'])
    rows = shift_table(modes, [], pressures, settings)
    peaks = [[{'position': 390.0}, {'position': 1600.0}], None, None, None, None]
    rows, found = assign_peaks(rows, peaks, pressures, volumes_of(modes), settings)
    contents = {'comparison.table': {'experiment': found}}
    return SimpleNamespace(
        shifts=rows, pressures=pressures, metrics={'anomalous': anomalies(rows)},
        content=lambda name: contents[name],
    )  # fmt: skip


def test_degenerate_modes_are_one_line(run):
    lines = content_modes.lines(run)
    assert len(lines) == 8
    libration = next(line for line in lines if line.label == 'Eu OH libration')
    assert libration.anomalous
    assert libration.experiment[0] == 390.0
    assert libration.mace[-1] == pytest.approx(364.9, abs=0.1)


def test_figure_shows_the_lines(run):
    figure = mode_lines(content_modes.lines(run), run.pressures)
    assert len(figure.axes) == 3
    drawn = [line.get_ydata() for axis in figure.axes for line in axis.lines
             if line.get_color() == VERMILLION and line.get_linestyle() == '-']  # fmt: skip
    libration = next(row for row in run.shifts if row['mode'] == 7)
    assert any(np.allclose(y, libration['mace_per_cm']) for y in drawn)
    texts = [note.get_text() for axis in figure.axes for note in axis.texts]
    assert sorted(texts).count('A2u lattice') == 1
    assert to_png(figure)


def test_lines_of_any_order_with_gaps_and_one_mode():
    line = Line('x', [320.0, None, 300.0], doubtful=[True, None, False])
    figure = mode_lines([line], [5.0, 2.0, 0.0])
    first = figure.axes[0].lines[0]
    assert first.get_xdata().tolist() == [0.0, 5.0]
    assert first.get_ydata().tolist() == [300.0, 320.0]
    assert 'not sure' in [text.get_text() for text in figure.legends[0].get_texts()]


def test_panels_hold_all_modes_and_no_wide_gap():
    values = [280.0, 400.0, 520.0, 880.0, 910.0, 3620.0, 3730.0]
    found = panels(values)
    assert len(found) == 3
    assert all(sum(low < v < high for low, high in found) == 1 for v in values)
    assert panels([300.0]) == [(295.0, 305.0)]


def test_labels_keep_apart():
    places = _apart([0.0, 3.0, 4.0, 100.0], -50.0, 150.0)
    assert places[3] == 100.0
    assert np.diff(places).min() >= 10.0
    assert np.mean(places[:3]) == pytest.approx(7.0 / 3)
    # A block at either end of the panel is moved into it.
    places = _apart([0.0, 3.0, 4.0, 99.0, 100.0], 0.0, 100.0)
    assert places == pytest.approx([0.0, 10.0, 20.0, 90.0, 100.0])


def test_sentences(run):
    notes = content_modes.notes(run)
    assert len(notes) == len(set(notes)) == 4
    assert notes[0].startswith('MACE: 4 modes go down')
    assert '67 %' in notes[0]
    assert 'OH libration (H 95 %): at 3.75 GPa found by its motion' in notes[2]
    assert 'peaks without a mode (cm⁻¹): 1600' in notes[3]
    assert 'modes without a peak' in notes[3]


def test_a_line_that_is_not_sure_is_said():
    row = {
        'mode': 3, 'description': 'lattice (O 99 %)', 'mace_ambiguous': [False, True],
        'mace_overlap': [1.0, 0.52], 'mace_route': ['start', 'step'],
    }  # fmt: skip
    run = SimpleNamespace(shifts=[row], pressures=[0.0, 1.5], metrics={}, content=lambda _: {})
    assert content_modes.notes(run) == [
        'MACE, lattice (O 99 %): not sure at 1.5 GPa (overlap 0.52): there it mixes with another '
        'mode.'
    ]


def test_a_table_of_before_has_neither_slopes_nor_sentences():
    row = {
        'mode': 3, 'description': 'lattice (O 99 %)', 'mace_per_cm': [280.0, 290.0],
        'mace_ambiguous': [False, False], 'mace_overlap': [1.0, 0.99],
    }  # fmt: skip
    run = SimpleNamespace(shifts=[row], pressures=[0.0, 1.5], metrics={}, content=lambda _: {})
    assert content_modes.methods(run) == {}
    assert content_modes.notes(run) == []
    assert content_modes.lines(run)[0].label == 'lattice'
