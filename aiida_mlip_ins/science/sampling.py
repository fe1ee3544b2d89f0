"""Training configurations aimed at phonons under pressure: pure functions of structures, numbers and a seed.

Units: angstrom, GPa. Every frame is a new ``ase.Atoms`` whose ``info`` has ``source`` (the kind of
frame, also the stratum of :func:`assign_splits`) and the numbers of its generator. Nothing reads a
global random state, so the same arguments give the same frames.

Why these kinds (measured on brucite): relaxation moves only the totally symmetric coordinates, so
symmetric frames (few k-points, cheap) decide volumes; curvature decides frequencies, so rattles are
small and keep stiff X-H bonds nearly rigid while they turn, or the forces of the stretch would
drown those of the soft lattice modes; two-cell supercells fold zone-boundary modes to Gamma.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from ase.build import make_supercell
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from scipy.linalg import expm, logm

FloatArray = NDArray[np.float64]


def _copy(atoms: Atoms, source: str, **numbers: Any) -> Atoms:
    """Bare copy: species, cell, positions, no calculator, no stale info or arrays."""
    new = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    new.info = {'source': source, **numbers}
    return new


def _inherit(atoms: Atoms) -> dict[str, Any]:
    return {key: value for key, value in atoms.info.items() if key != 'source'}


def bonded_hydrogens(atoms: Atoms, factor: float = 1.25) -> list[tuple[int, int, FloatArray]]:
    """Return ``(hydrogen, parent, vector parent -> hydrogen in angstrom)`` for each X-H bond.

    The parent is the nearest heavier atom within `factor` times the sum of the covalent radii.
    """
    first, second, distance, vector = neighbor_list('ijdD', atoms, 2.5)
    nearest: dict[int, tuple[float, int, FloatArray]] = {}
    for i, j, d, v in zip(first, second, distance, vector, strict=True):
        if atoms.numbers[i] != 1 or atoms.numbers[j] == 1:
            continue
        reach = factor * (covalent_radii[1] + covalent_radii[atoms.numbers[j]])
        if d <= reach and (i not in nearest or d < nearest[i][0]):
            nearest[i] = (d, int(j), -v)
    return [(i, nearest[i][1], nearest[i][2]) for i in sorted(nearest)]


def along_pressure(structures: Mapping[float, Atoms], pressure: float) -> Atoms:
    """Inter- or extrapolate relaxed structures to `pressure` (GPa); atoms in the same order.

    Linear between neighbouring pressures (and beyond the ends) in the logarithm of the deformation
    and in the fractional coordinates. A single structure is returned as it is.
    """
    knots = sorted(structures)
    start = structures[knots[0]]
    if len(knots) == 1:
        return _copy(start, 'path', pressure=float(pressure))
    upper = int(np.clip(np.searchsorted(knots, pressure), 1, len(knots) - 1))
    low, high = structures[knots[upper - 1]], structures[knots[upper]]
    if not np.array_equal(low.numbers, high.numbers):
        raise ValueError('structures of different pressures need the same atoms in the same order')
    weight = (pressure - knots[upper - 1]) / (knots[upper] - knots[upper - 1])
    deformation = np.linalg.solve(low.cell.array, high.cell.array)
    cell = low.cell.array @ expm(weight * np.real(logm(deformation)))
    first, last = low.get_scaled_positions(wrap=False), high.get_scaled_positions(wrap=False)
    shift = last - first
    fractional = first + weight * (shift - np.round(shift))
    new = Atoms(low.numbers, scaled_positions=fractional, cell=cell, pbc=True)
    return _copy(new, 'path', pressure=float(pressure))


def pressure_path(structures: Mapping[float, Atoms], pressures: Sequence[float]) -> list[Atoms]:
    """Frames of :func:`along_pressure`: a volume scan along the cells the crystal really takes."""
    return [along_pressure(structures, pressure) for pressure in pressures]


def volume_scan(atoms: Atoms, factors: Sequence[float]) -> list[Atoms]:
    """Isotropic volume scan: volumes `factors` times the given one, fractional coordinates kept."""
    frames = []
    for factor in factors:
        new = _copy(atoms, 'volume', volume_factor=float(factor))
        new.set_cell(atoms.cell.array * factor ** (1 / 3), scale_atoms=True)
        frames.append(new)
    return frames


def strained(atoms: Atoms, sigma: float, count: int, seed: int) -> list[Atoms]:
    """`count` copies under random symmetric strains, each component normal with width `sigma`."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        strain = rng.normal(0.0, sigma, (3, 3))
        strain = np.triu(strain) + np.triu(strain, 1).T
        new = _copy(atoms, 'strain', **_inherit(atoms), strain_sigma=float(sigma))
        new.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        frames.append(new)
    return frames


