"""The sets of frames of a learning curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.data.structure import to_atoms
from aiida_mlip_ins.science.sampling import (
    random_frames,
    supercells,
    targeted_frames,
    with_nested_splits,
)

SETS = ('targeted', 'random')
RANDOM_FOLDED = 'random-folded'
"""As random, in the supercell."""
FINE_TUNED = 'fine-tuned'
"""The targeted frames, from a foundation model."""
FOLDED = 'folded'
"""As targeted, but what leaves the symmetry of the crystal does so in the supercell."""
WARM = 'warm'
"""As folded, a quarter of the frames as wide as heat moves atoms, and expanded cells."""
ACTIVE = 'active'
"""The first targeted frames, and those that a committee then chooses."""
POLISHED = ', polished'
"""Of the name of a set whose trainings went on with L-BFGS."""
OF_FRAMES = ('sections', WARM, 'lowest', 'seed', 'sigma', 'strain', 'supercell')
"""Settings that frames follow from."""


def folded(sections: Mapping[str, Any], supercell: Sequence[int]) -> dict[str, Any]:
    """Return the sections with rattles and separate moves in a supercell.

    In the crystal's own cell all images move alike, so its frames say nothing of modes in which
    they do not.
    """
    matrices = [np.diag(supercell).tolist()]
    return {
        **sections,
        'rattle': {**sections['rattle'], 'count': 0},
        'supercell': {**sections['rattle'], 'matrices': matrices},
        'separate': {**sections['separate'], 'matrices': matrices},
    }


def warmed(sections: Mapping[str, Any], warm: Mapping[str, Any], lowest: float) -> dict[str, Any]:
    """Return the sections with one warm frame for three others, and with expanded cells.

    :param lowest: GPa, pressure that the path and the warm frames reach down to.
    """
    path = {'pressures': [lowest, lowest / 2, *sections['path']['pressures']]}
    others = len(path['pressures'])
    others += sum(options.get('count', 0) for options in sections.values())
    wide = {'count': max(1, round(others / 3)), 'pressures': [lowest, warm['pressures'][1]]}
    return {**sections, 'path': path, WARM: {**warm, **wide}}


@calcfunction
def frames_of_set(
    kind: orm.Str, settings: orm.Dict, count: orm.Int, pressures: orm.List,
    **structures: orm.StructureData,
) -> FramesData:  # fmt: skip
    """Return the first frames of a set, with their splits."""
    given = settings.get_dict()
    cells = {p: to_atoms(structures[f'pressure_{i}']) for i, p in enumerate(pressures.get_list())}
    if kind.value in ('targeted', FOLDED, WARM):
        sections = given['sections']
        if kind.value != 'targeted':
            sections = folded(sections, given['supercell'])
        if kind.value == WARM:
            sections = warmed(sections, given[WARM], given['lowest'])
        frames = targeted_frames(cells, sections, given['seed'], count.value)
    else:
        parents = [*cells.values()]
        if kind.value == RANDOM_FOLDED:
            matrix = np.diag(given['supercell']).tolist()
            parents = [supercells(cell, [matrix])[0] for cell in parents]
        amplitudes = (given['sigma'], given['strain'])
        frames = random_frames(parents, *amplitudes, given['seed'], count.value)
    return FramesData.from_frames(with_nested_splits(frames))


@calcfunction
def part(frames: FramesData, begin: orm.Int, end: orm.Int) -> FramesData:
    """Return some of the frames."""
    return FramesData.from_frames(frames.get_frames()[begin.value : end.value])
