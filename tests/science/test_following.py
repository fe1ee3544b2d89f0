import dataclasses

import numpy as np
import pytest
from springs import dft_modes, mace_modes

from aiida_mlip_ins.science.following import follow
from aiida_mlip_ins.science.modes import Modes

LOW, HIGH = 9, 10
"""Two modes of one kind of their own (A1g and A2u), 42 1/cm apart."""


def with_pair(frequencies: list[float], mixing: float) -> Modes:
    """Return brucite whose modes LOW and HIGH have other frequencies, turned into each other.

    :param frequencies: (1/cm) of what was LOW and HIGH without mixing.
    :param mixing: angle (radian) of the turn.
    """
    modes = dft_modes('0.0')
    c, s = np.cos(mixing), np.sin(mixing)
    vectors = modes.eigenvectors.copy()
    vectors[[LOW, HIGH]] = np.einsum('ab,bij->aij', [[c, s], [-s, c]], vectors[[LOW, HIGH]])
    values = modes.frequencies.copy()
    values[[LOW, HIGH]] = frequencies
    return in_order(dataclasses.replace(modes, frequencies=values, eigenvectors=vectors))


def in_order(modes: Modes, order: np.ndarray | None = None) -> Modes:
    order = np.argsort(modes.frequencies, kind='stable') if order is None else order
    return dataclasses.replace(
        modes, frequencies=modes.frequencies[order], eigenvectors=modes.eigenvectors[order]
    )


def lines(modes: list, pressures: list[float], overlap: float = 0.6) -> dict:
    return follow(modes, pressures, 0.5, overlap)


def along(found: dict, modes: list, line: int) -> list[float]:
    return [float(m.frequencies[place.mode]) for m, place in zip(modes, found[line], strict=True)]


def avoided(pressure: float, coupling: float) -> Modes:
    """Return two modes that would cross at 2 GPa, with a coupling (1/cm) between them."""
    matrix = np.array([[440 + 10 * pressure, coupling], [coupling, 480 - 10 * pressure]])
    values, vectors = np.linalg.eigh(matrix)
    mixing = np.arctan2(vectors[1, 0], vectors[0, 0])
    return with_pair(list(values), mixing)


@pytest.mark.parametrize('mixing', [0.0, np.pi / 4, 1.1])
def test_a_crossing_is_followed_exactly_whatever_the_mixture_where_they_meet(mixing):
    pressures = [0.0, 1.0, 2.0, 3.0, 4.0]
    modes = [
        with_pair([440 + 10 * p, 480 - 10 * p], mixing if p == 2.0 else 0.0) for p in pressures
    ]
    found = lines(modes, pressures)
    assert along(found, modes, LOW) == pytest.approx([440, 450, 460, 470, 480])
    assert along(found, modes, HIGH) == pytest.approx([480, 470, 460, 450, 440])
    for line in found.values():
        assert all(place.overlap == pytest.approx(1.0) for place in line)
        assert not any(place.ambiguous for place in line)
        assert [place.route for place in line] == ['start'] + ['step'] * 4


def test_an_avoided_crossing_in_small_steps_changes_what_the_line_is():
    pressures = list(np.linspace(0.0, 4.0, 41))
    modes = [avoided(p, 4.0) for p in pressures]
    found = lines(modes, pressures)
    low, high = along(found, modes, LOW), along(found, modes, HIGH)
    assert all(a < b for a, b in zip(low, high, strict=True))
    assert not any(place.ambiguous for place in found[LOW])
    # Far beyond, the lower line moves as the upper one did.
    assert found[LOW][0].direct_agrees
    assert not found[LOW][-1].direct_agrees
    assert found[LOW][-1].direct_overlap > 0.9
    assert found[3][-1].direct_agrees


