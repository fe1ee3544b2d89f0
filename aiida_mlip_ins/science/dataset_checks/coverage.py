"""Checks of what the frames cover: splits, compositions, elements, methods, pressures."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from ase import Atoms

from aiida_mlip_ins.science.dataset import STRESS, summary
from aiida_mlip_ins.science.dataset_checks.base import (
    FAIL,
    PASS,
    UNKNOWN,
    WARN,
    Check,
    DatasetCheckSettings,
)
from aiida_mlip_ins.science.reach import (
    EDGE,
    OUTSIDE,
    Span,
    is_alone,
    is_trained_on,
    pressure_of,
)
from aiida_mlip_ins.science.sampling import separations
from aiida_mlip_ins.science.text import shortened

NO_DISPERSION = 'no dispersion'
"""What the label of a method says that has none."""
DISPERSION = frozenset(('dispersion', 'd2', 'd3', 'd3m', 'd4', 'mbd', 'ts', 'vdw', 'xdm'))
"""Words, of which the label of a method that has some says one."""


def _trained(frames: Sequence[Atoms]) -> list[Atoms]:
    return [frame for frame in frames if is_trained_on(frame)]


def repetitions(frames: Sequence[Atoms], settings: DatasetCheckSettings) -> list[Check]:
    """Look for frames that are there twice, and for such on both sides of a split."""
    apart = separations(frames)
    return [_duplicates(apart, settings), _leaks(frames, apart, settings)]


def _duplicates(apart: np.ndarray, settings: DatasetCheckSettings) -> Check:
    later = np.tril(apart <= settings.same_distance, -1).any(axis=1)
    again = np.flatnonzero(later).tolist()
    text = f'frames that repeat an earlier one: {shortened(again)}' if again else 'no frame twice'
    return Check('duplicates', float(len(again)), 'frames', WARN if again else PASS, text)


def _leaks(frames: Sequence[Atoms], apart: np.ndarray, settings: DatasetCheckSettings) -> Check:
    """Look for held-out frames that the training has seen, or the frames before and after them."""
    train = np.array([is_trained_on(frame) for frame in frames])
    if not train.any() or train.all():
        return Check('split_leaks', None, 'frames', UNKNOWN, 'no frames are held out')
    seen = {f.info['trajectory'] for f, t in zip(frames, train, strict=True)
            if t and 'trajectory' in f.info}  # fmt: skip
    leaks = [
        index
        for index in np.flatnonzero(~train).tolist()
        if (apart[index, train] <= settings.same_distance).any()
        or frames[index].info.get('trajectory') in seen
    ]
    text = f'none of the {np.sum(~train)} frames held out is trained on'
    if leaks:
        text = 'held-out frames that are trained on, or others of their trajectory: '
        text += shortened(leaks)
    return Check('split_leaks', float(len(leaks)), 'frames', FAIL if leaks else PASS, text)


def reference_energies(frames: Sequence[Atoms]) -> Check:
    """Whether energies of isolated atoms are in the frames, or follow from their compositions."""
    elements = summary(frames)['elements']
    alone = {str(f.symbols[0]) for f in frames if is_alone(f)}
    trained = _trained(frames)
    counts = np.array([[f.symbols.count(name) for name in elements] for f in trained])
    rank = int(np.linalg.matrix_rank(counts)) if counts.size else 0
    if alone >= set(elements):
        text = f'isolated atoms of {", ".join(elements)} are among the frames'
    elif rank == len(elements):
        text = f'compositions of rank {rank} fix the energies of {rank} isolated atoms'
    else:
        text = (
            f'compositions of rank {rank} do not fix the energies of {len(elements)} isolated '
            'atoms: forces are not affected, energies of other compositions mean nothing'
        )
    known = alone >= set(elements) or rank == len(elements)
    return Check('reference_energies', float(rank), 'rank', PASS if known else WARN, text)


def elements(frames: Sequence[Atoms], asked: Sequence[str]) -> Check:
    """Look for elements that are asked or held out, and not trained on."""
    trained = _trained(frames)
    there = set(summary(trained)['elements'])
    missing = sorted((set(asked) | set(summary(frames)['elements'])) - there)
    text = f'{", ".join(sorted(there))} are trained on'
    if missing:
        text = f'no training frame has {", ".join(missing)}'
    return Check('elements', float(len(missing)), 'missing', FAIL if missing else PASS, text)


def methods(given: Sequence[str]) -> Check:
    """Whether all labels are by one method, cutoffs and all."""
    distinct = sorted(set(given))
    text = f'all labels are by {distinct[0]}'
    if len(distinct) > 1:
        text = f'labels by different methods cannot be mixed: {"; ".join(distinct)}'
    verdict = FAIL if len(distinct) > 1 else PASS
    return Check('methods', float(len(distinct)), 'methods', verdict, text)


def dispersion(given: Sequence[str]) -> Check:
    """Whether the labels have dispersion; the potential adds none to what it learned."""
    without = [method for method in given if NO_DISPERSION in method.lower()]
    silent = [m for m in given if not DISPERSION.intersection(re.findall('[a-z0-9]+', m.lower()))]
    if without:
        verdict, text = WARN, (
            f'labels by {without[0]}: the potential will have no dispersion either, and crystals '
            'of molecules or layers come out too large'
        )  # fmt: skip
    elif silent:
        verdict, text = UNKNOWN, f'the label of the method says nothing of dispersion: {silent[0]}'
    else:
        verdict, text = PASS, 'all labels are with dispersion, and the potential adds none'
    return Check('dispersion', float(len(without)), 'methods', verdict, text)


def pressures(
    frames: Sequence[Atoms], asked: Sequence[float], settings: DatasetCheckSettings
) -> Check:
    """Whether cells on either side of each asked pressure are trained on."""
    trained = [f for f in _trained(frames) if STRESS in f.info and not is_alone(f)]
    if not trained:
        return Check('pressures', None, 'GPa', UNKNOWN, 'no training frame has a stress')
    span = Span.of(map(pressure_of, trained))
    volumes = [f.get_volume() / len(f) for f in trained]
    text = (
        f'training frames reach from {span.low:.2f} to {span.high:.2f} GPa and from '
        f'{min(volumes):.2f} to {max(volumes):.2f} angstrom^3 per atom'
    )
    places = {float(p): span.place(float(p), settings.pressure_margin) for p in asked}
    outside = [f'{p:g}' for p, place in places.items() if place == OUTSIDE]
    edge = [f'{p:g}' for p, place in places.items() if place == EDGE]
    if outside:
        text += f'; outside: {", ".join(outside)} GPa'
    if edge:
        text += f'; at the edge: {", ".join(edge)} GPa'
    verdict = FAIL if outside else WARN if edge else PASS
    return Check('pressures', min(map(span.margin, places)), 'GPa', verdict, text)
