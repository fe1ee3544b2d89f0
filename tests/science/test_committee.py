"""Mean, spread and calibration of a committee, on made-up members whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_mlip_ins.science.committee import (
    Labels,
    calibrate,
    compare,
    mean_and_spread,
    sizes,
)
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3

N_ATOMS = np.array([2, 3])


def labels(value: float) -> Labels:
    """Return labels of two frames, of two and three atoms, that all have one value."""
    return Labels(np.full(2, value), np.full((5, 3), value), np.full((2, 6), value))


def test_mean_and_spread() -> None:
    mean, spread = mean_and_spread([labels(1.0), labels(2.0), labels(3.0)])
    np.testing.assert_allclose(mean.forces, np.full((5, 3), 2.0))
    np.testing.assert_allclose(spread.energies, [1.0, 1.0])
    with pytest.raises(ValueError, match='at least two members, not 1'):
        mean_and_spread([labels(1.0)])


def test_sizes_have_their_units() -> None:
    found = sizes(labels(-0.6), N_ATOMS)
    np.testing.assert_allclose(found['energy'], [300.0, 200.0])
    np.testing.assert_allclose(found['force'], np.full(5, 600.0))
    np.testing.assert_allclose(found['stress'], np.full(2, 0.6 * GPA_PER_EV_PER_ANGSTROM3))


def test_a_spread_half_as_large_as_the_error_has_factor_two() -> None:
    spread = np.array([1.0, 2.0, 3.0, 4.0])
    found = calibrate(2 * spread, spread)
    assert found['calibration_factor'] == pytest.approx(2.0)
    assert found['rank_correlation'] == pytest.approx(1.0)
    assert found['p_value'] == pytest.approx(0.0, abs=1e-12)
    assert calibrate(np.array([1.0, 3.0]), np.ones(2))['share_within'] == 0.5
    assert calibrate(spread[::-1], spread)['rank_correlation'] == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ('error', 'spread', 'missing'),
    [
        ([1.0, 2.0], [1.0, 2.0], {'rank_correlation', 'p_value'}),
        ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0], {'rank_correlation', 'p_value'}),
        (
            [1.0, 2.0, 3.0],
            [0.0, 0.0, 0.0],
            {'rank_correlation', 'p_value', 'calibration_factor', 'share_within'},
        ),
    ],
)
def test_what_cannot_be_said_is_not_said(
    error: list[float], spread: list[float], missing: set[str]
) -> None:
    found = calibrate(np.array(error), np.array(spread))
    assert {name for name, value in found.items() if value is None} == missing


def test_frames_without_a_reference_are_left_out() -> None:
    found = calibrate(np.array([1.0, np.nan, 3.0, 5.0]), np.array([1.0, 9.0, 2.0, 3.0]))
    assert found['n'] == 3
    assert found['rms_error'] == pytest.approx(np.sqrt(35 / 3))
    nothing = calibrate(np.full(2, np.nan), np.ones(2))
    assert nothing['n'] == 0
    assert nothing['rms_error'] is None


def test_members_as_far_from_each_other_as_from_the_truth() -> None:
    """Their mean is off by sqrt(1 + 1/M) of their spread."""
    rng = np.random.default_rng(1)
    n_frames, n_members = 400, 4
    n_atoms = np.full(n_frames, 5)
    width = rng.uniform(0.01, 0.1, n_frames)

    def draw() -> Labels:
        return Labels(
            rng.normal(size=n_frames) * width,
            rng.normal(size=(n_frames * 5, 3)) * np.repeat(width, 5)[:, None],
            rng.normal(size=(n_frames, 6)) * width[:, None],
        )

    table, arrays = compare(
        draw(), [draw() for _ in range(n_members)], n_atoms, ['test'] * n_frames
    )
    for name in ('energy', 'force', 'stress'):
        found = table['test'][name]
        assert found['calibration_factor'] == pytest.approx(np.sqrt(1.25), rel=0.08)
        assert found['rank_correlation'] > 0.2
        assert found['rms_error'] < found['rms_error_of_members']
    assert table['test']['force']['rank_correlation'] > 0.6
    assert arrays['frame'].tolist() == np.repeat(np.arange(n_frames), 5).tolist()
    assert arrays['spread_stresses'].shape == (n_frames, 6)


def test_splits_are_told_apart() -> None:
    truth, members = labels(0.0), [labels(0.1), labels(0.3)]
    table, arrays = compare(truth, members, N_ATOMS, ['valid', 'test'])
    assert table['valid']['force']['n'] == 2
    assert table['test']['force']['n'] == 3
    assert table['test']['energy']['rms_error'] == pytest.approx(200 / 3)
    assert table['valid']['energy']['rms_error'] == pytest.approx(100.0)
    np.testing.assert_allclose(arrays['force_error'], np.full(5, 200.0))
    np.testing.assert_allclose(arrays['mean_energies'], [0.2, 0.2])
