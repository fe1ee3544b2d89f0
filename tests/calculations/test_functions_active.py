"""Calcfunctions of active learning on frames of the toy crystal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from active_nodes import labelled, modes, relaxation_outputs
from aiida import orm
from mace_nodes import toy_structure

from aiida_mlip_ins.calculations.functions import active
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.workflows.protocols import load_protocol

pytestmark = pytest.mark.usefixtures('aiida_profile')


def settings(**changes: Any) -> orm.Dict:
    values = load_protocol('active_learning', 'fast')['settings']
    return orm.Dict({**values, 'force_scale': None, 'volume_margin': 0.5, **changes})


def candidates(count: int = 6) -> FramesData:
    made = []
    for index in range(count):
        frame = toy_structure().get_ase()
        frame.info = {'source': 'rattle' if index % 2 else 'path'}
        frame.positions[0, 0] += 0.02 * (index + 1)
        made.append(frame)
    return FramesData.from_frames(made)


def select(
    pool: FramesData, dataset: DatasetData, count: int, **changes: Any
) -> dict[str, orm.Data]:
    return active.select_by_disagreement(
        candidates=pool,
        labelled=dataset,
        settings=settings(**changes),
        count=orm.Int(count),
        number=orm.Int(3),
        seed=orm.Int(1),
        member_0=labelled(pool, 0.01),
        member_1=labelled(pool, 0.03),
    )


def test_those_that_the_members_disagree_on_are_taken(toy_dataset: DatasetData) -> None:
    found = select(candidates(), toy_dataset, 2)
    frames = found['frames'].get_frames()
    assert [frame.info['pool_index'] for frame in frames] == [5, 4]
    assert {frame.info['round'] for frame in frames} == {3}
    assert 'train' in {frame.info['split'] for frame in frames}
    report = found['report'].get_dict()
    # Forces differ by 0.02 eV/angstrom times the place: of two members the spread is 1/sqrt(2).
    assert report['disagreement'][5] == pytest.approx(100.0 / np.sqrt(2))
    assert frames[0].info['force_spread'] == pytest.approx(100.0 / np.sqrt(2))
    # The first has no forces, as if symmetry took them away.
    expected = 20.0 / np.sqrt(2) * np.sqrt(np.mean(np.arange(1, 6) ** 2))
    assert report['force_spread'] == pytest.approx(expected)
    assert report['sources']['rattle'] == {
        'n_candidates': 3, 'n_chosen': 1,
        'force_spread': pytest.approx(20.0 / np.sqrt(2) * np.sqrt(35 / 3)),
    }  # fmt: skip
    assert (report['n_candidates'], report['n_chosen'], report['n_near']) == (6, 2, 0)


def test_nothing_is_taken_where_nothing_may_be(toy_dataset: DatasetData) -> None:
    assert set(select(candidates(), toy_dataset, 0)) == {'report'}
    found = select(candidates(), toy_dataset, 3, min_separation=5.0)
    assert set(found) == {'report'}
    assert found['report']['n_near'] == 6
    assert found['report']['chosen_force_spread'] is None


def test_members_that_left_out_frames_are_refused(toy_dataset: DatasetData) -> None:
    pool = candidates()
    with pytest.raises(ValueError, match='member_1 have not labelled all 6 candidates'):
        active.select_by_disagreement(
            candidates=pool, labelled=toy_dataset, settings=settings(), count=orm.Int(1),
            number=orm.Int(0), seed=orm.Int(1), member_0=labelled(pool),
            member_1=labelled(candidates(5)),
        )  # fmt: skip


def test_spread_of_frequencies_at_each_pressure() -> None:
    found = active.frequency_spreads(
        member_0_pressure_0=modes(0.0), member_1_pressure_0=modes(4.0),
        member_0_pressure_1=modes(0.0),
    )  # fmt: skip
    assert found.get_dict() == {'pressure_0': pytest.approx(4.0 / np.sqrt(2))}


def test_row_of_a_round(toy_dataset: DatasetData) -> None:
    pool = candidates()
    found = select(pool, toy_dataset, 3)
    # The truth is off by 0.01 from one member and by 0.03 from the other, times the place.
    truth = labelled(found['frames'], 0.0, 'dft')
    row = active.round_row(
        number=orm.Int(2),
        settings=settings(target_force_error=200.0, target_frequency_spread=3.0),
        pressures=orm.List([0.0, 1.5]),
        dataset=toy_dataset,
        selection=found['report'],
        relaxation=relaxation_outputs((True, False))['results'],
        committee=orm.Dict({'splits': {'valid': {'force': {'rms_error_of_members': 7.0}}}}),
        frequencies=orm.Dict({'pressure_0': 2.0}),
        labelled=truth,
        member_0=labelled(pool, 0.01),
        member_1=labelled(pool, 0.03),
    ).get_dict()
    places = np.array([5.0, 4.0, 3.0])
    both = np.concatenate([10.0 * places, 30.0 * places])
    assert row['force_error'] == pytest.approx(np.sqrt(np.mean(both**2)))
    assert row['new']['force']['rms_error'] == pytest.approx(20.0 * np.sqrt(np.mean(places**2)))
    assert row['rank_correlation'] == pytest.approx(1.0)
    assert row['stress_error'] == 0.0
    assert (row['round'], row['n_frames'], row['n_labelled']) == (2, 22, 3)
    assert row['volumes'] == [24.0, None]
    assert row['valid_force_error'] == 7.0
    assert row['frequency_spreads'] == [2.0, None]
    # Not known at one pressure, so not known at the worst one.
    assert row['frequency_spread'] is None
    assert not row['reached']
    assert 'spread of frequencies not known' in row['sentences'][1]


def test_a_round_that_labelled_nothing_has_a_row(toy_dataset: DatasetData) -> None:
    pool = candidates()
    row = active.round_row(
        number=orm.Int(0),
        settings=settings(target_force_error=None, target_frequency_spread=3.0),
        pressures=orm.List([0.0]),
        dataset=toy_dataset,
        selection=select(pool, toy_dataset, 0)['report'],
        frequencies=orm.Dict({'pressure_0': 2.0}),
        member_0=labelled(pool, 0.01),
        member_1=labelled(pool, 0.03),
    ).get_dict()
    assert row['reached']
    assert (row['n_labelled'], row['force_error'], row['new']) == (0, None, None)
    assert row['volumes'] == [None]


def test_rounds_follow_those_of_the_history() -> None:
    history = orm.Dict({'rounds': [{'round': 0}], 'ended': 'stopped'})
    rows = {f'round_{i}': orm.Dict({'round': i}) for i in (10, 9)}
    found = active.collect_rounds(ended=orm.Str('done'), history=history, **rows)
    assert [row['round'] for row in found['rounds']] == [0, 9, 10]
    assert found['ended'] == 'done'
    assert found['units']['frequency'] == '1/cm'


def test_guessed_cells_are_one_more_than_the_pressures() -> None:
    first = {'bond_lengths': {}, 'bulk_modulus': 100.0, 'pressure': 10.0, 'sampling': {}}
    found = active.guessed_cells(toy_structure(), orm.List([0.0, 5.0]), orm.Dict(first))
    volumes = [found[f'pressure_{i}'].get_cell_volume() / 2.95**3 for i in range(3)]
    assert volumes == pytest.approx([1.0, 0.95, 0.9])
