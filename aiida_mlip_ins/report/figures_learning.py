"""Figure of learning curves: errors against the number of frames that were labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from aiida_mlip_ins.report.style import CYCLE, GREY, PER_CM, canvas, gpa

MARKERS = 'os^vD'


def errors_by_frames(
    rows: Sequence[Mapping[str, Any]], errors: Mapping[str, str], goal: float
) -> Figure:
    """Return the mean errors of frequencies (1/cm), a panel each, a line for a set and pressure.

    :param rows: points with ``set``, ``n_frames``, ``pressure_gpa`` and the errors, ``None`` where
        there is none.
    :param errors: names of the errors, and what they are of.
    :param goal: 1/cm, drawn as a line.
    """
    kinds = list(dict.fromkeys(row['set'] for row in rows))
    pressures = sorted({row['pressure_gpa'] for row in rows})
    with canvas(1.6 + 3.6 * len(errors), 3.4, columns=len(errors), sharey=True) as (figure, axes):
        for axis, (key, title) in zip(axes, errors.items(), strict=True):
            for colour, kind in zip(CYCLE, kinds, strict=False):
                for place, pressure in enumerate(pressures):
                    points = sorted(
                        (row['n_frames'], row[key])
                        for row in rows
                        if (row['set'], row['pressure_gpa']) == (kind, pressure)
                        and row[key] is not None
                    )
                    axis.plot(
                        [frames for frames, _ in points], [error for _, error in points], ms=5,
                        marker=MARKERS[place % len(MARKERS)], ls='--' if place else '-',
                        color=colour, label=f'{kind}, {gpa(pressure)}',
                    )  # fmt: skip
            axis.axhline(goal, color=GREY, lw=0.8, ls=':', label=f'goal, {goal:g} {PER_CM}')
            axis.set(xlabel='frames', yscale='log', title=f'mean error {title}')
            axis.set_xticks(sorted({row['n_frames'] for row in rows}))
            for ticks in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
                ticks(LogFormatter(minor_thresholds=(2, 0.5), labelOnlyBase=False))
        axes[0].set_ylabel(f'frequencies against DFT ({PER_CM})')
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc='outside right center')
    return figure
