"""Figures of the potential and of the run: parity, learning curve, where the time went.

Every function takes plain numbers and returns a matplotlib ``Figure``; nothing here knows of nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aiida_mlip_ins.report.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PER_CM,
    PURPLE,
    SKY,
    VERMILLION,
    canvas,
)
from aiida_mlip_ins.science.eos import birch_murnaghan_energy
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3

PARTS = {
    'DFT': VERMILLION,
    'training': BLUE,
    'forces': GREEN,
    'spectra': PURPLE,
    'imports': ORANGE,
    'AiiDA overhead': GREY,
}


@dataclass(frozen=True)
class Parity:
    """One quantity of one split: reference and prediction, flat arrays of equal length."""

    quantity: str
    split: str
    reference: np.ndarray
    prediction: np.ndarray

    @property
    def mae(self) -> float:
        """Mean absolute error, in the unit of the quantity."""
        return float(np.mean(np.abs(self.prediction - self.reference)))


UNITS = {'energy': 'meV/atom', 'force': 'eV/Å', 'stress': 'GPa'}
SMALL = {'energy': ('meV/atom', 1.0), 'force': ('meV/Å', 1e3), 'stress': ('GPa', 1.0)}
"""Unit of the axes, and unit of the errors with the factor to it."""


def parity(series: Sequence[Parity]) -> Figure:
    """Return the parity plots of energy, force and stress, held-out over training frames."""
    quantities = [q for q in UNITS if any(s.quantity == q for s in series)]
    with canvas(2.5 * max(len(quantities), 1) + 0.3, 2.8, columns=max(len(quantities), 1)) as (
        figure,
        axes,
    ):
        for axis, quantity in zip(axes, quantities, strict=False):
            _parity_panel(axis, quantity, [s for s in series if s.quantity == quantity])
    return figure


def _parity_panel(axis: Axes, quantity: str, series: Sequence[Parity]) -> None:
    """Draw one quantity: the training frames in grey below, those held out in colour on top."""
    styles = {'train': (GREY, 7, 'o', 0.6), 'valid': (SKY, 12, 'o', 0.9)}
    unit, factor = SMALL[quantity]
    everything = np.concatenate([s.reference for s in series])
    low, high = float(everything.min()), float(everything.max())
    margin = 0.05 * (high - low or 1.0)
    axis.plot([low - margin, high + margin], [low - margin, high + margin], color='0.6', lw=0.7)
    for one in sorted(series, key=lambda s: ('train', 'valid').index(s.split)
                      if s.split in styles else 2):  # fmt: skip
        colour, size, marker, alpha = styles.get(one.split, (VERMILLION, 14, 'o', 0.9))
        axis.scatter(
            one.reference, one.prediction, s=size, c=colour, marker=marker, alpha=alpha,
            linewidths=0, label=f'{one.split}: {factor * one.mae:.3g} {unit}',
        )  # fmt: skip
    axis.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    axis.set_box_aspect(1)
    axis.set(xlabel=f'DFT ({UNITS[quantity]})', ylabel=f'MACE ({UNITS[quantity]})')
    axis.set_title('energy, mean subtracted' if quantity == 'energy' else quantity)
    axis.legend(loc='upper left', fontsize=7, handletextpad=0.1, borderaxespad=0.1)
    axis.locator_params(nbins=4)


def learning_curve(arrays: Mapping[str, np.ndarray], curves: Mapping[str, str]) -> Figure:
    """Return the errors on the validation frames against the epoch, one panel a quantity.

    A line stands where a stage ends.

    :param arrays: ``epoch`` and ``stage`` (n,), and one array (n,) for each curve.
    :param curves: name of the array -> label with its unit.
    """
    shown = {name: label for name, label in curves.items() if name in arrays}
    ends = arrays['epoch'][:-1][np.diff(arrays['stage']) > 0]
    with canvas(2.5 * max(len(shown), 1) + 0.3, 2.7, columns=max(len(shown), 1)) as (figure, axes):
        for axis, (name, label), colour in zip(
            axes, shown.items(), (BLUE, VERMILLION, GREEN), strict=False
        ):
            axis.plot(arrays['epoch'], arrays[name], color=colour, lw=1.1)
            for end in ends:
                axis.axvline(end, color='0.6', lw=0.7, ls=':')
            axis.set_yscale('log')
            axis.set(xlabel='epoch', ylabel=label)
            axis.grid(which='both', axis='y', lw=0.3, alpha=0.5)
    return figure


def cold_curve(curve: Mapping[str, Any]) -> Figure:
    """Return the energies of cells against their volumes, of DFT and of the potential.

    :param curve: of ``science.eos.compare_curves``; each method counts from its own lowest energy.
    """
    with canvas(3.8, 2.9) as (figure, (axis,)):
        x = np.array(curve['volumes'])
        along = np.linspace(x[0], x[-1], 100)
        for name, label, colour, marker in (
            ('reference', 'DFT', VERMILLION, 'o'), ('model', 'MACE', BLUE, 'x'),
        ):  # fmt: skip
            energies = np.array(curve[name])
            fit = curve.get(f'{name}_fit')
            if fit is not None:
                values = birch_murnaghan_energy(
                    along, fit['energy_ev'], fit['volume_angstrom3'],
                    fit['bulk_modulus_gpa'] / GPA_PER_EV_PER_ANGSTROM3,
                    fit['bulk_modulus_derivative'],
                )  # fmt: skip
                axis.plot(along, 1e3 * (values - energies.min()), color=colour, lw=0.9)
                label += f', B = {fit["bulk_modulus_gpa"]:.1f} GPa'
            axis.plot(x, 1e3 * (energies - energies.min()), marker, color=colour, label=label)
        axis.set(xlabel='volume (\u00c5$^3$/atom)', ylabel='energy (meV/atom)')
        axis.legend()
    return figure


ROUNDS = {
    'force (meV/Å)': {
        'force_error': 'error on new frames, before training on them',
        'valid_force_error': 'error on validation frames',
        'force_spread': 'spread on candidates',
    },
    f'frequencies ({PER_CM})': {'frequency_spread': 'spread at the worst pressure'},
}
"""Columns of the rounds of active learning that are shown, by the label of their axis."""


def rounds(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return errors and spreads against the frames that were trained on, one point a round.

    :param rows: of ``round_row``; what is ``None`` has no point.
    """
    panels = {
        label: {column: words for column, words in columns.items()
                if any(row.get(column) is not None for row in rows)}
        for label, columns in ROUNDS.items()
    }  # fmt: skip
    panels = {label: columns for label, columns in panels.items() if columns}
    with canvas(3.6 * max(len(panels), 1), 3.0, columns=max(len(panels), 1)) as (figure, axes):
        for axis, (label, columns) in zip(axes, panels.items(), strict=False):
            for (column, words), colour in zip(
                columns.items(), (VERMILLION, SKY, BLUE), strict=False
            ):
                points = [
                    (row['n_frames'], row[column]) for row in rows if row.get(column) is not None
                ]
                axis.plot(*zip(*points, strict=True), 'o-', color=colour, ms=4, label=words)
            # a line of the legend for each column, above the curves
            top = max(row.get(column) or 0.0 for row in rows for column in columns)
            axis.set_ylim(0, (1.1 + 0.1 * len(columns)) * top or 1.0)
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axis.set(xlabel='DFT frames', ylabel=label)
            axis.legend(fontsize=7, loc='upper right')
    return figure


