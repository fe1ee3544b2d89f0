"""Harmonic phonons: supercells, forces to force constants, modes at Gamma and on a mesh.

Phonopy does the lattice dynamics; this module fixes the conventions. Frequencies are in 1/cm, with
imaginary ones negative. Eigenvectors are those of the dynamical matrix (mass-weighted, normalised),
as ``(n_modes, n_atoms, 3)``. Meshes may be shifted by half a step along each axis, so that they
avoid Gamma, where the three acoustic modes have no finite displacement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_mlip_ins.science.settings import setting
from aiida_mlip_ins.science.units import PER_CM_PER_THZ

Phonon = Any
"""A ``phonopy.Phonopy``, which is imported only where one is made."""

RESIDUAL = 0
"""Displacement number of the undisplaced supercell."""


@dataclass(frozen=True)
class PhononSettings:
    """What decides the force constants and how they are looked at."""

    displacement_distance: float = setting(
        'Length of the finite displacements.', 'angstrom', above=0.0, maximum=0.5
    )
    symprec: float = setting('Tolerance of the symmetry search.', 'angstrom', above=0.0)
    is_symmetry: bool = setting('Whether symmetry reduces the number of displacements.')
    primitive_cell: str = setting(
        'Whether modes refer to the given cell or to the primitive one that symmetry finds.',
        choices=('given', 'auto'),
    )
    undisplaced: bool = setting(
        'Whether the undisplaced supercell is labelled too, and its forces subtracted.'
    )
    symmetrise: bool = setting(
        'Whether the acoustic sum rule and the symmetry of indices are imposed.'
    )
    mesh: list[int] = setting('Number of q-points along each reciprocal axis.', minimum=1)
    gamma_centred: bool = setting(
        'Whether the mesh holds Gamma; otherwise it is shifted by half a step along each axis.'
    )
    imaginary_tolerance: float = setting(
        'A mode counts as imaginary below minus this.', '1/cm', minimum=0.0
    )
    is_diagonal: bool | None = setting(
        'Whether an atom may move along several axes at once, which takes fewer displacements; '
        'left out, it may, as in phonopy.',
        optional=True,
    )


def length_problems(mesh: Sequence[Any], where: str) -> list[str]:
    """Return a problem if a list that runs over the three axes has another length."""
    if isinstance(mesh, list | tuple) and len(mesh) != 3:
        return [f'{where}: expected three numbers, one for each axis, got {list(mesh)!r}']
    return []


def supercell_from_length(cell: np.ndarray, min_length: float) -> list[int]:
    """Return the multiples of the cell that make every distance between opposite faces long enough.

    :param cell: (3, 3) lattice vectors as rows, angstrom.
    :param min_length: the smallest distance allowed, angstrom; 0 gives the cell itself.
    """
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    return [max(1, math.ceil(min_length / height - 1e-6)) for height in heights]


def mesh_from_spacing(cell: np.ndarray, spacing: float) -> list[int]:
    """Return the smallest mesh whose steps are at most ``spacing``.

    :param cell: (3, 3) lattice vectors as rows, angstrom.
    :param spacing: 1/angstrom, with the factor 2 pi.
    """
    lengths = 2.0 * math.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
    return [max(1, math.ceil(length / spacing - 1e-6)) for length in lengths]


def mesh_points(mesh: Sequence[int], gamma_centred: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the q-points (n, 3; fractional) of a mesh and their weights (n,), which add up to one.

    Only time reversal reduces the mesh: q and -q have the same frequencies and displacements.
    Reduction by the space group would mix the contributions of equivalent atoms.
    """
    offset = 0.0 if gamma_centred else 0.5
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in mesh), indexing='ij'), -1).reshape(-1, 3)
    partner = (-grid - 2 * offset).astype(int) % np.asarray(mesh)
    own = np.ravel_multi_index(tuple(grid.T), tuple(mesh))
    other = np.ravel_multi_index(tuple(partner.T), tuple(mesh))
    kept = own <= other
    weights = np.where(own == other, 1.0, 2.0)[kept] / len(grid)
    points = (grid[kept] + offset) / np.asarray(mesh)
    return points - np.rint(points), weights


