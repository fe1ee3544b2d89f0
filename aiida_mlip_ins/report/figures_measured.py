"""Figure of a measured spectrum with the simulation that describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiida_mlip_ins.report.style import BLACK, BLUE, GREY, PER_CM, VERMILLION, canvas
from aiida_mlip_ins.science.agreement import Overlay

LABELLED = 40
"""Peaks beyond this number are no longer joined by lines: they would hide the spectra."""


def agreement(
    rows: Sequence[Mapping[str, Any]],
    overlays: Sequence[Overlay],
    title: str,
    names: tuple[str, str] = ('measured', 'simulated'),
    ylabel: str = 'intensity (arbitrary)',
    colour: str = VERMILLION,
) -> Figure:
    """Return for each window the overlay with the fitted background, and the residual below it.

    Where the rows have them, the moves that align the energies stand below the residual. Measured
    peaks without a simulated one are marked above the curves, simulated ones without a measured one
    below.

    :param rows: metrics of each window, as ``agreement.compare`` returns them; without peaks where
        two differences were compared.
    :param overlays: its curves.
    :param names: what the two are called.
    :param colour: of the second.
    """
    count = len(overlays)
    moves = any(row.get('alignment') for row in rows)
    heights = (6, 2, 2) if moves else (6, 2)
    with canvas(
        7.2,
        0.8 + 0.45 * sum(heights) * count,
        rows=len(heights) * count,
        gridspec_kw={'height_ratios': heights * count},
    ) as (figure, axes):
        for index, (row, overlay) in enumerate(zip(rows, overlays, strict=True)):
            top, *below = axes[len(heights) * index : len(heights) * (index + 1)]
            _overlay(top, row, overlay, names, colour)
            top.set_ylabel(ylabel)
            _residual(below[0], overlay)
            if moves:
                _moves(below[1], row.get('alignment'), colour)
            for axis in below:
                axis.sharex(top)
            for axis in (top, *below[:-1]):
                axis.tick_params(labelbottom=False)
        handles = {
            label: handle
            for axis in axes[:: len(heights)]
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc='outside lower center', ncols=3)
        axes[-1].set_xlabel(f'energy transfer ({PER_CM})')
        figure.suptitle(title, fontsize=10, fontweight='bold', x=0.01, ha='left')
    return figure


def _overlay(
    axis: Axes, row: Mapping[str, Any], overlay: Overlay, names: tuple[str, str], colour: str
) -> None:
    """Draw both spectra, the background and the peaks without a partner."""
    centres = (overlay.edges[1:] + overlay.edges[:-1]) / 2
    measured, model, background = (
        np.where(overlay.mask, np.nan, values)
        for values in (overlay.measured, overlay.model, overlay.background)
    )
    axis.plot(centres, measured, color=BLACK, lw=1.0, label=names[0])
    axis.plot(centres, model, color=colour, lw=1.1, label=f'{names[1]}, scaled')
    if overlay.background.any():
        axis.plot(centres, background, color=GREY, lw=1.0, ls='--', label='background')
    low = float(np.nanmin([np.nanmin(measured), np.nanmin(model), np.nanmin(background)]))
    high = float(np.nanmax([np.nanmax(measured), np.nanmax(model)]))
    span = (high - low) or 1.0
    if 'peaks' in row:
        _peaks(axis, row['peaks'], low, high, colour)
    axis.set(
        xlim=(overlay.edges[0], overlay.edges[-1]),
        ylim=(low - 0.12 * span, high + 0.12 * span),
    )
    axis.set_title(_words(row), fontsize=8.5, fontweight='normal')


def _peaks(axis: Axes, peaks: Mapping[str, Any], low: float, high: float, other: str) -> None:
    """Mark matched peaks, and those without a partner, beyond curves from ``low`` to ``high``."""
    span = (high - low) or 1.0
    for kind, height, marker, colour in (
        ('missing', 1.06, 'v', BLACK),
        ('extra', -0.06, '^', other),
    ):
        places = [peak['position'] for peak in peaks[kind]]
        label = f'{kind} peak' if places else None
        axis.plot(
            places, np.full(len(places), low + height * span), marker, ms=4.5, color=colour,
            mfc='none', label=label,
        )  # fmt: skip
    pairs = peaks['matched']
    if len(pairs) <= LABELLED:
        for pair in pairs:
            ends = [pair['reference']['position'], pair['other']['position']]
            axis.plot(
                ends, [high + 0.06 * span] * 2, color=BLUE, lw=1.6, solid_capstyle='butt',
                label='matched peak with its shift',
            )  # fmt: skip
            axis.plot(ends[:1], [high + 0.06 * span], '|', color=BLUE, ms=6)


def _residual(axis: Axes, overlay: Overlay) -> None:
    """Draw measured less described, over the band of the errors."""
    centres = (overlay.edges[1:] + overlay.edges[:-1]) / 2
    difference = np.where(overlay.mask, np.nan, overlay.measured - overlay.model)
    if overlay.errors is not None:
        axis.fill_between(
            centres, -overlay.errors, overlay.errors, color=GREY, alpha=0.35, lw=0, step='mid'
        )
    axis.axhline(0, color=GREY, lw=0.7)
    axis.plot(centres, difference, color=BLUE, lw=0.9)
    axis.set_ylabel('residual')


def _moves(axis: Axes, alignment: Mapping[str, Any] | None, colour: str) -> None:
    """Draw by how much energies have to move for the best fit."""
    axis.axhline(0, color=GREY, lw=0.7)
    if alignment:
        axis.plot(alignment['energy_per_cm'], alignment['move_per_cm'], color=colour, lw=1.1)
    axis.set_ylabel(f'aligning\nmove ({PER_CM})')


def _words(row: Mapping[str, Any]) -> str:
    """Return the metrics of a window in one line."""
    low, high = row['window_per_cm']
    parts = [f'{low:g}\u2013{high:g} {PER_CM}']
    for key, name, form, unit in (
        ('r_squared', '$R^2$ =', '.3f', ''),
        ('r_squared_aligned', 'energies aligned', '.3f', ''),
        ('wasserstein_per_cm', '$W_1$ =', '.1f', f' {PER_CM}'),
        ('similarity', 'similarity', '.3f', ''),
        ('correlation', 'correlation', '.3f', ''),
        ('same_sign_share', 'same sign', '.0%', ''),
        ('reduced_chi_square', '$\\chi^2_\\nu$ =', '.3g', ''),
    ):
        if row.get(key) is not None:
            parts.append(f'{name} {row[key]:{form}}{unit}')
    return ',  '.join(parts)
