"""Calcfunctions of the phonon link: displacements, frames, force constants, modes."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction
from aiida_phonopy.data import ForceConstantsData, PreProcessData
from ase import Atoms

from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.science import isotopes as nuclides
from aiida_mlip_ins.science import phonons, zone
from aiida_mlip_ins.science.settings import build

SOURCE = 'phonon'
DISPLACEMENT = 'displacement'
MODE_UNITS = {
    'frequencies': '1/cm', 'eigenvectors': 'mass-weighted, normalised', 'masses': 'u',
    'cell': 'angstrom', 'positions': 'angstrom', 'mesh_points': 'reciprocal lattice',
    'mesh_weights': '', 'mesh_frequencies': '1/cm', 'exact_points': 'reciprocal lattice',
    'exact_weights': '', 'exact_frequencies': '1/cm',
}  # fmt: skip
POSITION_TOLERANCE = 1e-4
"""angstrom; extended XYZ keeps eight decimals."""


@calcfunction
def generate_displacements(
    structure: orm.StructureData, supercell_matrix: orm.List, parameters: orm.Dict
) -> PreProcessData:
    """Find the displacements that the force constants need.

    :param structure: the relaxed crystal, angstrom.
    :param supercell_matrix: three multiples of the lattice vectors, or (3, 3) integers.
    :param parameters: ``PhononSettings``.
    """
    settings = build(phonons.PhononSettings, parameters.get_dict(), 'parameters')
    primitive: Any = 'auto' if settings.primitive_cell == 'auto' else np.eye(3).tolist()
    node = PreProcessData(
        structure=structure,
        supercell_matrix=supercell_matrix.get_list(),
        primitive_matrix=primitive,
        symprec=float(settings.symprec),
        is_symmetry=settings.is_symmetry,
    )
    node.set_displacements(
        distance=settings.displacement_distance, is_diagonal=settings.is_diagonal is not False
    )
    return node


@calcfunction
def displaced_frames(preprocess_data: PreProcessData, parameters: orm.Dict) -> FramesData:
    """Return all displaced supercells as one set of frames, numbered from one.

    Where the settings ask for it, the undisplaced supercell comes first, as number zero.
    """
    settings = build(phonons.PhononSettings, parameters.get_dict(), 'parameters')
    return FramesData.from_frames(expected_frames(preprocess_data, settings.undisplaced))


def expected_frames(preprocess_data: PreProcessData, undisplaced: bool) -> list[Atoms]:
    """Return the supercells that are to be labelled, in phonopy's order of atoms."""
    # Kinds may be numbered for phonopy; the elements are asked for here.
    phonon = preprocess_data.get_phonopy_instance(distinguish=False)
    supercells = list(enumerate(phonon.supercells_with_displacements, start=1))
    if undisplaced:
        supercells.insert(0, (phonons.RESIDUAL, phonon.supercell))
    frames = []
    for number, supercell in supercells:
        frame = Atoms(
            supercell.symbols, positions=supercell.positions, cell=supercell.cell, pbc=True
        )
        frame.info.update({'source': SOURCE, DISPLACEMENT: number})
        frames.append(frame)
    return frames


@calcfunction
def make_force_constants(
    preprocess_data: PreProcessData, dataset: DatasetData, parameters: orm.Dict
) -> ForceConstantsData | ExitCode:
    """Turn the forces of the displaced supercells into force constants (eV/angstrom^2)."""
    settings = build(phonons.PhononSettings, parameters.get_dict(), 'parameters')
    expected = expected_frames(preprocess_data, settings.undisplaced)
    labelled = dataset.get_frames()
    problems = forces_problems(expected, labelled)
    if problems:
        return ExitCode(401, '; '.join(problems))
    by_index = {int(frame.info['index']): frame.arrays['REF_forces'] for frame in labelled}
    forces = np.array([by_index[index] for index in range(len(expected))])
    residual = None
    if settings.undisplaced:
        residual, forces = forces[0], forces[1:]
    phonon = preprocess_data.get_phonopy_instance()
    constants = phonons.produce_force_constants(phonon, forces, residual, settings.symmetrise)
    node = ForceConstantsData(
        structure=preprocess_data.get_unitcell(),
        supercell_matrix=preprocess_data.supercell_matrix,
        primitive_matrix=preprocess_data.primitive_matrix,
        symprec=preprocess_data.symprec,
        is_symmetry=preprocess_data.is_symmetry,
        distinguish_kinds=preprocess_data.distinguish_kinds,
    )
    node.set_force_constants(constants)
    extra = {'n_displacements': len(forces), 'method': dataset.method}
    if residual is not None:
        extra['max_residual_force'] = float(np.abs(residual).max())
    node.base.attributes.set_many(extra)
    return node


