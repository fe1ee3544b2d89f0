"""Energies, forces and stresses of a set of frames from a MACE model, in one job."""

from __future__ import annotations

from aiida.engine import CalcJobProcessSpec

from aiida_mlip_ins.calculations.model_frames import ModelFramesCalculation
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.science.training import EvaluateSettings


class MaceEvaluateCalculation(ModelFramesCalculation):
    """Label frames with a MACE model: the cheap counterpart of the reference workchain."""

    DRIVER = 'mace_evaluate'
    SETTINGS = EvaluateSettings
    RETRIEVE_TEMPORARY = ('labelled.xyz',)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare the output."""
        super().define(spec)
        spec.inputs['metadata']['options']['parser_name'].default = 'mlip_ins.mace_evaluate'
        spec.output('dataset', valid_type=DatasetData,
                    help='Frames in the order of the input with energy (eV), forces (eV/angstrom), '
                    'stress (eV/angstrom^3, tension positive).')  # fmt: skip
