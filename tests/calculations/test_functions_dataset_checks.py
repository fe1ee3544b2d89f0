"""The checks of a dataset as a node."""

from __future__ import annotations

import pytest
from aiida import orm
from mace_nodes import toy_dataset, toy_structure

from aiida_mlip_ins.calculations.functions.dataset_checks import check_dataset
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.workflows.protocols import load_protocol

pytestmark = pytest.mark.usefixtures('aiida_profile')


def settings(**changes: float) -> orm.Dict:
    return orm.Dict({**load_protocol('dataset_checks'), **changes})


def words(node: orm.Dict) -> dict[str, str]:
    return {check['name']: check['verdict'] for check in node['checks']}


def test_the_toy_dataset_is_sound_but_for_one_volume() -> None:
    """Labels by ASE's effective medium theory; two of its volumes differ by 0.0009 angstrom."""
    inputs = (orm.List([0.0]), toy_structure())
    node = check_dataset(settings(), *inputs, sampled=toy_dataset())
    found = words(node)
    assert {name: word for name, word in found.items() if word != 'pass'} == {
        'duplicates': 'warn', 'split_leaks': 'fail', 'reference_energies': 'warn',
        'dispersion': 'unknown',
    }  # fmt: skip
    assert node['verdict'] == 'fail'
    strict = check_dataset(settings(same_distance=1e-5), *inputs, sampled=toy_dataset())
    assert words(strict)['split_leaks'] == 'pass'
    assert strict['verdict'] == 'warn'


def test_parts_by_different_methods() -> None:
    other = DatasetData.from_frames(toy_dataset().get_frames()[:3], method='PBE')
    node = check_dataset(settings(), a=toy_dataset(), b=other)
    found = words(node)
    assert found['methods'] == 'fail'
    assert found['duplicates'] == 'warn'
    assert 'pressures' not in found
    assert node['verdict'] == 'fail'


@pytest.mark.parametrize(
    ('inputs', 'message'),
    [
        ({}, 'give at least one'),
        ({'max_forc': 1.0}, "did you mean 'max_force'"),
    ],
)
def test_refused(inputs: dict[str, float], message: str) -> None:
    parts = {'a': toy_dataset()} if inputs else {}
    outputs, node = check_dataset.run_get_node(settings(**inputs), **parts)
    assert not outputs
    assert node.exit_status == 400
    assert message in node.exit_message
