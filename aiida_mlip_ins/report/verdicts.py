"""Targets and whether a run meets them, with the number next to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from aiida_mlip_ins.science.zone import describe

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One target: ``passed`` is ``None`` where the run does not have the (final) number."""

    name: str
    label: str
    value: float | None
    unit: str
    limit: str
    passed: bool | None
    detail: str = ''

    @property
    def word(self) -> str:
        """``pass``, ``miss`` or ``no number``."""
        return {True: 'pass', False: 'miss', None: 'no number'}[self.passed]


@cache
def targets() -> dict[str, dict[str, Any]]:
    """Return the targets by name, see ``targets.yaml``."""
    return yaml.safe_load((Path(__file__).parent / 'targets.yaml').read_text())


def verdicts(summary: Summary, shifts: list[dict[str, Any]]) -> list[Verdict]:
    """Return what a run makes of each target.

    :param summary: of :func:`aiida_mlip_ins.query.summary.summary`.
    :param shifts: rows of the comparison's table.
    """
    points = summary['pressures']
    found = [
        _judge('force_mae', summary['force_mae_mev_per_angstrom'], _held_out(summary)),
        _judge('stress_mae', summary['stress_mae_gpa'], _held_out(summary)),
        _worst(
            'volume_error', points, 'volume_error_percent', lambda values: max(map(abs, values))
        ),
        _worst('gamma_mae', points, 'gamma_mae_per_cm', max),
        _stability(points),
        _lattice(shifts, len(points)),
        _wall(summary),
        _of_whole_run(
            summary,
            _judge('peak_memory', summary['peak_memory_gb'], summary['peak_memory_is']),
        ),
    ]
    return [verdict for verdict in found if verdict is not None]


def limit_of(name: str) -> float:
    """Return the number of a target."""
    target = targets()[name]
    return float(target.get('at_most', target.get('at_least')))


def _judge(name: str, value: float | None, detail: str = '') -> Verdict:
    """Return the verdict on one number."""
    target = targets()[name]
    passed = None
    if value is not None:
        high, low = target.get('at_most'), target.get('at_least')
        passed = (high is None or value <= high) and (low is None or value >= low)
    sign = 'at most' if 'at_most' in target else 'at least'
    limit = f'{sign} {limit_of(name):g} {target["unit"]}'
    return Verdict(name, target['label'], value, target['unit'], limit, passed, detail)


def _worst(name: str, points: list[dict[str, Any]], key: str, choose: Any) -> Verdict:
    """Return the verdict on the worst of all pressures; one without a number leaves it open."""
    values = [point[key] for point in points]
    detail = ', '.join(
        f'{point["pressure_gpa"]:g} GPa: {"-" if v is None else f"{v:.3g}"}'
        for point, v in zip(points, values, strict=True)
    )
    known = bool(values) and None not in values
    return _judge(name, float(choose(values)) if known else None, detail)


def _stability(points: list[Mapping[str, Any]]) -> Verdict:
    """Return the verdict on the lowest frequencies, with where the crystal is soft."""
    verdict = _worst('min_frequency', points, 'min_frequency_per_cm', min)
    soft = [
        f'imaginary at {point["pressure_gpa"]:g} GPa: {describe(point["imaginary_points"])}'
        for point in points
        if point.get('imaginary_points')
    ]
    return replace(verdict, detail='; '.join([verdict.detail, *soft]))


def _lattice(shifts: list[dict[str, Any]], n_pressures: int) -> Verdict | None:
    """Return the share of the lattice modes that go up under pressure."""
    if n_pressures < 2:
        return None
    moves = [
        row['mace_shift_per_cm'][-1]
        for row in shifts
        if row.get('kind') == 'lattice' and row['mace_shift_per_cm'][-1] is not None
    ]
    if not moves:
        return _judge('lattice_shift', None)
    share = 100.0 * sum(move > 0 for move in moves) / len(moves)
    return _judge('lattice_shift', share, f'{sum(m > 0 for m in moves)} of {len(moves)} modes')


def _wall(summary: Summary) -> Verdict | None:
    """Return the verdict on the time; a run that is partly cached has no target."""
    cached, jobs = summary['cached_jobs'], summary['jobs']
    if 0 < cached < jobs or not jobs:
        return None
    name = 'wall_cached' if cached else 'wall'
    verdict = _judge(name, summary['wall_s'], 'of the run, without building the environments')
    return _of_whole_run(summary, verdict)


def _of_whole_run(summary: Summary, verdict: Verdict) -> Verdict:
    """Leave a verdict open where the run has not ended well: its rest is not in the number."""
    if summary['state'] == 'finished' and summary['exit_status'] == 0:
        return verdict
    return replace(verdict, passed=None, detail='the run has not ended well, this is so far')


def _held_out(summary: Summary) -> str:
    if summary['n_held_out'] is None:
        return ''
    return f"{summary['n_held_out']} frames of the split '{summary['held_out_split']}'"
