"""Figures show the numbers they are given; whether they are beautiful is for eyes."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from aiida_mlip_ins.report import figures, figures_model
from aiida_mlip_ins.report.page import to_png
from aiida_mlip_ins.report.style import BLUE, VERMILLION, element_colours, pressure_colours

ENERGY = np.arange(0.5, 4000.0, 5.0)


def curve(pressure: float, height: float = 1.0) -> figures.Curve:
    intensity = height * np.exp(-(((ENERGY - 300.0 - 10 * pressure) / 20.0) ** 2))
    return figures.Curve(
        pressure, ENERGY, intensity, 'barn', {'H': 0.9 * intensity, 'O': 0.1 * intensity},
        {1: intensity}, {'MACE': np.array([300.0, 5000.0]), 'DFT': np.array([290.0])},
    )  # fmt: skip


@pytest.mark.parametrize('count', [1, 2, 5])
def test_spectra_have_a_line_a_pressure_and_units(count):
    curves = [curve(0.5 * index) for index in range(count)]
    figure = figures.spectra(curves, (0.0, 1200.0), 'title')
    axis = figure.axes[0]
    lines = [line for line in axis.lines if len(line.get_xdata()) == len(ENERGY)]
    assert len(lines) == count
    np.testing.assert_array_equal(lines[-1].get_ydata(), curves[-1].intensity)
    assert 'cm' in axis.get_xlabel()
    assert 'barn' in axis.get_ylabel()
    assert min(axis.get_yticks()) >= 0.0
    assert to_png(figure).startswith(b'\x89PNG')


def test_the_window_decides_the_height():
    tall = curve(0.0, height=100.0)
    figure = figures.spectra([tall], (1000.0, 1200.0), 'title')
    assert figure.axes[0].get_ylim()[1] < 2.0


def test_parts_sum_to_the_spectrum():
    one = curve(0.0)
    figure = figures.spectra_by_part([one], (0.0, 1200.0))
    areas = figure.axes[0].collections
    top = max(path.vertices[:, 1].max() for area in areas for path in area.get_paths())
    assert top == pytest.approx(one.intensity.max())


def test_shifts_point_their_way():
    shifts = [
        figures.Shift('a', 300.0, 5.0, 4.0),
        figures.Shift('b', 3800.0, -6.0, None),
        figures.Shift('c', 500.0, 0.0, 1.0),
    ]
    figure = figures.mode_shifts(shifts, 0.0, 1.5)
    bars = figure.axes[0].patches
    assert [bar.get_x() + bar.get_width() for bar in bars] == [5.0, 4.0, -6.0, 0.0, 1.0]
    assert {bar.get_x() for bar in bars} == {0.0}
    colours = [to_hex(bar.get_facecolor()).upper() for bar in bars]
    assert colours == [BLUE, BLUE, VERMILLION, BLUE, BLUE]
    assert to_png(figure)


def test_gamma_figure_states_the_mean():
    dft = np.array([300.0, 500.0])
    figure = figures.gamma_frequencies({0.0: (dft + 4.0, dft)}, tolerance=10.0)
    legend = figure.axes[0].get_legend().get_texts()[0].get_text()
    assert '4.0' in legend


@pytest.mark.parametrize('dft', [{}, {0.0: 40.0}, {0.0: 40.0, 1.5: 39.0}])
def test_volumes_without_dft_or_with_one_pressure(dft):
    fit = (np.linspace(0, 2, 5), np.linspace(40, 38, 5))
    assert to_png(figures.volumes({0.0: 40.1, 1.5: 39.1}, dft, fit, 0.01))


def test_parity_states_errors_in_small_units():
    reference = np.array([0.0, 1.0, 2.0])
    one = figures_model.Parity('force', 'test', reference, reference + 0.01)
    assert one.mae == pytest.approx(0.01)
    figure = figures_model.parity([one])
    assert '10 meV' in figure.axes[0].get_legend().get_texts()[0].get_text()


def test_learning_curve_leaves_out_what_it_does_not_have():
    stages = np.array([1, 1, 2, 2, 3])
    arrays = {'epoch': np.arange(5), 'stage': stages, 'force_mae': np.linspace(50, 10, 5)}
    names = {'force_mae': 'force (meV)', 'stress_mae': 'stress (GPa)'}
    (axis,) = figures_model.learning_curve(arrays, names).axes
    assert [line.get_xdata()[0] for line in axis.get_lines()[1:]] == [1, 3]


def test_time_bars_have_their_lengths():
    bars = [
        figures_model.Bar('a', 0.0, 10.0, 1, False),
        figures_model.Bar('b', 10.0, 12.0, 1, True),
    ]
    figure = figures_model.time_spent(bars, {'DFT': 8.0, 'AiiDA overhead': 4.0})
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert widths == [10.0, 2.0]
    assert sum(patch.get_width() for patch in figure.axes[1].patches) == 12.0
    assert to_png(figure)


def test_colours_are_distinct():
    assert len(set(pressure_colours(6))) == 6
    elements = ['H', 'O', 'Mg', 'Fe', 'Zn']
    assert len(set(element_colours(elements).values())) == 5


def test_rounds_have_a_point_for_each_number_that_is_known():
    rows = [
        {'n_frames': 10, 'force_error': 30.0, 'force_spread': 20.0, 'frequency_spread': None},
        {'n_frames': 16, 'force_error': None, 'force_spread': 10.0, 'frequency_spread': None},
    ]
    figure = figures_model.rounds(rows)
    (axis,) = figure.axes
    error, spread = axis.lines
    assert error.get_xydata().tolist() == [[10.0, 30.0]]
    assert spread.get_xydata().tolist() == [[10.0, 20.0], [16.0, 10.0]]
    assert 'before training' in error.get_label()
    rows[1]['frequency_spread'] = 2.0
    assert len(figures_model.rounds(rows).axes) == 2
    assert to_png(figure).startswith(b'\x89PNG')
