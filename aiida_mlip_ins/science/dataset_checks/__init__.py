"""Checks of a labelled dataset before anything is trained on it: a name, a number and a verdict.

What cannot be read at all never becomes a dataset (``science.dataset.dataset_problems``); this is
about labels that can be read and are wrong, and about what the frames leave out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ase import Atoms

from aiida_mlip_ins.science.dataset_checks import coverage, labels
from aiida_mlip_ins.science.dataset_checks.base import (
    FAIL,
    UNKNOWN,
    VERDICTS,
    Check,
    DatasetCheckSettings,
)
from aiida_mlip_ins.science.dataset_checks.coverage import NO_DISPERSION

__all__ = ['FAIL', 'NO_DISPERSION', 'Check', 'DatasetCheckSettings', 'check_dataset', 'report']


def check_dataset(
    frames: Sequence[Atoms],
    settings: DatasetCheckSettings,
    methods: Sequence[str] = (),
    pressures: Sequence[float] = (),
    elements: Sequence[str] = (),
) -> list[Check]:
    """Return all checks of labelled frames; of those without sound labels, that they have none.

    :param methods: what the parts of the dataset were labelled with; not checked if none are given.
    :param pressures: asked pressures in GPa; likewise.
    :param elements: those of the crystal; likewise, but none may be held out and not trained on.
    """
    first = labels.labels(frames)
    if first.verdict == FAIL:
        return [first]
    checks = [
        first,
        labels.energies(frames, settings),
        labels.forces(frames, settings),
        labels.contacts(frames),
        *labels.slopes(frames, settings),
        *coverage.repetitions(frames, settings),
        coverage.reference_energies(frames),
        coverage.elements(frames, elements),
    ]
    if methods:
        checks += [coverage.methods(methods), coverage.dispersion(methods)]
    if len(pressures):
        checks.append(coverage.pressures(frames, pressures, settings))
    return checks


def report(checks: Sequence[Check]) -> dict[str, Any]:
    """Return ``verdict``, the worst of all, and ``checks``, in JSON types."""
    words = {check.verdict for check in checks}
    worst = next((word for word in VERDICTS if word in words), UNKNOWN)
    return {'verdict': worst, 'checks': [asdict(check) for check in checks]}
