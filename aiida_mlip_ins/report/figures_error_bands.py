"""Figures of error bands: spectra and their changes with the spread of a committee, and shifts.

Energies are in 1/cm, pressures in GPa.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from aiida_mlip_ins.report.style import BLUE, GREY, PER_CM, VERMILLION, canvas, gpa
from aiida_mlip_ins.science.error_bands import best_spread

TRENDS = {'blue': BLUE, 'red': VERMILLION, 'none': GREY}
WORDS = {'blue': 'goes up', 'red': 'goes down', 'none': 'within its spread'}


@dataclass(frozen=True)
class BandPanel:
    """A mean with its spread and the range of the members, (n,) each."""

    title: str
    colour: str
    energy: np.ndarray
    """1/cm."""
    mean: np.ndarray
    spread: np.ndarray
    """Calibrated, if it is."""
    lower: np.ndarray
    upper: np.ndarray


def band_panels(panels: Sequence[BandPanel], ylabel: str) -> Figure:
    """Return the bands below one another, on one axis of energy."""
    with canvas(7.2, 0.9 + 2.1 * len(panels), rows=len(panels), sharex=True) as (figure, axes):
        for axis, panel in zip(axes, panels, strict=True):
            low, high = panel.mean - panel.spread, panel.mean + panel.spread
            axis.fill_between(
                panel.energy, panel.lower, panel.upper, color=panel.colour, alpha=0.18, lw=0,
                label='range of the members',
            )  # fmt: skip
            axis.fill_between(
                panel.energy, low, high, color=panel.colour, alpha=0.4, lw=0,
                label='mean \u00b1 spread',
            )  # fmt: skip
            axis.plot(panel.energy, panel.mean, color=panel.colour, lw=1.0)
            if (panel.mean < 0).any():
                axis.axhline(0, color=GREY, lw=0.7)
            axis.set_title(panel.title)
            axis.margins(x=0)
        axes[-1].set_xlabel(f'energy transfer ({PER_CM})')
        figure.supylabel(ylabel, fontsize=9)
        axes[0].legend(loc='best')
    return figure


def member_shifts(table: Mapping[str, Any]) -> Figure | None:
    """Return the shift of each mode to the highest pressure against its frequency, with its bars.

    :param table: of ``science.member_modes.member_table``.
    :return: ``None`` if no mode has a shift there.
    """
    points = [
        (row['trend'], row['frequency_per_cm'][0], row['shift_per_cm'][-1])
        for row in table['rows']
        if row['shift_per_cm'][-1]['mean'] is not None
    ]
    pressures = table['pressures_gpa']
    if not points or len(pressures) < 2:
        return None
    with canvas(7.2, 3.6) as (figure, (axis,)):
        axis.axhline(0, color=GREY, lw=0.7)
        for trend, colour in TRENDS.items():
            own = [(start, shift) for found, start, shift in points if found == trend]
            if own:
                axis.errorbar(
                    [start['mean'] for start, _ in own],
                    [shift['mean'] for _, shift in own],
                    yerr=[best_spread(shift) for _, shift in own],
                    xerr=[best_spread(start) for start, _ in own],
                    fmt='o', ms=4, lw=0.9, capsize=2, color=colour, label=WORDS[trend],
                )  # fmt: skip
        axis.set_xlabel(f'frequency at {gpa(pressures[0])} ({PER_CM})')
        axis.set_ylabel(f'shift to {gpa(pressures[-1])} ({PER_CM})')
        axis.set_title('Shifts of the modes, with the spread of the members')
        axis.legend(loc='best')
    return figure
