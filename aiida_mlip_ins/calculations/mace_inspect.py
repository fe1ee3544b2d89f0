"""Open a model file in an engine job, so that nothing on the AiiDA side has to."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_mlip_ins.calculations.base import EngineCalculation
from aiida_mlip_ins.data.model import MaceModelData

MODEL = 'model.model'


class MaceInspectCalculation(EngineCalculation):
    """Turn a MACE model file into a node that knows its elements, cutoff, type and heads."""

    DRIVER = 'mace_inspect'

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.input('file', valid_type=orm.SinglefileData, help='A model file of mace (a pickle).')
        spec.inputs['metadata']['options']['parser_name'].default = 'mlip_ins.mace_inspect'
        spec.output(
            'model',
            valid_type=MaceModelData,
            help='The model with its elements, cutoff (angstrom), type and heads.',
        )

    def write_inputs(self, folder: Folder) -> dict[str, Any]:
        """Write the model file."""
        write_model(folder, self.inputs.file)
        return {'model': MODEL}


def write_model(folder: Folder, node: orm.SinglefileData, name: str = MODEL) -> None:
    """Copy the file of a node into the folder of a job."""
    with node.open(mode='rb') as source:
        folder.create_file_from_filelike(source, name, mode='wb')
