"""Figures of what a crystal does: spectra, modes, shifts, volumes.

Every function takes plain numbers and returns a matplotlib ``Figure``; nothing here knows of nodes.
Frequencies and energy transfers are in 1/cm, pressures in GPa, volumes in angstrom^3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aiida_mlip_ins.report.style import (
    BLUE,
    GREY,
    PER_CM,
    VERMILLION,
    canvas,
    element_colours,
    gpa,
    pressure_colours,
)


@dataclass(frozen=True)
class Curve:
    """One spectrum: ``energy`` (n, 1/cm) and ``intensity`` (n) with the parts it is made of."""

    pressure_gpa: float
    energy: np.ndarray
    intensity: np.ndarray
    units: str
    elements: Mapping[str, np.ndarray] = field(default_factory=dict)
    orders: Mapping[int, np.ndarray] = field(default_factory=dict)
    modes: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Gamma frequencies (1/cm) by method, drawn as ticks below the curve."""


@dataclass(frozen=True)
class Shift:
    """How one mode moves between two pressures (1/cm), in the model and in DFT (if known)."""

    label: str
    frequency: float
    mace: float | None
    dft: float | None


def spectra(curves: Sequence[Curve], window: tuple[float, float], title: str) -> Figure:
    """Return the spectra of all pressures over one another within ``window`` (1/cm)."""
    with canvas(7.2, 3.9) as (figure, (axis,)):
        top = max((_peak(curve.energy, curve.intensity, window) for curve in curves), default=1.0)
        for curve, colour in zip(curves, pressure_colours(len(curves)), strict=True):
            axis.plot(curve.energy, curve.intensity, color=colour, label=gpa(curve.pressure_gpa))
            axis.fill_between(curve.energy, curve.intensity, color=colour, alpha=0.10, lw=0)
        rows = _mode_ticks(axis, curves, window, top)
        axis.set(xlim=window, ylim=(-0.075 * top * rows - 0.01 * top, 1.08 * top), title=title)
        axis.set_yticks([tick for tick in axis.get_yticks() if 0 <= tick <= 1.08 * top])
        _label_spectrum(axis, curves)
        axis.legend(loc='upper right')
    return figure


def spectra_by_part(curves: Sequence[Curve], window: tuple[float, float]) -> Figure:
    """Return one panel a pressure with the share of each element and of each quantum order."""
    with canvas(7.2, 1.0 + 2.1 * len(curves), rows=len(curves), sharex=True) as (figure, axes):
        for axis, curve in zip(axes, curves, strict=True):
            colours = element_colours(list(curve.elements))
            base = np.zeros_like(curve.intensity)
            for element, part in sorted(curve.elements.items(), key=lambda pair: -pair[1].sum()):
                axis.fill_between(
                    curve.energy, base, base + part, color=colours[element], alpha=0.55, lw=0,
                    label=element,
                )  # fmt: skip
                base = base + part
            for order, style in zip(sorted(curve.orders), ('-', '--', ':'), strict=False):
                axis.plot(
                    curve.energy, curve.orders[order], color='black', ls=style, lw=0.9,
                    label=f'order {order}',
                )  # fmt: skip
            axis.set_title(gpa(curve.pressure_gpa))
            axis.set(xlim=window, ylim=(0, 1.08 * _peak(curve.energy, curve.intensity, window)))
            _label_spectrum(axis, [curve], x=axis is axes[-1])
        handles, labels = axes[0].get_legend_handles_labels()
        if handles:
            figure.legend(
                handles, labels, ncols=7, loc='outside upper right', handlelength=1.4,
                columnspacing=1.1,
            )  # fmt: skip
    return figure


def mode_shifts(shifts: Sequence[Shift], low: float, high: float) -> Figure:
    """Return a bar for each mode: blue to the right for up, red to the left for down.

    :param low: the pressure (GPa) that the shifts start from.
    :param high: the pressure (GPa) that they lead to.
    """
    with canvas(7.2, 1.3 + 0.34 * max(len(shifts), 2)) as (figure, (axis,)):
        values = [v for s in shifts for v in (s.mace, s.dft) if v is not None]
        span = 1.3 * max([abs(v) for v in values] or [1.0])
        for row, shift in enumerate(shifts):
            for value, offset, height in ((shift.mace, 0.15, 0.26), (shift.dft, -0.18, 0.12)):
                if value is not None:
                    _bar(axis, row + offset, value, height)
        axis.axvline(0, color='black', lw=0.8)
        axis.set_yticks(range(len(shifts)), [shift.label for shift in shifts])
        axis.set(xlim=(-span, span), ylim=(-0.6, len(shifts) - 0.4))
        axis.set_xlabel(f'shift of the mode from {gpa(low)} to {gpa(high)} ({PER_CM})')
        axis.set_ylabel(f'mode at {gpa(low)} ({PER_CM})')
        figure.suptitle(
            'What pressure does to each mode at the zone centre', weight='bold', size=10
        )
        axis.tick_params(axis='y', length=0)
        axis.grid(axis='x', lw=0.3, alpha=0.5)
        widths = {'MACE': 5.0}
        if any(shift.dft is not None for shift in shifts):
            widths['DFT'] = 2.3
        handles = [
            axis.plot([], [], color=GREY, lw=width, label=name)[0] for name, width in widths.items()
        ]
        figure.legend(handles=handles, loc='outside lower left', ncols=2)
    return figure


