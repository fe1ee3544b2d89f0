"""Which spectra of a set are compared with which, and what a set is refused for."""

import dataclasses

import numpy as np
import pytest
from spectra_nodes import measured_spectrum

from aiida_mlip_ins.science.spectra_set import Entry, plan, reference_of, set_problems

WINDOWS = [[50.0, 800.0]]


def entry(label: str, role: str, pressure: float) -> Entry:
    return Entry(label, role, pressure, measured_spectrum())


FULL = [
    entry('e0', 'experiment', 0.0),
    entry('e1', 'experiment', 1.47),
    entry('m0', 'mace', 0.0),
    entry('m1', 'mace', 1.5),
    entry('m2', 'mace', 3.0),
    entry('d0', 'dft', 0.02),
]


def test_pairs_changes_and_what_is_left_out():
    made = plan(FULL, None, 0.1)
    assert made.reference == 'experiment'
    assert made.roles == ['experiment', 'mace', 'dft']
    assert made.pressures_gpa == [0.0, 1.47, 3.0]
    assert [(p.reference.label, p.other.label) for p in made.pairs] == [
        ('e0', 'm0'), ('e0', 'd0'), ('e1', 'm1'),
    ]  # fmt: skip
    assert [(c.low.label, c.high.label) for c in made.changes] == [
        ('e0', 'e1'), ('m0', 'm1'), ('m0', 'm2'),
    ]  # fmt: skip
    assert [(a.high.label, b.high.label) for a, b in made.change_pairs] == [('e1', 'm1')]
    assert made.left_out == ['mace at 3 GPa has no spectrum of experiment beside it.']
    assert set_problems(FULL, None, WINDOWS, 0.1) == []


def test_pressures_are_told_apart_by_the_tolerance():
    made = plan(FULL, None, 0.0)
    assert made.pressures_gpa == [0.0, 0.02, 1.47, 1.5, 3.0]
    assert [p.other.label for p in made.pairs] == ['m0']
    (problem,) = set_problems(FULL, None, WINDOWS, 1.48)
    assert 'e0 (0 GPa), e1 (1.47 GPa)' in problem


def test_the_reference():
    assert reference_of(FULL[2:], None) == 'dft'
    assert reference_of(FULL[2:5], None) == 'mace'
    assert reference_of(FULL, 'mace') == 'mace'
    assert reference_of(FULL, 'nobody') is None
    with pytest.raises(ValueError, match='no reference'):
        plan([entry('a', 'one', 0.0), entry('b', 'other', 0.0)], None, 0.1)


def test_all_problems_at_once():
    two = dataclasses.replace(
        measured_spectrum(), intensity=np.ones((2, 441)), errors=None, labels=('a', 'b')
    )
    wrong = [FULL[0], entry('x', 'experiment', 0.05), Entry('y', 'mace', 0.0, two)]
    found = '\n'.join(set_problems(wrong, 'mcae', [[50.0, 950.0]], 0.1))
    assert 'spectra.e0: the window from 50 to 950 1/cm is not within the spectrum' in found
    assert 'spectra.y: there are 2 spectra (a, b, ...)' in found
    assert "no spectrum has the role 'mcae' (did you mean 'mace'?)" in found
    assert "the role 'experiment' is there 2 times at one pressure: e0 (0 GPa), x (0.05" in found
    found = '\n'.join(set_problems([FULL[0], FULL[3]], None, [[5.0]], 0.1))
    assert 'settings.windows[0]' in found
    (problem,) = set_problems([FULL[0], FULL[3]], None, WINDOWS, 0.1)
    assert 'there is nothing to compare' in problem
