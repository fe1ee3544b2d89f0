"""Download a foundation model in an engine job, and keep it as a node with its checksum."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_mlip_ins.calculations.base import EngineCalculation
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.drivers.mace_fetch import FAMILIES, MODEL


class MaceFetchCalculation(EngineCalculation):
    """Turn the public name of a foundation model into a node, where the network allows it."""

    DRIVER = 'mace_fetch'
    RETRIEVE_TEMPORARY = (MODEL,)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs, outputs and exit codes."""
        super().define(spec)
        spec.input('name', valid_type=orm.Str, serializer=orm.to_aiida_type,
                   validator=validate_name,
                   help='Family and name as mace has them, such as `mace_mp:medium-mpa-0`.'
                   )  # fmt: skip
        spec.inputs['metadata']['options']['parser_name'].default = 'mlip_ins.mace_fetch'
        spec.output('model', valid_type=MaceModelData,
                    help='The model with its elements, cutoff (angstrom), type, heads and '
                    'checksum.')  # fmt: skip
        spec.exit_code(340, 'ERROR_DOWNLOAD_FAILED', invalidates_cache=True,
                       message='The model could not be downloaded: {message}')  # fmt: skip

    def write_inputs(self, folder: Folder) -> dict[str, Any]:
        """Return the name."""
        return {'name': self.inputs.name.value}


def is_public_name(text: str) -> bool:
    """Return whether a text is a family and a name, be there such a model or not."""
    family, colon, name = text.partition(':')
    return bool(colon and name) and family in FAMILIES


def validate_name(value: orm.Str, _: Any) -> str | None:
    """Refuse what names no family; which names there are, mace knows, where the job runs."""
    if is_public_name(value.value):
        return None
    families = ', '.join(f'{family}:NAME' for family in FAMILIES)
    return f"name: '{value.value}' is none of {families}"