def test_an_avoided_crossing_in_coarse_steps_is_decided_by_the_beginning_and_says_so():
    pressures = [0.0, 2.0, 4.0]
    modes = [avoided(p, 4.0) for p in pressures]
    found = lines(modes, pressures)
    middle, end = found[LOW][1], found[LOW][2]
    # Half of each: the exact overlap at the closest approach of 8 1/cm, from 40 1/cm away.
    angle = np.pi / 4 - 0.5 * np.arctan(8 / 40)
    assert middle.overlap == pytest.approx(np.cos(angle) ** 2, abs=1e-9)
    assert middle.ambiguous
    assert (end.route, end.ambiguous) == ('direct', False)
    assert along(found, modes, LOW)[2] == pytest.approx(460 + np.hypot(20, 4))
    assert not found[3][1].ambiguous


def test_where_neither_way_is_sure_it_says_so():
    pressures = [0.0, 2.0]
    found = lines([with_pair([440, 480], 0.0), with_pair([455, 465], np.pi / 4)], pressures)
    for line in (LOW, HIGH):
        assert found[line][1].ambiguous
        assert found[line][1].overlap == pytest.approx(0.5, abs=1e-9)
    assert not found[3][1].ambiguous


def test_a_degenerate_pair_that_splits_and_meets_again():
    first = dft_modes('0.0')
    turn = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    vectors = first.eigenvectors.copy()
    vectors[3:5] = np.einsum('ab,bij->aij', turn, vectors[3:5])
    frequencies = first.frequencies.copy()
    frequencies[4] += 6.0
    split = dataclasses.replace(first, frequencies=frequencies, eigenvectors=vectors)
    swapped = frequencies.copy()
    swapped[[3, 4]] = frequencies[[4, 3]]
    crossed = in_order(dataclasses.replace(split, frequencies=swapped))
    modes = [first, split, first, crossed]
    found = lines(modes, [0.0, 1.0, 2.0, 3.0])
    low, high = first.frequencies[3], first.frequencies[3] + 6.0
    assert along(found, modes, 3) == pytest.approx([low, low, low, high], abs=0.01)
    assert along(found, modes, 4) == pytest.approx([low, high, low, low], abs=0.01)
    assert not any(place.ambiguous for line in (3, 4) for place in found[line])


def test_the_order_of_modes_and_of_pressures_does_not_matter():
    pressures, modes = mace_modes()
    plain = lines(modes, pressures)
    rng = np.random.default_rng(1)
    mixed = [modes[0], *(in_order(m, rng.permutation(15)) for m in modes[1:])]
    order = [0, 3, 1, 4, 2]
    other = lines([mixed[i] for i in order], [pressures[i] for i in order])
    for line in plain:
        expected = [along(plain, modes, line)[i] for i in order]
        assert along(other, [mixed[i] for i in order], line) == pytest.approx(expected, abs=0.01)


def test_from_the_middle_lines_lead_both_ways():
    pressures, modes = mace_modes()
    order = [2, 0, 1, 3, 4]
    chosen = [modes[i] for i in order]
    found = lines(chosen, [pressures[i] for i in order])
    stretch = along(found, chosen, 14)
    assert stretch == pytest.approx([modes[i].frequencies[14] for i in order])


def test_a_gap_is_stepped_over_and_no_beginning_is_refused():
    pressures, modes = mace_modes()
    found = lines([modes[0], None, modes[2]], pressures[:3])
    assert found[9][1] is None
    assert found[9][2].route == 'step'
    with pytest.raises(ValueError, match='there are none'):
        lines([None, modes[0]], [0.0, 1.0])


def test_brucite_from_0_to_5_gpa_in_five_steps():
    """The OH libration meets a lattice mode of its own symmetry near 3 GPa and goes through it."""
    pressures, modes = mace_modes()
    found = lines(modes, pressures)
    assert along(found, modes, 7) == pytest.approx([394.8, 397.1, 393.2, 379.6, 364.9], abs=0.1)
    assert along(found, modes, 5) == pytest.approx([367.7, 377.3, 384.9, 395.7, 402.4], abs=0.1)
    # From 2.5 to 3.75 GPa the step alone does not decide.
    assert [place.route for place in found[7]] == ['start', 'step', 'step', 'direct', 'step']
    assert not any(place.ambiguous for line in found.values() for place in line)
    assert min(place.overlap for line in found.values() for place in line) > 0.85
