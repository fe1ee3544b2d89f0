"""Nodes of phonons for tests, made from springs or from real DFT force constants."""

from __future__ import annotations

import numpy as np
from aiida import orm
from aiida_phonopy.data import ForceConstantsData
from springs import Springs, brucite_cell, brucite_dft, soft_row, spring_arrays

from aiida_mlip_ins.calculations.functions.phonons import SOURCE, analyse_modes
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.science.modes import Modes

PARAMETERS = {
    'displacement_distance': 0.01, 'symprec': 1e-4, 'is_symmetry': True, 'primitive_cell': 'given',
    'undisplaced': True, 'symmetrise': True, 'mesh': [2, 2, 2], 'gamma_centred': False,
    'imaginary_tolerance': 1.0, 'is_diagonal': False,
}  # fmt: skip


def spring_structure() -> orm.StructureData:
    """Return brucite as the springs know it."""
    return orm.StructureData(ase=brucite_cell())


def dft_structure(pressure: str) -> orm.StructureData:
    """Return brucite as DFT relaxed it at 0.0 or 1.5 GPa."""
    return orm.StructureData(ase=brucite_dft(pressure)[0])


def dft_force_constants(pressure: str) -> ForceConstantsData:
    """Return DFT's force constants of the cell at 0.0 or 1.5 GPa."""
    node = ForceConstantsData(
        structure=dft_structure(pressure),
        supercell_matrix=[1, 1, 1],
        primitive_matrix=np.eye(3).tolist(),
    )
    node.set_force_constants(brucite_dft(pressure)[1])
    return node


def spring_force_constants(sign: float = 1.0) -> ForceConstantsData:
    """Return force constants of springs; a negative sign makes every mode imaginary."""
    arrays = spring_arrays()
    node = ForceConstantsData(
        structure=spring_structure(),
        supercell_matrix=[3, 3, 2],
        primitive_matrix=np.eye(3).tolist(),
    )
    node.set_force_constants(sign * arrays['force_constants'])
    return node


def dimerising_force_constants() -> ForceConstantsData:
    """Return force constants of a row of atoms that is soft at the border of its zone alone.

    ``m w^2 = 1 - 0.52 (1 - cos(2 pi q))``: -0.04 eV/angstrom^2 at q = 1/2, 0.11 at 3/8; m is that
    of hydrogen.
    """
    arrays = soft_row(onsite=1.0, spring=-0.26)
    structure = orm.StructureData(cell=arrays['cell'])
    structure.append_atom(position=(0, 0, 0), symbols='H')
    node = ForceConstantsData(
        structure=structure, supercell_matrix=[4, 1, 1], primitive_matrix=np.eye(3).tolist()
    )
    node.set_force_constants(arrays['force_constants'])
    return node


def dft_modes_nodes(pressure: str) -> tuple[orm.ArrayData, orm.Dict]:
    """Return modes and summary of DFT at 0.0 or 1.5 GPa."""
    parameters = {**PARAMETERS, 'mesh': [1, 1, 1], 'gamma_centred': True}
    found = analyse_modes(dft_force_constants(pressure), orm.Dict(parameters))
    return found['modes'], found['summary']


def modes_node(modes: Modes) -> orm.ArrayData:
    """Return modes at Gamma as a node, as the phonon workchains make it."""
    node = orm.ArrayData()
    for name in ('frequencies', 'eigenvectors', 'masses', 'cell', 'positions'):
        node.set_array(name, getattr(modes, name))
    node.base.attributes.set('symbols', list(modes.symbols))
    return node


def spring_dataset(frames: FramesData, residual: float = 0.0) -> DatasetData:
    """Label displaced supercells with springs, as a labeller does it.

    :param frames: the undisplaced supercell first.
    :param residual: a force (eV/angstrom) on the first atom that does not depend on displacements.
    """
    given = frames.get_frames()
    rest = given[0]
    labelled = []
    for index, frame in enumerate(given):
        assert frame.info['source'] == SOURCE
        forces = Springs().forces(frame, rest)
        forces[0, 0] += residual
        forces[1, 0] -= residual
        frame.info.update(index=index, REF_energy=-100.0 * len(frame))
        frame.arrays['REF_forces'] = forces
        labelled.append(frame)
    return DatasetData.from_frames(labelled, method='springs')
