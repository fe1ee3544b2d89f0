"""The phonon workchains: builders, refusals, each step, and a run with a stand-in labeller."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType
from phonon_nodes import (
    PARAMETERS,
    dimerising_force_constants,
    spring_dataset,
    spring_structure,
)
from pw_mocks import code, family, finished, instantiate
from springs import brucite_cell

from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.workflows import phonons
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.phonon_inputs import validate_supercell_matrix
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain, PwPhononsWorkChain
from aiida_mlip_ins.workflows.protocols import PROTOCOLS
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain


@pytest.fixture
def model(aiida_profile, tmp_path):
    path = tmp_path / 'a.model'
    path.write_bytes(b'not opened')
    description = {
        'elements': ['H', 'Mg', 'O'], 'r_max': 5.0, 'dtype': 'float64', 'heads': ['Default'],
        'num_parameters': 1, 'sha256': hashlib.sha256(b'not opened').hexdigest(),
    }  # fmt: skip
    return MaceModelData.from_file(path, description, 'given').store()


@pytest.fixture
def engine(aiida_profile):
    return code(plugin='mlip_ins.mace_train')


@pytest.fixture
def mace(engine, model):
    """Return a builder of the smallest phonon calculation with MACE."""
    return MacePhononsWorkChain.get_builder_from_protocol(
        engine, spring_structure(), model, protocol='fast'
    )


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_makes_inputs_that_are_accepted(engine, model, protocol):
    builder = MacePhononsWorkChain.get_builder_from_protocol(
        engine, spring_structure(), model, protocol=protocol
    )
    process = instantiate(builder)
    length = {'fast': [3, 3, 2], 'balanced': [4, 4, 3], 'stringent': [6, 6, 3]}[protocol]
    assert process.inputs.supercell_matrix.get_list() == length
    assert process.inputs.evaluate.parameters['dtype'] == 'float64'
    assert process.inputs.parameters['undisplaced'] is True


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_dft_takes_the_cell_alone_and_looks_at_gamma_alone(aiida_profile, protocol):
    builder = PwPhononsWorkChain.get_builder_from_protocol(
        code(), spring_structure(), protocol,
        {'reference': {'pseudo_family': family().label, 'max_concurrent': 1}},
    )  # fmt: skip
    process = instantiate(builder)
    assert process.inputs.supercell_matrix.get_list() == [1, 1, 1]
    assert process.inputs.parameters['mesh'] == [1, 1, 1]
    assert process.inputs.parameters['gamma_centred'] is True
    assert process.inputs.parameters['is_diagonal'] is False
    # Tighter than that of training frames, in every protocol.
    pw = process.inputs.reference.base.pw.parameters
    assert pw['ELECTRONS']['conv_thr'] == 1e-11
    # A single frame left out would leave no phonons.
    assert process.inputs.reference.allowed_failure_fraction.value == 0.0
    assert process.inputs.reference.max_concurrent.value == 1


def test_a_larger_supercell_for_dft_has_a_mesh(aiida_profile):
    builder = PwPhononsWorkChain.get_builder_from_protocol(
        code(), spring_structure(), 'fast',
        {'reference': {'pseudo_family': family().label}, 'pw': {'supercell_min_length': 5.0}},
    )  # fmt: skip
    assert builder.supercell_matrix.get_list() == [2, 2, 2]
    assert builder.parameters['mesh'] == [8, 8, 5]
    assert builder.parameters['gamma_centred'] is False


def test_overrides_reach_the_job(engine, model):
    builder = MacePhononsWorkChain.get_builder_from_protocol(
        engine, spring_structure(), model, protocol='fast',
        overrides={
            'evaluate': {'parameters': {'batch_size': 7}},
            'parameters': {'displacement_distance': 0.02},
            'mace': {'supercell_min_length': 4.0},
        },
        options={'max_wallclock_seconds': 77},
    )  # fmt: skip
    assert builder.evaluate.parameters['batch_size'] == 7
    assert builder.evaluate.parameters['dtype'] == 'float64'
    assert builder.parameters['displacement_distance'] == 0.02
    assert builder.supercell_matrix.get_list() == [2, 2, 1]
    assert builder.evaluate.metadata.options['max_wallclock_seconds'] == 77


@pytest.mark.parametrize(
    ('arguments', 'messages'),
    [
        ({'protocol': 'quick'}, ["unknown protocol 'quick'"]),
        ({'overrides': {'parameter': {}}}, ["did you mean 'parameters'"]),
        ({'overrides': {'parameters': {'distance': 1}}}, ["unknown key 'distance'"]),
        ({'overrides': {'parameters': {'symprec': -1.0}}}, ['symprec: -1.0 angstrom']),
        ({'overrides': {'evaluate': {'parameters': {'batch': 1}}}}, ["unknown key 'batch'"]),
        ({'code': 'not-there@nowhere'}, ["'not-there@nowhere' cannot be loaded", 'setup']),
        ({'structure': 'sulphur'}, ['S']),
    ],
)
def test_wrong_arguments_are_named(engine, model, arguments, messages):
    given = {'code': engine, 'structure': spring_structure(), 'model': model, **arguments}
    if given['structure'] == 'sulphur':
        given['structure'] = orm.StructureData(cell=[[5, 0, 0], [0, 5, 0], [0, 0, 5]])
        given['structure'].append_atom(position=(0, 0, 0), symbols='S')
    with pytest.raises(ValueError, match=r'\w') as error:
        MacePhononsWorkChain.get_builder_from_protocol(**given)
    for message in messages:
        assert message in str(error.value)


@pytest.mark.parametrize(
    ('matrix', 'message'),
    [
        ([2, 2], 'three multiples or 3x3: expected 3x3 whole numbers'),
        ([2, 2, 0], 'its determinant is 0'),
        ([2.5, 2, 2], 'expected 3x3 whole numbers'),
        ([[0, 1, 0], [1, 0, 0], [0, 0, 1]], 'its determinant is -1'),
        (['a', 2, 2], 'expected 3x3 whole numbers'),
    ],
)
def test_what_is_no_supercell_is_refused(aiida_profile, matrix, message):
    assert message in validate_supercell_matrix(orm.List(matrix), None)
    assert validate_supercell_matrix(orm.List([2, 1, 3]), None) is None
    assert validate_supercell_matrix(orm.List([[1, 1, 0], [-1, 1, 0], [0, 0, 1]]), None) is None


def labelled(process, status: int = 0, change=lambda dataset: dataset) -> orm.ProcessNode:
    """Return a finished labeller with the springs' forces."""
    outputs = {'dataset': change(spring_dataset(process.ctx.frames))} if not status else {}
    return finished(ReferenceWorkChain, outputs, status)


