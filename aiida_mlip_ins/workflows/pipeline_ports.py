"""Inputs, outputs and exit codes of the whole chain."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ProcessSpec
from aiida_phonopy.data import ForceConstantsData

from aiida_mlip_ins.calculations.mace_train import MaceTrainCalculation
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.measured import MeasuredSpectrumData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.workflows.compare import CompareWorkChain
from aiida_mlip_ins.workflows.compare_spectra import CompareSpectraWorkChain
from aiida_mlip_ins.workflows.cure import CureWorkChain
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.measured_inputs import PORT
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain, PwPhononsWorkChain
from aiida_mlip_ins.workflows.pipeline_checks import SCANS, input_problems
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain


def define_inputs(spec: ProcessSpec) -> None:
    """Declare the crystal, what may be given in place of a link, and the inputs of each link."""
    spec.input('structure', valid_type=orm.StructureData, help='Crystal, lengths in angstrom.')
    spec.input('pressures', valid_type=orm.List, help='Pressures in GPa, ascending.')
    spec.input(
        'seed', valid_type=orm.Int, required=False, help='Seed of the sampled configurations.'
    )
    spec.input(
        'max_concurrent',
        valid_type=orm.Int,
        help='Number of pressures, or of frames of the DFT check, worked on side by side when no '
        'training runs.',
    )
    spec.input(
        'dataset',
        valid_type=DatasetData,
        required=False,
        help='Labelled frames to train on; without it they are made with DFT.',
    )
    spec.input(
        'model',
        valid_type=MaceModelData,
        required=False,
        help='Trained potential; without it one is trained.',
    )
    spec.input(
        'sampling',
        valid_type=orm.Dict,
        required=False,
        help='Settings of the targeted configurations.',
    )
    spec.input(
        'dataset_checks',
        valid_type=orm.Dict,
        required=False,
        help='From where on a number of the dataset is an error (`DatasetCheckSettings`); then '
        'nothing is trained. Without it nothing is checked.',
    )
    spec.input_namespace(
        'measured',
        valid_type=MeasuredSpectrumData,
        dynamic=True,
        required=False,
        help='`pressure_i`: measured spectrum (1/cm) at the i-th pressure, which that of the '
        'potential is compared with; its peaks stand beside the computed modes.',
    )
    optional = {'required': False, 'populate_defaults': False}
    spec.expose_inputs(
        CompareSpectraWorkChain,
        PORT,
        namespace_options={
            **optional,
            'help': 'How spectra are compared with `measured` ones, and which peaks count.',
        },
        exclude=('spectra', 'about'),
    )
    for port, scan in SCANS.values():
        spec.expose_inputs(
            scan, port, namespace_options=dict(optional), exclude=('structure', 'pressures')
        )
    spec.expose_inputs(
        ReferenceWorkChain, 'reference', namespace_options=dict(optional), exclude=('frames',)
    )
    spec.expose_inputs(
        MaceTrainCalculation, 'train', namespace_options=dict(optional), exclude=('dataset',)
    )
    spec.expose_inputs(
        PwPhononsWorkChain,
        'pw_phonons',
        namespace_options=dict(optional),
        exclude=('structure', 'isotopes'),
    )
    spec.expose_inputs(
        MacePressureScanWorkChain,
        'mace_pressure_scan',
        exclude=('structure', 'pressures', 'model'),
    )
    spec.expose_inputs(
        MacePhononsWorkChain, 'mace_phonons', exclude=('structure', 'model', 'isotopes')
    )
    spec.expose_inputs(InsWorkChain, 'ins', exclude=('force_constants', 'pressure'))
    spec.expose_inputs(
        CureWorkChain,
        'cure',
        include=('settings', 'relax'),
        namespace_options={
            **optional,
            'help': 'With it, imaginary modes of the potential are cured before the spectrum; '
            'without it, `ins.ins.parameters.imaginary` says what becomes of them.',
        },
    )
    spec.inputs.validator = input_problems


def define_outputs(spec: ProcessSpec) -> None:
    """Declare the outputs, each made by a link of the chain."""
    spec.output(
        'configurations', valid_type=FramesData, required=False, help='Frames chosen for DFT.'
    )
    spec.output(
        'dataset',
        valid_type=DatasetData,
        required=False,
        help='Frames with DFT energy (eV), forces (eV/angstrom), stress (eV/angstrom^3).',
    )
    spec.output(
        'dataset_checks',
        valid_type=orm.Dict,
        required=False,
        help='`verdict` and `checks` of the frames: name, number, unit, verdict, sentence of each.',
    )
    spec.output('model', valid_type=MaceModelData, help='The potential.')
    spec.expose_outputs(MaceTrainWorkChain, 'training', namespace_options={'required': False})
    spec.expose_outputs(MacePressureScanWorkChain, 'mace')
    for _, scan in SCANS.values():
        spec.expose_outputs(scan, 'pw', namespace_options={'required': False})
    per_pressure: list[tuple[str, type[orm.Data], str]] = [
        ('peaks', orm.List, 'Measured peaks (1/cm)'),
        ('intensities', InsSpectrumData, 'INS per atom, order, bank'),
        ('spectra', InsSpectrumData, 'INS with the resolution of the instrument'),
        (
            'cure.structures',
            orm.StructureData,
            'With the input `cure`: crystal (angstrom) that was cured of imaginary modes, which '
            'the force constants, modes and spectra of that pressure are of',
        ),
        ('cure.reports', orm.Dict, 'What was tried against imaginary modes, and what it led to'),
    ]
    for engine in ('mace', 'pw'):
        per_pressure += [
            (f'{engine}.modes', orm.ArrayData, 'Modes at Gamma (1/cm)'),
            (f'{engine}.force_constants', ForceConstantsData, 'Force constants (eV/angstrom^2)'),
            (f'{engine}.phonons', orm.Dict, 'Summary of the phonons'),
        ]
    for name, kind, what in per_pressure:
        spec.output_namespace(
            name, valid_type=kind, dynamic=True, required=False, help=f'{what}, per pressure.'
        )
    spec.expose_outputs(CompareWorkChain, 'comparison')
    spec.expose_outputs(
        CompareSpectraWorkChain,
        'agreement',
        namespace_options={
            'required': False,
            'help': 'With `measured`: the spectra of the potential against the measured ones.',
        },
    )


def define_exit_codes(spec: ProcessSpec) -> None:
    """Declare an exit code for each link."""
    for status, link in (
        (401, 'PW_PRESSURE_SCAN'),
        (402, 'REFERENCE'),
        (403, 'TRAINING'),
        (404, 'MACE_PRESSURE_SCAN'),
        (406, 'COMPARE'),
    ):
        spec.exit_code(status, f'ERROR_{link}_FAILED', message=f'{link} failed: {{cause}}')
    spec.exit_code(
        407,
        'ERROR_CONFIGURATIONS_FAILED',
        message='No frames could be sampled: {cause}',
    )
    spec.exit_code(
        408,
        'ERROR_DATASET_CHECKS_FAILED',
        message='The dataset is not trained on: {cause}. To train on it all the same, start from '
        'it without `dataset_checks` (in overrides: check_dataset: false)',
    )
    spec.exit_code(
        405, 'ERROR_SOME_PRESSURES_FAILED', message='The chain ended, but without: {cause}'
    )
