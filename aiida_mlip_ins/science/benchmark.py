"""The table of a benchmark: crystals by models by pressures, from what each run has left.

A row says how far a model got with a crystal at a pressure, and why no further: a crystal that does
not relax or has imaginary modes is a finding, not a failure of the benchmark.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DONE, FAILED = 'done', 'failed'
NOT_RELAXED, UNSTABLE, UNFIT = 'not relaxed', 'unstable', 'not applicable'
RUN = 'the run'
"""Key under which a cell keeps why its run failed; other keys are roles of references."""


@dataclass(frozen=True)
class Cell:
    """What there is of one crystal with one model; pressures are given by their index."""

    crystal: str
    model: str
    relaxation: Mapping[str, Any] = field(default_factory=dict)
    """``results`` of the relaxation at all pressures."""
    phonons: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """Summaries of the phonons."""
    spectra: Collection[int] = ()
    """Where there is a spectrum."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Time (s) that the engine jobs of each link of the chain took, by its label."""
    agreement: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Metrics of the comparison of spectra, by role of the reference."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """What failed and why, under :data:`RUN` or the role of a reference."""
    unfit: str | None = None
    """Why the model cannot be used on the crystal at all."""


def pressure_label(index: int) -> str:
    """Return the label of what belongs to the pressure with this index."""
    return f'pressure_{index}'


def table(
    cells: Sequence[Cell], pressures: Sequence[float], volumes: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return one row for each crystal, model and pressure.

    :param cells: one for each crystal and model.
    :param pressures: GPa.
    :param volumes: of each crystal as it was given, angstrom^3.
    :return: ``crystal``, ``model``, ``pressure_gpa``, ``status`` and ``reason``, ``relaxed``,
        ``volume_angstrom3`` and its change from the given crystal (``volume_change_percent``),
        ``spacegroup``, ``min_frequency_per_cm``, ``imaginary``, ``cost_s`` (``relaxation``, an
        equal share for each pressure, ``forces``, ``spectrum``, ``total``) and ``agreement`` (a
        mapping for each reference and window); ``None`` is what is not known.
    """
    return [
        _row(cell, index, pressure, len(pressures), volumes[cell.crystal])
        for cell in cells
        for index, pressure in enumerate(pressures)
    ]


def _row(cell: Cell, index: int, pressure: float, count: int, given: float) -> dict[str, Any]:
    relaxation = _relaxation(cell, pressure)
    phonons = cell.phonons.get(index, {})
    volume = relaxation.get('volume_angstrom3')
    status, reason = _state(cell, index, relaxation, phonons)
    return {
        'crystal': cell.crystal,
        'model': cell.model,
        'pressure_gpa': pressure,
        'status': status,
        'reason': reason,
        'relaxed': relaxation.get('converged'),
        'volume_angstrom3': volume,
        'volume_change_percent': None if volume is None else 100 * (volume / given - 1),
        'spacegroup': relaxation.get('spacegroup'),
        'min_frequency_per_cm': phonons.get('min_frequency_per_cm'),
        'imaginary': phonons.get('imaginary'),
        'cost_s': _cost(cell.seconds, index, count),
        'agreement': _agreement(cell.agreement, index),
    }


def _relaxation(cell: Cell, pressure: float) -> Mapping[str, Any]:
    """Return what the relaxation says of a pressure, nothing if it did not get there."""
    rows: Sequence[Mapping[str, Any]] = cell.relaxation.get('pressures', ())
    return next((row for row in rows if abs(row['pressure_gpa'] - pressure) < 1e-9), {})


def _state(
    cell: Cell, index: int, relaxation: Mapping[str, Any], phonons: Mapping[str, Any]
) -> tuple[str, str | None]:
    """Return how far it got, and why no further."""
    if cell.unfit is not None:
        return UNFIT, cell.unfit
    if index in cell.spectra:
        missed = [f'not compared with {r}: {why}' for r, why in cell.failures.items() if r != RUN]
        return DONE, '; '.join(missed) or None
    failure = cell.failures.get(RUN, 'there is no spectrum')
    if not relaxation:
        return FAILED, failure
    if relaxation.get('diverged'):
        return NOT_RELAXED, str(relaxation['diverged'])
    if not relaxation['converged']:
        return NOT_RELAXED, (
            f'{relaxation["max_force_ev_per_angstrom"]:.2g} eV/angstrom and '
            f'{relaxation["stress_residual_gpa"]:.2g} GPa were left after {relaxation["steps"]} '
            'steps'
        )
    if phonons.get('imaginary'):
        lowest = phonons['min_frequency_per_cm']
        return UNSTABLE, f'imaginary modes, the lowest at {lowest:.0f} 1/cm: no spectrum'
    return FAILED, failure


def _cost(seconds: Mapping[str, float], index: int, count: int) -> dict[str, float | None]:
    """Return the time (s) of the engine jobs; a relaxation at several pressures is one job."""
    label = pressure_label(index)
    relaxation = seconds.get('mace_scan')
    parts = {
        'relaxation': None if relaxation is None else relaxation / count,
        'forces': seconds.get(f'mace_phonons_{label}'),
        'spectrum': seconds.get(f'ins_{label}'),
    }
    known = [value for value in parts.values() if value is not None]
    return {**parts, 'total': sum(known) if known else None}


def _agreement(
    metrics: Mapping[str, Mapping[str, Any]], index: int
) -> list[dict[str, float | str | None]]:
    """Return the metrics of a spectrum, one mapping for each reference and window."""
    return [
        {
            'reference': role,
            'low_per_cm': window['window_per_cm'][0],
            'high_per_cm': window['window_per_cm'][1],
            **{
                name: window.get(name)
                for name in (
                    'r_squared', 'r_squared_aligned', 'wasserstein_per_cm', 'similarity',
                    'reduced_chi_square', 'scale',
                )
            },
            'peaks_found': len(window['peaks']['matched']),
            'peaks_missing': len(window['peaks']['missing']),
            'peaks_extra': len(window['peaks']['extra']),
            'peak_shift_per_cm': window['peaks']['mean_absolute_shift'],
        }
        for role, found in metrics.items()
        for pair in found['pairs']
        if pair['label'] == pressure_label(index)
        for window in pair['windows']
    ]  # fmt: skip


def lines(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the table flat: a line for each row, reference and window, costs in columns."""
    flat = []
    for row in rows:
        own = {name: value for name, value in row.items() if name not in ('cost_s', 'agreement')}
        own |= {f'{name}_s': value for name, value in row['cost_s'].items()}
        flat += [{**own, **found} for found in row['agreement'] or [{}]]
    return flat


def best_models(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return in words which model has the largest R2 against each reference."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for line in lines(rows):
        if line.get('r_squared') is not None:
            keys = ('crystal', 'pressure_gpa', 'reference', 'low_per_cm', 'high_per_cm')
            groups.setdefault(tuple(line[key] for key in keys), []).append(line)
    said = []
    for (crystal, pressure, role, low, high), group in groups.items():
        best = max(group, key=lambda line: line['r_squared'])
        distance = best['wasserstein_per_cm']
        words = '' if distance is None else f', W1 {distance:.1f} 1/cm'
        said.append(
            f'{crystal} at {pressure:g} GPa against {role}, {low:g}-{high:g} 1/cm: {best["model"]}'
            f'{f" is best of {len(group)}" if len(group) > 1 else ""} with R2 '
            f'{best["r_squared"]:.3f}{words}'
        )
    return said
