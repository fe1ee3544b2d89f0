"""Nodes for the MACE jobs, from the toy crystal of tests/fixtures/mace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mace_nodes
import pytest
from aiida import orm
from aiida.common.folders import SandboxFolder
from aiida.engine.utils import instantiate_process
from aiida.manage.manager import get_manager

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.model import MaceModelData


@pytest.fixture
def any_code(aiida_code_installed: Callable) -> orm.InstalledCode:
    """Return a code of the engines whose program is never run."""
    return aiida_code_installed(
        label='engines', filepath_executable='/bin/true', default_calc_job_plugin='mlip_ins.ins'
    )


@pytest.fixture
def mace_model(aiida_profile: object) -> MaceModelData:
    """Return the model of the toy crystal."""
    return mace_nodes.toy_model()


@pytest.fixture
def toy_dataset(aiida_profile: object) -> DatasetData:
    """Return the labelled frames of the toy crystal."""
    return mace_nodes.toy_dataset()


@pytest.fixture
def toy_structure(aiida_profile: object) -> orm.StructureData:
    """Return the toy crystal."""
    return mace_nodes.toy_structure()


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, Any], Any]]:
    """Return a function that writes a job and returns its folder, inputs.json and CalcInfo."""

    def prepare(process_class: type, **inputs: Any) -> tuple[Path, dict[str, Any], Any]:
        runner = get_manager().get_runner()
        process = instantiate_process(runner, process_class, **inputs)
        with SandboxFolder(tmp_path) as sandbox:
            calcinfo = process.prepare_for_submission(sandbox)
            kept = tmp_path / 'job'
            Path(sandbox.abspath).rename(kept)
            Path(sandbox.abspath).mkdir()
        return kept, json.loads((kept / 'inputs.json').read_text()), calcinfo

    return prepare
