"""The model node: what it may be made from, and what it refuses."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from aiida.common.exceptions import ValidationError

from aiida_mlip_ins.data.model import (
    MaceModelData,
    looks_like_model,
    model_file_problem,
    model_problems,
)

FIXTURES = Path(__file__).resolve().parents[1] / 'fixtures' / 'mace'
MODEL = FIXTURES / 'train' / 'model.model'


@pytest.fixture
def description() -> dict[str, Any]:
    return json.loads((FIXTURES / 'inspect' / 'results.json').read_text())


@pytest.mark.usefixtures('aiida_profile')
def test_from_file(description: dict[str, Any]) -> None:
    node = MaceModelData.from_file(MODEL, description, 'given').store()
    assert node.elements == ['Al', 'Ni']
    assert node.r_max == 3.5
    assert node.dtype == 'float64'
    assert node.heads == ['Default']
    assert node.num_parameters > 100
    assert node.origin == 'given'
    assert node.sha256 == hashlib.sha256(node.get_content(mode='rb')).hexdigest()


@pytest.mark.usefixtures('aiida_profile')
@pytest.mark.parametrize(
    ('change', 'origin', 'message'),
    [
        ({'sha256': '0'}, 'given', 'not the one that the description was made from'),
        ({}, 'found', "origin of the model is 'found'"),
    ],
)
def test_refused(
    description: dict[str, Any], change: dict[str, Any], origin: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        MaceModelData.from_file(MODEL, {**description, **change}, origin)


@pytest.mark.usefixtures('aiida_profile')
def test_missing_description(description: dict[str, Any]) -> None:
    del description['r_max']
    with pytest.raises(ValueError, match='r_max'):
        MaceModelData.from_file(MODEL, description, 'given')
    with pytest.raises(ValidationError, match='inspection job'):
        MaceModelData(io.BytesIO(b'x'), filename='model.model').store()


@pytest.mark.usefixtures('aiida_profile')
def test_model_problems(description: dict[str, Any]) -> None:
    node = MaceModelData.from_file(MODEL, description, 'given')
    assert model_problems(node, ['Ni']) == []
    (message,) = model_problems(node, ['Ni', 'O', 'H'], 'frames')
    assert message.startswith('frames: H, O not in the model, which knows Al, Ni')


def test_file_of_a_model() -> None:
    assert looks_like_model(MODEL)


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (None, 'not a file of torch'),
        ((), 'the file is empty'),
        (('a/b.txt',), 'not one of torch'),
        (('m/data.pkl', 'm/constants.pkl'), 'compiled'),
    ],
)
def test_file_that_is_none(tmp_path: Path, names: tuple[str, ...] | None, message: str) -> None:
    path = tmp_path / 'x.model'
    path.write_text('text' if names is None else '')
    if names:
        with zipfile.ZipFile(path, 'w') as archive:
            for name in names:
                archive.writestr(name, 'x')
    assert message in str(model_file_problem(path))
    assert not looks_like_model(path)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    assert 'no such file' in str(model_file_problem(tmp_path / 'none.model'))
