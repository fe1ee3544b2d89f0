"""Error bands: what the disagreement of a committee of potentials amounts to in what is computed.

Each member relaxes the crystal, and has modes and spectra of its own. The spread is the sample
standard deviation over the members. That of a change is taken of the members' own changes: an error
that a member makes before and after is no part of it, as it would be of two spreads added up.

The spread of a committee that shares its data is smaller than its error. Where the committee has
been held against true labels, ``calibrated_spread`` is the spread times the calibration factor that
was found there, see ``committee``. That it also holds for what follows from forces or stresses is
an assumption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_mlip_ins.science.committee import FEWEST, HELD_OUT, QUANTITIES
from aiida_mlip_ins.science.ins import in_wider_bins

Curve = tuple[np.ndarray, np.ndarray]
"""Edges of bins (n + 1,), 1/cm, and the values (n,) of a density in them."""
Statistic = dict[str, Any]


@dataclass(frozen=True)
class Calibration:
    """Factors between spread and error on the labels that a committee had not seen."""

    split: str
    """Where they were found: ``test`` or ``valid``."""
    force: float | None
    """For what follows from forces: frequencies and spectra."""
    stress: float | None
    """For volumes."""


@dataclass(frozen=True)
class Band:
    """Mean and spread of the members, (n,) each on the bins between ``edges``."""

    edges: np.ndarray
    """(n + 1,), 1/cm."""
    mean: np.ndarray
    spread: np.ndarray
    lower: np.ndarray
    """The least of the members in each bin."""
    upper: np.ndarray

    @property
    def share(self) -> float | None:
        """Area of the spread as a share of that of the mean; ``None`` if there is none."""
        widths = np.diff(self.edges)
        whole = float(np.abs(self.mean) @ widths)
        return float(self.spread @ widths) / whole if whole > 0 else None


def calibration_of(summary: Mapping[str, Any]) -> Calibration:
    """Return the factors of a committee's ``summary``, those of the frames of ``test`` if it can.

    :raises ValueError: if it is no such summary, or no frame was held out.
    """
    splits = summary.get('splits')
    if not isinstance(splits, Mapping):
        raise ValueError("it has no 'splits'; the output `summary` of a committee is needed")
    split = next((name for name in HELD_OUT if name in splits), None)
    if split is None:
        raise ValueError(f'it has no frames held out ({" or ".join(HELD_OUT)})')
    missing = [name for name in QUANTITIES if name not in splits[split]]
    if missing:
        raise ValueError(f'splits.{split} has no {", ".join(missing)}')
    factors = {name: splits[split][name].get('calibration_factor') for name in QUANTITIES}
    return Calibration(split, factors['force'], factors['stress'])


def statistic(values: Sequence[float | None], factor: float | None = None) -> Statistic:
    """Return ``mean``, ``spread``, ``calibrated_spread`` and ``n_members``.

    :param values: of each member, ``None`` where there is none.
    :param factor: of the calibration.
    :return: ``None`` for what is not defined: all numbers with fewer than two members, the
        calibrated spread without a factor.
    """
    known = np.array([value for value in values if value is not None], dtype=float)
    found: Statistic = dict.fromkeys(('mean', 'spread', 'calibrated_spread'))
    found['n_members'] = len(known)
    if len(known) >= FEWEST:
        found['mean'] = float(known.mean())
        found['spread'] = float(known.std(ddof=1))
        found['calibrated_spread'] = None if factor is None else factor * found['spread']
    return found


def best_spread(found: Mapping[str, Any]) -> float | None:
    """Return the calibrated spread if there is one, else the spread."""
    calibrated: float | None = found['calibrated_spread']
    return found['spread'] if calibrated is None else calibrated


def band(members: Sequence[Curve]) -> Band:
    """Return the band of spectra.

    :param members: on one grid, or on bins of different widths over the same energies; then all are
        brought onto the widest ones.
    :raises ValueError: if there are fewer than two, or they do not cover the same energies.
    """
    edges, values = _on_common_bins(members)
    return _band(edges, values)


def difference_band(low: Sequence[Curve], high: Sequence[Curve]) -> Band:
    """Return the band of the members' own differences ``high - low``.

    :param low: of each member, see :func:`band`.
    :param high: likewise, in the same order.
    :raises ValueError: as :func:`band`.
    """
    edges, values = _on_common_bins([*low, *high])
    return _band(edges, values[len(low) :] - values[: len(low)])


def _band(edges: np.ndarray, values: np.ndarray) -> Band:
    """Return the band of values (n_members, n)."""
    if len(values) < FEWEST:
        raise ValueError(f'a spread needs at least {FEWEST} members, not {len(values)}')
    return Band(
        edges, values.mean(axis=0), values.std(axis=0, ddof=1), values.min(axis=0),
        values.max(axis=0),
    )  # fmt: skip


def _on_common_bins(members: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of the widest bins, and the values (n_members, n) in them."""
    edges = min((own for own, _ in members), key=len)
    rows = []
    for own, values in members:
        if not np.allclose(own[[0, -1]], edges[[0, -1]]):
            raise ValueError(
                f'spectra from {own[0]:g} to {own[-1]:g} and from {edges[0]:g} to {edges[-1]:g} '
                '1/cm have no band; they must cover the same energies'
            )
        same = own.shape == edges.shape and np.allclose(own, edges)
        rows.append(values if same else in_wider_bins(own, values, edges))
    return edges, np.array(rows)
