"""The composition of the chain: what its builder makes and refuses, and how it ends."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from ase import units
from mace_nodes import toy_dataset, toy_model
from pw_mocks import Submissions, finished
from spectra_nodes import measured_node, simulated_node

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.workflows.compare_inputs import inputs_of_chain
from aiida_mlip_ins.workflows.compare_spectra import CompareSpectraWorkChain
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain
from aiida_mlip_ins.workflows.pipeline_checks import SCANS, input_problems
from aiida_mlip_ins.workflows.protocols import PROTOCOLS
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain

PRESSURES = [0.0, 1.5]


@pytest.fixture
def arguments(brucite_structure, engine_code, pw_code, pseudo_family):
    return {
        'structure': brucite_structure,
        'pressures': PRESSURES,
        'engine_code': engine_code,
        'pw_code': pw_code,
        'overrides': {link: {'pseudo_family': pseudo_family.label} for link in ('reference',)},
        'protocol': 'fast',
    }


@pytest.fixture
def dataset(brucite):
    brucite.info.update(REF_energy=-100.0, REF_stress=[0.0] * 6, source='rattle')
    brucite.arrays['REF_forces'] = brucite.positions * 0
    return split([brucite.copy() for _ in range(9)], 'pw.x test')


def split(frames, method):
    """Return a dataset of frames, one of them held out."""
    for number, frame in enumerate(frames):
        frame.info['split'] = 'train' if number else 'valid'
    return DatasetData.from_frames(frames, method)


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_makes_inputs_that_are_accepted(arguments, protocol):
    arguments['protocol'] = protocol
    family = arguments['overrides']['reference']['pseudo_family']
    if protocol != 'fast':
        arguments['overrides']['pw_scan'] = {'pseudo_family': family}
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    inputs = builder._inputs(prune=True)
    assert input_problems(inputs, None) is None
    assert builder.pressures.get_list() == PRESSURES
    assert ('pw_quadratic_scan' in inputs) == (protocol == 'fast')
    process = instantiate_process(get_manager().get_runner(), builder)
    assert process.inputs.train.parameters['seed'] == builder.train.parameters['seed']


def test_the_check_runs_one_pw_at_a_time_beside_the_training(arguments, brucite_structure):
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    assert builder.reference.max_concurrent.value == 2
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    cells = {'pressure_0': brucite_structure, 'pressure_1': brucite_structure}
    process.ctx.pw_scan = SimpleNamespace(outputs=SimpleNamespace(structures=cells))
    submissions = Submissions(process)
    training = orm.WorkChainNode().store()
    process.ctx.training_pk = training.pk
    for state, lanes in (('running', 1), ('finished', 2)):
        training.set_process_state(state)
        process.run_pw_phonons()
        _, inputs = submissions.calls[-1]
        assert inputs['reference']['max_concurrent'].value == lanes


def test_everything_wrong_is_said_at_once(arguments):
    arguments['pressures'] = [1.5, 0.0]
    arguments['overrides']['train'] = {'parameters': {'learning_rat': 1}}
    arguments['overrides']['ins'] = {'parameters': {'temperature': -1.0}}
    arguments['overrides']['sampling'] = {'ratle': {'count': 1}}
    with pytest.raises(ValueError, match='learning_rate') as error:
        HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    message = str(error.value)
    assert "did you mean 'rattle'" in message
    assert 'pressure' in message
    assert 'temperature' in message


def test_sections_that_this_crystal_cannot_have_are_refused(arguments):
    """Brucite has no molecules, and no k-points fold onto a supercell of seven layers."""
    molecules = {'count': 4, 'matrices': [[[1, 0, 0], [0, 1, 0], [0, 0, 7]]]}
    arguments['overrides']['sampling'] = {'molecules': molecules}
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    message = input_problems(builder._inputs(prune=True), None)
    assert 'sampling.molecules: ' in message
    assert 'has none' in message
    assert 'sampling.molecules.matrices: k-mesh' in message


def test_supercells_are_along_the_short_axes(arguments):
    arguments['overrides']['sampling'] = {
        'supercell': {'count': 3}, 'warm': {'count': 2}, 'rattle': {'matrices': 'short_axes'},
    }  # fmt: skip
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    section = builder.sampling['supercell']
    assert section['count'] == 3
    for name in ('warm', 'rattle'):
        assert builder.sampling[name]['matrices'] == section['matrices']
    assert [[1, 0, 0], [0, 1, 0], [0, 0, 2]] in section['matrices']
    assert input_problems(builder._inputs(prune=True), None) is None
    arguments['overrides']['short_axis'] = 2.0
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    section = builder.sampling['supercell']
    assert (section['count'], section['matrices']) == (0, [])
    for name, count in (('warm', 2), ('rattle', 16)):  # in the cell itself
        section = builder.sampling[name]
        assert (section['count'], section['matrices']) == (count, [])
    assert input_problems(builder._inputs(prune=True), None) is None


@pytest.mark.parametrize('checked', [True, False])
def test_a_pressure_beyond_all_frames_is_refused_before_dft(arguments, checked):
    arguments['pressures'] = [0.0, 5.0]
    arguments['overrides']['check_dataset'] = checked
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    message = input_problems(builder._inputs(prune=True), None)
    if not checked:
        assert message is None
        return
    assert message.startswith('sampling: frames are sampled from -2 to 3.5 GPa')
    assert 'leaves out 5 GPa' in message
    arguments['overrides']['sampling'] = {'path': {'pressures': [-1.0, 2.0, 6.0]}}
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    assert input_problems(builder._inputs(prune=True), None) is None


@pytest.mark.parametrize('wrong', ['samplin', 'trian'])
def test_an_unknown_link_in_the_overrides_names_the_nearest(arguments, wrong):
    nearest = {'samplin': 'sampling', 'trian': 'train'}[wrong]
    arguments['overrides'][wrong] = {}
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        HighPressureInsWorkChain.get_builder_from_protocol(**arguments)


def test_what_is_wrong_with_several_links_is_said_once(arguments):
    arguments['overrides']['reference'] = {'pseudo_family': 'none/such'}
    with pytest.raises(ValueError, match=r'\w') as error:
        HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    (line,) = [line for line in str(error.value).splitlines() if 'none/such' in line]
    assert line.startswith('pw_scan, reference, pw_phonons: pseudo_family: ')


def test_wrong_numbers_of_dft_and_frames_are_named_where_they_stand(arguments):
    """What is given under `reference` holds in two more links, which are not to be blamed."""
    wrong = {'cutoffs': {'ecutwfc': 'ninety'}, 'kpoint_distance': 1}
    arguments['overrides']['reference'] |= wrong
    arguments['overrides']['sampling'] = {'rattle': {'count': 2.5}}
    with pytest.raises(ValueError, match=r'\w') as error:
        HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    assert str(error.value).splitlines() == [
        "reference: overrides.cutoffs.ecutwfc: expected float, got 'ninety'",
        "reference: overrides: unknown key 'kpoint_distance' (did you mean 'kpoints_distance'?)",
        'overrides.sampling.rattle.count: expected int, got 2.5',
    ]


def test_an_unknown_protocol_names_the_valid_ones(arguments):
    arguments['protocol'] = 'quick'
    with pytest.raises(ValueError, match='balanced, fast, stringent'):
        HighPressureInsWorkChain.get_builder_from_protocol(**arguments)


def test_without_dft_a_dataset_or_model_is_needed(arguments):
    arguments['pw_code'] = None
    with pytest.raises(ValueError, match='pw_code'):
        HighPressureInsWorkChain.get_builder_from_protocol(**arguments)


def test_a_dataset_without_an_element_of_the_crystal_is_refused(arguments, dataset):
    structure = orm.StructureData(ase=arguments['structure'].get_ase())
    structure.append_atom(position=(1.5, 0.9, 2.4), symbols='Ca')
    arguments.update(structure=structure, dataset=dataset, pw_code=None, check=False)
    with pytest.raises(ValueError, match='dataset: no frame has Ca'):
        HighPressureInsWorkChain.get_builder_from_protocol(**arguments)


def test_a_dataset_without_splits_is_refused(arguments, dataset):
    frames = dataset.get_frames()
    for frame in frames:
        frame.info.pop('split', None)
    bare = DatasetData.from_frames(frames, dataset.method).store()
    arguments.update(dataset=bare, pw_code=None, check=False)
    with pytest.raises(ValueError, match="dataset: no frame has the split 'train'") as caught:
        HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    assert "'valid', so no epoch could be chosen" in str(caught.value)


def test_a_dataset_starts_at_the_training(arguments, dataset):
    arguments.update(dataset=dataset, pw_code=None, check=False)
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    assert not process.needs_dataset()
    assert process.needs_model()
    assert not process.needs_dft_cells()
    assert not process.has_pressure_to_check()


def test_a_dataset_that_fails_a_check_is_not_trained_on(arguments, dataset):
    arguments.update(dataset=dataset, pw_code=None, check=False)
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    code = process.check_dataset()
    assert code.status == 408
    assert 'outside: 1.5 GPa' in code.message
    assert process.outputs['dataset_checks']['verdict'] == 'fail'


def under_pressure(crystal, pressure, bulk_modulus=0.3):
    """Return the crystal under a pressure (GPa; bulk modulus in eV/angstrom^3), with its labels."""
    frame, volume = crystal.copy(), crystal.get_volume()
    stress = -pressure * units.GPa
    frame.set_cell(frame.cell * (1 + stress / bulk_modulus) ** (1 / 3), scale_atoms=True)
    energy = volume / 2 / bulk_modulus * stress**2
    frame.info.update(REF_energy=energy - 100.0, REF_stress=[stress] * 3 + [0.0] * 3, source='path')
    frame.arrays['REF_forces'] = frame.positions * 0
    return frame


@pytest.mark.parametrize(('check', 'outputs'), [(True, ['dataset_checks']), (False, [])])
def test_a_sound_dataset_is_trained_on_and_an_unchecked_one_too(arguments, brucite, check, outputs):
    frames = [under_pressure(brucite, pressure) for pressure in np.linspace(-1.0, 3.0, 9)]
    arguments.update(dataset=split(frames, 'PBE, D3'), pw_code=None, check=False)
    arguments['overrides'] = {'check_dataset': check}
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    assert process.check_dataset() is None
    assert [*process.outputs] == outputs


def test_settings_of_the_checks_are_looked_at(arguments):
    arguments['overrides']['dataset_checks'] = {'max_force': -1.0}
    with pytest.raises(ValueError, match=r'dataset_checks: settings.max_force'):
        HighPressureInsWorkChain.get_builder_from_protocol(**arguments)


def test_the_training_may_take_several_jobs(arguments, dataset):
    arguments.update(dataset=dataset, pw_code=None, check=False)
    arguments['overrides']['train'] = {'parameters': {'minimum_frames': 4}}
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    process.ctx.dataset = toy_dataset()
    submissions = Submissions(process)
    process.start_training()
    ((training, inputs),) = submissions.calls
    assert training is MaceTrainWorkChain
    assert inputs['metadata']['call_link_label'] == 'training'
    assert inputs['train']['parameters'].uuid == builder.train.parameters.uuid
    outputs = {'model': toy_model(), 'history': orm.Dict({'attempts': []})}
    for status, taken in ((420, False), (0, True)):
        process.ctx.training = finished(MaceTrainWorkChain, outputs, status)
        assert (process.inspect_training() is None) == taken
        assert ('model' in process.ctx) == taken
    assert set(process.outputs['training']) == {'model', 'history'}


def test_a_failed_pressure_is_named_at_the_end(arguments, dataset):
    arguments.update(dataset=dataset, pw_code=None, check=False)
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    failed = SimpleNamespace(is_finished_ok=False, pk=7, exit_message='no luck', outputs={})
    process._take_phonons('mace', failed, 1)
    code = process.results()
    assert code.status == HighPressureInsWorkChain.exit_codes.ERROR_SOME_PRESSURES_FAILED.status
    assert 'phonons of mace at 1.5 GPa' in code.message
    assert 'no luck' in code.message


@pytest.mark.parametrize('way', SCANS)
def test_cells_of_dft_are_taken_however_it_relaxed(arguments, brucite_structure, way):
    """They are outputs of the chain, and what its comparison holds the potential against."""
    family = arguments['overrides']['reference']
    arguments['overrides'].update(dft_relaxation=way, pw_scan=family if way == 'vc-relax' else {})
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    cells = {f'structures.pressure_{index}': brucite_structure for index in range(2)}
    _, scan = SCANS[way]
    process.ctx.pw_scan = finished(scan, {**cells, 'results': orm.Dict()})
    assert process.inspect_pw_pressure_scan() is None
    assert set(process.outputs['pw']) == {'structures', 'results'}
    outputs = {**process.outputs, 'mace': {'structures': {}}}
    compared = inputs_of_chain(process.inputs.pressures, outputs, None)
    assert set(compared['pw']['structures']) == {'pressure_0', 'pressure_1'}


def test_the_chain_goes_on_with_the_pressures_that_relaxed(arguments, dataset, brucite_structure):
    arguments.update(dataset=dataset, pw_code=None, check=False)
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    process.ctx.model = toy_model()
    rows = [{'pressure_gpa': p, 'converged': p > 0, 'symmetry_kept': True} for p in PRESSURES]
    outputs = {'structures.pressure_1': brucite_structure, 'results': orm.Dict({'pressures': rows})}
    process.ctx.mace_scan = finished(MacePressureScanWorkChain, outputs, 402)
    assert process.inspect_mace_pressure_scan() is None
    assert process.has_pressure_left()
    assert process._current() == [1]
    process.ctx.phonons, process.ctx.ins_indices, process.ctx.ins = [], [], []
    process.inspect_ins()
    assert not process.has_pressure_left()
    code = process.results()
    assert code.status == 405
    assert 'pressures at which it did not relax' in code.message
    process.ctx.mace_scan = finished(MacePressureScanWorkChain, status=401)
    assert process.inspect_mace_pressure_scan().status == 404


def test_measured_spectra_become_peaks_beside_the_modes(arguments, dataset):
    arguments.update(dataset=dataset, pw_code=None, check=False)
    arguments['overrides']['compare_spectra'] = {
        'settings': {'peak_prominence': 0.2}, 'windows': [[100.0, 500.0]],
    }  # fmt: skip
    builder = HighPressureInsWorkChain.get_builder_from_protocol(
        **arguments, measured={1.5: measured_node()}
    )
    assert list(builder.measured) == ['pressure_1']
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    assert process.has_measurements()
    process.find_measured_peaks()
    peaks = process.outputs['peaks']['pressure_1']
    assert [peak['position'] for peak in peaks.get_list()] == pytest.approx([200, 400], abs=0.5)
    assert not process.ctx.missing
    outputs = {'mace': {'structures': {}}, 'peaks': {'pressure_1': peaks}}
    inputs = inputs_of_chain(process.inputs.pressures, outputs)
    assert inputs['experiment'] == {'peaks': {'pressure_1': peaks}}


def test_peaks_that_cannot_be_found_are_missing_in_the_end(arguments, dataset):
    arguments.update(dataset=dataset, pw_code=None, check=False)
    builder = HighPressureInsWorkChain.get_builder_from_protocol(
        **arguments, measured={0.0: measured_node()}
    )
    assert builder.compare_spectra.settings['windows'] == [[20.0, 900.0]]
    # narrower than a bin
    builder.compare_spectra.settings['windows'] = [[100.0, 100.5]]
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    process.find_measured_peaks()
    assert 'the measured peaks of pressure_0' in process.results().message


def test_wrong_measurements_are_refused(arguments, dataset):
    arguments.update(dataset=dataset, pw_code=None, check=False)
    arguments['overrides']['compare_spectra'] = {'settings': {'prominence': 0.2}}
    with pytest.raises(ValueError, match=r'\w') as error:
        HighPressureInsWorkChain.get_builder_from_protocol(
            **arguments, measured={2.0: measured_node()}
        )
    assert 'measured: 2 GPa is none of the pressures of the chain (0, 1.5 GPa)' in str(error.value)
    assert "unknown key 'prominence' (did you mean 'peak_prominence'?)" in str(error.value)
    arguments['overrides']['compare_spectra'] = {'windows': [[1.0, 2000.0]]}
    with pytest.raises(ValueError, match='the window from 1 to 2000 1/cm is not within'):
        HighPressureInsWorkChain.get_builder_from_protocol(
            **arguments, measured={0.0: measured_node()}
        )
    arguments['overrides']['compare_spectra'] = {'windows': [[100.0, 800.0]]}
    arguments['overrides']['ins'] = {'parameters': {'energy_max': 500.0}}
    with pytest.raises(ValueError, match='not within the simulation, which goes from 0 to 500'):
        HighPressureInsWorkChain.get_builder_from_protocol(
            **arguments, measured={0.0: measured_node()}
        )
    del arguments['overrides']['compare_spectra']
    builder = HighPressureInsWorkChain.get_builder_from_protocol(
        **arguments, measured={0.0: measured_node()}
    )
    assert builder.compare_spectra.settings['windows'] == [[20.0, 500.0]]
    inputs = dict(builder._inputs(prune=True))
    inputs['measured'] = {'pressure_3': measured_node()}
    assert 'no such pressure: pressure_3' in input_problems(inputs, None)
    del inputs['compare_spectra']
    message = input_problems(inputs, None)
    assert 'compare_spectra.settings, compare_spectra.parameters: needed' in message


def measuring(arguments, **changes):
    """Return a chain that has been given a measurement at 1.5 GPa, and its submissions."""
    arguments.update(pw_code=None, check=False, **changes)
    builder = HighPressureInsWorkChain.get_builder_from_protocol(
        **arguments, measured={1.5: measured_node()}
    )
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    return process, Submissions(process)


def test_spectra_are_compared_with_measured_ones(arguments, dataset):
    settings = {'windows': [[60.0, 500.0]], 'settings': {'baseline': 'minimum'}}
    arguments['overrides']['compare_spectra'] = settings
    process, submissions = measuring(arguments, dataset=dataset)
    process.out('spectra.pressure_0', simulated_node([210.0, 400.0], 0.0))
    process.out('spectra.pressure_1', simulated_node([215.0, 400.0], 1.5))
    process.run_compare_spectra()
    ((link, inputs),) = submissions.calls
    assert link is CompareSpectraWorkChain
    assert inputs['metadata']['call_link_label'] == 'compare_spectra'
    assert inputs['settings']['windows'] == [[60.0, 500.0]]
    assert inputs['settings']['baseline'] == 'minimum'
    del inputs['metadata']
    _, process.ctx.compare_spectra = run_get_node(CompareSpectraWorkChain, **inputs)
    process.inspect_compare_spectra()
    assert process.results() is None
    made = process.outputs['agreement']
    (pair,) = made['metrics']['pairs']
    assert (pair['role'], pair['pressure_gpa'], pair['label']) == ('mace', 1.5, 'mace_1')
    shifts = [match['shift'] for match in pair['windows'][0]['peaks']['matched']]
    assert shifts == pytest.approx([15.0, 0.0], abs=0.5)
    assert set(made['overlays']) == {'mace_1'}
    assert set(made['differences']) == {'mace_1'}


def test_a_failed_comparison_is_named_at_the_end(arguments, dataset):
    process, submissions = measuring(arguments, dataset=dataset)
    process.out('spectra.pressure_0', simulated_node(pressure=0.0))
    assert process.run_compare_spectra() is None
    assert not submissions.calls
    process.inspect_compare_spectra()
    message = process.results().message
    assert 'the comparison with the measured spectra: spectra: there is nothing to com' in message
    process, submissions = measuring(arguments)
    process.out('spectra.pressure_1', simulated_node(pressure=1.5))
    process.run_compare_spectra()
    process.ctx.compare_spectra = finished(CompareSpectraWorkChain, status=401)
    process.inspect_compare_spectra()
    assert 'the comparison with the measured spectra (<' in process.results().message


def test_two_ways_to_relax_are_refused(arguments):
    builder = HighPressureInsWorkChain.get_builder_from_protocol(**arguments)
    inputs = dict(builder._inputs(prune=True))
    inputs['pw_pressure_scan'] = inputs['pw_quadratic_scan']
    assert 'not both' in input_problems(inputs, None)
    del inputs['pw_pressure_scan'], inputs['pw_quadratic_scan'], inputs['sampling']
    message = input_problems(inputs, None)
    assert 'pw_quadratic_scan' in message
    assert 'sampling' in message
