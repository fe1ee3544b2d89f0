"""Frequencies over the zone of crystals of springs and rows of atoms whose difference is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from springs import (
    brucite_cell,
    displaced_phonopy,
    phonopy_arrays,
    soft_row,
    spring_arrays,
    spring_forces,
)

from aiida_mlip_ins.science import phonons
from aiida_mlip_ins.science.comparison import CompareSettings
from aiida_mlip_ins.science.zone_comparison import errors_on_supercell, modes_of
from aiida_mlip_ins.workflows.protocols import load_protocol

SETTINGS = CompareSettings(**load_protocol('compare')['parameters'])


def made(arrays: dict[str, Any]) -> phonons.Phonon:
    return phonons.make_phonopy(**{**arrays, 'symbols': [str(s) for s in arrays['symbols']]})


def scaled(arrays: dict[str, Any], factor: float) -> dict[str, Any]:
    """Return a crystal all of whose frequencies are `factor` times as high."""
    return {**arrays, 'force_constants': factor**2 * arrays['force_constants']}


def test_a_crystal_against_itself() -> None:
    found = errors_on_supercell(*[made(spring_arrays()) for _ in range(2)], SETTINGS)
    assert found['max_per_cm'] == pytest.approx(0.0, abs=1e-6)
    assert found['min_overlap'] == pytest.approx(1.0, abs=1e-6)
    assert found['n_ambiguous'] == 0
    assert len(found['points']) == 10
    assert [row['n_modes'] for row in found['points']] == [12] + 9 * [15]
    assert found['n_modes'] == 12 + 9 * 15
    assert not any(row['interpolated'] for row in found['points'])


def test_every_point_counts_with_its_weight_and_modes() -> None:
    arrays = spring_arrays()
    dft, mace = made(arrays), made(scaled(arrays, 1.02))
    found = errors_on_supercell(mace, dft, SETTINGS)
    sums, counts = 0.0, 0.0
    modes = modes_of(dft, np.array([row['q'] for row in found['points']]))
    for row, there in zip(found['points'], modes, strict=True):
        at_gamma = not np.any(row['q'])
        values = there.frequencies[there.optical()] if at_gamma else there.frequencies
        assert row['mae_per_cm'] == pytest.approx(0.02 * values.mean(), rel=1e-6)
        assert row['mean_per_cm'] == pytest.approx(row['mae_per_cm'])
        assert row['max_per_cm'] == pytest.approx(0.02 * values.max(), rel=1e-6)
        sums += row['weight'] * 0.02 * values.sum()
        counts += row['weight'] * len(values)
    assert found['mae_per_cm'] == pytest.approx(sums / counts, rel=1e-6)
    assert found['max_per_cm'] == max(row['max_per_cm'] for row in found['points'])


def test_axes_and_order_of_atoms_do_not_matter() -> None:
    """The same crystal turned in space, its atoms in another order, with shifted images."""
    arrays = spring_arrays()
    dft = made(arrays)
    turn = Rotation.from_euler('xyz', [0.3, -0.8, 1.9]).as_matrix()
    order = np.array([3, 1, 4, 0, 2])
    atoms = brucite_cell()[order]
    atoms.set_cell(atoms.cell.array @ turn.T, scale_atoms=True)
    atoms.positions[1] += atoms.cell.array[0] - atoms.cell.array[2]
    phonon = displaced_phonopy(atoms, [3, 3, 2])
    constants = phonons.produce_force_constants(phonon, spring_forces(phonon), None, True)
    mace = made(phonopy_arrays(atoms, [3, 3, 2], 1.01**2 * constants))
    found = errors_on_supercell(mace, dft, SETTINGS)
    assert found['min_overlap'] == pytest.approx(1.0, abs=1e-4)
    assert found['mae_per_cm'] == pytest.approx(
        errors_on_supercell(made(scaled(arrays, 1.01)), dft, SETTINGS)['mae_per_cm'], rel=1e-3
    )


def test_a_row_of_atoms_softer_at_the_border_of_its_zone() -> None:
    """``m w^2 = 1 + 2 s (1 - cos 2 pi q)``: another s changes nothing at Gamma, all at 1/2."""
    dft, mace = (made(soft_row(1.0, spring, 4)) for spring in (0.2, 0.15))
    found = errors_on_supercell(mace, dft, SETTINGS)
    assert [row['q'][0] for row in found['points']] == [0.25, 0.5]  # none but translations at 0
    unit = 521.47
    for row in found['points']:
        along = 2 * (1 - np.cos(2 * np.pi * row['q'][0]))
        softer = unit * (np.sqrt(1 + 0.15 * along) - np.sqrt(1 + 0.2 * along))
        assert row['mean_per_cm'] == pytest.approx(softer / 3, rel=1e-3)
        assert row['max_per_cm'] == pytest.approx(-softer, rel=1e-3)


def test_points_that_the_other_supercell_lacks_are_said_to_be_interpolated() -> None:
    arrays = spring_arrays()
    dft = made(arrays)
    phonon = displaced_phonopy(brucite_cell(), [3, 3, 1])
    constants = phonons.produce_force_constants(phonon, spring_forces(phonon), None, True)
    mace = made({**arrays, 'supercell_matrix': np.diag([3.0, 3, 1]), 'force_constants': constants})
    found = errors_on_supercell(mace, dft, SETTINGS)
    for row in found['points']:
        assert row['interpolated'] == (abs(row['q'][2]) == 0.5)


def test_other_crystals_are_refused() -> None:
    arrays = spring_arrays()
    other = {**arrays, 'symbols': np.array(['Ca', 'O', 'O', 'H', 'H'])}
    with pytest.raises(ValueError, match='different atoms'):
        errors_on_supercell(made(other), made(arrays), SETTINGS)
