"""A committee of potentials: its mean, its spread, and what the spread says of the true error.

The spread is the sample standard deviation over the members. It is of use where it ranks the
errors (Spearman's rank correlation), and has a size once it is calibrated: multiplied with
``rms(error) / rms(spread)``, its mean square is that of the errors. With M members that differ from
each other as each does from the truth the factor is sqrt(1 + 1/M). Members that share their data
and their architecture differ less, so it comes out larger.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3

Array = NDArray[np.float64]
QUANTITIES = ('energy', 'force', 'stress')
UNITS = {'energy': 'meV/atom', 'force': 'meV/angstrom', 'stress': 'GPa'}
HELD_OUT = ('test', 'valid')
"""Splits that count as held out, the first that exists is taken."""
FEWEST = 2
"""Members without which there is no spread."""
MINIMUM = 3
"""Fewest values that a rank correlation is stated for."""


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels of some frames.

    ``energies`` (n_frames,) in eV, ``forces`` (n_atoms of all frames, 3) in eV/angstrom and
    ``stresses`` (n_frames, 6) in eV/angstrom^3; energies and stresses are NaN where there are none.
    """

    energies: Array
    forces: Array
    stresses: Array


def mean_and_spread(members: Sequence[Labels]) -> tuple[Labels, Labels]:
    """Return the mean and the sample standard deviation over the members.

    :raises ValueError: if there are fewer than two members.
    """
    if len(members) < FEWEST:
        raise ValueError(f'a spread needs at least two members, not {len(members)}')
    stacks = {
        field.name: np.array([getattr(member, field.name) for member in members])
        for field in dataclasses.fields(Labels)
    }
    mean = {name: values.mean(axis=0) for name, values in stacks.items()}
    spread = {name: values.std(axis=0, ddof=1) for name, values in stacks.items()}
    return Labels(**mean), Labels(**spread)


def sizes(labels: Labels, n_atoms: NDArray[np.int64]) -> dict[str, Array]:
    """Return one size for each energy, for the force on each atom and for each stress.

    :param labels: differences or spreads.
    :param n_atoms: (n_frames,) atoms of each frame.
    :return: ``energy`` (n_frames,) in meV/atom, ``force`` (n_atoms of all frames,) in meV/angstrom
        and ``stress`` (n_frames,) in GPa: absolute values, of forces and stresses the root mean
        square over the components.
    """
    return {
        'energy': np.abs(labels.energies) / n_atoms * 1e3,
        'force': np.sqrt(np.mean(labels.forces**2, axis=1)) * 1e3,
        'stress': np.sqrt(np.mean(labels.stresses**2, axis=1)) * GPA_PER_EV_PER_ANGSTROM3,
    }


def calibrate(error: Array, spread: Array) -> dict[str, Any]:
    """Return how the spread of a committee is related to the error of its mean.

    :param error: (n,) sizes of the errors; NaN where there is no reference.
    :param spread: (n,) sizes of the spreads.
    :return: ``n`` values that have both, ``rms_error``, ``rms_spread``, ``calibration_factor``
        (their ratio, ``None`` without a spread), ``rank_correlation`` and its ``p_value`` (``None``
        for fewer than :data:`MINIMUM` values, or if all are alike), ``share_within``: share of
        errors that are not above the calibrated spread.
    """
    known = np.isfinite(error) & np.isfinite(spread)
    error, spread = error[known], spread[known]
    result: dict[str, Any] = {
        'n': len(error),
        'rms_error': _rms(error),
        'rms_spread': _rms(spread),
        'calibration_factor': None,
        'rank_correlation': None,
        'p_value': None,
        'share_within': None,
    }
    if result['rms_spread']:
        factor = result['rms_error'] / result['rms_spread']
        result['calibration_factor'] = factor
        result['share_within'] = float(np.mean(error <= factor * spread))
    if len(error) >= MINIMUM and np.ptp(error) > 0 and np.ptp(spread) > 0:
        correlation, probability = spearmanr(error, spread)
        result['rank_correlation'] = float(correlation)
        result['p_value'] = float(probability)
    return result


def compare(
    reference: Labels, members: Sequence[Labels], n_atoms: NDArray[np.int64], splits: Sequence[str]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return how a committee does on labelled frames, and its mean, spread and errors.

    :param reference: the true labels.
    :param members: labels of each member, for the same frames.
    :param n_atoms: (n_frames,) atoms of each frame.
    :param splits: (n_frames,) the split of each frame.
    :return: per split and quantity what :func:`calibrate` says, with ``rms_error_of_members``, the
        root mean square error of the members one by one; and arrays: ``energy``, ``force`` and
        ``stress``, each with ``_error`` and ``_spread`` in the units of :data:`UNITS` (see
        :func:`sizes`), the ``mean_`` and ``spread_`` of the labels in theirs, and ``frame``: the
        frame of each atom.
    :raises ValueError: if there are fewer than two members.
    """
    mean, spread = mean_and_spread(members)
    errors = sizes(_difference(mean, reference), n_atoms)
    spreads = sizes(spread, n_atoms)
    each = [sizes(_difference(member, reference), n_atoms) for member in members]
    frame = np.repeat(np.arange(len(n_atoms)), n_atoms)
    table: dict[str, Any] = {}
    for split in sorted(set(splits)):
        chosen = np.array([name == split for name in splits])
        table[split] = {'n_frames': int(chosen.sum())}
        for name in QUANTITIES:
            rows = chosen[frame] if name == 'force' else chosen
            found = calibrate(errors[name][rows], spreads[name][rows])
            alone = np.concatenate([member[name][rows] for member in each])
            found['rms_error_of_members'] = _rms(alone[np.isfinite(alone)])
            table[split][name] = found
    arrays: dict[str, NDArray[Any]] = {'frame': frame}
    for name in QUANTITIES:
        arrays[f'{name}_error'], arrays[f'{name}_spread'] = errors[name], spreads[name]
    for kind, labels in (('mean', mean), ('spread', spread)):
        for field in dataclasses.fields(Labels):
            arrays[f'{kind}_{field.name}'] = getattr(labels, field.name)
    return table, arrays


def _difference(one: Labels, other: Labels) -> Labels:
    return Labels(
        one.energies - other.energies, one.forces - other.forces, one.stresses - other.stresses
    )


def _rms(values: Array) -> float | None:
    return float(np.sqrt(np.mean(values**2))) if len(values) else None
