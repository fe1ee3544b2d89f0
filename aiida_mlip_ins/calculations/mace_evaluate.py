"""Energies, forces and stresses of a set of frames from a MACE model, in one job."""

from __future__ import annotations

from typing import Any

from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_mlip_ins.calculations.base import EngineCalculation
from aiida_mlip_ins.calculations.mace_inspect import MODEL, write_model
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.model import MaceModelData, model_problems
from aiida_mlip_ins.science.training import EvaluateSettings

FRAMES = 'frames.xyz'


class MaceEvaluateCalculation(EngineCalculation):
    """Label frames with a MACE model: the cheap counterpart of the reference workchain."""

    DRIVER = 'mace_evaluate'
    SETTINGS = EvaluateSettings
    RETRIEVE_TEMPORARY = ('labelled.xyz',)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs, outputs and exit codes."""
        super().define(spec)
        spec.input('model', valid_type=MaceModelData, help='The potential.')
        spec.input(
            'frames',
            valid_type=FramesData,
            help='Frames to label (angstrom); labels that they have are replaced.',
        )
        spec.inputs['metadata']['options']['parser_name'].default = 'mlip_ins.mace_evaluate'
        spec.inputs.validator = validate_elements
        spec.output('dataset', valid_type=DatasetData,
                    help='Frames in the order of the input with energy (eV), forces (eV/angstrom), '
                    'stress (eV/angstrom^3, tension positive).')  # fmt: skip
        spec.exit_code(410, 'ERROR_NOT_FINITE',
                       message='The model gave NaN or infinite values: {message}')  # fmt: skip

    def write_inputs(self, folder: Folder) -> dict[str, Any]:
        """Write model and frames."""
        write_model(folder, self.inputs.model)
        write_model(folder, self.inputs.frames, FRAMES)
        return {'model': MODEL, 'frames': FRAMES}


def validate_elements(inputs: Any, _: Any) -> str | None:
    """Refuse frames with an element that the model does not know."""
    if 'model' not in inputs or 'frames' not in inputs:
        return None
    return '\n'.join(model_problems(inputs['model'], inputs['frames'].elements, 'frames')) or None
