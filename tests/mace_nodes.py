"""Nodes of the toy crystal (tests/fixtures/mace), and MACE jobs that ended as real ones did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase
from aiida import orm
from aiida.common import LinkType
from aiida.parsers import Parser
from aiida.plugins import ParserFactory
from pw_mocks import code

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.structure import to_structure

FIXTURES = Path(__file__).parent / 'fixtures' / 'mace'


def toy_model() -> MaceModelData:
    """Return the model that was trained on the toy crystal."""
    description = json.loads((FIXTURES / 'inspect' / 'results.json').read_text())
    return MaceModelData.from_file(FIXTURES / 'train' / 'model.model', description, 'given')


def toy_dataset() -> DatasetData:
    """Return the labelled frames of the toy crystal."""
    return DatasetData(FIXTURES / 'dataset.xyz', method='EMT')


def toy_structure() -> orm.StructureData:
    """Return the toy crystal, NiAl."""
    atoms = ase.Atoms(
        'NiAl', scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[2.95] * 3, pbc=True
    )
    return to_structure(atoms)


def parsed(
    job: str,
    folder: Path,
    inputs: dict[str, orm.Data],
    temporary: bool = True,
    seen: int | None = None,
) -> tuple[dict[str, Any], orm.CalcFunctionNode]:
    """Return outputs and node of the parser of a job (``train``, ...) on a folder of its files.

    :param seen: exit status that the parser of the scheduler's output has set.
    """
    plugin = f'mlip_ins.mace_{job}'
    engine = code(plugin=plugin)
    node = orm.CalcJobNode(computer=engine.computer, process_type=f'aiida.calculations:{plugin}')
    for name, value in {'code': engine, **inputs}.items():
        node.base.links.add_incoming(value.store(), LinkType.INPUT_CALC, name)
    node.store()
    if seen is not None:
        node.set_exit_status(seen)
    retrieved = orm.FolderData()
    for path in folder.iterdir():
        if path.suffix in ('.json', '.out', '.err'):
            retrieved.base.repository.put_object_from_file(str(path), path.name)
    retrieved.base.links.add_incoming(node, LinkType.CREATE, 'retrieved')
    retrieved.store()
    parser: type[Parser] = ParserFactory(plugin)
    extra = {'retrieved_temporary_folder': str(folder)} if temporary else {}
    return parser.parse_from_node(node, store_provenance=False, **extra)


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the content of a JSON file."""
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
