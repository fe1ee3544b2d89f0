"""Modes of a potential against the forces of labelled frames in motion."""

import numpy as np
import pytest
from aiida import orm
from phonon_nodes import dft_force_constants

from aiida_mlip_ins.calculations.functions.compare import compare_moving_modes
from aiida_mlip_ins.calculations.functions.phonons import phonopy_of
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.structure import to_atoms

STIFFER = 1.02
"""Of DFT's frequencies, as a share of the potential's."""


def frames_of(constants, factor, count=12, strain=0.0):
    """Return frames of random motion with harmonic forces, some beyond the border of the cell."""
    rest = to_atoms(constants.get_unitcell())
    springs = phonopy_of(constants).force_constants * factor
    random = np.random.default_rng(4)
    frames = []
    for _ in range(count):
        moved = random.normal(0.0, 0.02, rest.positions.shape)
        frame = rest.copy()
        frame.positions += moved
        frame.wrap()
        frame.arrays['REF_forces'] = -np.einsum('ijab,jb->ia', springs, moved)
        frame.info.update(REF_energy=0.0, source='thermal', split='test')
        frame.set_cell(frame.cell.array * (1 + strain), scale_atoms=True)
        frames.append(frame)
    return frames


def test_stiffer_labels_shift_all_modes(aiida_profile):
    constants = dft_force_constants('0.0')
    others = frames_of(constants, 9.0, count=2, strain=0.01)
    sets = [
        DatasetData.from_frames([*others, *frames_of(constants, factor)], 'springs')
        for factor in (STIFFER**2, 1.0)
    ]
    found = compare_moving_modes(orm.List([[0.0, 1000.0], [1000.0, 4000.0]]), constants, *sets)
    assert found['n_frames'] == 12
    modes = found['modes']
    slopes = np.array(modes['shifts']) / modes['frequencies']
    # to first order, d(w^2) / 2 w
    assert slopes == pytest.approx((STIFFER**2 - 1) / 2, rel=1e-3)
    low, high = found['windows']
    assert (low['n_modes'], high['n_modes']) == (10, 2)
    assert high['mean_shift_per_cm'] == pytest.approx(0.0202 * 3711, rel=0.01)


def test_two_frames_are_too_few(aiida_profile):
    constants = dft_force_constants('0.0')
    dataset = DatasetData.from_frames(frames_of(constants, 1.0, count=2), 'springs')
    _, node = compare_moving_modes.run_get_node(
        orm.List([[0.0, 100.0]]), constants, dataset, dataset.clone()
    )
    assert node.exit_status == 401
    assert '2 frames' in node.exit_message
    elsewhere = DatasetData.from_frames(frames_of(constants, 1.0, count=3, strain=0.01), 'springs')
    _, node = compare_moving_modes.run_get_node(
        orm.List([[0.0, 100.0]]), constants, elsewhere, elsewhere.clone()
    )
    assert node.exit_status == 401
    assert 'no frame of the dataset moves about this cell' in node.exit_message
