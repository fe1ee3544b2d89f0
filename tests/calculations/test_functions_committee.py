"""The calcfunction of a committee on datasets of the toy crystal."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_mlip_ins.calculations.functions.committee import ARRAY_UNITS, calibrate_committee
from aiida_mlip_ins.data.frames import DatasetData


def member(dataset: DatasetData, shift: float, left_out: int = 0) -> DatasetData:
    """Return labels of the frames held out, off by a shift times the position of the frame."""
    made = []
    for index, frame in enumerate(dataset.get_frames()):
        if frame.info['split'] == 'train':
            continue
        frame.info['index'] = index
        frame.info['REF_energy'] += shift * index * len(frame)
        frame.arrays['REF_forces'] = frame.arrays['REF_forces'] + shift * index
        made.append(frame)
    return DatasetData.from_frames(made[left_out:], 'mace test')


def test_calibrate_committee(toy_dataset: DatasetData) -> None:
    members = {f'member_{i}': member(toy_dataset, shift) for i, shift in enumerate((1e-3, 3e-3))}
    found = calibrate_committee(toy_dataset, **members)
    summary = found['summary'].get_dict()
    assert summary['members'] == ['member_0', 'member_1']
    assert set(summary['splits']) == {'test', 'valid'}
    test = summary['splits']['test']
    assert test['n_frames'] == 3
    assert test['force']['n'] == 6
    # The mean is off by 2e-3 i, the spread is sqrt(2) 1e-3 i.
    assert test['energy']['calibration_factor'] == pytest.approx(np.sqrt(2), rel=1e-4)
    assert test['energy']['rank_correlation'] == pytest.approx(1.0)
    assert test['stress']['rms_spread'] == pytest.approx(0.0, abs=1e-12)
    arrays = found['spread']
    assert arrays.get_array('index').tolist() == list(range(16, 22))
    np.testing.assert_allclose(arrays.get_array('energy_error'), 2.0 * np.arange(16, 22), rtol=1e-3)
    assert (
        set(arrays.get_arraynames()) == set(ARRAY_UNITS) == set(arrays.base.attributes.get('units'))
    )


def test_members_of_other_frames_are_refused(toy_dataset: DatasetData) -> None:
    members = {'member_0': member(toy_dataset, 1e-3), 'member_1': member(toy_dataset, 2e-3, 1)}
    with pytest.raises(ValueError, match='member_1 have other frames than member_0'):
        calibrate_committee(toy_dataset, **members)
