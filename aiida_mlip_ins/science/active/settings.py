"""What an active learning is asked for: budget, targets, and which frames may be taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiida_mlip_ins.science.settings import problems, setting, unknown_keys


@dataclass(frozen=True)
class ActiveSettings:
    """Budget, targets, and which frames are taken. A target that is not given is not asked for."""

    frames_per_round: int = setting('Frames labelled in a round.', minimum=1)
    max_frames: int = setting('Labelled frames in all, the first ones included.', minimum=1)
    max_rounds: int = setting('Rounds that label frames.', minimum=1)
    splits: Mapping[str, float] = setting(
        'Share of the frames in each split other than `train`.', minimum=0.0, maximum=0.9
    )
    stress_weight: float = setting(
        'Spread of forces that a spread of the stress of 1 GPa counts like.',
        'meV/angstrom',
        minimum=0.0,
    )
    min_separation: float = setting(
        'A frame nearer than this to one that is labelled or chosen is not taken: no atom moves '
        'farther, and no component of a lattice vector.',
        'angstrom',
        minimum=0.0,
    )
    volume_margin: float = setting(
        'How far beyond the volumes per atom of the labelled frames a frame may be, as a fraction: '
        'farther out every committee disagrees, and little is learned.',
        minimum=0.0,
        maximum=0.5,
    )
    force_scale: float | None = setting(
        'Root mean square force above which a frame counts less; all count alike if not given.',
        'eV/angstrom',
        above=0.0,
        optional=True,
    )
    relaxation_apart: float | None = setting(
        "Distance between steps of the potential's own relaxations that are candidates; none if "
        'not given.',
        'angstrom',
        above=0.0,
        optional=True,
    )
    motion_apart: float | None = setting(
        'Time between frames of molecular dynamics that are candidates; none if not given.',
        'ps',
        above=0.0,
        optional=True,
    )
    target_force_error: float | None = setting(
        'Force error (rms, mean over the members) on the new frames before they are trained on.',
        'meV/angstrom',
        above=0.0,
        optional=True,
    )
    target_stress_error: float | None = setting(
        'The same of the stress.', 'GPa', above=0.0, optional=True
    )
    target_force_spread: float | None = setting(
        'Spread of the forces (rms) over the candidates.', 'meV/angstrom', above=0.0, optional=True
    )
    target_frequency_spread: float | None = setting(
        'Spread of the frequencies, mean over the modes, at the worst pressure.',
        '1/cm',
        above=0.0,
        optional=True,
    )


def active_problems(values: Mapping[str, Any], where: str) -> list[str]:
    """Return every problem of the settings, those between fields included."""
    found = problems(ActiveSettings, values, where)
    splits = values.get('splits')
    if found or splits is None:
        return found
    found += unknown_keys(splits, ('valid', 'test'), f'{where}.splits')
    if sum(splits.values()) >= 1:
        found.append(f'{where}.splits: {dict(splits)} leave nothing to train on')
    return found