def rattled(atoms: Atoms, sigma: float, count: int, seed: int) -> list[Atoms]:
    """`count` copies, every coordinate displaced by a normal deviate of width `sigma` (angstrom)."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        new = _copy(atoms, 'rattle', **_inherit(atoms), sigma=float(sigma))
        new.positions += rng.normal(0.0, sigma, (len(atoms), 3))
        frames.append(new)
    return frames


def bond_rattled(
    atoms: Atoms, heavy: float, tilt: float, stretch: float, count: int, seed: int
) -> list[Atoms]:
    """Rattle that treats X-H bonds as stiff sticks.

    Other atoms move by `heavy` (angstrom, width per coordinate); a bonded hydrogen follows its
    parent, turns about it by `tilt` (angstrom at the hydrogen, per perpendicular direction, bond
    length kept) and stretches by `stretch`. Widths in the ratio of the thermal amplitudes make
    the forces of stiff and soft coordinates comparable.
    """
    rng = np.random.default_rng(seed)
    bonds = bonded_hydrogens(atoms)
    frames = []
    for _ in range(count):
        new = _copy(atoms, 'rattle', **_inherit(atoms), heavy=heavy, tilt=tilt, stretch=stretch)
        moves = rng.normal(0.0, heavy, (len(atoms), 3))
        for hydrogen, parent, vector in bonds:
            length = float(np.linalg.norm(vector))
            axis = vector / length
            sideways = rng.normal(0.0, tilt, 3)
            turned = vector + sideways - axis * (axis @ sideways)
            turned *= (length + rng.normal(0.0, stretch)) / np.linalg.norm(turned)
            moves[hydrogen] = moves[parent] + turned - vector
        new.positions += moves
        frames.append(new)
    return frames


def symmetrized(frame: Atoms, parent: Atoms, symprec: float = 1e-3) -> Atoms:
    """Project a distortion of `parent` (same atom order) on its totally symmetric part.

    The strain (fractional coordinates' metric) and the displacements are averaged over the space
    group of `parent`. A symmetric frame costs pw.x a fraction of a general one.
    """
    cell = (parent.cell.array, parent.get_scaled_positions(), parent.numbers)
    found = spglib.get_symmetry(cell, symprec=symprec)
    rotations, translations = found['rotations'], found['translations']
    fractional = parent.get_scaled_positions(wrap=False)
    moved = frame.get_scaled_positions(wrap=False) - fractional
    moved -= np.round(moved)
    metric = frame.cell.array @ frame.cell.array.T
    metric = np.mean([r.T @ metric @ r for r in rotations], axis=0)
    average = np.zeros_like(moved)
    for rotation, translation in zip(rotations, translations, strict=True):
        images = fractional @ rotation.T + translation
        gap = images[:, None] - fractional[None]
        gap -= np.round(gap)
        order = np.argmin(np.linalg.norm(gap @ parent.cell.array, axis=-1), axis=1)
        average[order] += moved @ rotation.T
    average /= len(rotations)
    # The polar decomposition keeps the orientation of the parent's axes.
    stretch = _root(np.linalg.solve(parent.cell.array, metric) @ np.linalg.inv(parent.cell.array.T))
    new = Atoms(
        parent.numbers,
        scaled_positions=fractional + average,
        cell=parent.cell.array @ stretch,
        pbc=True,
    )
    return _copy(new, 'symmetric', **_inherit(frame))


def _root(matrix: FloatArray) -> FloatArray:
    """Square root of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(values)) @ vectors.T


