"""Whether a crystal under pressure lies within what a potential was trained on.

Pressure, volume, strain and the places of the atoms are held, one at a time, against what the
training frames span. Outside of one span is outside for sure; inside of all of them is needed, not
enough, as quantities that go together are not looked at together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.linalg import polar

from aiida_mlip_ins.science.dataset import STRESS, VOIGT
from aiida_mlip_ins.science.sampling.isolated import ISOLATED
from aiida_mlip_ins.science.settings import setting
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3

FloatArray = NDArray[np.float64]

INSIDE, EDGE, OUTSIDE, UNKNOWN = 'inside', 'at the edge', 'outside', 'unknown'
PLACES = (OUTSIDE, EDGE, INSIDE, UNKNOWN)
"""The worst one first; what the frames cannot tell is no verdict."""

STILL = 1e-4
"""Strains, and moves in angstrom, below this are none: where symmetry keeps the crystal and all
frames, no frame has to go to either side."""
AXES = 'xyz'


@dataclass(frozen=True)
class ReachSettings:
    """How near to the end of what was trained on its edge begins."""

    pressure_margin: float = setting('Of pressures.', 'GPa', minimum=0.0)
    volume_margin: float = setting('Of volumes, as a fraction.', minimum=0.0)
    strain_margin: float = setting('Of each component of strain.', minimum=0.0)
    move_margin: float = setting(
        'Of the place of an atom along each axis.', 'angstrom', minimum=0.0
    )


@dataclass(frozen=True)
class Span:
    """What a quantity reaches from and to."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Span:
        """Return the span of values, of which there is at least one."""
        found = list(values)
        return cls(float(min(found)), float(max(found)))

    def margin(self, value: float) -> float:
        """Return how far a value is from the nearer end, negative outside."""
        return min(value - self.low, self.high - value)

    def place(self, value: float, edge: float) -> str:
        """Return where a value is; nearer than ``edge`` to an end is at the edge."""
        margin = self.margin(value)
        return OUTSIDE if margin < 0 else EDGE if margin < edge else INSIDE


def is_trained_on(frame: Atoms) -> bool:
    """Whether a frame is of the split ``train``; one without a split, as a relaxation's, is."""
    return bool(frame.info.get('split', 'train') == 'train')


def is_alone(frame: Atoms) -> bool:
    """Whether a frame is one isolated atom, there for its energy only."""
    return len(frame) == 1 and frame.info.get('config_type') == ISOLATED


def pressure_of(frame: Atoms) -> float:
    """Return the pressure (GPa) of a frame with a stress."""
    # A difference from zero is never -0.
    return 0.0 - GPA_PER_EV_PER_ANGSTROM3 / 3 * float(np.sum(frame.info[STRESS][:3]))


def strain_and_moves(frame: Atoms, crystal: Atoms) -> tuple[FloatArray, FloatArray] | None:
    """Return by how much a frame differs from a crystal, ``None`` if it is no distortion of it.

    :param frame: the crystal, or a supercell of it, distorted; its atoms in any order.
    :return: the strain (3, 3) without rotation, zero for the crystal itself, and the moves
        (n_atoms of the frame, 4) as the index of the atom in the crystal and the way (angstrom)
        beyond the strain, without the way that all have in common.
    """
    multiples = np.rint(frame.cell.array @ np.linalg.inv(crystal.cell.array))
    if round(np.linalg.det(multiples)) * len(crystal) != len(frame):
        return None
    deformation = np.linalg.solve(multiples @ crystal.cell.array, frame.cell.array)
    stretch = polar(deformation, side='left')[1]
    places = frame.get_scaled_positions(wrap=False) @ multiples
    gaps = places[:, None] - crystal.get_scaled_positions(wrap=False)[None]
    ways = (gaps - np.rint(gaps)) @ crystal.cell.array
    lengths = np.linalg.norm(ways, axis=-1)
    lengths[frame.numbers[:, None] != crystal.numbers[None]] = np.inf
    nearest = lengths.argmin(axis=1)
    counts = np.bincount(nearest, minlength=len(crystal))
    if not np.all(counts * len(crystal) == len(frame)):
        return None
    moves = ways[np.arange(len(frame)), nearest]
    moves -= moves.mean(axis=0)
    return stretch - np.eye(3), np.column_stack([nearest, moves])