@dataclass(frozen=True)
class Bar:
    """One stage of a run: start and end (s after the run began), jobs and whether cached."""

    name: str
    start: float
    end: float
    jobs: int
    cached: bool


def time_spent(bars: Sequence[Bar], parts: Mapping[str, float]) -> Figure:
    """Return the stages along the wall clock, and below what the seconds were spent on."""
    height = 1.9 + 0.27 * max(len(bars), 1)
    with canvas(
        7.2, height, rows=2, sharex=True,
        gridspec_kw={'height_ratios': (max(len(bars), 1) * 0.27, 0.5)},
    ) as (figure, (axis, total)):  # fmt: skip
        for row, bar in enumerate(bars):
            axis.barh(
                row, max(bar.end - bar.start, 0.0), left=bar.start, height=0.62,
                color=SKY if bar.cached else BLUE, alpha=0.55 if bar.cached else 0.9,
            )  # fmt: skip
            note = ' (cached)' if bar.cached else ''
            axis.annotate(
                f'{bar.end - bar.start:,.0f} s{note}', (bar.end, row), xytext=(3, 0),
                textcoords='offset points', fontsize=7, va='center',
            )  # fmt: skip
        axis.set_yticks(range(len(bars)), [bar.name for bar in bars])
        axis.invert_yaxis()
        axis.set_title('Where the time went')
        axis.margins(x=0.12)
        left = 0.0
        for name, seconds in parts.items():
            if seconds > 0:
                total.barh(0, seconds, left=left, color=PARTS.get(name, 'black'), height=0.6,
                           label=f'{name} {seconds:,.0f} s')  # fmt: skip
                left += seconds
        total.set_yticks([0], ['all'])
        total.set(xlabel='wall clock (s)', ylim=(-0.5, 0.5))
        total.set_xlim(left=0)
        if left:
            figure.legend(*total.get_legend_handles_labels(), loc='outside lower center', ncols=6,
                          fontsize=7.5, handlelength=1.0, columnspacing=1.2)  # fmt: skip
    return figure