def supercells(atoms: Atoms, matrices: Sequence[Sequence[Sequence[int]]]) -> list[Atoms]:
    """Supercells of `atoms`, one per 3x3 integer matrix (rows: new axes in old ones)."""
    frames = []
    for matrix in matrices:
        large = make_supercell(atoms, np.asarray(matrix, dtype=int))
        numbers = {'matrix': ' '.join(str(int(x)) for x in np.ravel(matrix))}
        frames.append(_copy(large, 'supercell', **_inherit(atoms), **numbers))
    return frames


def close_contacts(atoms: Atoms, fraction: float = 0.65) -> list[str]:
    """Describe each pair nearer than `fraction` times the sum of its covalent radii."""
    radii = covalent_radii[atoms.numbers] * fraction
    first, second, distance = neighbor_list('ijd', atoms, list(radii))
    return [
        f'{atoms.symbols[i]}{i}-{atoms.symbols[j]}{j} {d:.3f} angstrom'
        for i, j, d in zip(first, second, distance, strict=True)
        if i <= j
    ]


def refuse_overlaps(frames: Sequence[Atoms], fraction: float = 0.65) -> None:
    """Raise one ``ValueError`` that lists every frame with atoms too close."""
    problems = []
    for index, frame in enumerate(frames):
        contacts = close_contacts(frame, fraction)
        if contacts:
            problems.append(f'frame {index} ({frame.info.get("source")}): ' + ', '.join(contacts))
    if problems:
        raise ValueError('atoms too close; use smaller amplitudes:\n' + '\n'.join(problems))


def without_duplicates(frames: Sequence[Atoms], tolerance: float = 1e-4) -> list[Atoms]:
    """Drop frames equal to an earlier one (atoms in the same order) within `tolerance` angstrom."""
    kept: list[Atoms] = []
    for frame in frames:
        if not any(_same(frame, other, tolerance) for other in kept):
            kept.append(frame)
    return kept


def _same(one: Atoms, two: Atoms, tolerance: float) -> bool:
    if len(one) != len(two) or not np.array_equal(one.numbers, two.numbers):
        return False
    if np.abs(one.cell.array - two.cell.array).max() > tolerance:
        return False
    gap = one.get_scaled_positions() - two.get_scaled_positions()
    return bool(np.abs((gap - np.round(gap)) @ one.cell.array).max() <= tolerance)


#: Keys of the settings of :func:`targeted_set`, by section.
SETTINGS = {
    'path': {'pressures'},
    'symmetric': {'count', 'pressures', 'strain', 'heavy', 'stretch'},
    'rattle': {'count', 'pressures', 'strain', 'heavy', 'tilt', 'stretch', 'scales'},
    'supercell': {
        'count', 'pressures', 'strain', 'heavy', 'tilt', 'stretch', 'scales', 'matrices',
    },
}  # fmt: skip


def targeted_set(
    structures: Mapping[float, Atoms], settings: Mapping[str, Mapping[str, Any]], seed: int
) -> list[Atoms]:
    """Compose the training set from structures relaxed at each pressure (GPa -> Atoms).

    `settings` holds the sections of :data:`SETTINGS`; a section left out gives no frames:
    ``path``: the structures inter- and extrapolated to ``pressures``;
    ``symmetric``: ``count`` frames, totally symmetric strains and moves about random points of the
    path between ``pressures`` = [low, high];
    ``rattle`` and ``supercell``: ``count`` frames of bond-aware rattles of strained cells, the
    amplitudes multiplied by each of ``scales`` and the ``matrices`` taken in turn.
    ``strain`` is dimensionless, ``heavy``, ``tilt`` and ``stretch`` are widths in angstrom.
    """
    _check_settings(settings)
    frames: list[Atoms] = []
    for section in SETTINGS:
        if section not in settings:
            continue
        options = settings[section]
        if section == 'path':
            frames += pressure_path(structures, options['pressures'])
            continue
        # One stream per section: changing one section's count leaves the other frames alone.
        rng = np.random.default_rng([seed, list(SETTINGS).index(section)])
        for index in range(options['count']):
            frames.append(_targeted_frame(structures, section, options, index, rng))
    refuse_overlaps(frames)
    return without_duplicates(frames)


