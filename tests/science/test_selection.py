"""Farthest points on a line, and frames as points."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_mlip_ins.science.sampling.selection import (
    farthest_points,
    frame_points,
    selection_report,
)

LINE = np.arange(11.0)[:, None]
NOTHING = np.zeros((0, 1))


def test_the_farthest_from_what_is_labelled_comes_first() -> None:
    """Labelled at 0: first the other end, then the middle; 2 is then as far off as any."""
    found = farthest_points(LINE, np.zeros((1, 1)), budget=2)
    assert found.chosen == [10, 5]
    assert found.steps == [10.0, 5.0]
    assert found.before.max() == 10.0
    assert found.after.max() == 2.0
    np.testing.assert_array_equal(found.after, [0, 1, 2, 2, 1, 0, 1, 2, 2, 1, 0])


def test_without_labelled_frames_the_middle_comes_first() -> None:
    found = farthest_points(LINE, NOTHING, budget=3)
    assert found.chosen[0] == 5
    assert set(found.chosen[1:]) == {0, 10}
    assert np.isinf(found.steps[0])
    assert np.isinf(found.before).all()


def test_more_frames_keep_those_chosen_before() -> None:
    few = farthest_points(LINE, NOTHING, budget=3)
    many = farthest_points(LINE, NOTHING, budget=8)
    assert many.chosen[:3] == few.chosen
    assert np.all(np.diff(many.steps[1:]) <= 0)


def test_duplicates_are_not_chosen_and_counted() -> None:
    pool = np.array([[0.0], [1.0], [1.0], [3.0], [3.0 - 1e-6]])
    found = farthest_points(pool, np.zeros((1, 1)), budget=5)
    assert sorted(found.chosen) == [1, 3]
    assert found.duplicates == [0, 2, 4]


def test_frames_that_may_not_be_used_are_left_out_of_everything() -> None:
    usable = LINE[:, 0] < 9
    found = farthest_points(LINE, np.zeros((1, 1)), budget=1, usable=usable)
    assert found.chosen == [8]
    report = selection_report(found, ['a'] * 11)
    assert report['radius_before'] == 8.0
    assert report['n_refused'] == 2


def test_the_radius_is_at_most_twice_the_smallest_possible_one() -> None:
    """Three clusters in a plane: three frames cover them to the size of one."""
    rng = np.random.default_rng(1)
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    pool = np.concatenate([centre + rng.uniform(-1, 1, (20, 2)) for centre in centres])
    found = farthest_points(pool, np.zeros((0, 2)), budget=3)
    assert sorted(index // 20 for index in found.chosen) == [0, 1, 2]
    assert found.after.max() <= 2 * np.sqrt(2)


def test_report_counts_and_radii_of_each_source() -> None:
    sources = ['near'] * 6 + ['far'] * 5
    report = selection_report(farthest_points(LINE, np.zeros((1, 1)), budget=1), sources)
    assert report['sources']['far'] == {
        'n_pool': 5, 'n_chosen': 1, 'n_duplicates': 0, 'n_refused': 0, 'radius_before': 10.0,
        'radius_after': 4.0, 'mean_before': 8.0, 'mean_after': 2.0,
    }  # fmt: skip
    assert report['sources']['near']['n_duplicates'] == 1
    assert report['radius_after'] == 5.0
    assert report['steps'] == [10.0]
    none = selection_report(farthest_points(LINE, NOTHING, budget=1), sources)
    assert none['radius_before'] is None
    assert none['steps'] == []


def features(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3))


def test_points_do_not_depend_on_the_order_of_atoms() -> None:
    numbers = np.array([8, 1, 1])
    given = [features(3, seed) for seed in range(4)]
    swapped = [given[0][[0, 2, 1]], *given[1:]]
    one = frame_points([*given, swapped[0]], [numbers] * 5)
    np.testing.assert_allclose(one[0], one[4], atol=1e-12)
    assert np.linalg.norm(one[0] - one[1]) > 0.1


def test_elements_count_alike_whatever_the_size_of_their_features() -> None:
    numbers = [np.array([8, 1, 1])] * 4
    given = [features(3, seed) for seed in range(4)]
    scaled = [rows * np.array([[100.0], [1.0], [1.0]]) for rows in given]
    np.testing.assert_allclose(
        frame_points(given, numbers), frame_points(scaled, numbers), atol=1e-12
    )


def test_a_supercell_is_the_same_point_as_its_cell() -> None:
    numbers = np.array([8, 1, 1])
    given = [features(3, seed) for seed in range(3)]
    doubled = np.concatenate([given[0], given[0]])
    points = frame_points([*given, doubled], [numbers, numbers, numbers, np.tile(numbers, 2)])
    # of two copies of a cell each element has the same mean and width, but counts twice in the
    # spread of all, so the distance is exactly zero
    np.testing.assert_allclose(points[0], points[3], atol=1e-12)


def test_one_displaced_atom_shows_in_the_width() -> None:
    """Four atoms alike; one moved by d changes mean by d/4 and width by sqrt(3) d / 4."""
    same = np.ones((4, 1)) * 5.0
    moved = same.copy()
    moved[0] += 0.4
    numbers = np.full(4, 6)
    points = frame_points([same, moved], [numbers, numbers])
    everything = np.concatenate([same, moved])
    width = float(everything.std())
    expected = np.hypot(0.1, np.sqrt(3) * 0.1) / width
    assert np.linalg.norm(points[0] - points[1]) == pytest.approx(expected)


def test_rounding_is_no_variety() -> None:
    numbers = np.full(2, 6)
    rng = np.random.default_rng(1)
    given = [np.ones((2, 4)) + 1e-7 * rng.normal(size=(2, 4)) for _ in range(5)]
    found = farthest_points(frame_points(given, [numbers] * 5), np.zeros((0, 9)), budget=5)
    assert len(found.chosen) == 1


def test_other_compositions_are_far() -> None:
    one, other = np.array([8, 1, 1]), np.array([8, 8, 1])
    points = frame_points([features(3, 1), features(3, 2)], [one, other])
    assert np.linalg.norm(points[0] - points[1]) > 0.2