def judge(
    crystal: Atoms, pressure: float, frames: Sequence[Atoms], settings: ReachSettings
) -> dict[str, Any]:
    """Return where a crystal lies among the frames that a potential was trained on.

    :param crystal: as the potential relaxed it at the pressure (GPa).
    :param frames: the dataset; what was held out, lone atoms and other crystals do not count.
    :return: ``verdict``, the worst of all ``quantities`` (each with ``name``, ``value``, what the
        frames span from ``low`` to ``high``, ``unit`` and ``place``; of strains and moves, which
        are relative to the crystal, the one nearest to its end); a ``sentence`` with the reason;
        ``n_frames`` and ``largest_move_angstrom``, how far they have an atom from its place.
    """
    pairs = [
        (frame, found)
        for frame in frames
        if is_trained_on(frame) and not is_alone(frame)
        if (found := strain_and_moves(frame, crystal)) is not None
    ]
    if not pairs:
        return {
            'pressure_gpa': pressure, 'verdict': UNKNOWN, 'quantities': [], 'n_frames': 0,
            'largest_move_angstrom': None,
            'sentence': f'{UNKNOWN}: no training frame is a distortion of this crystal',
        }  # fmt: skip
    known = [frame for frame, _ in pairs]
    strains = np.array([strain for _, (strain, _) in pairs])
    moves = np.concatenate([moved for _, (_, moved) in pairs])
    rows = []
    with_stress = [frame for frame in known if STRESS in frame.info]
    if with_stress:
        span = Span.of(map(pressure_of, with_stress))
        rows.append(_row('pressure', 'GPa', pressure, span, settings.pressure_margin))
    volume = crystal.get_volume() / len(crystal)
    span = Span.of(frame.get_volume() / len(frame) for frame in known)
    edge = settings.volume_margin * volume
    rows.append(_row('volume', 'angstrom^3 per atom', volume, span, edge))
    spans = {f'strain {AXES[i]}{AXES[j]}': Span.of(strains[:, i, j]) for i, j in VOIGT}
    rows += _nearest(spans, '', settings.strain_margin)
    spans = {
        f'place of {crystal.symbols[atom]} (atom {atom}) along {AXES[axis]}': Span.of(
            moves[moves[:, 0] == atom, 1 + axis]
        )
        for atom in range(len(crystal))
        for axis in range(3)
    }
    rows += _nearest(spans, 'angstrom', settings.move_margin)
    verdict = next(place for place in PLACES if place in {row['place'] for row in rows})
    reach = float(np.linalg.norm(moves[:, 1:], axis=1).max())
    return {
        'pressure_gpa': pressure, 'verdict': verdict, 'quantities': rows, 'n_frames': len(known),
        'largest_move_angstrom': reach,
        'sentence': _sentence(verdict, rows, len(known), reach),
    }  # fmt: skip


def _row(name: str, unit: str, value: float, span: Span, edge: float) -> dict[str, Any]:
    return {
        'name': name, 'unit': unit, 'value': value, 'low': span.low, 'high': span.high,
        'place': span.place(value, edge),
    }  # fmt: skip


def _nearest(spans: Mapping[str, Span], unit: str, edge: float) -> list[dict[str, Any]]:
    """Return the row of what is nearest to its end at zero, none if symmetry keeps all there."""
    moved = {n: s for n, s in spans.items() if max(abs(s.low), abs(s.high)) > STILL}
    if not moved:
        return []
    name = min(moved, key=lambda each: moved[each].margin(0.0))
    return [_row(name, unit, 0.0, moved[name], edge)]


def _sentence(verdict: str, rows: Sequence[Mapping[str, Any]], count: int, reach: float) -> str:
    """Return the reason: what is outside or at the edge, or what all spans are."""
    reasons = [
        f'{row["name"]} {row["value"]:.3g}, frames from {row["low"]:.3g} to {row["high"]:.3g} '
        f'{row["unit"]}'.rstrip()
        for row in rows
        if verdict == INSIDE or row['place'] == verdict
    ]
    return (
        f'{verdict}: {"; ".join(reasons)} ({count} training frames, atoms up to {reach:.2g} '
        'angstrom from their places)'
    )
