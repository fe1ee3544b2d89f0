"""Pseudopotential families: the one that the user has, or PseudoDojo from the package index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from aiida_mlip_ins.cli.environments import REQUIREMENTS

if TYPE_CHECKING:
    from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily, PseudoPotentialFamily

FAMILY = 'PseudoDojo/0.4/PBE/SR/standard/upf'
DESCRIPTION = (
    'PseudoDojo NC SR 0.4, PBE, standard accuracy (CC BY 4.0), as carried by the package koopmans'
)
RYDBERG_PER_HARTREE = 2.0
CHARGE_PER_WAVEFUNCTION_CUTOFF = 4.0
"""Norm-conserving: the density has twice the wave vectors, hence four times the energy."""


def find_family(label: str) -> PseudoPotentialFamily | None:
    """Return the family of this label, whatever its type, or nothing."""
    from aiida import orm
    from aiida_pseudo.groups.family import PseudoPotentialFamily

    query = orm.QueryBuilder().append(PseudoPotentialFamily, filters={'label': label})
    return query.first(flat=True)


def family_labels() -> list[str]:
    """Return the labels of all families in the profile."""
    from aiida import orm
    from aiida_pseudo.groups.family import PseudoPotentialFamily

    query = orm.QueryBuilder().append(PseudoPotentialFamily, project='label')
    return sorted(query.all(flat=True))


def install_family(folder: Path, label: str = FAMILY) -> CutoffsPseudoPotentialFamily:
    """Make a family of the UPF files in a folder, with PseudoDojo's hints as its cutoffs.

    Its stringencies are ``low``, ``normal`` (the default) and ``high``.

    :param folder: PseudoDojo's files, ``H.upf`` and so on.
    :raises ValueError: if there is a file that is none, or of an element without a hint.
    """
    from aiida_pseudo.data.pseudo import UpfData
    from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily

    hints = yaml.safe_load((REQUIREMENTS / 'cutoffs.yaml').read_text())
    family = CutoffsPseudoPotentialFamily.create_from_folder(
        folder, label, description=DESCRIPTION, pseudo_type=UpfData
    )
    unknown = sorted(set(family.elements) - set(hints))
    if unknown:
        type(family).collection.delete(family.pk)
        raise ValueError(f'no cutoffs are known for {", ".join(unknown)} in {folder}')
    for index, stringency in enumerate(('low', 'normal', 'high')):
        family.set_cutoffs(
            {element: _cutoffs(hints[element][index]) for element in family.elements},
            stringency,
            unit='Ry',
        )
    family.set_default_stringency('normal')
    return family


def _cutoffs(hartree: float) -> dict[str, float]:
    wavefunction = hartree * RYDBERG_PER_HARTREE
    return {
        'cutoff_wfc': wavefunction,
        'cutoff_rho': wavefunction * CHARGE_PER_WAVEFUNCTION_CUTOFF,
    }
