"""The figure shows the numbers it is given; whether it is beautiful is for eyes."""

import numpy as np
import pytest

from aiida_mlip_ins.report.figures_measured import agreement
from aiida_mlip_ins.report.page import to_png
from aiida_mlip_ins.science.agreement import Overlay


def row(**changes) -> dict:
    peak = {'position': 50.0}
    return {
        'window_per_cm': [0.0, 100.0], 'r_squared': 0.9, 'wasserstein_per_cm': 3.0,
        'similarity': None, 'reduced_chi_square': 1.5,
        'peaks': {
            'matched': [{'reference': {'position': 20.0}, 'other': {'position': 25.0}}],
            'missing': [peak], 'extra': [],
        },
        **changes,
    }  # fmt: skip


def overlay(errors: bool) -> Overlay:
    values = np.linspace(1.0, 2.0, 100)
    mask = np.zeros(100, dtype=bool)
    mask[40:50] = True
    return Overlay(
        np.arange(101.0), values, 0.1 * values if errors else None, values - 0.25,
        np.full(100, 0.5), mask,
    )  # fmt: skip


@pytest.mark.parametrize('errors', [True, False])
def test_overlay_and_residual_of_each_window(errors):
    figure = agreement([row(), row()], [overlay(errors)] * 2, 'title')
    assert len(figure.axes) == 4
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[2].lines}
    assert lines['measured'][0] == 1.0
    assert lines['background'][-1] == 0.5
    assert np.isnan(lines['measured'][45])
    residual = figure.axes[3].lines[-1].get_ydata()
    assert residual[[0, 60]] == pytest.approx([0.25, 0.25])
    assert len(figure.axes[3].collections) == errors
    said = figure.axes[0].get_title(loc='left')
    assert '0.900' in said
    assert 'similarity' not in said
    assert to_png(figure).startswith(b'\x89PNG')


def test_peaks_without_a_partner_are_marked():
    figure = agreement([row()], [overlay(True)], 'title')
    marks = {line.get_label(): line.get_xdata() for line in figure.axes[0].lines}
    assert list(marks['missing peak']) == [50.0]
    assert 'extra peak' not in marks


def test_moves_that_align_energies_have_a_panel_where_there_are_any():
    moved = {'energy_per_cm': [0.0, 50.0, 100.0], 'move_per_cm': [0.0, 4.0, -2.0]}
    rows = [row(alignment=moved, r_squared_aligned=0.95), row(alignment=None)]
    figure = agreement(rows, [overlay(True)] * 2, 'title')
    assert len(figure.axes) == 6
    assert list(figure.axes[2].lines[-1].get_ydata()) == moved['move_per_cm']
    assert len(figure.axes[5].lines) == 1
    assert '0.950' in figure.axes[0].get_title(loc='left')
    assert figure.axes[5].get_xlabel()
