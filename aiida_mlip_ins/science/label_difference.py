"""How far the labels of one method are from those of another, on the same frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from aiida_mlip_ins.science.sampling.distances import SAME, separations
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3


def _mismatch(reference: Sequence[Atoms], other: Sequence[Atoms]) -> str | None:
    """Return why two sets are not of the same frames, one by one, ``None`` if they are."""
    if len(reference) != len(other):
        return f'{len(other)} frames, but {len(reference)} in the first set'
    for index, (one, two) in enumerate(zip(reference, other, strict=True)):
        apart = separations([one, two])[0, 1]
        if not np.isfinite(apart):
            return f'frame {index} has other atoms than in the first set'
        if apart > SAME:
            return f'frame {index} differs from that of the first set by {apart:.2g} angstrom'
    return None


def label_difference(reference: Sequence[Atoms], other: Sequence[Atoms]) -> dict[str, float | None]:
    """Return how labels of the same frames differ.

    :param reference: labelled frames, ``info['REF_energy']`` (eV), ``arrays['REF_forces']``
        (eV/angstrom), ``info['REF_stress']`` (6, eV/angstrom^3; may be missing).
    :param other: the same frames with other labels.
    :return: ``energy_mev_per_atom``, the mean absolute difference less its mean, which a potential
        does not see (``None`` for one frame); ``force_mev_per_angstrom`` and ``force_max``, over
        all components; ``pressure_gpa``, the mean of ``other - reference``, and ``stress_max_gpa``
        over all components (``None`` without stresses).
    :raises ValueError: if the frames are not the same.
    """
    if problem := _mismatch(reference, other):
        raise ValueError(problem)
    pairs = list(zip(reference, other, strict=True))
    energies = np.array(
        [(two.info['REF_energy'] - one.info['REF_energy']) / len(one) for one, two in pairs]
    )
    forces = 1e3 * np.concatenate(
        [np.ravel(two.arrays['REF_forces'] - one.arrays['REF_forces']) for one, two in pairs]
    )
    stresses = GPA_PER_EV_PER_ANGSTROM3 * np.array(
        [
            np.subtract(two.info['REF_stress'], one.info['REF_stress'])
            for one, two in pairs
            if 'REF_stress' in one.info and 'REF_stress' in two.info
        ]
    )
    known, several = stresses.size > 0, len(pairs) > 1
    return {
        'energy_mev_per_atom': (
            1e3 * float(np.abs(energies - energies.mean()).mean()) if several else None
        ),
        'force_mev_per_angstrom': float(np.abs(forces).mean()),
        'force_max': float(np.abs(forces).max()),
        # Tension is positive in a stress, compression in a pressure.
        'pressure_gpa': 0.0 - float(stresses[:, :3].mean()) if known else None,
        'stress_max_gpa': float(np.abs(stresses).max()) if known else None,
    }
