"""Labelled frames: round trip, checks and summaries, conversions."""

import numpy as np
import pytest
from ase.build import bulk

from aiida_mlip_ins.science import dataset
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3


def labelled_frames(count=4):
    rng = np.random.default_rng(5)
    frames = []
    for index in range(count):
        frame = bulk('LiH', 'rocksalt', a=4.0 + 0.01 * index)
        frame.positions += rng.normal(0, 0.02, (2, 3))
        frame.info = {'source': 'rattle', 'split': 'train' if index else 'test', 'sigma': 0.02}
        forces = rng.normal(0, 1, (2, 3))
        frames.append(
            dataset.labelled(frame, -200.0 + index, forces, rng.normal(0, 0.01, 6), index)
        )
    return frames


def test_round_trip_keeps_labels_and_info():
    frames = labelled_frames()
    again = dataset.read_frames(dataset.write_frames(frames))
    for old, new in zip(frames, again, strict=True):
        np.testing.assert_allclose(new.positions, old.positions, atol=1e-8)
        np.testing.assert_array_equal(new.cell.array, old.cell.array)
        np.testing.assert_allclose(new.arrays['REF_forces'], old.arrays['REF_forces'], atol=1e-8)
        np.testing.assert_array_equal(new.info['REF_stress'], old.info['REF_stress'])
        for key in ('REF_energy', 'index', 'source', 'split', 'sigma'):
            assert new.info[key] == old.info[key]
        assert new.calc is None


def test_equal_frames_give_equal_bytes():
    first, second = labelled_frames(), labelled_frames()
    for frame in second:
        frame.info = dict(reversed(frame.info.items()))
        frame.set_tags([1, 2])
    assert dataset.write_frames(first) == dataset.write_frames(second)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ValueError, match='not extended XYZ'):
        dataset.read_frames(b'{"json": true}')
    with pytest.raises(ValueError, match='has none'):
        dataset.read_frames(b'')
    path = tmp_path / 'frames.xyz'
    path.write_bytes(dataset.write_frames(labelled_frames(2)))
    assert len(dataset.read_frames(path)) == 2


def test_stress_of_pw_changes_sign_and_unit():
    pressure = np.diag([1.0, 2.0, 3.0]) * GPA_PER_EV_PER_ANGSTROM3
    pressure[1, 2] = pressure[2, 1] = 4.0 * GPA_PER_EV_PER_ANGSTROM3
    pressure[0, 2] = pressure[2, 0] = 5.0 * GPA_PER_EV_PER_ANGSTROM3
    pressure[0, 1] = pressure[1, 0] = 6.0 * GPA_PER_EV_PER_ANGSTROM3
    np.testing.assert_allclose(dataset.stress_from_pw(pressure), [-1, -2, -3, -4, -5, -6])
    assert not np.signbit(dataset.stress_from_pw(np.zeros((3, 3)))).any()


def test_good_dataset_has_no_problems():
    assert dataset.dataset_problems(labelled_frames()) == []


def test_stress_and_energy_may_be_missing():
    frames = labelled_frames()
    for frame in frames:
        del frame.info['REF_stress'], frame.info['REF_energy']
    assert dataset.dataset_problems(frames) == []


def spoil(frame, how):
    if how == 'no forces':
        del frame.arrays['REF_forces']
    elif how == 'nan forces':
        frame.arrays['REF_forces'][1, 2] = np.nan
    elif how == 'huge forces':
        frame.arrays['REF_forces'][0, 0] = 2e3
    elif how == 'flat forces':
        frame.arrays['REF_forces'] = np.zeros(2)
    elif how == 'nan energy':
        frame.info['REF_energy'] = np.nan
    elif how == 'energy in meV':
        frame.info['REF_energy'] *= 1e3
    elif how == 'energy of text':
        frame.info['REF_energy'] = 'low'
    elif how == 'energy beyond all':
        frame.info['REF_energy'] = 1e6
    elif how == 'stress in GPa':
        frame.info['REF_stress'] = np.full(6, 20.0)
    elif how == 'stress of nine':
        frame.info['REF_stress'] = np.zeros((3, 3))
    elif how == 'no source':
        del frame.info['source']
    elif how == 'molecule':
        frame.pbc = False
    elif how == 'no cell':
        frame.cell[:] = 0.0


@pytest.mark.parametrize(
    ('how', 'words'),
    [
        ('no forces', 'without forces'),
        ('nan forces', 'NaN or infinite REF_forces'),
        ('huge forces', 'REF_forces of absurd size (is the unit eV/angstrom?)'),
        ('flat forces', 'whose REF_forces is not three numbers per atom'),
        ('nan energy', 'NaN or infinite REF_energy'),
        ('energy in meV', 'differ by'),
        ('energy of text', 'whose REF_energy is not one number'),
        ('energy beyond all', 'REF_energy of absurd size (is the unit eV?)'),
        ('stress in GPa', 'REF_stress of absurd size (is the unit eV/angstrom^3?)'),
        ('stress of nine', 'whose REF_stress is not six numbers'),
        ('no source', "without info['source']"),
        ('molecule', 'not periodic'),
        ('no cell', 'without volume'),
    ],
)
def test_each_problem_is_found_and_located(how, words):
    frames = labelled_frames()
    spoil(frames[2], how)
    found = dataset.dataset_problems(frames)
    assert any(words in problem for problem in found)
    if words != 'differ by':
        assert any('1 of 4 frames' in problem and problem.endswith(': 2') for problem in found)


def test_all_problems_in_one_go():
    frames = labelled_frames()
    spoil(frames[0], 'no forces')
    spoil(frames[1], 'nan energy')
    spoil(frames[3], 'nan energy')
    found = dataset.dataset_problems(frames)
    assert len(found) == 2
    assert 'without forces' in found[0]
    assert found[1].endswith('2 of 4 frames with NaN or infinite REF_energy: 1, 3')
    assert dataset.dataset_problems([]) == ['dataset: there are no frames']


def test_many_frames_are_not_all_listed():
    frames = labelled_frames(9)
    for frame in frames:
        spoil(frame, 'no forces')
    (problem,) = dataset.dataset_problems(frames)
    assert problem.endswith('0, 1, 2, 3, 4, 5 and 3 more')


def test_energies_of_a_supercell_compare_per_atom():
    frames = labelled_frames()
    large = frames[0] * (2, 1, 1)
    large.info = {'source': 'supercell'}
    frames.append(dataset.labelled(large, -400.0, np.zeros((4, 3)), None, 4))
    assert dataset.dataset_problems(frames) == []
    frames[-1].info['REF_energy'] = -180.0
    assert 'energies of H1Li1 differ by' in dataset.dataset_problems(frames)[0]


def test_relabelling_drops_old_labels():
    frame = dataset.labelled(labelled_frames(1)[0], -1.0, np.zeros((2, 3)), None, 7)
    assert 'REF_stress' not in frame.info
    assert frame.info['REF_energy'] == -1.0
    assert frame.info['index'] == 7


def test_summaries():
    frames = labelled_frames()
    del frames[1].info['REF_stress']
    assert dataset.summary(frames) == {
        'n_frames': 4,
        'n_atoms': 8,
        'elements': ['H', 'Li'],
        'formulas': {'HLi': 4},
        'sources': {'rattle': 4},
    }
    labels = dataset.label_summary(frames)
    assert labels['labels'] == {'energy': 4, 'forces': 4, 'stress': 3}
    assert labels['splits'] == {'test': 1, 'train': 3}