def gamma_frequencies(
    pairs: Mapping[float, tuple[np.ndarray, np.ndarray]], tolerance: float | None = None
) -> Figure:
    """Return MACE against DFT at the zone centre, with the difference below.

    :param pairs: per pressure (GPa) the matched frequencies (MACE, DFT), each (n_modes,) in 1/cm.
    :param tolerance: half width (1/cm) of the band drawn around no difference.
    """
    with canvas(5.2, 5.4, rows=2, sharex=True, gridspec_kw={'height_ratios': (2.2, 1)}) as (
        figure,
        (axis, rest),
    ):
        biggest = max((float(dft.max()) for _, dft in pairs.values() if dft.size), default=1.0)
        axis.plot([0, 1.05 * biggest], [0, 1.05 * biggest], color=GREY, lw=0.8, zorder=0)
        if tolerance:
            rest.axhspan(-tolerance, tolerance, color=GREY, alpha=0.18, lw=0)
        rest.axhline(0, color=GREY, lw=0.8)
        markers = ('o', '^', 's', 'D', 'v', 'P')
        for number, (pressure, (mace, dft)) in enumerate(sorted(pairs.items())):
            colour = pressure_colours(len(pairs))[number]
            mean = float(np.mean(np.abs(mace - dft))) if dft.size else float('nan')
            style = {
                'marker': markers[number % len(markers)], 'ls': '', 'ms': 5, 'mew': 1.1,
                'mfc': 'none', 'mec': colour,
            }  # fmt: skip
            axis.plot(dft, mace, label=f'{gpa(pressure)}: off by {mean:.1f} {PER_CM}', **style)
            rest.plot(dft, mace - dft, **style)
        axis.set_ylabel(f'MACE ({PER_CM})')
        rest.set(xlabel=f'DFT ({PER_CM})', ylabel=f'MACE - DFT ({PER_CM})')
        axis.set_title('Frequencies at the zone centre')
        axis.legend(loc='upper left')
    return figure


def volumes(
    mace: Mapping[float, float],
    dft: Mapping[float, float],
    fit: tuple[np.ndarray, np.ndarray] | None = None,
    tolerance: float | None = None,
) -> Figure:
    """Return the volume of the cell against pressure.

    :param mace: volume (angstrom^3) by pressure (GPa).
    :param dft: likewise, of DFT's own relaxation.
    :param fit: pressures (GPa) and volumes (angstrom^3) of the equation of state.
    :param tolerance: relative half width of the band around DFT, such as 0.01.
    """
    with canvas(4.6, 3.3) as (figure, (axis,)):
        pressures = np.array(sorted(dft))
        values = np.array([dft[p] for p in pressures])
        if tolerance and len(dft) > 1:
            axis.fill_between(
                pressures, values * (1 - tolerance), values * (1 + tolerance), color=GREY,
                alpha=0.18, lw=0, label=f'DFT $\\pm$ {100 * tolerance:g} %',
            )  # fmt: skip
        if dft:
            axis.plot(pressures, values, 's', mfc='none', color=VERMILLION, ms=7, label='DFT')
        if mace:
            order = sorted(mace)
            axis.plot(order, [mace[p] for p in order], 'o', color=BLUE, ms=4.5, label='MACE')
        if fit is not None:
            axis.plot(*fit, color=BLUE, lw=1, label='Birch-Murnaghan')
        axis.set(xlabel='pressure (GPa)', ylabel='volume of the cell (Å$^3$)')
        axis.yaxis.set_major_locator(MaxNLocator(6))
        axis.set_title('Volume under pressure')
        axis.legend()
    return figure


def _peak(energy: np.ndarray, intensity: np.ndarray, window: tuple[float, float]) -> float:
    """Return the largest intensity within the window, one if there is none."""
    inside = (energy >= window[0]) & (energy <= window[1])
    peak = float(np.nanmax(intensity[inside])) if inside.any() else 0.0
    return peak if peak > 0 else 1.0


def _label_spectrum(axis: Axes, curves: Sequence[Curve], x: bool = True) -> None:
    """Name both axes of a spectrum."""
    if x:
        axis.set_xlabel(f'energy transfer ({PER_CM})')
    units = curves[0].units if curves else ''
    axis.set_ylabel(f'$\\sigma$ S(Q, $\\omega$)\n({units})')


def _mode_ticks(
    axis: Axes, curves: Sequence[Curve], window: tuple[float, float], top: float
) -> int:
    """Draw the zone-centre frequencies below the spectra and return how many rows they take."""
    rows = 0
    for curve, colour in zip(curves, pressure_colours(len(curves)), strict=True):
        for method, frequencies in curve.modes.items():
            rows += 1
            inside = frequencies[(frequencies >= window[0]) & (frequencies <= window[1])]
            height = -0.075 * top * rows
            axis.vlines(
                inside, height, height + 0.045 * top, color=colour,
                lw=1.3 if method == 'MACE' else 0.7,
            )  # fmt: skip
            axis.annotate(
                f'{method} {gpa(curve.pressure_gpa)}', (1.0, height + 0.02 * top),
                xycoords=('axes fraction', 'data'), xytext=(3, 0), textcoords='offset points',
                fontsize=6.5, va='center', color=colour,
            )  # fmt: skip
    axis.axhline(0, color='black', lw=0.6)
    return rows


def _bar(axis: Axes, row: float, value: float, height: float) -> None:
    """Draw one shift as a bar from zero, of its length to the last pixel: an arrow has a head."""
    axis.barh(row, value, height, color=BLUE if value >= 0 else VERMILLION, lw=0)
    axis.annotate(
        f'{value:+.1f}', (value, row), xytext=(4 if value >= 0 else -4, 0),
        textcoords='offset points', fontsize=7, va='center',
        ha='left' if value >= 0 else 'right', color='0.25',
    )  # fmt: skip
