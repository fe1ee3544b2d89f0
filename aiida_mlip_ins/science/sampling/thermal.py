"""Displacements that a crystal has at a temperature, from its force constants.

Rattles of one width treat stiff and soft coordinates alike; these have each mode's own amplitude,
``<u^2> = hbar / (2 m w) coth(hbar w / 2 k T)``, zero-point motion included, or the classical
``<u^2> = k T / (m w^2)``. Classical frames are the ones to train on for frequencies: an error dF of
the forces is one of ``dF / u`` in the spring and ``dF / (2 m w u) = dF / (2 sqrt(m k T))`` in the
frequency, the same for every mode, whereas zero-point motion has the stiff modes drown the soft.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms

from aiida_mlip_ins.science.phonons import Phonon
from aiida_mlip_ins.science.sampling.moves import bare_copy
from aiida_mlip_ins.science.sampling.supercells import matrix_problem, matrix_text
from aiida_mlip_ins.science.settings import setting
from aiida_mlip_ins.science.units import PER_CM_PER_THZ


@dataclass(frozen=True)
class ThermalSettings:
    """How many frames of a crystal in motion, and how warm."""

    temperature: float = setting(
        'Temperature of the motion; at 0 only its zero point is left.', 'K', minimum=0.0
    )
    count: int = setting('Number of frames.', minimum=1)
    lowest: float = setting(
        'Modes below this, imaginary ones by their size, stand still; above, an imaginary mode '
        'moves like a real one of its size.',
        '1/cm',
        above=0.0,
    )
    classical: bool | None = setting(
        'Whether each mode has the energy k T, in place of its quanta and its zero point.',
        optional=True,
    )
    supercell: list[list[int]] | None = setting(
        "Axes of the frames' cell in those of the crystal (3 x 3, rows), onto which the force "
        'constants are folded; their own supercell if not given.',
        optional=True,
    )


def thermal_rattles(phonon: Phonon, settings: ThermalSettings, seed: int) -> list[Atoms]:
    """Return supercells at random points of the harmonic canonical ensemble.

    Phonopy draws them at the q-points that the cell has (A. Togo, J. Phys. Soc. Jpn. 92, 012001
    (2023)). Frame i depends on the seed and on i alone, so more frames keep those there were.

    :param phonon: with force constants; see ``science.phonons.make_phonopy``.
    :return: frames with ``info['matrix']``, to be labelled at the k-points of the crystal.
    :raises ValueError: if ``supercell`` is no supercell.
    """
    statistics: Literal['classical', 'quantum'] = 'classical' if settings.classical else 'quantum'
    if settings.supercell is not None:
        if problem := matrix_problem(settings.supercell):
            raise ValueError(f'supercell: {problem}')
        columns = np.asarray(settings.supercell, dtype=int).T  # as phonopy has the axes
        phonon = phonon.ph2ph(columns)
    phonon.init_random_displacements(
        cutoff_frequency=settings.lowest / PER_CM_PER_THZ, dist_func=statistics
    )
    phonon.random_displacements.run(settings.temperature, settings.count, random_seed=seed)
    cell = phonon.supercell
    rest = Atoms(cell.symbols, positions=cell.positions, cell=cell.cell, pbc=True)
    about = {
        'temperature': float(settings.temperature),
        'matrix': matrix_text(phonon.supercell_matrix.T),
    }
    frames = []
    for moves in phonon.random_displacements.u:
        frame = bare_copy(rest, 'thermal', **about)
        frame.positions += moves
        frames.append(frame)
    return frames
