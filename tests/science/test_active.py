"""Active learning on numbers whose answers are known: spreads, choice, splits, verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms

from aiida_mlip_ins.science import active
from aiida_mlip_ins.science.committee import Labels
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3
from aiida_mlip_ins.workflows.protocols import PROTOCOLS, load_protocol

N_ATOMS = np.array([2, 3])


def settings(**changes: Any) -> active.ActiveSettings:
    values = {**load_protocol('active_learning', 'fast')['settings'], **changes}
    return build(active.ActiveSettings, values, 'settings')


def labels(forces: tuple[float, float], stress: float = 0.0) -> Labels:
    """Return labels of frames of two and three atoms, all forces of one having one value."""
    values = np.repeat(np.array(forces), N_ATOMS)
    return Labels(np.zeros(2), np.tile(values[:, None], (1, 3)), np.full((2, 6), stress))


def cell(shift: float = 0.0, length: float = 4.0, source: str = 'rattle') -> Atoms:
    atoms = Atoms('NiAl', positions=[(shift, 0, 0), (2, 2, 2)], cell=[length] * 3, pbc=True)
    atoms.info['source'] = source
    return atoms


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_protocols_have_no_problems(protocol: str) -> None:
    assert active.active_problems(load_protocol('active_learning', protocol)['settings'], 's') == []


def test_everything_wrong_is_said() -> None:
    values = load_protocol('active_learning')['settings']
    wrong = {**values, 'max_frams': 3, 'frames_per_round': 0, 'target_force_error': -1.0}
    found = '\n'.join(active.active_problems(wrong, 'settings'))
    assert "did you mean 'max_frames'" in found
    assert 'frames_per_round: 0 is below the minimum of 1' in found
    assert 'target_force_error: -1.0 meV/angstrom must be larger' in found
    splits = {'valid': 0.6, 'test': 0.5, 'tset': 0.1}
    found = '\n'.join(active.active_problems({**values, 'splits': splits}, 'settings'))
    assert "did you mean 'test'" in found
    assert 'leave nothing to train on' in found


def test_spread_of_each_frame() -> None:
    members = [labels((0.0, 0.3), 0.0), labels((0.2, 0.3), 0.002)]
    found = active.frame_spreads(members, N_ATOMS)
    np.testing.assert_allclose(found['force'], [1e3 * 0.2 / np.sqrt(2), 0.0], atol=1e-9)
    np.testing.assert_allclose(found['mean_force'], [100.0, 300.0])
    stress = 0.002 / np.sqrt(2) * GPA_PER_EV_PER_ANGSTROM3
    np.testing.assert_allclose(found['stress'], [stress, stress])


def test_disagreement_counts_less_where_forces_are_large() -> None:
    spreads = {
        'force': np.array([30.0, 30.0, 0.0]),
        'stress': np.array([0.0, np.nan, 2.0]),
        'mean_force': np.array([0.0, 100.0 * np.sqrt(3.0), 0.0]),
    }
    found = active.disagreement(spreads, settings(force_scale=0.1, stress_weight=30.0))
    np.testing.assert_allclose(found, [30.0, 15.0, 60.0])
    found = active.disagreement(spreads, settings(force_scale=None, stress_weight=0.0))
    np.testing.assert_allclose(found, [30.0, 30.0, 0.0])


def test_the_most_disputed_are_taken_and_none_twice() -> None:
    pool = [cell(0.05), cell(0.2), cell(0.204), cell(0.3), cell(0.0), cell(0.4, length=4.4)]
    scores = np.array([1.0, 5.0, 4.0, 3.0, 9.0, 8.0])
    chosen = settings(min_separation=0.01, volume_margin=0.05)
    found = active.most_disputed(pool, [cell(0.005)], scores, 2, chosen)
    assert found.chosen == [1, 3]
    # The one of the highest score is labelled already, the third is like the second.
    assert found.near == [4, 2]
    assert found.outside == [5]
    assert active.most_disputed(pool, [cell()], scores, 0, chosen).chosen == []
    everything = settings(min_separation=0.0, volume_margin=0.5)
    found = active.most_disputed(pool, [cell(0.005)], scores, 9, everything)
    assert found.chosen == [4, 5, 1, 2, 3, 0]


def test_splits_have_their_shares_in_all_frames_together() -> None:
    frames = [cell(0.1 * i) for i in range(6)] + [cell(source='path')]
    frames[5].info['trajectory'] = 'run'
    names = active.new_splits({'train': 13, 'valid': 1}, frames, {'valid': 0.2}, 1)
    # A fifth of 21 is four: three more, and half of the new ones at most.
    assert names.count('valid') == 3
    assert names[5:] == ['train', 'train']
    assert names == active.new_splits({'train': 13, 'valid': 1}, frames, {'valid': 0.2}, 1)
    assert 'valid' not in active.new_splits({'train': 1, 'valid': 9}, frames, {'valid': 0.2}, 1)
    many = active.new_splits({'train': 100}, frames, {'valid': 0.2, 'test': 0.2}, 1)
    assert many.count('train') == 4


def test_spread_of_frequencies_is_a_mean_over_modes_and_points() -> None:
    one = np.array([[100.0, 200.0], [300.0, 400.0]])
    other = np.array([[102.0, 200.0], [406.0, 300.0]])
    # Second point: ordered, the members differ in the upper mode alone, by 6.
    found = active.frequency_spread([one, other], np.array([0.25, 0.75]))
    assert found == pytest.approx((0.25 * 1.0 + 0.75 * 3.0) / np.sqrt(2.0))


def test_a_verdict_needs_every_number_that_is_asked_for() -> None:
    both = settings(target_force_error=10.0, target_frequency_spread=3.0)
    row = {'force_error': 9.0, 'frequency_spread': 2.0, 'force_spread': 1e3}
    reached, sentences = active.verdict(row, both)
    assert reached
    assert sentences[0] == (
        'force error on the new frames 9 meV/angstrom, at most 10 meV/angstrom asked'
    )
    assert not active.verdict({**row, 'frequency_spread': 3.1}, both)[0]
    reached, sentences = active.verdict({'force_error': 9.0}, both)
    assert not reached
    assert 'spread of frequencies not known' in sentences[1]
    nothing = settings(target_force_error=None, target_frequency_spread=None)
    assert active.verdict(row, nothing) == (False, [])


def test_a_crystal_that_is_lost_in_motion_reaches_nothing() -> None:
    asked = settings(target_force_error=10.0, target_frequency_spread=None)
    reached, sentences = active.verdict({'force_error': 9.0, 'motion': 'stable'}, asked)
    assert reached
    assert sentences[-1] == 'stable in molecular dynamics'
    for word in ('unstable', 'undecided'):
        assert not active.verdict({'force_error': 9.0, 'motion': word}, asked)[0]
    assert active.verdict({'force_error': 9.0, 'motion': None}, asked)[0]


def test_labels_are_needed_unless_all_is_known_and_reached() -> None:
    spread = settings(target_force_error=None, target_frequency_spread=3.0)
    assert not active.needs_labels({'frequency_spread': 2.0}, spread)
    assert active.needs_labels({'frequency_spread': 4.0}, spread)
    assert active.needs_labels({'frequency_spread': None}, spread)
    assert active.needs_labels({'frequency_spread': 2.0}, settings(target_force_error=10.0))
    nothing = settings(target_force_error=None, target_frequency_spread=None)
    assert active.needs_labels({'frequency_spread': 0.0}, nothing)


def test_forces_that_symmetry_takes_away_do_not_count() -> None:
    spreads = {
        'energy': np.array([1.0, 1.0]), 'force': np.array([0.0, 8.0]),
        'stress': np.array([np.nan, 0.2]), 'mean_force': np.array([1e-6, 50.0]),
    }  # fmt: skip
    assert active.pool_spreads(spreads) == {'energy': 1.0, 'force': 8.0, 'stress': 0.2}
    found = active.without_symmetric_zeros(labels((0.0, 0.0)), [labels((1e-7, 0.3))])
    assert np.isnan(found.forces[:2]).all()
    assert (found.forces[2:] == 0.0).all()
    assert active.rms(np.array([np.nan])) is None
