"""Isolated atoms, whose energies are the zero that a potential counts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ase import Atoms
from ase.data import atomic_numbers

from aiida_mlip_ins.science.sampling.moves import bare_copy
from aiida_mlip_ins.science.settings import nearest

MIN_BOX = 8.0
"""angstrom; nearer to its image than this an atom still feels it by more than a few meV."""
ISOLATED = 'IsolatedAtom'
"""``info['config_type']`` by which a training knows such a frame."""


def isolated_atoms(elements: Sequence[str], box: float) -> list[Atoms]:
    """One frame for each element: an atom in a cube of `box` angstrom.

    :raises ValueError: listing what is no element or repeated, and a box that is too small.
    """
    known = set(atomic_numbers) - {'X'}
    problems = [
        f"elements: '{name}' is none{nearest(name, known)}"
        for name in elements
        if name not in known
    ]
    problems += [
        f'elements: {name} is given {count} times; give it once'
        for name, count in Counter(elements).items()
        if count > 1
    ]
    if not elements:
        problems.append('elements: there are none; give those of the crystal')
    if not box >= MIN_BOX:
        problems.append(f'box: {box} angstrom; an atom is alone in {MIN_BOX:g} angstrom or more')
    if problems:
        raise ValueError('\n'.join(problems))
    frames = []
    for name in elements:
        atom = Atoms(name, positions=[[box / 2] * 3], cell=[box] * 3, pbc=True)
        frames.append(bare_copy(atom, 'isolated', box=float(box), config_type=ISOLATED))
    return frames