def make_phonopy(
    cell: np.ndarray,
    positions: np.ndarray,
    symbols: Sequence[str],
    masses: np.ndarray,
    supercell_matrix: np.ndarray,
    primitive_matrix: np.ndarray,
    force_constants: np.ndarray,
    born: np.ndarray | None = None,
    dielectric: np.ndarray | None = None,
) -> Phonon:
    """Return a phonopy object that holds force constants, with no symmetry search.

    :param cell: (3, 3) unit cell, angstrom.
    :param positions: (n_atoms, 3) Cartesian, angstrom.
    :param symbols: chemical symbols, (n_atoms,).
    :param masses: (n_atoms,) in u, which may be those of isotopes.
    :param supercell_matrix: (3, 3) integers.
    :param primitive_matrix: (3, 3).
    :param force_constants: (n_primitive or n_supercell, n_supercell, 3, 3), eV/angstrom^2.
    :param born: Born effective charges (n_primitive, 3, 3) in e, for the non-analytical correction.
    :param dielectric: high-frequency dielectric tensor (3, 3), likewise.
    :raises ValueError: if the force constants are not finite or of another shape.
    """
    from phonopy import Phonopy
    from phonopy.physical_units import get_physical_units
    from phonopy.structure.cells import PhonopyAtoms

    atoms = PhonopyAtoms(cell=cell, positions=positions, symbols=list(symbols), masses=masses)
    phonon = Phonopy(
        atoms, np.rint(supercell_matrix).astype(int), primitive_matrix, is_symmetry=False
    )
    n_super, n_primitive = len(phonon.supercell), len(phonon.primitive)
    if force_constants.shape[1:] != (n_super, 3, 3) or len(force_constants) not in (
        n_super,
        n_primitive,
    ):
        raise ValueError(
            f'force constants of shape {force_constants.shape} do not fit a primitive cell of '
            f'{n_primitive} and a supercell of {n_super} atoms'
        )
    if not np.isfinite(force_constants).all():
        raise ValueError('the force constants hold numbers that are not finite')
    phonon.force_constants = force_constants
    if born is not None and dielectric is not None:
        units = get_physical_units()
        factor = units.Hartree * units.Bohr
        phonon.nac_params = {'born': born, 'dielectric': dielectric, 'factor': factor}
    return phonon


def displaced_supercells(phonon: Phonon) -> list[np.ndarray]:
    """Return the Cartesian positions (n_supercell, 3; angstrom) of each displaced supercell."""
    return [supercell.positions for supercell in phonon.supercells_with_displacements]


def produce_force_constants(
    phonon: Phonon, forces: np.ndarray, residual: np.ndarray | None, symmetrise: bool
) -> np.ndarray:
    """Return compact force constants (n_primitive, n_supercell, 3, 3) in eV/angstrom^2.

    :param phonon: with its displacements.
    :param forces: (n_displacements, n_supercell, 3), eV/angstrom.
    :param residual: forces of the undisplaced supercell (n_supercell, 3), subtracted if given. The
        finite difference of a structure that is not quite at rest is one-sided where symmetry
        makes the opposite displacement redundant, so its residual forces would count as response.
    :param symmetrise: impose acoustic sum rule and symmetry of indices.
    """
    if residual is not None:
        forces = forces - residual[None]
    phonon.forces = forces
    phonon.produce_force_constants(calculate_full_force_constants=False, show_drift=False)
    if symmetrise:
        phonon.symmetrize_force_constants(show_drift=False)
    constants: np.ndarray = phonon.force_constants
    return constants


def sum_rule_violation(phonon: Phonon) -> float:
    """Return the largest force (eV/angstrom^2) that moving the whole crystal would cause."""
    return float(np.abs(phonon.force_constants.sum(axis=1)).max())


def impose_sum_rule(phonon: Phonon) -> None:
    """Make force constants obey the acoustic sum rule by their self terms, in place.

    The force on an atom from moving all of them is taken off what moving that atom alone causes
    (the "simple" rule of Quantum ESPRESSO's matdyn). Phonopy's own way spreads it over all pairs,
    which cancels at every q-point of the supercell but Gamma and leaves the noise there.
    """
    constants = phonon.force_constants.copy()
    rows = np.arange(len(constants))
    own = rows if len(constants) == len(phonon.supercell) else np.asarray(phonon.primitive.p2s_map)
    constants[rows, own] -= constants.sum(axis=1)
    phonon.force_constants = constants


