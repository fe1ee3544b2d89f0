"""What the jobs have in common that send frames through a MACE model."""

from __future__ import annotations

from typing import Any

from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_mlip_ins.calculations.base import EngineCalculation
from aiida_mlip_ins.calculations.mace_inspect import MODEL, write_model
from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.data.model import MaceModelData, model_problems

FRAMES = 'frames.xyz'


class ModelFramesCalculation(EngineCalculation):
    """Base of the jobs whose inputs are a model and frames."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and exit codes."""
        super().define(spec)
        spec.input('model', valid_type=MaceModelData, help='The potential.')
        spec.input(
            'frames',
            valid_type=FramesData,
            help='Frames (angstrom); labels that they have are not looked at.',
        )
        spec.inputs.validator = validate_elements
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
