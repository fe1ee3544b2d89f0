"""What a training left behind: its log as numbers, its errors per split and source.

mace_run_train writes one JSON object a line to ``results/NAME_run-SEED_train.txt``: ``mode`` is
``opt`` (one step) or ``eval`` (one validation; ``epoch`` is null for the one before any training).
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3

CURVES: dict[str, tuple[str, float]] = {
    'force_mae': ('mae_f', 1e3),
    'energy_mae': ('mae_e_per_atom', 1e3),
    'stress_mae': ('mae_stress', GPA_PER_EV_PER_ANGSTROM3),
    'frequency_mae': ('mae_frequency', 1.0),
    'loss': ('loss', 1.0),
}
"""Array of the learning curve -> (mace's name, factor to our unit)."""

CURVE_UNITS: dict[str, str] = {
    'epoch': '', 'force_mae': 'meV/angstrom', 'energy_mae': 'meV/atom', 'stress_mae': 'GPa',
    'frequency_mae': '1/cm', 'loss': '', 'loss_train': '', 'stage': '',
}  # fmt: skip
"""Units of the arrays of :func:`learning_curve`."""


def parse_log(text: str) -> list[dict[str, Any]]:
    """Return the entries of a training log; a last line that is still being written is left out.

    :raises ValueError: if any other line is not JSON.
    """
    lines = text.split('\n')
    complete, tail = lines[:-1], lines[-1]
    entries = [json.loads(line) for line in complete if line.strip()]
    with contextlib.suppress(json.JSONDecodeError):
        entries.extend([json.loads(tail)] if tail.strip() else [])
    return entries


def validations(entries: Iterable[Mapping[str, Any]], head: str) -> list[Mapping[str, Any]]:
    """Return the validations of one head in the order of the log, the initial one first."""
    return [
        entry for entry in entries if entry['mode'] == 'eval' and entry.get('head', head) == head
    ]


def first_not_finite(entries: Iterable[Mapping[str, Any]]) -> str | None:
    """Return where the log first has a loss or an error that is NaN or infinite, else ``None``."""
    for entry in entries:
        for name, value in entry.items():
            if isinstance(value, float) and not math.isfinite(value):
                epoch = entry.get('epoch')
                when = 'before the first epoch' if epoch is None else f'in epoch {epoch}'
                kind = 'training' if entry['mode'] == 'opt' else 'validation'
                return f'{name} = {value} of the {kind} {when}'
    return None


def learning_curve(
    entries: Sequence[Mapping[str, Any]],
    head: str,
    stage_two_start: int | None,
    lbfgs_start: int | None = None,
) -> dict[str, np.ndarray]:
    """Return the arrays of a training, one value per validation, in the units of `CURVE_UNITS`.

    ``epoch`` counts finished epochs, so the validation before any training is at 0. ``loss_train``
    is the mean loss over the steps since the validation before (with L-BFGS the loss at the
    beginning of the epoch), NaN at 0. ``stage`` is 1 or 2,
    whose losses are not comparable, or 3 for L-BFGS, which goes on with the loss before it.
    ``stress_mae`` is NaN where there are no stresses, and ``frequency_mae`` where no validation
    frames are whole sets of displacements.

    :raises ValueError: if there is no validation in the log.
    """
    rows: list[dict[str, float]] = []
    losses: list[float] = []
    for entry in entries:
        if entry['mode'] == 'opt':
            losses.append(float(np.mean(entry['loss'])))
        elif entry.get('head', head) == head:
            epoch = 0 if entry['epoch'] is None else entry['epoch'] + 1
            stage = 1.0
            for number, start in ((2.0, stage_two_start), (3.0, lbfgs_start)):
                if start is not None and epoch > start:
                    stage = number
            row = {
                'epoch': float(epoch),
                'stage': stage,
                'loss_train': float(np.mean(losses)) if losses else math.nan,
            }
            for name, (key, factor) in CURVES.items():
                row[name] = float(entry[key]) * factor if key in entry else math.nan
            rows.append(row)
            losses = []
    if not rows:
        raise ValueError('the training log has no validation')
    arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {
        name: values.astype(int) if name in ('epoch', 'stage') else values
        for name, values in arrays.items()
    }


def error_statistics(
    reference: Sequence[Mapping[str, Any]], predicted: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Return mean absolute and root mean square errors over the components of some frames.

    :param reference: per frame ``forces`` ((n, 3), eV/angstrom), ``energy`` (eV) and ``stress``
        ((6,), eV/angstrom^3), the last two ``None`` where there is none.
    :param predicted: the same from the model.
    :return: ``n_frames``, ``force_mae`` and ``force_rmse`` (meV/angstrom), ``energy_mae`` and
        ``energy_rmse`` (meV/atom) over the ``n_energy`` frames with an energy, ``stress_mae`` and
        ``stress_rmse`` (GPa) over the ``n_stress`` frames with a stress.
    """
    forces, energies, stresses = [], [], []
    for true, model in zip(reference, predicted, strict=True):
        forces.append((np.asarray(model['forces']) - np.asarray(true['forces'])).ravel())
        if true.get('energy') is not None:
            energies.append((model['energy'] - true['energy']) / len(true['forces']))
        if true.get('stress') is not None and model.get('stress') is not None:
            stresses.append(np.asarray(model['stress']) - np.asarray(true['stress']))
    result: dict[str, float] = {'n_frames': len(forces)}
    result.update(_mae_rmse('force', np.concatenate(forces) * 1e3))
    if energies:
        result.update(_mae_rmse('energy', np.array(energies) * 1e3))
        result['n_energy'] = len(energies)
    if stresses:
        result.update(_mae_rmse('stress', np.array(stresses) * GPA_PER_EV_PER_ANGSTROM3))
        result['n_stress'] = len(stresses)
    return result


def error_table(
    splits: Sequence[str],
    sources: Sequence[str],
    reference: Sequence[Mapping[str, Any]],
    predicted: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the errors of each split, and within it of each source of frames.

    :param splits: split of each frame.
    :param sources: source of each frame.
    :param reference: labels, see :func:`error_statistics`.
    :param predicted: the model's labels.
    :return: ``{split: {..., 'sources': {source: {...}}}}``, units as :func:`error_statistics`.
    """
    table: dict[str, Any] = {}
    for split in sorted(set(splits)):
        chosen = [index for index, name in enumerate(splits) if name == split]
        table[split] = _errors_of(chosen, reference, predicted)
        table[split]['sources'] = {
            source: _errors_of(
                [index for index in chosen if sources[index] == source], reference, predicted
            )
            for source in sorted({sources[index] for index in chosen})
        }
    return table


def fit_reference_energies(
    counts: np.ndarray, energies: np.ndarray
) -> tuple[np.ndarray, int, float]:
    """Return energies per element that reproduce total energies in the least squares sense.

    Where compositions leave them undetermined (one stoichiometry alone has rank 1), the solution
    of smallest norm is taken: it gives the right total energies of these compositions, and its
    elements mean nothing one by one.

    :param counts: (n_frames, n_elements) number of atoms of each element.
    :param energies: (n_frames,) total energies in eV.
    :return: (n_elements,) energies in eV, the rank, and the root mean square residual in eV/atom.
    """
    solution, _, rank, _ = np.linalg.lstsq(counts, energies, rcond=None)
    residual = (counts @ solution - energies) / counts.sum(axis=1)
    return solution, int(rank), float(np.sqrt(np.mean(residual**2)))


def _errors_of(
    chosen: Sequence[int],
    reference: Sequence[Mapping[str, Any]],
    predicted: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    return dict(error_statistics([reference[i] for i in chosen], [predicted[i] for i in chosen]))


def _mae_rmse(name: str, errors: np.ndarray) -> dict[str, float]:
    return {
        f'{name}_mae': float(np.mean(np.abs(errors))),
        f'{name}_rmse': float(np.sqrt(np.mean(errors**2))),
    }