def modes_at(phonon: Phonon, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (n_q, n_modes; 1/cm) and eigenvectors (n_q, n_modes, n_atoms, 3).

    :param points: (n_q, 3) in fractions of the reciprocal lattice of the primitive cell.
    """
    phonon.run_qpoints(points, with_eigenvectors=True)
    frequencies = phonon.qpoints.frequencies * PER_CM_PER_THZ
    vectors = np.swapaxes(phonon.qpoints.eigenvectors, 1, 2)
    return frequencies, vectors.reshape(*frequencies.shape, -1, 3)


def gamma_modes(phonon: Phonon) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (n_modes,; 1/cm) and real eigenvectors (n_modes, n_atoms, 3) at Gamma.

    The dynamical matrix is real there, and so are its eigenvectors once it is treated as real; the
    sign is fixed by making the largest component positive.
    """
    phonon.dynamical_matrix.run([0, 0, 0])
    matrix = phonon.dynamical_matrix.dynamical_matrix.real
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    frequencies = np.sign(values) * np.sqrt(np.abs(values)) * per_cm()
    vectors = vectors.T
    largest = vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)]
    vectors = vectors * np.sign(largest)[:, None]
    return frequencies, vectors.reshape(len(frequencies), -1, 3)


def per_cm() -> float:
    """Return what turns the root of eV/(angstrom^2 u) into 1/cm."""
    from phonopy.physical_units import get_physical_units

    return float(get_physical_units().DefaultToTHz * PER_CM_PER_THZ)


def acoustic_modes(eigenvectors: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Return the indices (3,), ascending, of the modes at Gamma that are uniform translations.

    A frequency cannot tell them from soft optical or imaginary modes; the eigenvector can: that of
    a translation is proportional to the square root of the masses.

    :param eigenvectors: (n_modes, n_atoms, 3).
    :param masses: (n_atoms,) in u.
    """
    translation = np.sqrt(masses / masses.sum())
    share = (np.abs(np.einsum('mai,a->mi', eigenvectors, translation)) ** 2).sum(axis=1)
    return np.sort(np.argsort(-share, kind='stable')[:3])


def summarise(
    gamma: np.ndarray,
    acoustic: np.ndarray,
    points: np.ndarray,
    weights: np.ndarray,
    frequencies: np.ndarray,
    tolerance: float,
) -> dict[str, Any]:
    """Return what the frequencies say about stability, in JSON types.

    :param gamma: (n_modes,) 1/cm, with ``acoustic`` the indices of the three translations.
    :param points: (n_q, 3), ``weights`` (n_q,), ``frequencies`` (n_q, n_modes) of the mesh, 1/cm.
    :param tolerance: a mode counts as imaginary below minus this, 1/cm.

    ``min_frequency_per_cm`` is the lowest on the mesh and of the optical modes at Gamma; the
    translations at Gamma are left out wherever they are. ``imaginary_share`` is the share of modes
    that are imaginary, weighted over the mesh.
    """
    optical = np.delete(gamma, acoustic)
    values = frequencies.copy()
    at_gamma = np.all(np.abs(points) < 1e-8, axis=1)
    if at_gamma.any():
        values[np.ix_(at_gamma, acoustic)] = np.inf
    lowest = np.unravel_index(values.argmin(), values.shape)
    minimum, where = float(values[lowest]), points[lowest[0]].tolist()
    if optical.size and optical.min() < minimum:
        minimum, where = float(optical.min()), [0.0, 0.0, 0.0]
    imaginary = values < -tolerance
    return {
        'min_frequency_per_cm': minimum,
        'min_frequency_q': where,
        'min_gamma_optical_per_cm': float(optical.min()) if optical.size else None,
        'gamma_acoustic_per_cm': gamma[acoustic].tolist(),
        'n_imaginary': int(imaginary.sum()),
        'imaginary_share': float((weights @ imaginary).sum() / values.shape[1]),
        'imaginary': bool(minimum < -tolerance),
        'n_qpoints': len(points),
        'n_modes': int(values.shape[1]),
    }
