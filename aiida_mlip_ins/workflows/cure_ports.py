"""Inputs, outputs and exit codes of the cure of imaginary modes."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ProcessSpec
from aiida_phonopy.data import ForceConstantsData

from aiida_mlip_ins.calculations.mace_relax import MaceRelaxCalculation
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.workflows import cure_inputs
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain

OPTIONAL = {'required': False, 'populate_defaults': False}


def define_inputs(spec: ProcessSpec) -> None:
    """Declare the crystal, the potential, what is tried, and the inputs of each link."""
    # fmt: off
    spec.input('structure', valid_type=orm.StructureData,
               validator=cure_inputs.validate_structure,
               help='Crystal, relaxed at the pressure (angstrom).')
    spec.input('pressure', valid_type=orm.Float, serializer=orm.to_aiida_type,
               validator=cure_inputs.validate_pressure,
               help='Pressure (GPa) that it is relaxed at.')
    spec.input('model', valid_type=MaceModelData, help='The potential.')
    spec.input('settings', valid_type=orm.Dict, serializer=orm.to_aiida_type,
               validator=cure_inputs.validate_settings,
               help='What is tried and for how long, see `CureSettings`.')
    spec.expose_inputs(MacePhononsWorkChain, 'phonons',
                       exclude=('structure', 'model', 'isotopes'))
    spec.expose_inputs(MaceRelaxCalculation, 'relax',
                       exclude=('structure', 'model', 'pressures'))
    spec.expose_inputs(InsWorkChain, 'ins', exclude=('force_constants', 'pressure'),
                       namespace_options={**OPTIONAL, 'help': 'Without it there is no '
                                          'spectrum.'})
    # fmt: on
    spec.inputs.validator = cure_inputs.validate


def define_outputs(spec: ProcessSpec) -> None:
    """Declare the crystal that came out, its phonons, its spectrum, and the report."""
    # fmt: off
    spec.output('structure', valid_type=orm.StructureData,
                help='The crystal of the last phonons (angstrom).')
    spec.output('force_constants', valid_type=ForceConstantsData,
                help='Its force constants in eV/angstrom^2.')
    spec.output('modes', valid_type=orm.ArrayData, help='Its modes (1/cm).')
    spec.output('summary', valid_type=orm.Dict, help='What is said of its modes (1/cm).')
    spec.output('report', valid_type=orm.Dict,
                help='`cured`, `steps` with the numbers of each remedy, `sentences`.')
    spec.output('spectrum', valid_type=InsSpectrumData, required=False,
                help='INS spectrum of the crystal without imaginary modes: '
                     'barn/(1/cm)/primitive cell.')
    spec.output('intensities', valid_type=InsSpectrumData, required=False,
                help='The same per atom and without resolution.')
    # fmt: on


def define_exit_codes(spec: ProcessSpec) -> None:
    """Declare an exit code for each link, and one for a crystal that is not cured."""
    for status, link, what in (
        (401, 'PHONONS', 'The phonons'),
        (402, 'RELAX', 'The relaxation'),
        (403, 'LINE', 'The energies along a mode'),
        (404, 'INS', 'The spectrum'),
    ):
        spec.exit_code(status, f'ERROR_{link}_FAILED', message=f'{what} failed: {{cause}}')
    spec.exit_code(
        410,
        'ERROR_NOT_CURED',
        message='There are imaginary modes still, down to {lowest:.1f} 1/cm: {cause}',
    )
