"""Checks of the labels themselves: missing ones, outliers, units and signs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from ase import Atoms

from aiida_mlip_ins.science.dataset import ENERGY, FORCES, dataset_problems, label_summary
from aiida_mlip_ins.science.dataset_checks.base import (
    FAIL,
    PASS,
    UNKNOWN,
    WARN,
    Check,
    DatasetCheckSettings,
)
from aiida_mlip_ins.science.dataset_checks.consistency import (
    FORCE_UNITS,
    STRESS_UNITS,
    Consistency,
    Slope,
    consistency,
)
from aiida_mlip_ins.science.structure import contact_problems
from aiida_mlip_ins.science.text import shortened


def labels(frames: Sequence[Atoms]) -> Check:
    """Look for labels that are missing, no numbers, or of absurd size."""
    problems = dataset_problems(frames)
    if problems:
        return Check('labels', float(len(problems)), 'problems', FAIL, '; '.join(problems))
    counts = label_summary(frames)['labels']
    lacking = {name: len(frames) - n for name, n in counts.items() if n < len(frames)}
    if not lacking:
        return Check(
            'labels', 0.0, 'frames', PASS, f'all {len(frames)} frames have energy, forces, stress'
        )
    named = ', '.join(f'{number} have no {name}' for name, number in lacking.items())
    return Check(
        'labels', float(max(lacking.values())), 'frames', WARN, f'of {len(frames)} frames {named}'
    )


def energies(frames: Sequence[Atoms], settings: DatasetCheckSettings) -> Check:
    """Look for outliers, by the median absolute deviation, which they do not widen themselves."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        if ENERGY in frame.info:
            groups[frame.get_chemical_formula(empirical=True)].append(index)
    worst, outliers = 0.0, []
    for members in groups.values():
        values = np.array([frames[i].info[ENERGY] / len(frames[i]) for i in members])
        if len(values) < 5:
            continue
        off = np.abs(values - np.median(values))
        # A microelectronvolt keeps frames that are all alike from dividing by zero.
        widths = off / max(1.4826 * float(np.median(off)), 1e-6)
        worst = max(worst, float(widths.max()))
        outliers += [members[i] for i in np.flatnonzero(widths > settings.max_energy_outlier)]
    text = f'no energy per atom is more than {worst:.1f} widths from the median of its composition'
    if outliers:
        text = f'energies per atom far from the rest (up to {worst:.0f} widths): frames '
        text += shortened(outliers)
    return Check('energy_outliers', worst, 'widths', WARN if outliers else PASS, text)


def forces(frames: Sequence[Atoms], settings: DatasetCheckSettings) -> Check:
    """Look for forces that are too large."""
    largest = [float(np.linalg.norm(f.arrays[FORCES], axis=1).max()) for f in frames]
    outliers = [index for index, value in enumerate(largest) if value > settings.max_force]
    text = f'the largest force is {max(largest):.3g} eV/angstrom'
    if outliers:
        text += f', above {settings.max_force:g} in frames {shortened(outliers)}'
    return Check('force_outliers', max(largest), 'eV/angstrom', WARN if outliers else PASS, text)


def contacts(frames: Sequence[Atoms]) -> Check:
    """Look for atoms on top of one another."""
    close = [index for index, frame in enumerate(frames) if contact_problems(frame)]
    text = f'atoms overlap in frames {shortened(close)}' if close else 'no atoms overlap'
    return Check('contacts', float(len(close)), 'frames', FAIL if close else PASS, text)


def slopes(frames: Sequence[Atoms], settings: DatasetCheckSettings) -> list[Check]:
    """Compare forces and stresses with the energy differences between neighbouring frames."""
    found = consistency(frames)
    return [
        _slope('force_consistency', 'forces', found.forces, FORCE_UNITS, found, settings),
        _slope('stress_consistency', 'stresses', found.stress, STRESS_UNITS, found, settings),
        _offset(found, settings),
    ]


def _slope(
    name: str,
    label: str,
    slope: Slope | None,
    units: dict[float, str],
    found: Consistency,
    settings: DatasetCheckSettings,
) -> Check:
    """Judge forces or stresses by the energy differences between neighbouring frames."""
    if slope is None or slope.error > 0.5 * max(abs(slope.value), 1.0):
        text = f'{label} cannot be compared with energies, frames near one another are too few'
        return Check(name, None, '', UNKNOWN, text)
    agreed = f'{label} times {slope.value:.4g} +- {slope.error:.2g} agree with the energies of '
    agreed += f'{found.n_pairs} pairs of frames'
    if abs(slope.value - 1) <= settings.slope_tolerance + 2 * slope.error:
        return Check(name, slope.value, '', PASS, agreed)
    guess = slope.unit(units)
    reason = f'they look like {label} {guess}' if guess else 'unit, sign or method differ'
    text = f'{agreed}: {reason}'
    return Check(name, slope.value, '', FAIL, text)


def _offset(found: Consistency, settings: DatasetCheckSettings) -> Check:
    slope = found.pressure
    if slope is None or slope.error > settings.max_pressure_offset:
        text = 'frames of different volumes are too few to tell'
        return Check('pressure_offset', None, 'GPa', UNKNOWN, text)
    text = (
        f'energies have {slope.value:.2g} +- {slope.error:.1g} GPa of pressure that stresses lack'
    )
    wrong = abs(slope.value) > settings.max_pressure_offset + 2 * slope.error
    if wrong:
        text += '; a higher cutoff brings the two together'
    return Check('pressure_offset', slope.value, 'GPa', WARN if wrong else PASS, text)
