"""Engine job: INS intensities from a trajectory of molecular dynamics."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida.engine.processes.calcjobs.calcjob import validate_calc_job

from aiida_mlip_ins.calculations.base import EngineCalculation
from aiida_mlip_ins.calculations.ins import settings_problems
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.data.structure import structure_problems, to_atoms
from aiida_mlip_ins.data.trajectory import from_node
from aiida_mlip_ins.drivers.ins_output import INTENSITIES
from aiida_mlip_ins.drivers.md_ins import CRYSTAL, TRAJECTORY
from aiida_mlip_ins.science.anharmonic import MdInsSettings, find_sites, time_problems
from aiida_mlip_ins.science.settings import build


class MdInsCalculation(EngineCalculation):
    """Simulates INS from the motion of atoms, per site, quantum order and bank of detectors.

    The intensities are those of ``InsCalculation``, anharmonic instead of harmonic.
    """

    DRIVER = 'md_ins'
    SETTINGS = MdInsSettings
    RETRIEVE_TEMPORARY = (INTENSITIES,)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        # fmt: off
        spec.input('trajectory', valid_type=orm.TrajectoryData,
                   help='Frames of molecular dynamics of a supercell, the first one near the '
                        'sites: `positions` and `cells` (angstrom), `velocities` (angstrom/ps), '
                        '`times` (ps).')
        spec.input('structure', valid_type=orm.StructureData,
                   help='Cell of the crystal (angstrom): the spectrum is of its atoms.')
        spec.input('pressure', valid_type=orm.Float, required=False,
                   serializer=orm.to_aiida_type,
                   help='Pressure (GPa) that the crystal is under; kept with the spectrum.')
        spec.inputs.validator = validate_inputs
        spec.input('metadata.options.parser_name', valid_type=str, default='mlip_ins.ins')
        spec.output('intensities', valid_type=InsSpectrumData,
                    help='Intensities (barn/(1/cm)/cell of `structure`) against energy (1/cm).')
        spec.exit_code(402, 'ERROR_NOT_FINITE', invalidates_cache=True,
                       message='No usable spectrum: {message}')
        spec.exit_code(410, 'ERROR_UNFIT_TRAJECTORY',
                       message='The trajectory gives no spectrum: {message}')
        # fmt: on

    @classmethod
    def validate_parameters(cls, value: orm.Dict, _: Any) -> str | None:
        """Refuse settings that are unknown, missing or out of range, and an empty spectrum."""
        return '\n'.join(settings_problems(value.get_dict(), 'parameters', cls.SETTINGS)) or None

    def write_inputs(self, folder: Folder) -> dict[str, Any]:
        """Write the crystal, and of the trajectory what is needed."""
        crystal = to_atoms(self.inputs.structure)
        run = from_node(self.inputs.trajectory)
        files = {
            CRYSTAL: {
                'symbols': np.array(crystal.get_chemical_symbols()),
                'positions': crystal.positions,
                'cell': crystal.cell.array,
            },
            TRAJECTORY: {
                'symbols': np.array(run.symbols),
                'steps': run.steps,
                'times': run.times,
                'velocities': run.velocities,
                'positions': run.positions[0],
                'cell': run.cells[0],
            },
        }
        for name, arrays in files.items():
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **arrays)
            with folder.open(name, 'wb') as handle:
                handle.write(buffer.getvalue())
        return {}


def validate_inputs(inputs: Mapping[str, Any], port: Any) -> str | None:
    """Refuse what any job refuses, and a trajectory that cannot give the spectrum."""
    refused: str | None = validate_calc_job(inputs, port)
    if refused:
        return refused
    if 'trajectory' not in inputs or 'structure' not in inputs:
        return None
    settings = inputs['parameters'].get_dict() if 'parameters' in inputs else None
    return '\n'.join(run_problems(inputs['trajectory'], inputs['structure'], settings)) or None


def run_problems(
    trajectory: orm.TrajectoryData, structure: orm.StructureData, settings: Any
) -> list[str]:
    """Return why a trajectory gives no spectrum of a crystal with these settings.

    :param settings: valid ones of :class:`MdInsSettings`, or ``None`` to leave them out.
    """
    found = structure_problems(structure, require_hydrogen=False)
    try:
        run = from_node(trajectory)
    except ValueError as error:
        return [*found, str(error)]
    if found:
        return found
    try:
        find_sites(run.symbols, run.positions[0], run.cells[0], to_atoms(structure))
    except ValueError as error:
        found.append(str(error))
    if settings is not None and len(run) > 1:
        timestep = float((run.times[-1] - run.times[0]) / (run.steps[-1] - run.steps[0]))
        found += time_problems(run.times, timestep, build(MdInsSettings, settings, 'parameters'))
    elif len(run) < 2:
        found.append('trajectory: one frame is no motion')
    return found
