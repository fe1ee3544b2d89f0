"""Checks of a crystal and of the conditions it is studied under, before anything is computed.

Each ``..._problems`` function returns one sentence per problem, an empty list if there is none, so
that a caller can collect them from all inputs and refuse everything at once.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import spglib
from ase import Atoms
from ase.data import covalent_radii
from ase.io import read
from ase.io.cif import parse_cif
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from aiida_mlip_ins.science.text import shortened
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3

MIN_CONTACT = 0.65
"""Pairs nearer than this fraction of the sum of their covalent radii overlap.

The shortest real contacts, strong X-H and M-M bonds, stay above 0.8 (Cordero et al., Dalton Trans.
2008, 2832); refinement errors and wrong symmetry give values below 0.6.
"""

OCCUPANCY_TOLERANCE = 1e-3


def close_contacts(atoms: Atoms, fraction: float = MIN_CONTACT) -> list[tuple[int, int, float]]:
    """Return ``(i, j, distance in angstrom)`` of each pair nearer than it should be, nearest first.

    :param atoms: the crystal; periodic images count.
    :param fraction: of the sum of the two covalent radii.
    """
    radii = covalent_radii[atoms.numbers] * fraction
    first, second, distance = neighbor_list('ijd', atoms, list(radii))
    pairs: dict[tuple[int, int], float] = {}
    for i, j, d in zip(first, second, distance, strict=True):
        if i <= j:
            pairs[int(i), int(j)] = min(float(d), pairs.get((int(i), int(j)), np.inf))
    return sorted(((i, j, d) for (i, j), d in pairs.items()), key=lambda item: item[2])


def contact_problems(atoms: Atoms, fraction: float = MIN_CONTACT) -> list[str]:
    """Return one sentence on all pairs nearer than ``fraction`` times the sum of their radii."""
    contacts = close_contacts(atoms, fraction)
    if not contacts:
        return []
    named = [f'{atoms.symbols[i]}{i}-{atoms.symbols[j]}{j} {d:.2f}' for i, j, d in contacts]
    return [f'structure: atoms overlap (distances in angstrom): {shortened(named)}']


def crystal_problems(
    atoms: Atoms, require_hydrogen: bool = True, min_contact: float = MIN_CONTACT
) -> list[str]:
    """Return what makes a structure unfit for the chain.

    :param require_hydrogen: whether a structure without any hydrogen is refused: X-ray structures
        often leave hydrogen out, and an INS spectrum is dominated by it.
    :param min_contact: pairs below this fraction of the sum of covalent radii overlap.
    """
    if len(atoms) == 0:
        return ['structure: it has no atoms']
    found = []
    if not all(atoms.pbc):
        axes = ', '.join(
            name for name, periodic in zip('abc', atoms.pbc, strict=True) if not periodic
        )
        found.append(f'structure: not periodic along {axes}; a crystal needs all three axes')
    if not np.all(np.isfinite(atoms.positions)) or not np.all(np.isfinite(atoms.cell.array)):
        return [*found, 'structure: positions or cell have values that are not finite']
    volume = abs(float(np.linalg.det(atoms.cell.array)))
    if volume < 1e-3 * len(atoms):
        return [*found, f'structure: the cell has no volume ({volume:.3g} angstrom^3)']
    occupancies = atoms.info.get('occupancy') or {}
    partial = [
        f'{symbol} {value:g}'
        for site in occupancies.values()
        for symbol, value in site.items()
        if abs(value - 1) > OCCUPANCY_TOLERANCE
    ]
    if partial:
        found.append(_partial(partial))
    found += contact_problems(atoms, min_contact)
    if require_hydrogen and 1 not in atoms.numbers:
        found.append(
            f'structure: {atoms.get_chemical_formula()} has no hydrogen; structures from X-ray '
            'diffraction often lack it: add the positions (without any hydrogen, single links can '
            'be launched, the whole chain cannot)'
        )
    return found


def read_crystal(
    path: str | Path, require_hydrogen: bool = True, min_contact: float = MIN_CONTACT
) -> Atoms:
    """Read a crystal from a CIF or any other format that ASE knows.

    :raises ValueError: listing every problem, those only the CIF shows (partial occupancy, hydrogen
        in its formula that its sites lack) among them.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'structure: there is no file {path}')
    try:
        atoms = cast(Atoms, read(path))
    except Exception as error:
        # ASE's readers raise whatever they stumble over.
        raise ValueError(
            f'structure: {path} cannot be read ({type(error).__name__}: {error}); give a CIF or '
            'another format that ASE reads'
        ) from error
    found = []
    if path.suffix.lower() == '.cif':
        found = _cif_problems(path.read_bytes(), atoms)
        atoms.info.pop('occupancy', None)
    known = any('hydrogen' in problem for problem in found)
    found += crystal_problems(atoms, require_hydrogen and not known, min_contact)
    if found:
        raise ValueError('\n'.join(f'{problem} [{path.name}]' for problem in found))
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def pressure_problems(pressures: Any) -> list[str]:
    """Return the problems of pressures (GPa): each finite, >= 0, and larger than the last.

    The order decides which structure is reached from which, so it is not changed silently.
    """
    if not isinstance(pressures, list | tuple) or not pressures:
        return [f'pressures: expected a list with at least one value in GPa, got {pressures!r}']
    if any(isinstance(p, bool) or not isinstance(p, int | float) for p in pressures):
        return [f'pressures: expected numbers in GPa, got {pressures!r}']
    found = []
    if not np.all(np.isfinite(pressures)):
        return [f'pressures: not all are finite numbers: {list(pressures)}']
    negative = [p for p in pressures if p < 0]
    if negative:
        found.append(f'pressures: negative values are not supported: {negative} GPa')
    repeated = [p for p, count in Counter(pressures).items() if count > 1]
    if repeated:
        found.append(f'pressures: given more than once: {repeated} GPa')
    if list(pressures) != sorted(pressures):
        found.append(f'pressures: give them in ascending order: {sorted(set(pressures))} GPa')
    return found


