"""Inputs, outputs and exit codes of a round of active learning."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ProcessSpec

from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.workflows.active_inputs import validate_sampling, validate_settings
from aiida_mlip_ins.workflows.committee import CommitteeWorkChain
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.md_inputs import validate_positive
from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain
from aiida_mlip_ins.workflows.pressures import define_scan
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain

OF_THE_ROUND = ('metadata', 'structure', 'dataset', 'cells', 'number', 'count')
"""Inputs that differ from round to round."""


def define_inputs(spec: ProcessSpec) -> None:
    """Declare what a round works on, how it chooses, and the inputs of each link."""
    # fmt: off
    define_scan(spec)
    spec.input('dataset', valid_type=DatasetData, help='Labelled frames to train on.')
    spec.input_namespace('cells', valid_type=orm.StructureData, dynamic=True,
                         help='`pressure_i`: cell (angstrom) around which candidates are made '
                              'where the potential cannot relax the crystal.')
    spec.input('number', valid_type=orm.Int, help='Number of the round, from 0.')
    spec.input('count', valid_type=orm.Int, help='Most frames to label; 0 for none.')
    spec.input('seed', valid_type=orm.Int, help='The number of the round is added to it.')
    spec.input('settings', valid_type=orm.Dict, validator=validate_settings,
               help='Budget, targets and choice, see `ActiveSettings`.')
    spec.input('sampling', valid_type=orm.Dict, validator=validate_sampling,
               help='Sections of the targeted frames that candidates are made by.')
    spec.input('max_concurrent', valid_type=orm.Int, validator=validate_positive,
               help='Evaluations and phonons side by side.')
    spec.expose_inputs(CommitteeWorkChain, 'committee', exclude=('dataset',))
    spec.expose_inputs(MacePressureScanWorkChain, 'mace_pressure_scan',
                       exclude=('structure', 'pressures', 'model'))
    spec.expose_inputs(MaceEvaluateCalculation, 'evaluate', exclude=('model', 'frames'))
    spec.expose_inputs(MacePhononsWorkChain, 'mace_phonons', exclude=('structure', 'model'),
                       namespace_options={'required': False, 'populate_defaults': False})
    spec.expose_inputs(MdStabilityWorkChain, 'md', exclude=('structures', 'pressures', 'model'),
                       namespace_options={'required': False, 'populate_defaults': False})
    spec.expose_inputs(ReferenceWorkChain, 'reference', exclude=('frames',))
    # fmt: on


def define_outputs(spec: ProcessSpec) -> None:
    """Declare the outputs, which are there as far as the round got, and the exit codes."""
    # fmt: off
    spec.output_namespace('models', valid_type=MaceModelData, dynamic=True, required=False,
                          help='`member_i`: the potentials.')
    spec.output('model', valid_type=MaceModelData, required=False,
                help='The first of them, which the crystal was relaxed with.')
    spec.output('candidates', valid_type=FramesData, required=False,
                help='Frames (angstrom) that were chosen from.')
    spec.output('selection', valid_type=orm.Dict, required=False,
                help='What was chosen, and the spread on the candidates.')
    spec.output('frequencies', valid_type=orm.Dict, required=False,
                help='Spread of the frequencies at each pressure (1/cm).')
    spec.output('motion', valid_type=orm.Dict, required=False,
                help='Whether the crystal is stable in molecular dynamics with the first member.')
    spec.output('labelled', valid_type=DatasetData, required=False,
                help='The new frames: eV, eV/angstrom, eV/angstrom^3.')
    spec.output('dataset', valid_type=DatasetData, required=False,
                help='All frames, for the next round.')
    spec.output('row', valid_type=orm.Dict, required=False,
                help='Numbers of the round, see `round_row`.')
    for status, name, message in (
        (401, 'COMMITTEE', 'There is no committee'),
        (402, 'CANDIDATES', 'No candidates could be made'),
        (403, 'EVALUATION', 'Fewer than two members labelled the candidates'),
        (404, 'CHOICE', 'There is nothing to choose'),
        (405, 'REFERENCE', 'The labelling failed, labels that there are are kept'),
    ):
        spec.exit_code(status, f'ERROR_{name}_FAILED', message=f'{message}: {{cause}}')
    # fmt: on