def forces_problems(expected: list[Atoms], labelled: list[Atoms]) -> list[str]:
    """Return why labelled frames are not the forces of the displaced supercells."""
    indices = [int(frame.info.get('index', -1)) for frame in labelled]
    missing = sorted(set(range(len(expected))) - set(indices))
    if missing:
        return [f'{len(missing)} of {len(expected)} displaced supercells have no forces: {missing}']
    found = []
    for index, frame in zip(indices, labelled, strict=True):
        if not 0 <= index < len(expected):
            found.append(f'frame {index} is none of the {len(expected)} displaced supercells')
            continue
        other = expected[index]
        if list(frame.symbols) != list(other.symbols):
            found.append(f'frame {index} has other atoms than the displaced supercell')
            continue
        shift = frame.positions - other.positions
        shift -= np.rint(shift @ np.linalg.inv(other.cell[:])) @ other.cell[:]
        if np.abs(shift).max() > POSITION_TOLERANCE:
            found.append(f'frame {index} is not the displaced supercell that it is numbered as')
        elif not np.isfinite(frame.arrays['REF_forces']).all():
            found.append(f'frame {index} has forces that are not finite')
    return found


@calcfunction
def analyse_modes(
    force_constants: ForceConstantsData,
    parameters: orm.Dict,
    isotopes: orm.Dict | None = None,
) -> dict[str, orm.Data]:
    """Return modes at Gamma, frequencies on a mesh and at the points the supercell has exactly.

    :param isotopes: nuclides of elements or of indices of atoms, as in ``{'H': '2H'}``.
    :return: ``modes``; ``summary``: what they say about stability.
    """
    settings = build(phonons.PhononSettings, parameters.get_dict(), 'parameters')
    phonon = phonopy_of(force_constants)
    primitive = phonon.primitive
    if isotopes is not None:
        phonon.masses = nuclides.masses(isotopes.get_dict(), primitive.symbols, primitive.masses)
    frequencies, vectors = phonons.gamma_modes(phonon)
    acoustic = phonons.acoustic_modes(vectors, primitive.masses)
    points, weights = phonons.mesh_points(settings.mesh, settings.gamma_centred)
    on_mesh, _ = phonons.modes_at(phonon, points)
    exact = zone.exact_modes(phonon, frequencies)
    modes = orm.ArrayData(
        {
            'frequencies': frequencies,
            'eigenvectors': vectors.astype(complex),
            'acoustic': acoustic,
            'masses': np.array(primitive.masses),
            'cell': np.array(primitive.cell),
            'positions': np.array(primitive.positions),
            'mesh_points': points,
            'mesh_weights': weights,
            'mesh_frequencies': on_mesh,
            'exact_points': exact.points,
            'exact_weights': exact.weights,
            'exact_frequencies': exact.frequencies,
        }
    )
    attributes = force_constants.base.attributes
    modes.base.attributes.set_many(
        {'symbols': list(primitive.symbols), 'mesh': list(settings.mesh), 'units': MODE_UNITS}
    )
    summary = phonons.summarise(
        frequencies, acoustic, points, weights, on_mesh, settings.imaginary_tolerance
    )
    summary = zone.with_exact(summary, exact, acoustic, settings.imaginary_tolerance)
    summary |= {
        'gamma_per_cm': frequencies.tolist(),
        'mesh': list(settings.mesh),
        'gamma_centred': settings.gamma_centred,
        'supercell_matrix': np.array(force_constants.supercell_matrix).tolist(),
        'n_atoms_supercell': len(phonon.supercell),
        'n_displacements': attributes.get('n_displacements', None),
        'max_residual_force_ev_per_angstrom': attributes.get('max_residual_force', None),
        'method': attributes.get('method', None),
    }
    return {'modes': modes, 'summary': orm.Dict(summary)}


def arrays_of(node: ForceConstantsData) -> dict[str, np.ndarray]:
    """Return what :func:`phonons.make_phonopy` takes: force constants, crystal, Born charges."""
    arrays = {
        'cell': np.array(node.cell, dtype=float),
        'positions': np.array(node.positions, dtype=float),
        'symbols': np.array(node.symbols, dtype=str),
        'masses': np.array(node.masses, dtype=float),
        'supercell_matrix': np.array(node.supercell_matrix, dtype=float),
        'primitive_matrix': np.array(node.primitive_matrix, dtype=float),
        'force_constants': node.force_constants,
    }
    if node.has_nac_parameters():
        arrays |= {'born': node.born_charges, 'dielectric': node.dielectric}
    return arrays


def phonopy_of(node: ForceConstantsData) -> phonons.Phonon:
    """Return a phonopy object with the force constants and the elements and masses of a node."""
    arrays: dict[str, Any] = arrays_of(node)
    return phonons.make_phonopy(**{**arrays, 'symbols': list(node.symbols)})
