"""Engine job: INS intensities from force constants."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida.engine.processes.calcjobs.calcjob import validate_calc_job
from aiida_phonopy.data import ForceConstantsData

from aiida_mlip_ins.calculations.base import EngineCalculation
from aiida_mlip_ins.calculations.functions.phonons import arrays_of
from aiida_mlip_ins.data.ins_map import InsMapData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.drivers.ins import FORCE_CONSTANTS
from aiida_mlip_ins.drivers.ins_output import INTENSITIES
from aiida_mlip_ins.science.ins import InsSettings, ScatteringSettings, combination_problems
from aiida_mlip_ins.science.isotopes import crystal_problems
from aiida_mlip_ins.science.phonons import length_problems
from aiida_mlip_ins.science.settings import build, problems
from aiida_mlip_ins.science.structure import energy_range_problems


class InsCalculation(EngineCalculation):
    """Simulates INS per atom, quantum order and bank of detectors, without resolution."""

    DRIVER = 'ins'
    SETTINGS = InsSettings
    RETRIEVE_TEMPORARY = (INTENSITIES,)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.input(
            'force_constants',
            valid_type=ForceConstantsData,
            validator=validate_force_constants,
            help='Force constants in eV/angstrom^2.',
        )
        spec.input(
            'pressure',
            valid_type=orm.Float,
            required=False,
            serializer=orm.to_aiida_type,
            help='Pressure (GPa) that the crystal is under; kept with the spectrum.',
        )
        spec.inputs.validator = validate_inputs
        spec.input('metadata.options.parser_name', valid_type=str, default='mlip_ins.ins')
        spec.output(
            'intensities',
            valid_type=InsSpectrumData,
            help='Intensities (barn/(1/cm)/primitive cell) against energy (1/cm).',
        )
        spec.output(
            'map',
            valid_type=InsMapData,
            required=False,
            help='Intensities of elements (barn/(1/cm)/primitive cell) against Q (1/angstrom) and '
            'energy (1/cm), for direct geometry with a `q_step`.',
        )
        spec.exit_code(
            401, 'ERROR_IMAGINARY_MODES', message='No spectrum for an unstable crystal: {message}'
        )
        spec.exit_code(
            402, 'ERROR_NOT_FINITE', invalidates_cache=True, message='No usable spectrum: {message}'
        )

    @classmethod
    def validate_parameters(cls, value: orm.Dict, _: Any) -> str | None:
        """Refuse settings that are unknown, missing or out of range, and an empty spectrum."""
        return '\n'.join(settings_problems(value.get_dict(), 'parameters')) or None

    def write_inputs(self, folder: Folder) -> dict[str, Any]:
        """Write the force constants with the crystal they belong to."""
        with folder.open(FORCE_CONSTANTS, 'wb') as handle:
            handle.write(pack_force_constants(self.inputs.force_constants))
        return {}


def settings_problems(
    settings: Mapping[str, Any], where: str, kind: type[ScatteringSettings] = InsSettings
) -> list[str]:
    """Return every problem of the settings of an INS simulation.

    :param kind: the class of the settings.
    """
    found = problems(kind, settings, where)
    found += length_problems(settings.get('mesh', [1, 1, 1]), f'{where}.mesh')
    numbers = [settings.get(key) for key in ('energy_min', 'energy_max', 'bin_width')]
    if all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        low, high, width = (float(n) for n in numbers if n is not None)
        if not found:
            found += [f'{where}: {text}' for text in energy_range_problems(low, high, width)]
    if not found:
        found = combination_problems(build(kind, settings, where), where)
    return found


def isotope_problems(settings: dict[str, Any], constants: ForceConstantsData) -> list[str]:
    """Return which isotopes the crystal of some force constants cannot have."""
    symbols = constants.get_primitive_cell().get_ase().get_chemical_symbols()
    return crystal_problems(settings.get('isotopes', {}), symbols, 'parameters.isotopes')


def validate_inputs(inputs: Mapping[str, Any], port: Any) -> str | None:
    """Refuse what any job refuses, and isotopes of atoms that the crystal does not have."""
    refused: str | None = validate_calc_job(inputs, port)
    if refused:
        return refused
    if 'force_constants' not in inputs or 'parameters' not in inputs:
        return None
    found = isotope_problems(inputs['parameters'].get_dict(), inputs['force_constants'])
    return '\n'.join(found) or None


def validate_force_constants(value: ForceConstantsData, _: Any) -> str | None:
    """Refuse a node in which no force constants were set."""
    if value.force_constants is None:
        return 'force_constants: the node has no force constants; set them before it is stored'
    if not np.isfinite(value.force_constants).all():
        return 'force_constants: they are not all finite numbers'
    return None


def pack_force_constants(node: ForceConstantsData) -> bytes:
    """Return force constants and crystal as an ``npz`` file without pickled objects."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays_of(node))
    return buffer.getvalue()
