"""Labelled frames: reading, writing, checking and summarising them, and the conversions of labels.

A frame is an ``ase.Atoms`` with ``info['source']`` (which kind of frame it is) and maybe
``info['split']``. A labelled frame has in addition ``info['REF_energy']`` (eV, total),
``arrays['REF_forces']`` (n, 3; eV/angstrom) and maybe ``info['REF_stress']`` (6, Voigt order
xx yy zz yz xz xy, eV/angstrom^3, tension positive). The names are none of ASE's own, so that ASE
does not move them into a calculator.
"""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read, write
from numpy.typing import ArrayLike, NDArray

from aiida_mlip_ins.science.text import shortened
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3

ENERGY, FORCES, STRESS = 'REF_energy', 'REF_forces', 'REF_stress'
UNITS = {
    'energy': 'eV',
    'forces': 'eV/angstrom',
    'stress': 'eV/angstrom^3, tension positive, xx yy zz yz xz xy',
    'length': 'angstrom',
}
MAX_ENERGY_PER_ATOM = 1e5
"""eV; the total energy of a heavy atom with its semi-core states stays below."""
MAX_ENERGY_SPREAD = 50.0
"""eV/atom between frames of one composition: far beyond what distortions cost."""
MAX_FORCE = 1e3
"""eV/angstrom."""
MAX_STRESS = 10.0
"""eV/angstrom^3 (1600 GPa): a stress in GPa or kbar is above."""

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def read_frames(source: str | Path | bytes) -> list[Atoms]:
    """Read extended XYZ from a path or from the bytes of a file.

    :raises ValueError: if it is not extended XYZ or has no frames.
    """
    handle = io.StringIO(source.decode()) if isinstance(source, bytes) else source
    try:
        frames = read(handle, index=':', format='extxyz')
    except Exception as error:
        raise ValueError(f'frames: not extended XYZ ({type(error).__name__}: {error})') from error
    if not frames:
        raise ValueError('frames: the file has none')
    return list(frames)


def write_frames(frames: Sequence[Atoms]) -> bytes:
    """Return frames as the bytes of an extended XYZ file; equal frames give equal bytes."""
    handle = io.StringIO()
    write(handle, [bare(frame) for frame in frames], format='extxyz', write_results=False)
    return handle.getvalue().encode()


def bare(frame: Atoms) -> Atoms:
    """Return a copy with species, positions, cell, info and labels only, in a fixed order."""
    new = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
    new.info = {key: frame.info[key] for key in sorted(frame.info)}
    for name in sorted(set(frame.arrays) - {'numbers', 'positions'}):
        if name.startswith('REF_'):
            new.arrays[name] = np.array(frame.arrays[name])
    return new


def voigt(tensor: ArrayLike) -> NDArray[np.float64]:
    """Return the components xx yy zz yz xz xy (6,) of a symmetric tensor (3, 3)."""
    array = np.asarray(tensor, dtype=float)
    array = (array + array.T) / 2
    return np.array([array[i, j] for i, j in VOIGT])


def stress_from_pw(stress_gpa: ArrayLike) -> NDArray[np.float64]:
    """Return the stress (6,) in eV/angstrom^3, tension positive, from pw.x's (3, 3) in GPa.

    pw.x, and aiida-quantumespresso with it, counts a compressed crystal's stress as positive.
    """
    return 0.0 - voigt(stress_gpa) / GPA_PER_EV_PER_ANGSTROM3


def labelled(
    frame: Atoms, energy: float, forces: ArrayLike, stress: ArrayLike | None, index: int
) -> Atoms:
    """Return a copy of a frame with its labels.

    :param energy: total energy in eV.
    :param forces: (n, 3) in eV/angstrom.
    :param stress: (6,) in eV/angstrom^3, tension positive, or ``None``.
    :param index: position of the frame in the set it came from.
    """
    new = bare(frame)
    for name in (STRESS, ENERGY):
        new.info.pop(name, None)
    new.info['index'] = int(index)
    new.info[ENERGY] = float(energy)
    new.arrays[FORCES] = np.array(forces, dtype=float)
    if stress is not None:
        new.info[STRESS] = np.array(stress, dtype=float)
    return new


def frame_problems(frames: Sequence[Atoms]) -> list[str]:
    """Return what is wrong with frames as input of a calculation, one sentence per kind."""
    return _grouped(frames, _frame_faults, 'frames')


def dataset_problems(frames: Sequence[Atoms]) -> list[str]:
    """Return what makes labelled frames unfit to train on, one sentence per kind of problem.

    A NaN label would silently give a NaN model, and a missing array one trained on energies alone.
    """
    found = _grouped(frames, lambda frame: _frame_faults(frame) + _label_faults(frame), 'dataset')
    return found + _energy_problems(frames)


