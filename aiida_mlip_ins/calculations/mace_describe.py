"""The features that a MACE model has of each atom of a set of frames, in one job."""

from __future__ import annotations

from aiida import orm
from aiida.engine import CalcJobProcessSpec

from aiida_mlip_ins.calculations.model_frames import ModelFramesCalculation
from aiida_mlip_ins.science.descriptors import FILE, DescribeSettings


class MaceDescribeCalculation(ModelFramesCalculation):
    """Describe the surroundings of atoms as a potential sees them, for frames to be chosen by."""

    DRIVER = 'mace_describe'
    SETTINGS = DescribeSettings
    RETRIEVE_TEMPORARY = (FILE,)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare the output."""
        super().define(spec)
        spec.inputs['metadata']['options']['parser_name'].default = 'mlip_ins.mace_describe'
        spec.output('descriptors', valid_type=orm.ArrayData,
                    help='`descriptors` (n_atoms, n_features; no unit) of all frames one after the '
                    'other, unchanged by turning a frame; `numbers` (n_atoms,), atomic numbers; '
                    '`atoms_per_frame` (n_frames,).')  # fmt: skip
