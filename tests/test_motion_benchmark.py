"""Which frames the benchmark of motion takes; what it runs is tested where it lives."""

from __future__ import annotations

import pytest
from aiida import orm
from ase import Atoms
from script_modules import as_module

from aiida_mlip_ins.data.frames import FramesData


@pytest.fixture(scope='module')
def benchmark():
    """Return the script as a module."""
    return as_module('benchmarks/motion.py')


def boxes(source: str, widths: list[float]) -> FramesData:
    """Return frames of one atom, their width said on them."""
    return FramesData.from_frames(
        [
            Atoms('H', cell=[width] * 3, pbc=True, info={'source': source, 'width': width})
            for width in widths
        ]
    )


def test_frames_of_a_motion_are_spread_over_it_and_end_where_it_flew_apart(
    benchmark, aiida_profile
):
    picks = orm.Dict({'count': {'motion_a': 2, 'motion_b': 0}, 'widest': 1.2})
    moved = boxes('md', [2.0, 2.01, 2.02, 2.03, 2.04, 2.5])
    frames = benchmark.taken(picks, motion_a=moved, motion_b=boxes('warm', [3.0, 5.0])).get_frames()
    assert [(f.info['source'], f.info['width']) for f in frames] == [
        ('md', 2.02), ('md', 2.04), ('warm', 3.0), ('warm', 5.0),
    ]  # fmt: skip
    assert [f.info['split'] for f in frames] == ['train'] * 3 + ['valid']
    assert [f.info['index'] for f in frames] == [0, 1, 2, 3]
