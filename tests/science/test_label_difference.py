"""Differences of labels: numbers put in by hand come out, and other frames are refused."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from aiida_mlip_ins.science.label_difference import label_difference
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3


def labelled(shift: float = 0.0, count: int = 2) -> list[Atoms]:
    """Return frames of two atoms; ``shift`` changes all labels, energies more in later frames."""
    frames = []
    for index in range(count):
        atoms = Atoms('OH', [(0, 0, 0), (0, 0, 1 + 0.1 * index)], cell=[4, 4, 4], pbc=True)
        atoms.info['REF_energy'] = -10.0 + shift * (5.0 + index)
        atoms.arrays['REF_forces'] = np.full((2, 3), 0.2 + shift)
        pressure = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
        atoms.info['REF_stress'] = -shift * pressure / GPA_PER_EV_PER_ANGSTROM3
        frames.append(atoms)
    return frames


def test_numbers_put_in_come_out() -> None:
    found = label_difference(labelled(), labelled(0.1))
    # 0.5 and 0.6 eV of two atoms: 250 and 300 meV/atom, 25 from their mean.
    assert found['energy_mev_per_atom'] == pytest.approx(25.0)
    assert found['force_mev_per_angstrom'] == pytest.approx(100.0)
    assert found['force_max'] == pytest.approx(100.0)
    assert found['pressure_gpa'] == pytest.approx(0.1)
    assert found['stress_max_gpa'] == pytest.approx(0.1)


def test_a_constant_of_one_frame_says_nothing_and_neither_does_no_stress() -> None:
    one, two = labelled(count=1), labelled(0.1, count=1)
    del two[0].info['REF_stress']
    found = label_difference(one, two)
    assert found['energy_mev_per_atom'] is None
    assert found['pressure_gpa'] is None
    assert found['stress_max_gpa'] is None


def test_other_frames_are_refused() -> None:
    with pytest.raises(ValueError, match='1 frames, but 2 in the first set'):
        label_difference(labelled(), labelled(count=1))
    moved = labelled()
    moved[1].positions[0, 0] += 0.01
    with pytest.raises(ValueError, match='frame 1 differs from that of the first set'):
        label_difference(labelled(), moved)
    other = labelled()
    other[0].symbols[0] = 'S'
    with pytest.raises(ValueError, match='frame 0 has other atoms'):
        label_difference(labelled(), other)
