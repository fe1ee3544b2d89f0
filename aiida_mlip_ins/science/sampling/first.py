"""The first frames of a crystal, before there is a potential or a cell relaxed by DFT."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ase import Atoms

from aiida_mlip_ins.science.sampling.molecules import molecule_problems, with_rigid_molecules
from aiida_mlip_ins.science.sampling.moves import volume_scan, with_bond_lengths
from aiida_mlip_ins.science.sampling.sections import sampling_problems
from aiida_mlip_ins.science.settings import problems, setting

MAX_COMPRESSION = 0.3
"""Largest guessed loss of volume, as a fraction: beyond it the bulk modulus is no guess."""


@dataclass(frozen=True)
class FirstSettings:
    """What is guessed of the crystal, and which frames are made around these guesses."""

    bond_lengths: Mapping[str, float] = setting(
        'Length that X-H bonds start from, by X; X-rays see hydrogen too close to its parent.',
        'angstrom',
        above=0.0,
    )
    bulk_modulus: float = setting(
        'Guess, by which the crystal is compressed: 10 for molecules, 40 for layers, 100 for ions.',
        'GPa',
        above=0.0,
    )
    pressure: float = setting(
        'Pressure of one more guessed cell, above those that are asked for.', 'GPa', above=0.0
    )
    sampling: Mapping[str, Any] = setting('Sections of the targeted frames, without splits.')


def first_problems(
    values: Mapping[str, Any], pressures: Sequence[float], where: str = 'first'
) -> list[str]:
    """Return every problem of :class:`FirstSettings` for these pressures (GPa)."""
    found = problems(FirstSettings, values, where)
    if found:
        return found
    if values['pressure'] <= max(pressures):
        found.append(
            f'{where}.pressure: {values["pressure"]:g} GPa is not above the highest pressure asked '
            f'for, {max(pressures):g} GPa'
        )
    if values['pressure'] / values['bulk_modulus'] > MAX_COMPRESSION:
        found.append(
            f'{where}.bulk_modulus: at {values["bulk_modulus"]:g} GPa the crystal would lose '
            f'{100 * values["pressure"] / values["bulk_modulus"]:.0f} % of its volume at '
            f'{values["pressure"]:g} GPa; give a larger one'
        )
    return found + [f'{where}.{line}' for line in sampling_problems(values['sampling'])]


def first_cells(crystal: Atoms, pressures: Sequence[float], settings: FirstSettings) -> list[Atoms]:
    """Return a guess of the crystal at each pressure (GPa), and at that of the settings.

    The given crystal, with its X-H bonds corrected, stands for no pressure. All axes are compressed
    alike, by ``V = V0 (1 - p / B)``; molecules keep their shape.
    """
    start = with_bond_lengths(crystal, settings.bond_lengths)
    cells = []
    for pressure in [*pressures, settings.pressure]:
        cell = volume_scan(start, [1.0 - pressure / settings.bulk_modulus])[0]
        cells.append(cell if molecule_problems(start) else with_rigid_molecules(cell, start))
    return cells


def spanned(
    sections: Mapping[str, Mapping[str, Any]], pressures: Sequence[float], margin: float
) -> dict[str, Any]:
    """Fill in the ``pressures`` (GPa) of the sections of targeted frames where they are ``None``.

    A path goes through each asked pressure and to `margin` beyond them on either side,
    displacements are made at each asked one, and all else in the whole range.
    """
    low, high = min(pressures) - margin, max(pressures) + margin
    by_section = {'path': [low, *pressures, high], 'displaced': list(pressures)}
    filled: dict[str, Any] = copy.deepcopy(dict(sections))
    for name, options in filled.items():
        if isinstance(options, dict) and options.get('pressures', ()) is None:
            options['pressures'] = by_section.get(name, [low, high])
    return filled
