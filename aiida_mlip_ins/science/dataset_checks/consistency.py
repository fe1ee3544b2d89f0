"""Whether energies, forces and stresses of labelled frames are derivatives of one another.

From one frame to the next the energy changes by the work of forces and stress on the way. With the
trapezoid rule, which is off by the third power of the way alone,

    E2 - E1 = W_F + W_S
    W_F = - sum (F1.h1 + F2.h2)/2 . ds        (s: fractional coordinates, h: cells)
    W_S = sum_i V_i tr(sigma_i h_i^-1 dh) / 2

so a fit of ``dE = a W_F + b W_S - p dV`` over pairs of frames near one another gives a = b = 1
where signs and units agree, whatever the frames are. ``p`` is a pressure that the energies have and
the stresses lack: that of a plane-wave basis that changes with the cell (G. P. Francis and M. C.
Payne, J. Phys. Condens. Matter 2, 4395 (1990)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from aiida_mlip_ins.science.dataset import ENERGY, FORCES, STRESS
from aiida_mlip_ins.science.sampling.distances import SAME, separations
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3

FloatArray = NDArray[np.float64]

NEIGHBOURS = 3
"""Each frame is paired with this many of those nearest to it."""
MIN_PAIRS = 8
"""Fewer pairs than this do not fix three numbers and their errors."""

FORCE_UNITS = {
    1 / 1000: 'meV/angstrom', 13.605693 / 0.52917721: 'Ry/bohr', 27.211386 / 0.52917721: 'Ha/bohr',
}  # fmt: skip
"""By what forces in another unit would have to be multiplied to be in eV/angstrom."""
STRESS_UNITS = {
    1 / GPA_PER_EV_PER_ANGSTROM3: 'GPa', 0.1 / GPA_PER_EV_PER_ANGSTROM3: 'kbar',
    13.605693 / 0.52917721**3: 'Ry/bohr^3', 27.211386 / 0.52917721**3: 'Ha/bohr^3',
}  # fmt: skip
"""The same for stresses and eV/angstrom^3."""


@dataclass(frozen=True)
class Slope:
    """By what a label would have to be multiplied to agree with the energies."""

    value: float
    error: float
    """Standard error."""

    def unit(self, units: dict[float, str]) -> str | None:
        """Return which unit, or sign, would explain a slope that is not 1; ``None`` if none."""
        for factor, name in {1.0: '', **units}.items():
            for sign in (1, -1):
                if abs(self.value * sign / factor - 1) < 0.25 and self.value * sign > self.error:
                    words = [f'in {name}'] if name else []
                    words += ['of the opposite sign'] if sign < 0 else []
                    return ' and '.join(words) or None
        return None


@dataclass(frozen=True)
class Consistency:
    """Slopes of a fit of energy differences."""

    n_pairs: int
    forces: Slope | None
    stress: Slope | None
    """``None`` where frames of one composition and different cells are too few."""
    pressure: Slope | None
    """The ``p`` of the module's equation in GPa."""


def consistency(frames: Sequence[Atoms]) -> Consistency:
    """Return how well the labels of the frames go together.

    :param frames: with ``REF_energy``, ``REF_forces`` and maybe ``REF_stress``, all finite; frames
        without energy are not used, and the stress is only looked at between frames that have it.
    """
    frames = [frame for frame in frames if ENERGY in frame.info and FORCES in frame.arrays]
    pairs = _pairs(frames)
    with_stress = [pair for pair in pairs if all(STRESS in frames[i].info for i in pair[:2])]
    stressed = len(with_stress) >= MIN_PAIRS
    if stressed:
        pairs = with_stress
    if len(pairs) < MIN_PAIRS:
        return Consistency(len(pairs), None, None, None)
    rows, changes = [], []
    for first, second, distance in pairs:
        row = _work(frames[first], frames[second], stressed)
        change = frames[second].info[ENERGY] - frames[first].info[ENERGY]
        rows.append(np.array(row) / distance)
        changes.append(change / distance)
    slopes = _fit(np.array(rows), np.array(changes))
    pressure = slopes[2]
    if pressure is not None:
        factor = GPA_PER_EV_PER_ANGSTROM3
        pressure = Slope(pressure.value * factor, pressure.error * factor)
    return Consistency(len(pairs), slopes[0], slopes[1], pressure)


def _pairs(frames: Sequence[Atoms]) -> list[tuple[int, int, float]]:
    """Return pairs of frames near one another, each once, with their distance (angstrom)."""
    apart = separations(frames)
    apart[apart <= SAME] = np.inf
    found = set()
    for index, distances in enumerate(apart):
        for other in np.argsort(distances, kind='stable')[:NEIGHBOURS]:
            if np.isfinite(distances[other]):
                found.add((min(index, int(other)), max(index, int(other))))
    return [(first, second, float(apart[first, second])) for first, second in sorted(found)]


def _work(one: Atoms, two: Atoms, stressed: bool) -> tuple[float, float, float]:
    """Return the work (eV) of forces and of stress from one frame to another, and -dV."""
    ways = two.get_scaled_positions(wrap=False) - one.get_scaled_positions(wrap=False)
    ways -= np.round(ways)
    change = two.cell.array - one.cell.array
    by_forces = by_stress = 0.0
    for frame in (one, two):
        by_forces -= float(np.sum(frame.arrays[FORCES] * (ways @ frame.cell.array))) / 2
        if stressed:
            stress = voigt_6_to_full_3x3_stress(frame.info[STRESS])
            strain = np.linalg.solve(frame.cell.array, change)
            by_stress += frame.get_volume() * float(np.trace(stress @ strain)) / 2
    swelling = float(two.get_volume() - one.get_volume()) if stressed else 0.0
    return by_forces, by_stress, -swelling


def _fit(rows: FloatArray, changes: FloatArray) -> list[Slope | None]:
    """Return the slope of each column; ``None`` for one that is zero or follows from the others."""
    sizes = np.linalg.norm(rows, axis=0)
    used = np.flatnonzero(sizes > 1e-9 * max(float(sizes.max()), 1e-12))
    found: list[Slope | None] = [None] * rows.shape[1]
    if not len(used):
        return found
    scaled = rows[:, used] / sizes[used]
    values, _, rank, _ = np.linalg.lstsq(scaled, changes, rcond=1e-6)
    if rank < len(used):
        return _fit(np.where(np.arange(rows.shape[1]) == used[-1], 0.0, rows), changes)
    rest = changes - scaled @ values
    variance = float(rest @ rest) / max(len(changes) - len(used), 1)
    errors = np.sqrt(variance * np.diag(np.linalg.inv(scaled.T @ scaled)))
    for place, column in enumerate(used):
        size = float(sizes[column])
        found[column] = Slope(float(values[place]) / size, float(errors[place]) / size)
    return found
