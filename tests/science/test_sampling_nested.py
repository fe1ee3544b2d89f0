"""Nested sets: what is there with few frames stays as it is with more."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from springs import brucite_dft

from aiida_mlip_ins.science.sampling import random_frames, targeted_frames, with_nested_splits
from aiida_mlip_ins.workflows.protocols import load_protocol

SECTIONS = {n: s for n, s in load_protocol('pipeline', 'fast')['sampling'].items() if n != 'splits'}
CELLS = {0.0: brucite_dft('0.0')[0], 1.5: brucite_dft('1.5')[0]}


def made(kind: str, count: int, seed: int = 7) -> list:
    if kind == 'targeted':
        return with_nested_splits(targeted_frames(CELLS, SECTIONS, seed, count))
    return with_nested_splits(random_frames([*CELLS.values()], 0.03, 0.01, seed, count))


@pytest.mark.parametrize('kind', ['targeted', 'random'])
def test_the_first_of_many_are_those_of_few(kind: str) -> None:
    few, many = made(kind, 10), made(kind, 40)
    assert (len(few), len(many)) == (10, 40)
    for one, two in zip(few, many, strict=False):
        assert np.array_equal(one.positions, two.positions)
        assert np.array_equal(one.cell.array, two.cell.array)
        assert one.info == two.info
    assert not np.array_equal(few[0].positions, made(kind, 10, seed=8)[0].positions)


def test_targeted_frames_have_the_shares_of_the_sections() -> None:
    counts = Counter(frame.info['source'] for frame in made('targeted', 34))
    assert counts == {'path': 5, 'symmetric': 5, 'separate': 8, 'rattle': 16}
    more = Counter(frame.info['source'] for frame in made('targeted', 60))
    assert more['path'] == 5  # the path has no more
    assert more['rattle'] == pytest.approx(2 * more['separate'], abs=2)
    path = [f.info['pressure'] for f in made('targeted', 34) if f.info['source'] == 'path']
    assert path == [-2.0, 3.5, -1.0, 2.5, 0.75]


def test_random_frames_are_about_the_cells_in_turn() -> None:
    frames = made('random', 200)
    for start, cell in enumerate(CELLS.values()):
        own = frames[start::2]
        strains = np.array([np.linalg.solve(cell.cell.array, f.cell.array) for f in own])
        assert strains.mean(axis=0) == pytest.approx(np.eye(3), abs=0.004)
        assert strains[:, 0, 0].std() == pytest.approx(0.01, rel=0.25)
        gaps = [f.get_scaled_positions(wrap=False) - cell.get_scaled_positions() for f in own]
        moves = (np.array(gaps) - np.rint(gaps)) @ cell.cell.array
        assert moves.std() == pytest.approx(0.03, rel=0.1)


@pytest.mark.parametrize('kind', ['targeted', 'random'])
def test_one_of_ten_is_held_out_and_no_cell_of_the_path(kind: str) -> None:
    frames = made(kind, 40)
    held_out = [i for i, frame in enumerate(frames) if frame.info['split'] == 'valid']
    assert [index // 10 for index in held_out] == [0, 1, 2, 3]
    assert {frames[i].info['source'] for i in held_out} <= {'rattle', 'symmetric'}
    assert all(frame.info['split'] == 'train' for frame in made(kind, 15)[10:])
