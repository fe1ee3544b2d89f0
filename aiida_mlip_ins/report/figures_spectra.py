"""Figures of sets of spectra: all roles over the reference, what pressure changes, shifts of peaks.

Energies are in 1/cm, pressures in GPa.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiida_mlip_ins.report.style import BLACK, BLUE, CYCLE, GREY, PER_CM, canvas, gpa

MARKERS = ('o', '^', 's', 'D', 'v', 'P')


@dataclass(frozen=True)
class Trace:
    """One curve: ``energy`` (n, 1/cm) and ``values`` (n), NaN where it is not used."""

    name: str
    energy: np.ndarray
    values: np.ndarray
    errors: np.ndarray | None = None


@dataclass(frozen=True)
class Panel:
    """Curves that belong on one another."""

    title: str
    window: tuple[float, float]
    """1/cm."""
    reference: Trace | None
    others: Sequence[Trace]


def colours_of(roles: Sequence[str], reference: str) -> dict[str, str]:
    """Return a colour for each role, black for the reference, the same one in every figure."""
    others = [role for role in roles if role != reference]
    # blue last: it is that of residuals and of matched peaks
    spare = [*(colour for colour in CYCLE if colour not in (BLACK, BLUE)), BLUE]
    return {reference: BLACK} | {
        role: spare[index % len(spare)] for index, role in enumerate(others)
    }


def overview(panels: Sequence[Panel], colours: Mapping[str, str]) -> Figure:
    """Return for each panel all spectra over the reference, and below what each leaves of it."""
    count = len(panels)
    with canvas(
        7.2, 0.7 + 3.2 * count, rows=2 * count, gridspec_kw={'height_ratios': (3, 1) * count}
    ) as (figure, axes):
        for index, panel in enumerate(panels):
            top, rest = axes[2 * index], axes[2 * index + 1]
            _curves(top, panel, colours)
            rest.axhline(0, color=GREY, lw=0.7)
            if panel.reference is not None:
                _band(rest, panel.reference, 0.0)
                for trace in panel.others:
                    difference = panel.reference.values - trace.values
                    rest.plot(trace.energy, difference, color=colours[trace.name], lw=0.8)
            rest.sharex(top)
            top.tick_params(labelbottom=False)
            top.set_title(panel.title)
            top.set_ylabel('intensity (arbitrary)')
            rest.set_ylabel('residual')
        _finish(figure, axes)
    return figure


def changes(panels: Sequence[Panel], colours: Mapping[str, str], ylabel: str) -> Figure:
    """Return for each panel the difference spectra of all roles, over the errors of the first."""
    count = len(panels)
    with canvas(7.2, 0.8 + 2.5 * count, rows=count) as (figure, axes):
        for axis, panel in zip(axes, panels, strict=True):
            axis.axhline(0, color=GREY, lw=0.7)
            if panel.reference is not None:
                _band(axis, panel.reference)
            _curves(axis, panel, colours)
            axis.set_title(panel.title)
            axis.set_ylabel(ylabel)
        _finish(figure, axes)
    return figure


def peak_shifts(table: Mapping[str, Any], colours: Mapping[str, str]) -> Figure:
    """Return the shift of each peak from its first to its last pressure against its energy.

    :param table: ``roles``, ``pressures_gpa`` and ``rows``, as ``peak_shifts.peak_shifts`` returns
        them.
    """
    pressures = table['pressures_gpa']
    with canvas(7.2, 3.4) as (figure, (axis,)):
        axis.axhline(0, color=GREY, lw=0.7)
        for number, role in enumerate(table['roles']):
            points = [
                (row['per_cm'][role][0], row['shift_per_cm'][role][-1])
                for row in table['rows']
                if row['shift_per_cm'][role][-1] is not None and row['per_cm'][role][0] is not None
            ]
            if points:
                axis.plot(
                    *zip(*points, strict=True), MARKERS[number % len(MARKERS)], ms=6, mew=1.2,
                    mfc='none', color=colours[role], label=role,
                )  # fmt: skip
        axis.set_xlabel(f'position at {gpa(pressures[0])} ({PER_CM})')
        axis.set_ylabel(f'shift to {gpa(pressures[-1])} ({PER_CM})')
        axis.set_title('Shifts of the peaks')
        axis.legend(loc='best')
    return figure


def _curves(axis: Axes, panel: Panel, colours: Mapping[str, str]) -> None:
    """Draw the reference and what belongs on it."""
    if panel.reference is not None:
        trace = panel.reference
        axis.plot(trace.energy, trace.values, color=colours[trace.name], lw=1.2, label=trace.name)
    for trace in panel.others:
        axis.plot(trace.energy, trace.values, color=colours[trace.name], lw=1.0, label=trace.name)
    axis.set_xlim(panel.window)


def _band(axis: Axes, trace: Trace, middle: float | None = None) -> None:
    """Draw one standard deviation about a curve, or about a constant."""
    if trace.errors is None:
        return
    centre = trace.values if middle is None else np.full_like(trace.values, middle)
    axis.fill_between(
        trace.energy, centre - trace.errors, centre + trace.errors, color=GREY, alpha=0.35, lw=0,
        step='mid',
    )  # fmt: skip


def _finish(figure: Figure, axes: Sequence[Axes]) -> None:
    """Name the energies, and show each name once."""
    axes[-1].set_xlabel(f'energy transfer ({PER_CM})')
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc='outside lower center', ncols=4)
