"""Figure of a run of molecular dynamics: what held, what moved, what vibrated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiida_mlip_ins.report.style import BLACK, BLUE, CYCLE, GREY, PER_CM, canvas, element_colours

MOVING_PS = 0.1
"""Length of the moving average over what fluctuates from frame to frame."""


def stability(arrays: Mapping[str, np.ndarray], title: str, temperature: float) -> Figure:
    """Return temperature, energy, volume, distance from the sites, pairs and vibrations of a run.

    :param arrays: as :func:`aiida_mlip_ins.science.stability.analyse` returns them.
    :param title: of the figure; temperature, pressure and verdict, for example.
    :param temperature: K, that was asked for.
    """
    with canvas(9.6, 4.8, 2, 3) as (figure, axes):
        figure.suptitle(title, fontsize=11)
        times = arrays['time']
        _moving(axes[0], times, arrays['temperature'])
        axes[0].axhline(temperature, color=GREY, linestyle='--', linewidth=0.8)
        axes[0].set(title='Temperature', xlabel='time / ps', ylabel='K')
        axes[1].plot(times, arrays['potential_energy'], color=BLUE, label='potential')
        if np.isfinite(arrays['conserved_energy']).all():
            axes[1].plot(times, arrays['conserved_energy'], color=BLACK, label='conserved')
        axes[1].set(title='Energy', xlabel='time / ps', ylabel='meV/atom')
        axes[1].legend()
        _moving(axes[2], times, arrays['volume'])
        axes[2].set(title='Volume', xlabel='time / ps', ylabel='Å$^3$')
        elements = sorted(n.removeprefix('rmsd_') for n in arrays if n.startswith('rmsd_'))
        colours = element_colours(elements)
        for element in elements:
            axes[3].plot(times, arrays[f'rmsd_{element}'], color=colours[element], label=element)
        axes[3].set(title='Distance from the sites (rms)', xlabel='time / ps', ylabel='Å')
        axes[3].legend()
        _pairs(axes[4], arrays)
        shown = [element for element in elements if f'dos_{element}' in arrays]
        for element in shown:
            states = arrays[f'dos_{element}']
            axes[5].plot(arrays['dos_energy'], states, color=colours[element], label=element)
        if shown:
            axes[5].set(title='Vibrations', xlabel=PER_CM, ylabel=f'states per {PER_CM}')
            axes[5].legend()
        else:  # a note of the verdict says why
            axes[5].set_axis_off()
    return figure


def _moving(axes: Axes, times: np.ndarray, values: np.ndarray) -> None:
    """Draw a series, and over it its moving average where it is long enough for one."""
    axes.plot(times, values, color=BLUE, linewidth=0.6, alpha=0.5)
    length = int(MOVING_PS / np.diff(times).mean()) if len(times) > 1 else 0
    if 1 < length < len(times):
        mean = np.convolve(values, np.full(length, 1 / length), mode='valid')
        axes.plot(np.convolve(times, np.full(length, 1 / length), mode='valid'), mean, color=BLACK)


def _pairs(axes: Axes, arrays: Mapping[str, np.ndarray]) -> None:
    """Draw the radial distributions, each cut off where it would hide the others."""
    if 'rdf_edges' in arrays:
        middle = (arrays['rdf_edges'][1:] + arrays['rdf_edges'][:-1]) / 2
        names = sorted(n for n in arrays if n.startswith('rdf_') and n != 'rdf_edges')
        for index, name in enumerate(names):
            label = name.removeprefix('rdf_').replace('_', '-')
            axes.plot(middle, arrays[name], color=CYCLE[index % len(CYCLE)], label=label)
        axes.set_ylim(0, 8)
        axes.legend(ncols=2)
    axes.set(title='Pairs', xlabel='distance / Å', ylabel='g')
