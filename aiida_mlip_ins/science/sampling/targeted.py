"""Compose, split and weight the training set.

Why these kinds (measured on brucite): relaxation moves only the totally symmetric coordinates, so
symmetric frames (few k-points, cheap) decide volumes; curvature decides frequencies, so rattles are
small and keep stiff X-H bonds nearly rigid while they turn, or the forces of the stretch would
drown those of the soft lattice modes; in separate frames one kind of coordinate moves alone, so
that the smallest forces, of turning bonds, are all that such a frame asks for (single displacements
as phonopy has them move a hydrogen along and across its bond at once, and the stretch drowns the
rest); supercells fold zone-boundary modes to Gamma.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_mlip_ins.science.sampling.distances import without_duplicates
from aiida_mlip_ins.science.sampling.molecules import rigidly_moved, with_rigid_molecules
from aiida_mlip_ins.science.sampling.moves import (
    along_pressure,
    bond_rattled,
    pressure_path,
    strained,
    symmetrized,
)
from aiida_mlip_ins.science.sampling.sections import KINDS, SETTINGS, sampling_problems
from aiida_mlip_ins.science.sampling.supercells import displaced, supercells
from aiida_mlip_ins.science.structure import MIN_CONTACT, contact_problems

FloatArray = NDArray[np.float64]


def refuse_overlaps(
    frames: Sequence[Atoms],
    fraction: float = MIN_CONTACT,
    advice: str = 'use smaller amplitudes',
) -> None:
    """Raise one ``ValueError`` that lists every frame with atoms too close."""
    problems = [
        f'frame {index} ({frame.info.get("source")}): {sentence}'
        for index, frame in enumerate(frames)
        for sentence in contact_problems(frame, fraction)
    ]
    if problems:
        raise ValueError(f'atoms too close; {advice}:\n' + '\n'.join(problems))


#: Sources of frames that are never held out by chance.
ALWAYS_TRAIN = frozenset({'path', 'displaced', 'separate', 'isolated'})


def targeted_set(
    structures: Mapping[float, Atoms], settings: Mapping[str, Mapping[str, Any]], seed: int
) -> list[Atoms]:
    """Compose the training set from structures relaxed at each pressure (GPa -> Atoms).

    `settings` holds the sections of :data:`SETTINGS`; a section left out gives no frames:
    ``path``: the structures inter- and extrapolated to ``pressures``;
    ``symmetric``: ``count`` frames, totally symmetric strains and moves about random points of the
    path between ``pressures`` = [low, high];
    ``rattle``: ``count`` bond-aware rattles of symmetrically strained cells, in the cell or in the
    supercells ``matrices``, taken in turn;
    ``strain``: the same with general strains, few because pw.x pays for them (a sheared cell has no
    shells of equal G vectors: 65 s a frame in place of 21 on brucite);
    ``supercell``: the same in supercells alone, beside rattles of the cell;
    ``displaced``: displacements of single atoms by ``distance``, at each of ``pressures``, in the
    cell or in the supercells ``matrices``, as phonopy asks for them; all of them in ``split`` where
    it is given (as ``valid`` they choose the epoch of a training, by the frequencies they give);
    ``separate``: as ``rattle``, with one of :data:`KINDS` in turn, the others 0, in the cell or in
    the ``matrices`` in turn;
    ``molecules``: whole molecules shifted by ``translation`` angstrom and turned by ``rotation``
    degrees (widths, :func:`rigidly_moved`), in the cell or in the ``matrices`` in turn.
    A crystal without molecules is an error if ``count`` is not 0;
    ``warm``: as ``rattle``, in the cell or in the ``matrices`` in turn, for moves as wide as heat
    makes them: a potential that has seen none of them loses the crystal in molecular dynamics.
    The amplitudes of frame i are multiplied by ``scales[i % len(scales)]``; ``weight`` multiplies
    what the frames of a section count in the training.
    ``strain`` is dimensionless, :data:`KINDS` are widths in angstrom (:func:`bond_rattled`).
    """
    problems = sampling_problems(settings)
    if problems:
        raise ValueError('\n'.join(problems))
    frames: list[Atoms] = []
    for section in SETTINGS:
        if section not in settings:
            continue
        options = settings[section]
        made = _section_frames(structures, section, options, seed)
        for frame in made:
            if 'weight' in options:
                frame.info['config_weight'] = float(options['weight'])
            if 'split' in options:
                frame.info['split'] = options['split']
        frames += made
    refuse_overlaps(frames)
    return without_duplicates(frames)


def _section_frames(
    structures: Mapping[float, Atoms], section: str, options: Mapping[str, Any], seed: int
) -> list[Atoms]:
    if section == 'path':
        return pressure_path(structures, options['pressures'])
    if section == 'displaced':
        cells = pressure_path(structures, options['pressures'])
        matrices = options.get('matrices') or [None]
        return [
            frame
            for cell in cells
            for matrix in matrices
            for frame in displaced(cell, options['distance'], matrix)
        ]
    # One stream per section: changing one section's count leaves the other frames alone.
    rng = np.random.default_rng([seed, list(SETTINGS).index(section)])
    return [
        _targeted_frame(structures, section, options, index, rng)
        for index in range(options['count'])
    ]


def _targeted_frame(
    structures: Mapping[float, Atoms],
    section: str,
    options: Mapping[str, Any],
    index: int,
    rng: np.random.Generator,
) -> Atoms:
    low, high = options['pressures']
    # Stratified pressures: frame i falls in its own part of the range, whatever the luck.
    part = ((index * 0.6180339887498949) % 1.0 + 0.1 * rng.random()) % 1.0
    parent = along_pressure(structures, low + (high - low) * part)
    scales = options.get('scales', [1.0])
    scale = float(scales[index % len(scales)])
    strain_seed, rattle_seed = (int(x) for x in rng.integers(0, 2**31, 2))
    base = strained(parent, options['strain'] * scale, 1, strain_seed)[0]
    if section != 'strain':
        base = symmetrized(base, parent)
    if section == 'molecules':
        base = with_rigid_molecules(base, parent)
    matrices = options.get('matrices')
    if matrices:
        base = supercells(base, [matrices[index % len(matrices)]])[0]
    if section == 'molecules':
        widths = (options['translation'] * scale, options['rotation'] * scale)
        frame = rigidly_moved(base, *widths, count=1, seed=rattle_seed)[0]
    else:
        frame = _rattled_frame(base, section, options, index, scale, rattle_seed)
    if section == 'symmetric':
        frame = symmetrized(frame, parent)
    frame.info.update(source=section, scale=scale)
    return frame


def _rattled_frame(
    base: Atoms, section: str, options: Mapping[str, Any], index: int, scale: float, seed: int
) -> Atoms:
    widths = {kind: options.get(kind, 0.0) * scale for kind in KINDS}
    if section == 'separate':
        moving = [kind for kind in KINDS if widths[kind]]
        alone = moving[index % len(moving)] if moving else None
        widths = {kind: width if kind == alone else 0.0 for kind, width in widths.items()}
    return bond_rattled(base, **widths, count=1, seed=seed)[0]


def assign_splits(
    frames: Sequence[Atoms], fractions: Mapping[str, float], seed: int, train: str = 'train'
) -> list[str]:
    """Name the split of each frame, stratified by ``info['source']`` and fixed by `seed`.

    `fractions` gives the share of each split other than `train`, for example
    ``{'valid': 0.1, 'test': 0.15}``. Shares that do not come out even are carried from one source
    to the next, so the totals are right to one frame. Frames of
    :data:`ALWAYS_TRAIN` are not held out: the cells that relaxation must find, the curvatures of
    phonons. Frames with the same ``info['trajectory']`` stay together, and in `train` where there
    are more of them than a split has room for: their neighbours would tell what they are.
    """
    if min(fractions.values(), default=0.0) < 0 or sum(fractions.values()) >= 1:
        raise ValueError(f'fractions must be positive and sum to less than 1, not {fractions}')
    rng = np.random.default_rng(seed)
    splits = [train] * len(frames)
    owed = dict.fromkeys(fractions, 0.0)
    for source in sorted({str(frame.info['source']) for frame in frames} - ALWAYS_TRAIN):
        members = [i for i, frame in enumerate(frames) if frame.info['source'] == source]
        together = _by_trajectory(frames, members)
        waiting = [together[int(first)] for first in rng.permutation(list(together))]
        for name, fraction in fractions.items():
            owed[name] += fraction * len(members)
            room = round(owed[name])
            for group in list(waiting):
                if len(group) <= room:
                    waiting.remove(group)
                    room -= len(group)
                    owed[name] -= len(group)
                    for index in group:
                        splits[index] = name
    return splits


def _by_trajectory(frames: Sequence[Atoms], members: Sequence[int]) -> dict[int, list[int]]:
    """Return the frames that belong together by the first of them."""
    groups: dict[Any, list[int]] = {}
    for index in members:
        groups.setdefault(frames[index].info.get('trajectory', index), []).append(index)
    return {group[0]: group for group in groups.values()}
