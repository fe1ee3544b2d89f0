"""Molecular dynamics of a crystal with a MACE model."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_mlip_ins.calculations.base import EngineCalculation
from aiida_mlip_ins.calculations.mace_inspect import MODEL, write_model
from aiida_mlip_ins.calculations.mace_relax import STRUCTURE, validate_elements, write_structure
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.science.md_settings import MdSettings, md_problems, temperatures_problems
from aiida_mlip_ins.science.trajectory import CHECKPOINT, PATTERN


class MaceMdCalculation(EngineCalculation):
    """Atoms and maybe cell in motion at one temperature and pressure, to be continued.

    What was done before a job ended, for whatever reason, is kept: ``trajectory`` has its frames,
    and another job that is given its ``checkpoint`` goes on as if there had been no stop.
    """

    DRIVER = 'mace_md'
    SETTINGS = MdSettings
    RETRIEVE_TEMPORARY = (PATTERN, CHECKPOINT)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs, outputs and exit codes."""
        super().define(spec)
        # fmt: off
        spec.input('model', valid_type=MaceModelData, help='The potential.')
        spec.input('structure', valid_type=orm.StructureData,
                   help='Supercell that the run starts from, atoms at their sites (angstrom).')
        spec.input('temperature', valid_type=orm.Float, serializer=orm.to_aiida_type,
                   validator=validate_temperature, help='Temperature in K.')
        spec.input('pressure', valid_type=orm.Float, serializer=orm.to_aiida_type,
                   help='Pressure in GPa, positive when compressed; at constant volume it is only '
                        'noted.')
        spec.input('checkpoint', valid_type=orm.SinglefileData, required=False,
                   help='`checkpoint` of the job that this one continues.')
        spec.inputs['metadata']['options']['parser_name'].default = 'mlip_ins.mace_md'
        spec.inputs.validator = validate_elements
        spec.output('trajectory', valid_type=orm.TrajectoryData, required=False,
                    help='Frames of this job: `positions` and `cells` (angstrom), `velocities` '
                         '(angstrom/ps), `times` (ps), `potential_energy` and `conserved_energy` '
                         '(eV), `pressure` (GPa).')
        spec.output('checkpoint', valid_type=orm.SinglefileData, required=False,
                    help='Everything that another job needs to go on from the last frame.')
        spec.exit_code(400, 'ERROR_OUT_OF_WALLTIME',
                       message='There was no time for all steps: {message}')
        spec.exit_code(410, 'ERROR_NOT_FINITE',
                       message='The model failed: {message}')
        spec.exit_code(411, 'ERROR_TOO_HOT',
                       message='The crystal became too hot: {message}')
        spec.exit_code(412, 'ERROR_EVAPORATED',
                       message='The crystal did not stay together: {message}')
        # fmt: on

    @classmethod
    def validate_parameters(cls, value: orm.Dict, _: Any) -> str | None:
        """Refuse settings that are unknown, missing, out of range or at odds, all at once."""
        return '\n'.join(md_problems(value.get_dict(), 'parameters')) or None

    def write_inputs(self, folder: Folder) -> dict[str, Any]:
        """Write model, crystal and checkpoint."""
        write_model(folder, self.inputs.model)
        write_structure(folder, self.inputs.structure)
        if 'checkpoint' in self.inputs:
            with self.inputs.checkpoint.open(mode='rb') as handle:
                folder.create_file_from_filelike(handle, CHECKPOINT, mode='wb')
        return {
            'model': MODEL,
            'structure': STRUCTURE,
            'temperature_k': self.inputs.temperature.value,
            'pressure_gpa': self.inputs.pressure.value,
            'wallclock_s': self.inputs.metadata.options.get('max_wallclock_seconds'),
        }


def validate_temperature(value: orm.Float, _: Any) -> str | None:
    """Refuse what is no temperature that atoms move at."""
    return '\n'.join(temperatures_problems([value.value])) or None