def test_all_supercells_go_to_one_job(mace, monkeypatch):
    process = instantiate(mace)
    process.setup()
    assert process.ctx.frames.n_frames == 9
    submitted = {}

    def submit(cls, **inputs):
        submitted.update(cls=cls, **inputs)
        return finished(ReferenceWorkChain)

    monkeypatch.setattr(process, 'submit', submit)
    process.run_labeller()
    assert submitted['cls'] is MaceEvaluateCalculation
    assert submitted['frames'].uuid == process.ctx.frames.uuid
    assert submitted['model'].uuid == mace.model.uuid
    assert submitted['metadata']['call_link_label'] == 'forces'


def test_steps_from_forces_to_modes(mace):
    process = instantiate(mace)
    process.setup()
    process.ctx.labelling = labelled(process)
    assert process.inspect_labeller() is None
    assert process.run_force_constants() is None
    process.results()
    summary = process.outputs['summary'].get_dict()
    assert summary['imaginary'] is False
    assert summary['n_displacements'] == 8
    assert summary['supercell_matrix'] == [[3, 0, 0], [0, 3, 0], [0, 0, 2]]
    assert process.outputs['modes'].get_array('frequencies').shape == (15,)
    constants = process.outputs['force_constants']
    inputs = constants.creator.base.links.get_incoming(link_type=LinkType.INPUT_CALC)
    assert {link.link_label for link in inputs.all()} == {
        'preprocess_data', 'dataset', 'parameters'
    }  # fmt: skip


def test_modes_may_have_the_masses_of_other_nuclides(mace):
    highest = []
    for isotopes in ({}, {'H': 'D'}):
        mace.isotopes = orm.Dict(isotopes)
        process = instantiate(mace)
        process.setup()
        process.ctx.labelling = labelled(process)
        assert process.run_force_constants() is None
        highest.append(process.outputs['modes'].get_array('frequencies').max())
    assert highest[0] / highest[1] == pytest.approx(1.37, abs=0.02)


@pytest.mark.parametrize(
    ('isotopes', 'message'),
    [
        ({'H': 'H2'}, "isotopes.H: 'H2' is no nuclide"),
        ({'H': '7H'}, 'isotopes.H: no mass of 7H is known'),
        ({'C': '13C'}, 'isotopes.C: no such element'),
        ({'1': 'D'}, 'isotopes.1: D, but atom 1 is O'),
    ],
)
def test_nuclides_that_the_crystal_cannot_have_are_refused(mace, isotopes, message):
    mace.isotopes = orm.Dict(isotopes)
    with pytest.raises(ValueError, match='isotopes') as error:
        instantiate(mace)
    assert message in str(error.value)


