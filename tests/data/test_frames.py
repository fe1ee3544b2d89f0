"""Nodes of frames: what they refuse, what they keep, what can be queried."""

import io

import numpy as np
import pytest
from aiida import orm
from ase.build import bulk

from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.structure import structure_problems, to_atoms, to_structure
from aiida_mlip_ins.science.dataset import labelled, write_frames

pytestmark = pytest.mark.usefixtures('aiida_profile')


@pytest.fixture
def frames():
    made = []
    for index, source in enumerate(('path', 'rattle', 'rattle')):
        frame = bulk('LiH', 'rocksalt', a=4.0)
        frame.rattle(0.01, seed=index)
        frame.info = {'source': source, 'split': 'test' if index == 2 else 'train'}
        made.append(frame)
    return made


@pytest.fixture
def labels(frames):
    return [labelled(f, -200.0, np.zeros((2, 3)), np.zeros(6), i) for i, f in enumerate(frames)]


def test_frames_are_stored_and_loaded(frames):
    node = FramesData.from_frames(frames).store()
    again = orm.load_node(node.pk)
    assert isinstance(again, FramesData)
    assert again.filename == 'frames.xyz'
    assert (again.n_frames, again.elements) == (3, ['H', 'Li'])
    assert again.formulas == {'HLi': 3}
    assert again.sources == {'path': 1, 'rattle': 2}
    for old, new in zip(frames, again.get_frames(), strict=True):
        np.testing.assert_allclose(new.positions, old.positions, atol=1e-8)
    assert [f.info['source'] for f in again.get_frames(split='test')] == ['rattle']


def test_equal_frames_have_one_hash(frames):
    first, second = FramesData.from_frames(frames).store(), FramesData.from_frames(frames).store()
    frames[0].positions[0, 0] += 1e-6
    third = FramesData.from_frames(frames).store()
    hashes = [node.base.caching.compute_hash() for node in (first, second, third)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_file_of_any_name(frames, tmp_path):
    path = tmp_path / 'mine.extxyz'
    path.write_bytes(write_frames(frames))
    assert FramesData(path).filename == 'frames.xyz'
    assert FramesData(str(path)).get_frames()[0].info['source'] == 'path'


def test_bad_frames_are_refused(frames):
    del frames[1].info['source']
    frames[2].pbc = False
    with pytest.raises(ValueError, match='not periodic') as caught:
        FramesData.from_frames(frames)
    assert "without info['source']" in str(caught.value)
    with pytest.raises(ValueError, match='not extended XYZ'):
        FramesData(io.BytesIO(b'data_cif'))
    with pytest.raises(ValueError, match='no'):
        FramesData.from_frames([])


def test_dataset_tells_what_it_has(labels):
    node = DatasetData.from_frames(labels, 'pw.x 90 Ry').store()
    again = orm.load_node(node.pk)
    assert isinstance(again, DatasetData)
    assert again.method == 'pw.x 90 Ry'
    assert again.labels == {'energy': 3, 'forces': 3, 'stress': 3}
    assert again.splits == {'test': 1, 'train': 2}
    assert again.units['stress'].startswith('eV/angstrom^3, tension positive')
    assert [frame.info['index'] for frame in again.get_frames()] == [0, 1, 2]
    query = orm.QueryBuilder().append(DatasetData, filters={'attributes.method': 'pw.x 90 Ry'})
    assert query.count() == 1


def test_a_dataset_is_frames_too(labels):
    node = DatasetData.from_frames(labels, 'x').store()
    assert isinstance(node, FramesData)
    assert node.n_frames == 3


def test_dataset_without_labels_is_refused(frames, labels):
    with pytest.raises(ValueError, match='without forces'):
        DatasetData.from_frames(frames)
    labels[1].arrays['REF_forces'][0, 0] = np.nan
    labels[2].info['REF_energy'] = 1e9
    with pytest.raises(ValueError, match='NaN') as caught:
        DatasetData.from_frames(labels)
    assert 'is the unit eV?' in str(caught.value)


def test_clone_keeps_method(labels):
    assert DatasetData.from_frames(labels, 'x').clone().method == 'x'


def test_structures_round_trip(brucite):
    brucite.set_tags([1, 2, 3, 4, 5])
    node = to_structure(brucite)
    assert node.get_kind_names() == ['Mg', 'O', 'H']
    again = to_atoms(node)
    assert again.symbols.get_chemical_formula() == brucite.symbols.get_chemical_formula()
    np.testing.assert_allclose(again.positions, brucite.positions)
    np.testing.assert_allclose(again.cell.array, brucite.cell.array)


def test_structure_problems(brucite_structure):
    assert structure_problems(brucite_structure) == []
    magnesia = to_structure(bulk('MgO', 'rocksalt', a=4.21))
    assert 'no hydrogen' in structure_problems(magnesia)[0]
    assert structure_problems(magnesia, require_hydrogen=False) == []


def test_partly_occupied_node(brucite_structure):
    node = orm.StructureData(cell=brucite_structure.cell)
    node.append_atom(position=(0, 0, 0), symbols=['Mg', 'Ca'], weights=[0.5, 0.5], name='M')
    assert 'partly occupied' in structure_problems(node)[0]


def test_kinds_of_one_element_are_refused(brucite):
    brucite.set_tags([0, 0, 0, 1, 2])
    node = orm.StructureData(ase=brucite)
    (problem,) = structure_problems(node)
    assert 'H1, H2' in problem
    assert structure_problems(to_structure(to_atoms(node))) == []
