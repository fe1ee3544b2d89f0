"""Relax a crystal at several pressures with a MACE model, in one job."""

from __future__ import annotations

import io
from typing import Any

from aiida import orm
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_mlip_ins.calculations.base import EngineCalculation
from aiida_mlip_ins.calculations.mace_inspect import MODEL, write_model
from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.data.model import MaceModelData, model_problems
from aiida_mlip_ins.data.structure import structure_problems, to_atoms
from aiida_mlip_ins.science import dataset
from aiida_mlip_ins.science.structure import pressure_problems
from aiida_mlip_ins.science.training import RelaxSettings

STRUCTURE = 'structure.xyz'


class MaceRelaxCalculation(EngineCalculation):
    """Cell and positions at each pressure, each relaxed from the one before."""

    DRIVER = 'mace_relax'
    SETTINGS = RelaxSettings
    RETRIEVE_TEMPORARY = ('relaxed.xyz', 'trajectory.xyz')

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs, outputs and exit codes."""
        super().define(spec)
        spec.input('model', valid_type=MaceModelData, help='The potential.')
        spec.input('structure', valid_type=orm.StructureData, help='Crystal (angstrom).')
        spec.input(
            'pressures',
            valid_type=orm.List,
            serializer=orm.to_aiida_type,
            validator=validate_pressures,
            help='Pressures in GPa, positive when compressed, in the order of work.',
        )
        spec.inputs['metadata']['options']['parser_name'].default = 'mlip_ins.mace_relax'
        spec.inputs.validator = validate_elements
        spec.output_namespace(
            'structures',
            valid_type=orm.StructureData,
            dynamic=True,
            help='Relaxed crystals; pressure_0 is the first of `pressures`.',
        )
        spec.output('trajectory', valid_type=FramesData, required=False,
                    help='Every step of every relaxation (angstrom).')  # fmt: skip
        spec.exit_code(410, 'ERROR_CELL_DIVERGED',
                       message='A cell ran away, other pressures are kept: {message}')  # fmt: skip
        spec.exit_code(411, 'ERROR_SYMMETRY_LOST',
                       message='The space group was not kept: {message}')  # fmt: skip
        spec.exit_code(420, 'ERROR_NOT_CONVERGED',
                       message='Forces or stress are above their limits: {message}')  # fmt: skip

    def write_inputs(self, folder: Folder) -> dict[str, Any]:
        """Write model and crystal."""
        write_model(folder, self.inputs.model)
        write_structure(folder, self.inputs.structure)
        pressures = self.inputs.pressures.get_list()
        return {'model': MODEL, 'structure': STRUCTURE, 'pressures': pressures}


def write_structure(folder: Folder, structure: orm.StructureData) -> None:
    """Write a crystal into the folder of a job."""
    atoms = to_atoms(structure)
    atoms.info['source'] = 'input'
    content = dataset.write_frames([atoms])
    folder.create_file_from_filelike(io.BytesIO(content), STRUCTURE, mode='wb')


def validate_pressures(value: orm.List, _: Any) -> str | None:
    """Refuse pressures that are none, negative, repeated or not ascending."""
    return '\n'.join(pressure_problems(value.get_list())) or None


def validate_elements(inputs: Any, _: Any) -> str | None:
    """Refuse what is no ordered crystal, or has an element that the model does not know."""
    if 'structure' not in inputs:
        return None
    found = structure_problems(inputs['structure'], require_hydrogen=False)
    if 'model' in inputs:
        found += model_problems(inputs['model'], inputs['structure'].get_symbols_set())
    return '\n'.join(found) or None
