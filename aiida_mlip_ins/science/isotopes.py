"""Isotopes of sites: which nuclide is asked for, and what a crystal cannot have.

A nuclide is written as its mass number and symbol (``2H``, ``35Cl``), with ``D`` and ``T`` for
those of hydrogen; ``natural`` is the mixture found in nature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from aiida_mlip_ins.science.settings import nearest

NATURAL = 'natural'
_NAMES = {'D': '2H', 'T': '3H'}
_TRITIUM = 3.0160492779
"""u; phonopy, which the other masses are from, has the nuclides found in nature."""


def parse(nuclide: str) -> tuple[str | None, int | None]:
    """Return symbol and mass number of a nuclide; nothing of both for the natural mixture.

    :raises ValueError: if it is not written as one.
    """
    if nuclide == NATURAL:
        return None, None
    match = re.fullmatch(r'(\d+)([A-Z][a-z]?)', _NAMES.get(nuclide, nuclide))
    if match is None:
        raise ValueError(
            f"'{nuclide}' is no nuclide; write the mass number and the symbol as in 2H or 35Cl, D, "
            f'T, or {NATURAL}'
        )
    return match.group(2), int(match.group(1))


def nuclide_problems(key: str, nuclide: str, where: str) -> list[str]:
    """Return what is wrong with one entry, whatever the crystal."""
    try:
        symbol, _ = parse(nuclide)
    except ValueError as error:
        return [f'{where}.{key}: {error}']
    if symbol is not None and not key.isdigit() and key != symbol:
        return [f'{where}.{key}: {nuclide} is an isotope of {symbol}, not of {key}']
    return []


def mass_problems(isotopes: Mapping[str, str], where: str) -> list[str]:
    """Return which entries, written as nuclides, are none whose mass is known."""
    found = []
    for key, nuclide in isotopes.items():
        symbol, number = parse(nuclide)
        known = _nuclide_masses(symbol) if symbol is not None else {}
        if symbol is not None and number not in known:
            numbers = [a for a in known if a != NATURAL]
            said = ', '.join(f'{a}{symbol}' for a in numbers) or 'none of the element'
            found.append(f'{where}.{key}: no mass of {nuclide} is known (known: {said})')
    return found


def masses(isotopes: Mapping[str, str], symbols: Sequence[str], own: np.ndarray) -> np.ndarray:
    """Return the masses (n_atoms,) in u of a crystal in which nuclides are replaced.

    :param isotopes: nuclides of elements or of indices of atoms, without problems.
    :param own: (n_atoms,) u, of atoms that are not replaced.
    """
    found = np.array(own, dtype=float)
    for index, (symbol, number) in enumerate(
        zip(symbols, mass_numbers(isotopes, symbols), strict=True)
    ):
        if number is not None:
            found[index] = _nuclide_masses(symbol)[number]
    return found


def _nuclide_masses(symbol: str) -> dict[int | str, float]:
    """Return the masses (u) of the nuclides of an element by mass number, and of the mixture."""
    from phonopy.structure.atomic_data import get_atomic_data

    data = get_atomic_data()
    if symbol not in data.symbol_map:
        return {}
    found: dict[int | str, float] = {a: m for a, m, _ in data.isotope_data.get(symbol) or ()}
    if symbol == 'H':
        found[3] = _TRITIUM
    mixture = data.atom_data[data.symbol_map[symbol]][3]
    return found if mixture is None else {**found, NATURAL: mixture}


def crystal_problems(isotopes: Mapping[str, str], symbols: Sequence[str], where: str) -> list[str]:
    """Return which entries name no atom of a crystal, or an isotope of another element.

    :param isotopes: nuclides, valid one by one, of elements or of indices of atoms.
    :param symbols: (n_atoms,) of the primitive cell.
    """
    found = []
    for key, nuclide in isotopes.items():
        if not key.isdigit():
            if key not in symbols:
                found.append(
                    f'{where}.{key}: no such element in the crystal{nearest(key, set(symbols))}'
                )
            continue
        if int(key) >= len(symbols):
            found.append(f'{where}.{key}: the primitive cell has the atoms 0 to {len(symbols) - 1}')
            continue
        symbol, _ = parse(nuclide)
        if symbol is not None and symbol != symbols[int(key)]:
            found.append(f'{where}.{key}: {nuclide}, but atom {key} is {symbols[int(key)]}')
    return found


def mass_numbers(isotopes: Mapping[str, str], symbols: Sequence[str]) -> list[int | str | None]:
    """Return for each atom the mass number asked for, ``natural``, or nothing.

    What is said of an atom wins over what is said of its element.
    """
    found: list[int | str | None] = []
    for index, symbol in enumerate(symbols):
        nuclide = isotopes.get(str(index), isotopes.get(symbol))
        if nuclide is None:
            found.append(None)
        else:
            number = parse(nuclide)[1]
            found.append(NATURAL if number is None else number)
    return found
