"""Crystals inside, at the edge of, and outside of what made-up frames span."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import make_supercell
from scipy.spatial.transform import Rotation
from springs import brucite_cell

from aiida_mlip_ins.science.reach import ReachSettings, Span, judge, strain_and_moves
from aiida_mlip_ins.workflows.protocols import load_protocol

SETTINGS = ReachSettings(**load_protocol('compare')['reach'])
BULK_MODULUS = 45.0
GPA = 160.21766208


def frame(strain: np.ndarray, moves: float, rng: np.random.Generator) -> Atoms:
    """Return brucite strained and rattled, with the stress of an isotropic solid."""
    atoms = brucite_cell()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.positions += rng.normal(0.0, moves, (5, 3))
    pressure = -BULK_MODULUS * np.log(atoms.get_volume() / brucite_cell().get_volume())
    atoms.info = {'source': 'rattle', 'split': 'train'}
    atoms.info['REF_stress'] = -pressure / GPA * np.array([1, 1, 1, 0, 0, 0])
    return atoms


@pytest.fixture
def frames() -> list[Atoms]:
    """Return frames from about -1.4 to +2.7 GPa."""
    rng = np.random.default_rng(3)
    found = []
    for strain in np.linspace(-0.02, 0.01, 16):
        shear = rng.normal(0.0, 0.003, (3, 3))
        found.append(frame(strain * np.eye(3) + (shear + shear.T) / 2, 0.03, rng))
    return found


def at(factor: float) -> Atoms:
    """Return brucite with its lengths changed."""
    atoms = brucite_cell()
    atoms.set_cell(atoms.cell.array * factor, scale_atoms=True)
    return atoms


def test_inside(frames: list[Atoms]) -> None:
    found = judge(at(0.995), 0.7, frames, SETTINGS)
    assert found['verdict'] == 'inside'
    names = [row['name'] for row in found['quantities']]
    assert names[:2] == ['pressure', 'volume']
    assert names[2].startswith('strain')
    assert names[3].startswith('place of')
    assert all(row['low'] < row['value'] < row['high'] for row in found['quantities'])
    assert found['n_frames'] == 16
    assert 0.05 < found['largest_move_angstrom'] < 0.2
    assert found['sentence'].startswith('inside: pressure 0.7, frames from')


@pytest.mark.parametrize(
    ('factor', 'pressure', 'verdict', 'reason'),
    [
        (1.02, 0.0, 'outside', 'volume'),
        (0.995, 5.0, 'outside', 'pressure 5, frames from'),
        (0.995, -5.0, 'outside', 'pressure'),
    ],
)
def test_outside(
    frames: list[Atoms], factor: float, pressure: float, verdict: str, reason: str
) -> None:
    found = judge(at(factor), pressure, frames, SETTINGS)
    assert found['verdict'] == verdict
    assert reason in found['sentence']


def test_at_the_edge(frames: list[Atoms]) -> None:
    highest = max(-GPA * f.info['REF_stress'][0] for f in frames)
    found = judge(at(0.995), highest - 0.1, frames, SETTINGS)
    assert found['verdict'] == 'at the edge'
    (pressure,) = (row for row in found['quantities'] if row['place'] == 'at the edge')
    assert pressure['name'] == 'pressure'
    assert 'volume' not in found['sentence']


def test_an_atom_where_no_frame_had_it(frames: list[Atoms]) -> None:
    crystal = at(0.995)
    crystal.positions[3] += [0.0, 0.0, 0.4]
    found = judge(crystal, 0.7, frames, SETTINGS)
    assert found['verdict'] == 'outside'
    assert 'place of' in found['sentence']


def test_only_what_was_trained_on_counts(frames: list[Atoms]) -> None:
    inside = judge(at(1.005), -0.6, frames, SETTINGS)
    for each in frames:
        if each.get_volume() > brucite_cell().get_volume():
            each.info['split'] = 'test'
    outside = judge(at(1.005), -0.6, frames, SETTINGS)
    assert (inside['verdict'], outside['verdict']) == ('inside', 'outside')
    assert outside['n_frames'] < inside['n_frames']
    alone = Atoms('H', cell=[12.0] * 3, pbc=True, info={'config_type': 'IsolatedAtom'})
    nothing = judge(at(1.0), 0.0, [alone], SETTINGS)
    assert nothing['verdict'] == 'unknown'
    assert nothing['quantities'] == []


def test_what_symmetry_keeps_is_no_question() -> None:
    """Frames with the symmetry of the crystal say nothing of shears, and need not."""
    rng = np.random.default_rng(1)
    frames = [frame(strain * np.eye(3), 0.0, rng) for strain in np.linspace(-0.02, 0.01, 7)]
    found = judge(at(0.995), 0.7, frames, SETTINGS)
    assert found['verdict'] == 'inside'
    names = [row['name'].split()[0] for row in found['quantities']]
    assert names == ['pressure', 'volume', 'strain']


def test_supercells_turned_and_in_another_order() -> None:
    crystal = brucite_cell()
    strain = np.array([[0.01, 0.004, 0.0], [0.004, -0.008, 0.002], [0.0, 0.002, 0.005]])
    large = make_supercell(crystal, [[1, -1, 0], [3, 0, 0], [0, 0, 2]])
    order = np.random.default_rng(5).permutation(len(large))
    large = large[order]
    large.set_cell(large.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    large.positions += [0.3, -0.2, 0.1]
    moved = int(np.flatnonzero(large.symbols == 'H')[0])
    large.positions[moved] += [0.0, 0.0, 0.1]
    turn = Rotation.from_euler('z', 0.02).as_matrix()
    large.set_cell(large.cell.array @ turn.T, scale_atoms=True)
    found = strain_and_moves(large, crystal)
    assert found is not None
    assert found[0] == pytest.approx(strain, abs=1e-12)
    lengths = np.linalg.norm(found[1][:, 1:], axis=1)
    assert lengths.argmax() == moved
    assert lengths.max() == pytest.approx(0.1, rel=0.05)
    assert [crystal.symbols[int(i)] for i in found[1][:, 0]] == list(large.symbols)
    assert strain_and_moves(large[1:], crystal) is None
    assert strain_and_moves(Atoms('MgO2H2', positions=np.eye(5, 3), cell=[9] * 3), crystal) is None


def test_spans() -> None:
    span = Span.of([2.0, -1.0, 0.5])
    assert (span.low, span.high) == (-1.0, 2.0)
    assert [span.place(v, 0.2) for v in (0.0, 1.9, 2.1)] == ['inside', 'at the edge', 'outside']