def temperature_problems(temperature: float) -> list[str]:
    """Return the problems of a temperature in K."""
    if not np.isfinite(temperature) or temperature < 0:
        return [f'temperature: {temperature} K is not a temperature; it must be 0 K or above']
    return []


def energy_range_problems(minimum: float, maximum: float, bin_width: float) -> list[str]:
    """Return the problems of the energy axis of a spectrum (all in 1/cm)."""
    found = []
    if not all(np.isfinite([minimum, maximum, bin_width])):
        return [f'energies: not all finite: {minimum} to {maximum} 1/cm, bins of {bin_width} 1/cm']
    if minimum < 0:
        found.append(f'energies: the range starts below zero ({minimum} 1/cm)')
    if maximum <= minimum:
        found.append(f'energies: the range {minimum} to {maximum} 1/cm is empty')
    if bin_width <= 0:
        found.append(f'energies: bins of {bin_width} 1/cm; the width must be above 0')
    elif maximum > minimum and bin_width > maximum - minimum:
        found.append(f'energies: bins of {bin_width} 1/cm are wider than the whole range')
    return found


def relaxed_cell(
    atoms: Atoms,
    pressure: float,
    energy: float,
    forces: NDArray[np.float64],
    stress: NDArray[np.float64] | None,
    symprec: float,
) -> dict[str, Any]:
    """Return the row of one relaxed crystal in the table of a pressure scan.

    :param pressure: the target in GPa.
    :param energy: eV, total.
    :param forces: (n, 3) in eV/angstrom.
    :param stress: (6,) in eV/angstrom^3, tension positive, or ``None`` if not known.
    :param symprec: tolerance of the space group search in angstrom.
    :return: ``pressure_gpa``, ``volume_angstrom3``, ``energy_ev``, ``enthalpy_ev`` (E + pV),
        ``cell_lengths_angstrom``, ``cell_angles_degree``, ``spacegroup``,
        ``max_force_ev_per_angstrom`` (on one atom), ``stress_residual_gpa`` (largest component of
        stress + p, ``None`` if not known).
    """
    volume = float(atoms.get_volume())
    residual = None
    if stress is not None:
        target = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]) * pressure
        residual = float(np.abs(stress * GPA_PER_EV_PER_ANGSTROM3 + target).max())
    return {
        'pressure_gpa': float(pressure),
        'volume_angstrom3': volume,
        'energy_ev': float(energy),
        'enthalpy_ev': float(energy + pressure / GPA_PER_EV_PER_ANGSTROM3 * volume),
        'cell_lengths_angstrom': [float(x) for x in atoms.cell.lengths()],
        'cell_angles_degree': [float(x) for x in atoms.cell.angles()],
        'spacegroup': spacegroup(atoms, symprec),
        'max_force_ev_per_angstrom': float(np.linalg.norm(forces, axis=1).max()),
        'stress_residual_gpa': residual,
    }


def spacegroup(atoms: Atoms, symprec: float) -> str:
    """Return symbol and number, such as ``P-3m1 (164)``; ``symprec`` in angstrom."""
    return str(spglib.get_spacegroup(spglib_cell(atoms), symprec=symprec))


def spglib_cell(atoms: Atoms) -> Any:
    """Return a crystal as spglib takes it: vectors, places in them, atomic numbers."""
    return atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers


def _partial(sites: Sequence[str]) -> str:
    """Return the sentence on partly occupied sites."""
    return (
        f'structure: sites are partly occupied ({shortened(sites)}); choose one ordered arrangement'
    )


def _cif_problems(content: bytes, atoms: Atoms) -> list[str]:
    """Return what only the text of a CIF tells, from its first block that has sites."""
    for block in parse_cif(io.BytesIO(content)):
        labels = block.get('_atom_site_label') or block.get('_atom_site_type_symbol')
        if labels is None:
            continue
        values = map(_number, block.get('_atom_site_occupancy') or [])
        sites = [
            f'{label} {value:g}'
            for label, value in zip(labels, values, strict=False)
            if value is not None and abs(value - 1) > OCCUPANCY_TOLERANCE
        ]
        formula = str(block.get('_chemical_formula_sum') or '')
        return ([_partial(sites)] if sites else []) + _hydrogen_problems(formula, atoms)
    return []


def _number(value: Any) -> float | None:
    """Return a CIF number without its standard uncertainty, ``None`` for ``.`` and ``?``."""
    match = re.match(r'[-+]?\d*\.?\d+', str(value))
    return float(match.group()) if match else None


def _hydrogen_problems(formula: str, atoms: Atoms) -> list[str]:
    """Compare the hydrogen of a CIF's formula with that of its sites."""
    counts = {
        element: float(number or 1)
        for element, number in re.findall(r'\b([A-Z][a-z]?)(\d*\.?\d*)\b', formula)
    }
    expected = counts.get('H', 0) + counts.get('D', 0)
    heavy = sum(counts.values()) - expected
    hydrogen = int(np.sum(atoms.numbers == 1))
    if not expected or not heavy or hydrogen == len(atoms):
        return []
    wanted = expected / heavy * (len(atoms) - hydrogen)
    if abs(hydrogen - wanted) < 0.5:
        return []
    return [
        f"structure: the formula '{formula.strip()}' has {wanted:.0f} hydrogen atoms in this cell "
        f'but there are positions for {hydrogen}; add the missing hydrogen'
    ]
