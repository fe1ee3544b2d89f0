"""Parser of molecular dynamics on real outputs: whole, stopped, killed and damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from mace_nodes import FIXTURES, edit, parsed, toy_model, toy_structure

from aiida_mlip_ins.data.trajectory import from_node

pytestmark = pytest.mark.usefixtures('aiida_profile')


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / 'md', tmp_path / 'job'))


def parse(folder: Path) -> tuple[dict, orm.CalcFunctionNode]:
    inputs = {'model': toy_model(), 'structure': toy_structure()}
    return parsed('md', folder, inputs)


def test_a_whole_run(job: Path) -> None:
    outputs, node = parse(job)
    assert node.exit_status == 0
    trajectory = outputs['trajectory']
    assert trajectory.get_stepids().tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert trajectory.get_times()[-1] == pytest.approx(0.012)
    assert list(trajectory.symbols) == ['Ni', 'Al']
    assert trajectory.base.attributes.get('units')['velocities'] == 'angstrom/ps'
    assert trajectory.get_step_structure(0).get_cell_volume() == pytest.approx(2.85**3)
    found = from_node(trajectory)
    assert np.ptp(found.conserved_energy) < 0.05 * np.ptp(found.potential_energy)
    assert outputs['results']['ended'] is None
    with outputs['checkpoint'].open(mode='rb') as handle:
        assert handle.read() == (job / 'checkpoint.npz').read_bytes()


@pytest.mark.parametrize(
    ('kind', 'status'),
    [('OUT_OF_WALLTIME', 400), ('NOT_FINITE', 410), ('TOO_HOT', 411), ('EVAPORATED', 412)],
)
def test_a_run_that_was_stopped_keeps_its_frames(job: Path, kind: str, status: int) -> None:
    ended = {'kind': kind, 'message': 'what happened'}
    edit(job, 'results.json', lambda content: content.update(ended=ended))
    outputs, node = parse(job)
    assert node.exit_status == status
    assert node.exit_message.endswith('what happened')
    assert {'trajectory', 'checkpoint', 'results'} <= set(outputs)


def test_interrupted(job: Path) -> None:
    error = {'kind': 'INTERRUPTED', 'message': 'the job received SIGTERM', 'hint': ''}
    (job / 'error.json').write_text(json.dumps(error))
    ended = {'kind': 'INTERRUPTED', 'message': 'the job received SIGTERM'}
    edit(job, 'results.json', lambda content: content.update(ended=ended))
    outputs, node = parse(job)
    assert node.exit_status == 320
    assert {'trajectory', 'checkpoint', 'results'} <= set(outputs)


@pytest.mark.parametrize('crash', [False, True])
def test_killed_or_crashed(job: Path, crash: bool) -> None:
    """A job that could not write its results has left frames all the same."""
    (job / 'results.json').unlink()
    if crash:
        error = {'kind': 'UNEXPECTED', 'message': 'RuntimeError: x', 'hint': ''}
        (job / 'error.json').write_text(json.dumps(error))
    outputs, node = parse(job)
    assert node.exit_status == (310 if crash else 301)
    assert len(outputs['trajectory'].get_stepids()) == 7
    assert 'checkpoint' in outputs
    assert 'results' not in outputs


def test_killed_before_the_first_frame(tmp_path: Path) -> None:
    (tmp_path / 'driver.err').write_text('Killed\n')
    outputs, node = parse(tmp_path)
    assert node.exit_status == 301
    assert outputs == {}


def test_a_damaged_batch(job: Path) -> None:
    (job / 'trajectory_0000000006.npz').write_bytes(b'PK')
    outputs, node = parse(job)
    assert node.exit_status == 302
    assert 'trajectory_0000000006.npz cannot be read' in node.exit_message
    assert 'trajectory' not in outputs
