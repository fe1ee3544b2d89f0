"""Training configurations aimed at phonons under pressure, and a relaxation by few frames.

Pure functions of structures, numbers and seeds; the same arguments give the same frames.
"""

from aiida_mlip_ins.science.sampling.moves import (
    along_pressure,
    bond_rattled,
    bonded_hydrogens,
    displaced,
    folded_mesh,
    pressure_path,
    rattled,
    strained,
    supercells,
    symmetrized,
    volume_scan,
    with_bond_lengths,
)
from aiida_mlip_ins.science.sampling.surrogate import (
    SymmetricCoordinates,
    propose,
    starting_frames,
    symmetric_coordinates,
)
from aiida_mlip_ins.science.sampling.targeted import (
    SETTINGS,
    assign_splits,
    refuse_overlaps,
    sampling_problems,
    targeted_set,
    without_duplicates,
)

__all__ = [
    'SETTINGS',
    'SymmetricCoordinates',
    'along_pressure',
    'assign_splits',
    'bond_rattled',
    'bonded_hydrogens',
    'displaced',
    'folded_mesh',
    'pressure_path',
    'propose',
    'rattled',
    'refuse_overlaps',
    'sampling_problems',
    'starting_frames',
    'strained',
    'supercells',
    'symmetric_coordinates',
    'symmetrized',
    'targeted_set',
    'volume_scan',
    'with_bond_lengths',
    'without_duplicates',
]