def test_atoms_have_no_numbers_in_a_primitive_cell_that_is_looked_for(mace):
    mace.isotopes = orm.Dict({'3': 'D'})
    instantiate(mace)
    mace.parameters = orm.Dict({**PARAMETERS, 'primitive_cell': 'auto'})
    with pytest.raises(ValueError, match='numbered anew in the primitive cell'):
        instantiate(mace)


def test_imaginary_modes_are_no_failure_but_are_said(mace):
    def unstable(dataset):
        frames = dataset.get_frames()
        for frame in frames:
            frame.arrays['REF_forces'] *= -1
        return type(dataset).from_frames(frames, 'springs upside down')

    process = instantiate(mace)
    process.setup()
    process.ctx.labelling = labelled(process, change=unstable)
    assert process.run_force_constants() is None
    process.results()
    assert process.outputs['summary']['imaginary'] is True
    messages = [entry.message for entry in orm.Log.collection.get_logs_for(process.node)]
    assert any('WARNING: imaginary modes' in message for message in messages)


def test_a_soft_border_of_the_zone_is_said(mace, monkeypatch):
    """Also where the mesh passes it by."""
    constants = dimerising_force_constants().store()
    made = SimpleNamespace(is_finished_ok=True)
    monkeypatch.setattr(
        phonons, 'make_force_constants',
        SimpleNamespace(run_get_node=lambda *_, **__: (constants, made)),
    )  # fmt: skip
    mace.parameters = orm.Dict({**PARAMETERS, 'mesh': [4, 1, 1]})
    process = instantiate(mace)
    process.setup()
    process.ctx.labelling = labelled(process)
    assert process.run_force_constants() is None
    process.results()
    assert process.outputs['summary']['imaginary'] is True
    messages = [entry.message for entry in orm.Log.collection.get_logs_for(process.node)]
    assert any(
        'WARNING: imaginary modes, 0 % of those on the mesh' in message
        and '-103.9 1/cm at q = (0.5 0 0) with a weight of 25 %' in message
        for message in messages
    )


def test_a_labeller_that_failed_is_passed_on(mace):
    process = instantiate(mace)
    process.setup()
    process.ctx.labelling = labelled(process, status=401)
    code = process.inspect_labeller()
    assert code.status == 401
    assert 'it failed' in code.message


def test_a_missing_frame_is_an_exit_code(mace):
    def without_one(dataset):
        return type(dataset).from_frames(dataset.get_frames()[:-1], 'springs')

    process = instantiate(mace)
    process.setup()
    process.ctx.labelling = labelled(process, change=without_one)
    code = process.run_force_constants()
    assert code.status == 402
    assert '1 of 9 displaced supercells have no forces' in code.message


@pytest.mark.pw
@pytest.mark.slow
def test_phonons_of_a_tiny_crystal_with_pw(pw_code, pseudo_family):
    """Rock salt LiH is cheap, has two atoms, and only one distinct optical frequency."""
    from aiida.engine import run_get_node
    from ase.build import bulk

    structure = orm.StructureData(ase=bulk('LiH', 'rocksalt', a=4.0))
    overrides = {
        'reference': {
            'pseudo_family': pseudo_family.label, 'kpoints_distance': 1.2, 'max_concurrent': 1,
            'cutoffs': {'ecutwfc': 30.0, 'ecutrho': 120.0},
        }
    }  # fmt: skip
    builder = PwPhononsWorkChain.get_builder_from_protocol(pw_code, structure, 'fast', overrides)
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    frequencies = outputs['modes'].get_array('frequencies')
    assert np.abs(frequencies[:3]).max() < 1.0
    assert frequencies[3:] == pytest.approx(np.full(3, frequencies[3]), rel=0.01)
    assert 300 < frequencies[3] < 1200
    assert outputs['summary']['n_displacements'] == 2


def test_parameters_of_the_tests_are_whole(mace):
    assert set(mace.parameters.get_dict()) == set(PARAMETERS)
    assert brucite_cell().get_chemical_formula() == 'H2MgO2'


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_modes_are_checked_on_the_mesh_of_the_spectrum(engine, model, protocol):
    modes = MacePhononsWorkChain.get_builder_from_protocol(
        engine, spring_structure(), model, protocol
    )
    spectrum = InsWorkChain.get_builder_from_protocol(
        engine, protocol=protocol, structure=spring_structure()
    )
    for name in ('mesh', 'gamma_centred', 'imaginary_tolerance'):
        assert modes.parameters[name] == spectrum.ins.parameters[name]