def _targeted_frame(
    structures: Mapping[float, Atoms],
    section: str,
    options: Mapping[str, Any],
    index: int,
    rng: np.random.Generator,
) -> Atoms:
    low, high = options['pressures']
    # Stratified pressures: frame i falls in its own part of the range, whatever the luck.
    part = ((index * 0.6180339887498949) % 1.0 + 0.1 * rng.random()) % 1.0
    parent = along_pressure(structures, low + (high - low) * part)
    scales = options.get('scales', [1.0])
    scale = float(scales[index % len(scales)])
    strain_seed, rattle_seed = (int(x) for x in rng.integers(0, 2**31, 2))
    base = strained(parent, options['strain'] * scale, 1, strain_seed)[0]
    if section == 'supercell':
        matrices = options['matrices']
        base = supercells(base, [matrices[index % len(matrices)]])[0]
    frame = bond_rattled(
        base,
        options['heavy'] * scale,
        options.get('tilt', 0.0) * scale,
        options['stretch'] * scale,
        1,
        rattle_seed,
    )[0]
    if section == 'symmetric':
        frame = symmetrized(frame, parent)
    frame.info.update(source=section, scale=scale)
    return frame


def _check_settings(settings: Mapping[str, Mapping[str, Any]]) -> None:
    problems = [f'unknown section {name!r}' for name in settings if name not in SETTINGS]
    for section, allowed in SETTINGS.items():
        options = settings.get(section, {})
        problems += [f'{section}: unknown key {key!r}' for key in options if key not in allowed]
        if section not in settings:
            continue
        optional = {'scales', 'tilt'}
        missing = sorted(allowed - optional - set(options))
        problems += [f'{section}: missing key {key!r}' for key in missing]
    if problems:
        raise ValueError('sampling settings: ' + '; '.join(problems))


def assign_splits(
    frames: Sequence[Atoms], fractions: Mapping[str, float], seed: int, train: str = 'train'
) -> list[str]:
    """Name the split of each frame, stratified by ``info['source']`` and fixed by `seed`.

    `fractions` gives the share of each split other than `train`, for example
    ``{'valid': 0.1, 'test': 0.15}``. Shares that do not come out even are carried from one source
    to the next, so the totals are right to one frame. ``path`` frames always train: they are the
    cells that relaxation must find.
    """
    if min(fractions.values(), default=0.0) < 0 or sum(fractions.values()) >= 1:
        raise ValueError(f'fractions must be positive and sum to less than 1, not {fractions}')
    rng = np.random.default_rng(seed)
    splits = [train] * len(frames)
    owed = dict.fromkeys(fractions, 0.0)
    for source in sorted({str(frame.info['source']) for frame in frames} - {'path'}):
        members = [i for i, frame in enumerate(frames) if frame.info['source'] == source]
        order = iter(rng.permutation(members))
        for name, fraction in fractions.items():
            owed[name] += fraction * len(members)
            take = round(owed[name])
            owed[name] -= take
            for _ in range(take):
                splits[int(next(order))] = name
    return splits


def force_weights(
    forces: Sequence[FloatArray], floor: float = 0.1, largest: float = 10.0
) -> FloatArray:
    """Loss weights that stop frames with large forces from drowning the curvature.

    ``w = 1 / (f^2 + floor^2)`` with f the root mean square force component of the frame
    (eV/angstrom); weights have mean 1 and none exceeds `largest` times the smallest. Written to a
    frame's ``info['config_forces_weight']``, which mace_run_train multiplies into its squared
    force error.
    """
    square = np.array([np.mean(np.square(f)) for f in forces])
    weights = 1.0 / (square + floor**2)
    weights = np.minimum(weights, largest * weights.min())
    return weights / weights.mean()
