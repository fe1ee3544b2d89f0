"""How the figures look: one set of fonts, lines and colours that colour-blind readers can tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008).
BLACK = '#000000'
ORANGE = '#E69F00'
SKY = '#56B4E9'
GREEN = '#009E73'
YELLOW = '#F0E442'
BLUE = '#0072B2'
VERMILLION = '#D55E00'
PURPLE = '#CC79A7'
GREY = '#8A8F98'

CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)

ELEMENTS = {'H': BLUE, 'O': VERMILLION, 'C': BLACK, 'N': PURPLE, 'Mg': GREEN, 'S': ORANGE, 'I': SKY}

RC = {
    'font.family': 'sans-serif',
    'font.sans-serif': ['DejaVu Sans'],
    'font.size': 9,
    'axes.titlesize': 10,
    'axes.titlelocation': 'left',
    'axes.titleweight': 'bold',
    'axes.labelsize': 9,
    'axes.linewidth': 0.8,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'xtick.direction': 'out',
    'ytick.direction': 'out',
    'legend.frameon': False,
    'legend.fontsize': 8.5,
    'lines.linewidth': 1.4,
    'figure.constrained_layout.use': True,
    'mathtext.default': 'regular',
    'svg.fonttype': 'none',
}

PER_CM = 'cm$^{-1}$'


@contextmanager
def canvas(
    width: float, height: float, rows: int = 1, columns: int = 1, **kwargs: object
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Yield a figure (inches) and its axes, row by row, in our style and free of global state."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
        yield figure, list(np.ravel(axes))


def pressure_colours(count: int) -> list[str]:
    """Return one colour for each of ``count`` pressures, from low to high."""
    if count <= 2:
        return [BLUE, VERMILLION][:count]
    ramp = mpl.colormaps['viridis'](np.linspace(0.0, 0.85, count))
    return [mpl.colors.to_hex(colour) for colour in ramp]


def element_colours(elements: list[str]) -> dict[str, str]:
    """Return a colour for each element, the same one in every figure."""
    spare = [colour for colour in CYCLE if colour not in {ELEMENTS.get(e) for e in elements}]
    colours: dict[str, str] = {}
    for element in elements:
        colours[element] = ELEMENTS.get(element) or (spare.pop(0) if spare else GREY)
    return colours


def gpa(pressure: float) -> str:
    """Return a pressure as a label, such as ``1.5 GPa``."""
    return f'{pressure:g} GPa'
