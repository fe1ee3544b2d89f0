"""Figure of the frequencies at the zone centre against pressure, as they were followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aiida_mlip_ins.report.style import BLACK, BLUE, PER_CM, VERMILLION, canvas

MAX_PANELS = 3
EMPTY_SHARE = 0.25
"""A stretch without modes longer than this share of the axis is left out."""
LINE_HEIGHT = 10.0
"""Points between two labels."""
ROOM = 1.15
"""Height of a panel over that of its labels, at least."""


@dataclass(frozen=True)
class Line:
    """One mode at each pressure; frequencies in 1/cm, ``None`` where they are unknown."""

    label: str
    mace: Sequence[float | None]
    dft: Sequence[float | None] = ()
    experiment: Sequence[float | None] = ()
    anomalous: bool = False
    """Whether it goes down while most go up."""
    doubtful: Sequence[bool | None] = field(default_factory=tuple)
    """Per pressure whether it could not be followed for sure."""


def mode_lines(lines: Sequence[Line], pressures: Sequence[float]) -> Figure:
    """Return frequency against pressure, in panels that leave out where there are no modes.

    :param pressures: GPa, in the order of the lines' lists.
    """
    order = list(np.argsort(pressures))
    x = np.asarray(pressures, dtype=float)[order]
    windows = panels([v for line in lines for v in _known(line)])[::-1]
    # A panel is as high as its lines are many, but no less than a third of the highest one.
    counts = [len(_inside(lines, window)) for window in windows]
    ratios = [max(count, max(counts) / 3) for count in counts]
    labels = ROOM * LINE_HEIGHT / 72 * sum(ratios)
    with canvas(
        7.2, max(3.2 + 1.5 * len(windows), 1.6 + labels), rows=len(windows), sharex=True,
        gridspec_kw={'height_ratios': ratios},
    ) as (figure, axes):  # fmt: skip
        for axis, window in zip(axes, windows, strict=True):
            axis.set_ylim(window)
            inside = _inside(lines, window)
            for line in inside:
                _draw(axis, line, x, order)
            axis.set_xlim(x[0] - 0.04 * np.ptp(x), x[-1] + 0.04 * np.ptp(x))
            figure.draw_without_rendering()
            _labels(axis, inside, x, order)
            axis.grid(axis='y', lw=0.3, alpha=0.5)
        axes[0].set_title('Modes at the zone centre, followed through the pressures')
        axes[-1].set_xlabel('pressure (GPa)')
        figure.supylabel(f'frequency ({PER_CM})', fontsize=9)
        figure.legend(handles=_handles(lines), loc='outside lower center', ncols=4)
    return figure


def panels(values: Sequence[float]) -> list[tuple[float, float]]:
    """Return windows (low, high; 1/cm), ascending, that hold all values and leave out wide gaps."""
    parts = [np.sort(np.asarray(values, dtype=float))]
    while len(parts) < MAX_PANELS:
        # Gaps count by the part that they lie in: what remains of it is drawn larger without them.
        shares = [
            (float(np.diff(part).max() / np.ptp(part)) if np.ptp(part) > 0 else 0.0)
            for part in parts
        ]
        chosen = int(np.argmax(np.multiply(shares, [np.ptp(part) for part in parts])))
        if shares[chosen] <= EMPTY_SHARE:
            break
        part = parts.pop(chosen)
        place = int(np.argmax(np.diff(part))) + 1
        parts[chosen:chosen] = [part[:place], part[place:]]
    found = []
    for part in parts:
        margin = max(0.08 * float(np.ptp(part)), 5.0)
        found.append((float(part[0]) - margin, float(part[-1]) + margin))
    return found


def _inside(lines: Sequence[Line], window: tuple[float, float]) -> list[Line]:
    """Return the lines that touch a window."""
    return [line for line in lines if any(window[0] <= v <= window[1] for v in _known(line))]


def _known(line: Line) -> list[float]:
    """Return all frequencies of a line."""
    return [v for values in (line.mace, line.dft, line.experiment) for v in values if v is not None]


def _draw(axis: Axes, line: Line, x: np.ndarray, order: list[int]) -> None:
    """Draw one mode with all methods; places that are not sure are hollow."""
    colour = VERMILLION if line.anomalous else BLUE
    y = _ordered(line.mace, order)
    known = np.isfinite(y)
    axis.plot(x[known], y[known], color=colour, lw=1.3)
    doubtful = np.array([bool(line.doubtful and line.doubtful[i]) for i in order])
    for chosen, face in ((known & ~doubtful, colour), (known & doubtful, 'white')):
        axis.plot(x[chosen], y[chosen], 'o', ms=4.5, color=colour, mfc=face)
    dashed = {'marker': 's', 'mfc': 'none', 'mec': colour, 'mew': 0.8, 'ls': '--'}
    crosses = {'marker': '+', 'mec': BLACK, 'ls': ''}
    for values, style in ((line.dft, dashed), (line.experiment, crosses)):
        if values:
            y = _ordered(values, order)
            known = np.isfinite(y)
            axis.plot(x[known], y[known], color=colour, lw=0.8, ms=5.5, **style)


def _labels(axis: Axes, lines: Sequence[Line], x: np.ndarray, order: list[int]) -> None:
    """Name the lines at their right ends, apart from each other."""
    ends = []
    for line in lines:
        y = _ordered(line.mace, order)
        if np.isfinite(y).any():
            last = int(np.flatnonzero(np.isfinite(y))[-1])
            ends.append((float(axis.transData.transform((x[-1], y[last]))[1]), line))
    ends.sort(key=lambda pair: pair[0])
    points = 72.0 / axis.figure.dpi
    heights = [place * points for place, _ in ends]
    frame = axis.get_window_extent()
    places = _apart(heights, frame.y0 * points, frame.y1 * points)
    for place, height, (pixels, line) in zip(places, heights, ends, strict=True):
        value = axis.transData.inverted().transform((0.0, pixels))[1]
        axis.annotate(
            line.label, (1.0, value), xycoords=('axes fraction', 'data'),
            xytext=(4, place - height), textcoords='offset points', fontsize=7.5, va='center',
            color=VERMILLION if line.anomalous else '0.2', annotation_clip=False,
        )  # fmt: skip


def _apart(heights: Sequence[float], low: float, high: float) -> list[float]:
    """Return ascending heights (points) moved so that labels do not lie over one another.

    Labels that would touch form a block around the mean of their heights, and a block that would
    leave the panel, from ``low`` to ``high``, is moved into it.
    """
    blocks: list[list[float]] = []
    for height in heights:
        blocks.append([height, 1])
        while len(blocks) > 1 and (
            blocks[-1][0] - blocks[-2][0] < LINE_HEIGHT * (blocks[-1][1] + blocks[-2][1]) / 2
        ):
            centre, count = blocks.pop()
            below, fewer = blocks.pop()
            blocks.append([(centre * count + below * fewer) / (count + fewer), count + fewer])
    places = [
        centre + LINE_HEIGHT * (i - (count - 1) / 2)
        for centre, count in blocks
        for i in range(int(count))
    ]
    for i in range(len(places)):
        places[i] = max(places[i], low if i == 0 else places[i - 1] + LINE_HEIGHT)
    for i in reversed(range(len(places))):
        highest = high if i == len(places) - 1 else places[i + 1] - LINE_HEIGHT
        places[i] = min(places[i], highest)
    return places


def _ordered(values: Sequence[float | None], order: list[int]) -> np.ndarray:
    return np.array([np.nan if values[i] is None else values[i] for i in order], dtype=float)


def _handles(lines: Sequence[Line]) -> list[Line2D]:
    """Return what the legend shows: only what is there."""
    found = [Line2D([], [], color=BLUE, marker='o', ms=4.5, label='MACE')]
    if any(v is not None for line in lines for v in line.dft):
        found.append(
            Line2D([], [], color=BLUE, marker='s', mfc='none', lw=0.8, ls='--', label='DFT')
        )
    if any(v is not None for line in lines for v in line.experiment):
        found.append(Line2D([], [], color=BLACK, marker='+', ls='', label='measured'))
    if any(line.anomalous for line in lines):
        found.append(Line2D([], [], color=VERMILLION, marker='o', ms=4.5, label='goes down'))
    if any(any(line.doubtful) for line in lines):
        found.append(Line2D([], [], color=BLUE, marker='o', mfc='white', label='not sure'))
    return found
