"""Between ``StructureData`` nodes and ``ase.Atoms``, with the checks of a crystal."""

from __future__ import annotations

from aiida import orm
from ase import Atoms

from aiida_mlip_ins.science.structure import crystal_problems


def to_structure(atoms: Atoms) -> orm.StructureData:
    """Return an unstored node with the species, positions and cell (angstrom) of the atoms.

    Tags, charges and velocities are left out, so that each element has one kind.
    """
    plain = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    return orm.StructureData(ase=plain)


def to_atoms(structure: orm.StructureData) -> Atoms:
    """Return the atoms of a node (angstrom), in the order of its sites."""
    symbols = [structure.get_kind(site.kind_name).symbol for site in structure.sites]
    positions = [site.position for site in structure.sites]
    return Atoms(symbols, positions=positions, cell=structure.cell, pbc=structure.pbc)


def structure_problems(structure: orm.StructureData, require_hydrogen: bool = True) -> list[str]:
    """Return what makes a node unfit for the chain, an empty list if nothing does.

    :param require_hydrogen: whether a structure without any hydrogen is refused.
    """
    if structure.is_alloy or structure.has_vacancies:
        return ['structure: sites are partly occupied; choose one ordered arrangement']
    named = [kind.name for kind in structure.kinds if kind.name != kind.symbol]
    found = []
    if named:
        found.append(
            f'structure: kinds are told apart by name ({", ".join(named)}), which no engine here '
            'does; `to_structure(to_atoms(structure))` makes one kind of each element'
        )
    return found + crystal_problems(to_atoms(structure), require_hydrogen=require_hydrogen)
