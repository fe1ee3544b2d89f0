"""Choosing frames out of a pool by features that stand for a model's."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from ase import Atoms
from springs import brucite_cell

from aiida_mlip_ins.calculations.functions.selection import select_frames
from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.science.descriptors import joined

pytestmark = pytest.mark.usefixtures('aiida_profile')


def frames_at(places: list[float]) -> FramesData:
    """Return frames whose hydrogen is shifted by so many hundredths of an angstrom."""
    frames = []
    for place in places:
        frame: Atoms = brucite_cell()
        frame.positions[3, 0] += 0.01 * place
        frame.info['source'] = 'near' if place < 6 else 'far'
        frames.append(frame)
    return FramesData.from_frames(frames)


def described(node: FramesData, model: str = 'abc') -> orm.ArrayData:
    """Return features that are the coordinates of the atoms."""
    frames = node.get_frames()
    made = orm.ArrayData(joined([frame.positions[:, :1] for frame in frames], frames))
    made.base.attributes.set('model_sha256', model)
    return made


def failure(status: int, **inputs: orm.Data) -> str:
    outputs, node = select_frames.run_get_node(**inputs)
    assert node.exit_status == status
    assert not outputs
    return str(node.exit_message)


def test_selection_starts_from_what_is_labelled() -> None:
    pool, labelled = frames_at(list(range(11))), frames_at([0.0])
    found = select_frames(
        pool=pool,
        descriptors=described(pool),
        budget=orm.Int(2),
        labelled=labelled,
        labelled_descriptors=described(labelled),
    )
    assert [frame.info['pool_index'] for frame in found['frames'].get_frames()] == [10, 5]
    report = found['report'].get_dict()
    assert report['n_labelled'] == 1
    assert report['n_duplicates'] == 1
    assert report['sources']['far']['n_chosen'] == 1
    assert report['model_sha256'] == 'abc'
    np.testing.assert_allclose(report['radius_before'] / report['radius_after'], 5.0, rtol=1e-3)


def test_nothing_labelled() -> None:
    pool = frames_at(list(range(11)))
    found = select_frames(pool=pool, descriptors=described(pool), budget=orm.Int(1))
    assert [frame.info['pool_index'] for frame in found['frames'].get_frames()] == [5]
    assert found['report']['radius_before'] is None


def test_overlapping_frames_are_never_chosen() -> None:
    pool = frames_at([0.0, 1.0, 2.0, 500.0])
    frames = pool.get_frames()
    frames[3].positions[3] = frames[3].positions[1] + [0.1, 0.0, 0.0]
    pool = FramesData.from_frames(frames)
    found = select_frames(pool=pool, descriptors=described(pool), budget=orm.Int(4))
    assert sorted(f.info['pool_index'] for f in found['frames'].get_frames()) == [0, 1, 2]
    assert found['report']['n_refused'] == 1


def test_what_cannot_be_compared_is_refused() -> None:
    pool, labelled = frames_at([0.0, 1.0]), frames_at([0.0])
    inputs = {'pool': pool, 'descriptors': described(pool), 'budget': orm.Int(1)}
    of_them = described(labelled)
    assert 'or neither' in failure(400, **inputs, labelled=labelled)
    other = described(labelled, model='def')
    assert 'another model' in failure(400, **inputs, labelled=labelled, labelled_descriptors=other)
    assert 'not those of the frames' in failure(400, **{**inputs, 'descriptors': of_them})
    assert 'at least one frame' in failure(400, **{**inputs, 'budget': orm.Int(0)})
    alone = orm.ArrayData({'numbers': np.array([1])})
    assert 'no atoms_per_frame' in failure(400, **{**inputs, 'descriptors': alone})


def test_a_pool_of_labelled_frames_has_nothing_to_choose() -> None:
    pool = frames_at([0.0, 0.0])
    message = failure(
        401,
        pool=pool,
        descriptors=described(pool),
        budget=orm.Int(1),
        labelled=frames_at([0.0, 3.0]),
        labelled_descriptors=described(frames_at([0.0, 3.0])),
    )
    assert 'of 2 frames 2 are like labelled ones' in message