def _frame_faults(frame: Atoms) -> list[str]:
    """Return the faults of one frame's geometry."""
    faults = []
    if len(frame) == 0:
        faults.append('without atoms')
    if 'source' not in frame.info:
        faults.append("without info['source'], which says what kind of frame it is")
    if not all(frame.pbc):
        faults.append('not periodic in three dimensions')
    if not (np.isfinite(frame.positions).all() and np.isfinite(frame.cell.array).all()):
        faults.append('with positions or a cell that are not finite')
    elif abs(np.linalg.det(frame.cell.array)) < 1e-6:
        faults.append('with a cell without volume')
    return faults


def label_problems(
    number_of_atoms: int, energy: Any, forces: Any, stress: Any | None = None
) -> list[str]:
    """Return the faults of one frame's labels: shape, numbers that are none, absurd size.

    :param energy: eV, total.
    :param forces: (n, 3) in eV/angstrom.
    :param stress: (6,) in eV/angstrom^3, or ``None``.
    """
    largest = MAX_ENERGY_PER_ATOM * max(number_of_atoms, 1)
    faults = _array_faults(ENERGY, energy, (), largest, 'eV')
    faults += _array_faults(FORCES, forces, (number_of_atoms, 3), MAX_FORCE, 'eV/angstrom')
    if stress is not None:
        faults += _array_faults(STRESS, stress, (6,), MAX_STRESS, 'eV/angstrom^3')
    return faults


def _label_faults(frame: Atoms) -> list[str]:
    """Return the faults of the labels that a frame has, and that it has no forces."""
    forces = frame.arrays.get(FORCES)
    none = np.zeros((len(frame), 3))
    faults = [] if forces is not None else [f"without forces (arrays['{FORCES}'])"]
    return faults + label_problems(
        len(frame),
        frame.info.get(ENERGY, 0.0),
        none if forces is None else forces,
        frame.info.get(STRESS),
    )


def _array_faults(
    name: str, values: Any, shape: tuple[int, ...], largest: float, unit: str
) -> list[str]:
    """Return the faults of one label: its shape, numbers that are none, its size."""
    array = np.asarray(values)
    if array.shape != shape or not np.issubdtype(array.dtype, np.number):
        wanted = {1: 'six numbers', 2: 'three numbers per atom'}.get(len(shape), 'one number')
        return [f'whose {name} is not {wanted}']
    if not np.isfinite(array).all():
        return [f'with NaN or infinite {name}']
    if array.size and np.abs(array).max() > largest:
        return [f'with {name} of absurd size (is the unit {unit}?)']
    return []


def _energy_problems(frames: Sequence[Atoms]) -> list[str]:
    """Return one problem for each composition whose energies lie too far apart."""
    found = []
    energies: dict[str, list[float]] = defaultdict(list)
    for frame in frames:
        energy = np.asarray(frame.info.get(ENERGY, np.nan))
        if len(frame) and energy.shape == () and np.issubdtype(energy.dtype, np.number):
            counts = Counter(frame.get_chemical_symbols())
            divisor = np.gcd.reduce(list(counts.values()))
            formula = ''.join(f'{el}{n // divisor}' for el, n in sorted(counts.items()))
            energies[formula].append(float(energy) / len(frame))
    for formula, values in energies.items():
        finite = [value for value in values if np.isfinite(value)]
        if finite and max(finite) - min(finite) > MAX_ENERGY_SPREAD:
            found.append(
                f'dataset: energies of {formula} differ by {max(finite) - min(finite):.0f} eV/atom '
                '(is the unit eV everywhere, and the total energy of the frame?)'
            )
    return found


def _grouped(
    frames: Sequence[Atoms], faults: Callable[[Atoms], list[str]], where: str
) -> list[str]:
    """Return one sentence for each kind of fault, naming the frames that have it."""
    if not frames:
        return [f'{where}: there are no frames']
    having: dict[str, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        for fault in faults(frame):
            having[fault].append(index)
    return [
        f'{where}: {len(indices)} of {len(frames)} frames {fault}: {shortened(indices)}'
        for fault, indices in having.items()
    ]


def summary(frames: Sequence[Atoms]) -> dict[str, Any]:
    """Return ``n_frames``, ``n_atoms``, ``elements``, and ``formulas``, ``sources`` with counts."""
    return {
        'n_frames': len(frames),
        'n_atoms': sum(len(frame) for frame in frames),
        'elements': sorted({symbol for frame in frames for symbol in frame.symbols}),
        'formulas': _counted(frame.get_chemical_formula() for frame in frames),
        'sources': _counted(str(frame.info.get('source')) for frame in frames),
    }


def label_summary(frames: Sequence[Atoms]) -> dict[str, Any]:
    """Return ``labels`` (frames that have each), ``splits`` (frames in each) and ``units``."""
    return {
        'labels': {
            'energy': sum(ENERGY in frame.info for frame in frames),
            'forces': sum(FORCES in frame.arrays for frame in frames),
            'stress': sum(STRESS in frame.info for frame in frames),
        },
        'splits': _counted(str(f.info['split']) for f in frames if 'split' in f.info),
        'units': UNITS,
    }


def _counted(values: Iterable[str]) -> dict[str, int]:
    """Return how often each value occurs, in alphabetical order."""
    return dict(sorted(Counter(values).items()))
