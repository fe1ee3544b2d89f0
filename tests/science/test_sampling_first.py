"""Guessed cells, and frames between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from springs import brucite_cell

from aiida_mlip_ins.science import sampling
from aiida_mlip_ins.science.settings import build

FIRST: dict[str, Any] = {
    'bond_lengths': {'O': 0.97}, 'bulk_modulus': 40.0, 'pressure': 2.0,
    'sampling': {'path': {'pressures': [-1.0, 2.0]}},
}  # fmt: skip


def settings(**changes: Any) -> sampling.FirstSettings:
    return build(sampling.FirstSettings, {**FIRST, **changes}, 'first')


def test_cells_are_compressed_by_the_bulk_modulus() -> None:
    crystal = brucite_cell()
    cells = sampling.first_cells(crystal, [0.0, 1.0], settings())
    volumes = [cell.get_volume() / crystal.get_volume() for cell in cells]
    np.testing.assert_allclose(volumes, [1.0, 1.0 - 1.0 / 40.0, 1.0 - 2.0 / 40.0])
    bond = np.linalg.norm(cells[0].positions[3] - cells[0].positions[1])
    assert bond == pytest.approx(0.97)
    assert cells[2].cell.cellpar()[3:] == pytest.approx([90, 90, 120])


def test_molecules_keep_their_shape() -> None:
    water = molecule('H2O')
    crystal = Atoms(water.numbers, positions=water.positions + 2.0, cell=[4.0] * 3, pbc=True)
    _, pressed = sampling.first_cells(crystal, [0.0], settings(bond_lengths={}))
    assert pressed.get_volume() == pytest.approx(0.95 * 64.0)
    np.testing.assert_allclose(
        pressed.get_all_distances(mic=True), crystal.get_all_distances(mic=True), atol=1e-9
    )


def test_what_is_no_guess_is_refused() -> None:
    wrong = {**FIRST, 'bulk_modulus': 5.0, 'sampling': {'pat': {}}}
    found = '\n'.join(sampling.first_problems(wrong, [0.0, 2.0]))
    assert 'pressure: 2 GPa is not above the highest pressure asked for, 2 GPa' in found
    assert 'at 5 GPa the crystal would lose 40 % of its volume' in found
    assert "first.sampling: unknown key 'pat' (did you mean 'path'?)" in found
    assert "first: 'pressure' is missing" in '\n'.join(
        sampling.first_problems({k: v for k, v in FIRST.items() if k != 'pressure'}, [0.0])
    )


def test_pressures_are_filled_in() -> None:
    sections = {
        'path': {'pressures': None}, 'displaced': {'pressures': None, 'distance': 0.01},
        'rattle': {'count': 2, 'pressures': None}, 'symmetric': {'pressures': [0.0, 5.0]},
    }  # fmt: skip
    found = sampling.spanned(sections, [0.0, 1.5], 0.5)
    assert found['path'] == {'pressures': [-0.5, 0.0, 1.5, 2.0]}
    assert found['displaced']['pressures'] == [0.0, 1.5]
    assert found['rattle'] == {'count': 2, 'pressures': [-0.5, 2.0]}
    assert found['symmetric'] == {'pressures': [0.0, 5.0]}
    assert sections['path'] == {'pressures': None}
