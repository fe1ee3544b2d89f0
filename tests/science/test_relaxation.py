"""Relaxation by single points, on a crystal whose energy depends on its volume alone."""

import numpy as np
import pytest
from ase.build import bulk
from ase.units import GPa

from aiida_mlip_ins.science.relaxation import (
    RelaxationSettings,
    first_frames,
    most_relaxed,
    next_frames,
)

SETTINGS = RelaxationSettings(
    bond_lengths={},
    strain=0.01,
    move=0.02,
    reach=1.0,
    max_force=0.01,
    max_stress=0.01,
    max_rounds=9,
    symprec=1e-3,
)
PRESSURES = [0.0, 2.0]
BULK_MODULUS = 40 * GPa


def labelled(frames, volume):
    """Label frames with an energy (eV) quadratic in the volume about `volume` (angstrom^3)."""
    for frame in frames:
        beyond = frame.get_volume() - volume
        frame.info['REF_energy'] = BULK_MODULUS * beyond**2 / (2 * volume)
        frame.info['REF_stress'] = BULK_MODULUS * beyond / volume * np.array([1, 1, 1, 0, 0, 0])
        frame.arrays['REF_forces'] = np.zeros((len(frame), 3))
    return frames


@pytest.fixture
def crystal():
    return bulk('LiH', 'rocksalt', a=4.0)


def test_each_pressure_is_reached_from_the_same_frames(crystal):
    volume = 0.97 * crystal.get_volume()
    frames = labelled(first_frames(crystal, SETTINGS), volume)
    counts = []
    for _ in range(SETTINGS.max_rounds):
        proposed = next_frames(crystal, frames, PRESSURES, SETTINGS)
        counts.append(len(proposed))
        frames += labelled(proposed, volume)
    assert max(counts) == 2
    assert counts[-1] == 0
    for pressure in PRESSURES:
        found = frames[most_relaxed(frames, pressure, SETTINGS)].get_volume()
        assert found == pytest.approx(volume * (1 - pressure * GPa / BULK_MODULUS), rel=3e-4)


def test_one_frame_serves_all_pressures_beyond_the_reach(crystal):
    frames = labelled(first_frames(crystal, SETTINGS), 0.6 * crystal.get_volume())
    (frame,) = next_frames(crystal, frames, PRESSURES, SETTINGS)
    assert frame.get_volume() < crystal.get_volume()
