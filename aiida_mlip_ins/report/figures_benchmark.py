"""Figure of a benchmark: crystals below one another, a column for each number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aiida_mlip_ins.report.style import CYCLE, GREY, PER_CM, VERMILLION, canvas, gpa
from aiida_mlip_ins.science.benchmark import DONE

COLUMNS = (
    ('r_squared', '$R^2$'),
    ('wasserstein_per_cm', f'$W_1$ ({PER_CM})'),
    ('min_frequency_per_cm', f'lowest mode ({PER_CM})'),
    ('volume_change_percent', 'change of volume (%)'),
    ('total_s', 'cost (s)'),
)
OF_SPECTRA = {'r_squared', 'wasserstein_per_cm'}
"""Columns with a mark for each window and reference."""
MARKERS = 'osD^v<>P'


def benchmark(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Return the figure of a table; what a model did not get to is said in its row.

    :param lines: of ``science.benchmark.lines``.
    """
    crystals = list(dict.fromkeys(line['crystal'] for line in lines))
    models = list(dict.fromkeys(line['model'] for line in lines))
    pressures = sorted({line['pressure_gpa'] for line in lines})
    windows = list(dict.fromkeys(window for line in lines if (window := _window(line))))
    columns = [(k, t) for k, t in COLUMNS if any(line.get(k) is not None for line in lines)]
    columns = columns or [COLUMNS[-1]]
    colours = {p: CYCLE[index % len(CYCLE)] for index, p in enumerate(pressures)}
    markers = {w: MARKERS[index % len(MARKERS)] for index, w in enumerate(windows)}
    height = 1.1 + len(crystals) * (0.7 + 0.34 * len(models))
    with canvas(
        2.2 + 1.9 * len(columns), height, rows=len(crystals), columns=len(columns),
        sharex='col', sharey=True,
    ) as (figure, axes):  # fmt: skip
        for row, crystal in enumerate(crystals):
            own = [line for line in lines if line['crystal'] == crystal]
            for column, (key, title) in enumerate(columns):
                axis = axes[row * len(columns) + column]
                _panel(axis, own, key, models, pressures, colours, markers)
                if row == len(crystals) - 1:
                    axis.set_xlabel(title)
            axes[row * len(columns)].set_title(crystal)
            _gaps(axes[row * len(columns)], own, models)
        for index, (key, _) in enumerate(columns):
            axis = axes[index]
            if key == 'r_squared':
                # a fit with a background cannot be worse than the background alone
                axis.set_xlim(-0.03, 1.03)
            elif key in ('wasserstein_per_cm', 'total_s'):
                largest = max((line.get(key) or 0.0 for line in lines), default=0.0)
                axis.set_xlim(0.0, 1.08 * largest or 1.0)
        handles = [
            Line2D([], [], marker='o', ls='', color=colours[p], label=gpa(p)) for p in pressures
        ]
        handles += [
            Line2D([], [], marker=markers[w], ls='', color=GREY, mfc='none', label=_words(w))
            for w in windows
        ]
        figure.legend(handles=handles, loc='outside lower center', ncols=4)
    return figure


def _window(line: Mapping[str, Any]) -> tuple[str, float, float] | None:
    """Return reference and window (1/cm) of a line, if it has them."""
    if line.get('reference') is None:
        return None
    return line['reference'], line['low_per_cm'], line['high_per_cm']


def _words(window: tuple[str, float, float]) -> str:
    return f'{window[0]}, {window[1]:g}\u2013{window[2]:g} {PER_CM}'


def _panel(
    axis: Axes, lines: Sequence[Mapping[str, Any]], key: str, models: list[str],
    pressures: list[float], colours: Mapping[float, str],
    markers: Mapping[tuple[str, float, float], str],
) -> None:  # fmt: skip
    """Draw one number of all models; pressures lie a little above one another, windows closer."""
    places, shifts = _spread(pressures, 0.18), _spread(list(markers), 0.05)
    for line in lines:
        value = line.get(key)
        if value is None:
            continue
        window = _window(line) if key in OF_SPECTRA else None
        colour = colours[line['pressure_gpa']]
        imaginary = key == 'min_frequency_per_cm' and line['imaginary']
        place = models.index(line['model']) + places[line['pressure_gpa']]
        axis.plot(
            value, place + (shifts[window] if window else 0.0), markers[window] if window else 'o',
            ms=5.0, color=colour, mew=1.2,
            mfc='none' if window or imaginary else colour,
        )  # fmt: skip
    axis.margins(x=0.1)
    if key in ('min_frequency_per_cm', 'volume_change_percent'):
        axis.axvline(0.0, color=GREY, lw=0.7, zorder=0)
    axis.set(yticks=range(len(models)), yticklabels=models, ylim=(len(models) - 0.5, -0.5))
    axis.grid(axis='y', color=GREY, alpha=0.25, lw=0.6)
    axis.tick_params(axis='y', length=0)


def _spread(items: Sequence[Any], reach: float) -> dict[Any, float]:
    """Return a place for each item from minus to plus ``reach``, zero for a single one."""
    places = np.linspace(-reach, reach, len(items)) if len(items) > 1 else [0.0] * len(items)
    return dict(zip(items, places, strict=True))


def _gaps(axis: Axes, lines: Sequence[Mapping[str, Any]], models: list[str]) -> None:
    """Write into the first panel how far the models got that have no spectrum."""
    for place, model in enumerate(models):
        found = {
            line['pressure_gpa']: line['status']
            for line in lines
            if line['model'] == model and line['status'] != DONE
        }
        words = list(dict.fromkeys(found.values()))
        if not found:
            continue
        if len(words) == 1:
            whole = len(found) == len({line['pressure_gpa'] for line in lines})
            where = '' if whole else ' at ' + ', '.join(gpa(p) for p in sorted(found))
            text = words[0] + where
        else:
            text = '; '.join(f'{gpa(p)}: {found[p]}' for p in sorted(found))
        axis.text(
            0.02, place + 0.32, text, fontsize=7, color=VERMILLION, va='center',
            transform=axis.get_yaxis_transform(),
        )  # fmt: skip
