"""Training configurations aimed at phonons under pressure, and a relaxation by few frames.

Pure functions of structures, numbers and seeds; the same arguments give the same frames.
"""

from aiida_mlip_ins.science.sampling.distances import separations, without_duplicates
from aiida_mlip_ins.science.sampling.first import (
    FirstSettings,
    first_cells,
    first_problems,
    spanned,
)
from aiida_mlip_ins.science.sampling.isolated import isolated_atoms
from aiida_mlip_ins.science.sampling.molecules import (
    Molecule,
    find_molecules,
    molecule_problems,
    rigidly_moved,
    with_rigid_molecules,
)
from aiida_mlip_ins.science.sampling.moves import (
    along_pressure,
    bond_rattled,
    bonded_hydrogens,
    pressure_path,
    rattled,
    strained,
    symmetrized,
    volume_scan,
    with_bond_lengths,
)
from aiida_mlip_ins.science.sampling.nested import (
    HELD_OUT,
    random_frames,
    targeted_frames,
    with_nested_splits,
)
from aiida_mlip_ins.science.sampling.sections import OF_THE_CELL, SETTINGS, sampling_problems
from aiida_mlip_ins.science.sampling.supercells import (
    SHORT_AXES,
    displaced,
    folded_mesh,
    matrix_problem,
    matrix_text,
    multiples_of,
    short_axis_supercells,
    supercells,
)
from aiida_mlip_ins.science.sampling.surrogate import (
    SymmetricCoordinates,
    propose,
    starting_frames,
    symmetric_coordinates,
)
from aiida_mlip_ins.science.sampling.targeted import (
    assign_splits,
    refuse_overlaps,
    targeted_set,
)
from aiida_mlip_ins.science.sampling.thermal import ThermalSettings, thermal_rattles
from aiida_mlip_ins.science.sampling.trajectories import along_relaxation, snapshots

__all__ = [
    'HELD_OUT',
    'OF_THE_CELL',
    'SETTINGS',
    'SHORT_AXES',
    'FirstSettings',
    'Molecule',
    'SymmetricCoordinates',
    'ThermalSettings',
    'along_pressure',
    'along_relaxation',
    'assign_splits',
    'bond_rattled',
    'bonded_hydrogens',
    'displaced',
    'find_molecules',
    'first_cells',
    'first_problems',
    'folded_mesh',
    'isolated_atoms',
    'matrix_problem',
    'matrix_text',
    'molecule_problems',
    'multiples_of',
    'pressure_path',
    'propose',
    'random_frames',
    'rattled',
    'refuse_overlaps',
    'rigidly_moved',
    'sampling_problems',
    'separations',
    'short_axis_supercells',
    'snapshots',
    'spanned',
    'starting_frames',
    'strained',
    'supercells',
    'symmetric_coordinates',
    'symmetrized',
    'targeted_frames',
    'targeted_set',
    'thermal_rattles',
    'volume_scan',
    'with_bond_lengths',
    'with_nested_splits',
    'with_rigid_molecules',
    'without_duplicates',
]
