"""Labelling by pw.x: what is refused, how frames are divided, what failures lead to."""

import re

import numpy as np
import pw_mocks
import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.engine import ProcessState, run_get_node
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain
from ase.build import bulk

from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3
from aiida_mlip_ins.workflows.reference import (
    ReferenceLaneWorkChain,
    ReferenceWorkChain,
    unusable,
)

pytestmark = pytest.mark.usefixtures('aiida_profile')
FAMILY = {'pseudo_family': 'fake/family'}


def frames_of(atoms, count=5):
    made = []
    for index in range(count):
        frame = atoms * (2, 1, 1) if index == 0 else atoms.copy()
        frame.info = {'source': 'supercell' if index == 0 else 'rattle', 'split': 'train'}
        frame.rattle(0.01, seed=index)
        made.append(frame)
    return FramesData.from_frames(made)


@pytest.fixture
def builder(brucite):
    pw_mocks.family()
    return ReferenceWorkChain.get_builder_from_protocol(
        pw_mocks.code(), frames_of(brucite), 'fast', FAMILY
    )


def lanes_end(process, failing=(), **options):
    """Let the lanes end, the failing frames without outputs."""

    def end(key):
        if key in failing:
            return 310
        return pw_mocks.pw_outputs(process.ctx.structures[key].get_ase(), prefix='output_')

    for index, share in enumerate(process.ctx.shares):
        process.ctx[f'lane_{index}'] = pw_mocks.finished(
            ReferenceLaneWorkChain, called={key: end(key) for key in share}, **options
        )


def test_builder_has_the_numbers_of_the_protocol(builder):
    parameters = builder.base.pw.parameters.get_dict()
    assert parameters['CONTROL']['calculation'] == 'scf'
    assert parameters['CONTROL']['tprnfor'] is True
    assert parameters['SYSTEM'] == {
        'ecutwfc': 90.0, 'ecutrho': 720.0, 'occupations': 'fixed', 'vdw_corr': 'dft-d3',
        'dftd3_version': 4, 'dftd3_threebody': False,
    }  # fmt: skip
    assert sorted(builder.base.pw.pseudos) == ['H', 'Mg', 'O']
    options = builder.base.pw.metadata['options']
    assert options['withmpi'] is False
    assert options['resources'] == {'num_machines': 1, 'num_mpiprocs_per_machine': 1}
    assert builder.method.value == ('pw.x 90/720 Ry, fake/family, D3(BJ), k-points 0.9 1/angstrom')


def test_overrides_and_options(brucite):
    pw_mocks.family()
    overrides = {
        **FAMILY,
        'max_concurrent': 7,
        'cutoffs': {'ecutwfc': None, 'ecutrho': 400.0},
        'parameters_pw': {'SYSTEM': {'vdw_corr': 'none', 'nbnd': 9}},
    }
    options = {'resources': {'num_machines': 1, 'tot_num_mpiprocs': 4}, 'withmpi': True}
    builder = ReferenceWorkChain.get_builder_from_protocol(
        pw_mocks.code(with_mpi=None), frames_of(brucite), 'balanced', overrides, options
    )
    system = builder.base.pw.parameters['SYSTEM']
    assert (system['ecutwfc'], system['ecutrho'], system['nbnd']) == (84.0, 400.0, 9)
    assert builder.max_concurrent.value == 7
    assert options.items() <= builder.base.pw.metadata['options'].items()


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ({}, (84.0, 672.0)),
        ({'dual': 2.0}, (84.0, 336.0)),
        ({'ecutwfc': 60.0}, (60.0, 480.0)),
        ({'ecutrho': 300.0}, (84.0, 300.0)),
    ],
)
def test_the_density_has_the_dual_or_what_the_family_wants_if_that_is_more(
    brucite, given, expected
):
    pw_mocks.family()
    builder = ReferenceWorkChain.get_builder_from_protocol(
        pw_mocks.code(), frames_of(brucite), 'balanced', {**FAMILY, 'cutoffs': given}
    )
    system = builder.base.pw.parameters['SYSTEM']
    assert (system['ecutwfc'], system['ecutrho']) == expected


def test_a_family_without_cutoffs_will_do_where_one_is_given(brucite):
    pw_mocks.family('fake/none', cutoffs=False)
    builder = ReferenceWorkChain.get_builder_from_protocol(
        pw_mocks.code(), frames_of(brucite), 'fast', {'pseudo_family': 'fake/none'}
    )
    system = builder.base.pw.parameters['SYSTEM']
    assert (system['ecutwfc'], system['ecutrho']) == (90.0, 720.0)


def test_structure_in_place_of_frames(brucite_structure):
    pw_mocks.family()
    builder = ReferenceWorkChain.get_builder_from_protocol(
        pw_mocks.code(), overrides=FAMILY, structure=brucite_structure
    )
    assert sorted(builder.base.pw.pseudos) == ['H', 'Mg', 'O']
    assert builder.frames is None


def test_everything_wrong_is_said_at_once(brucite):
    pw_mocks.family()
    brucite.symbols[0] = 'Ca'
    brucite.positions[4] = brucite.positions[3] + [0.0, 0.0, 0.2]
    wrong, right = pw_mocks.code('mlip_ins.mace_train'), pw_mocks.code()
    with pytest.raises(ValueError, match='code:') as caught:
        ReferenceWorkChain.get_builder_from_protocol(wrong, frames_of(brucite, 1), 'fast', FAMILY)
    message = str(caught.value)
    assert "plugin 'mlip_ins.mace_train'" in message
    assert right.full_label in message
    assert 'atoms overlap' in message
    assert 'no pseudopotential for Ca; it has H, Li, Mg, O' in message


def test_an_odd_number_of_electrons(brucite):
    pw_mocks.family()
    del brucite[[each.symbol for each in brucite].index('H')]
    crystal = orm.StructureData(ase=brucite)
    given = {'structure': crystal, 'overrides': FAMILY}
    with pytest.raises(ValueError, match='its 29 electrons are an odd number'):
        ReferenceWorkChain.get_builder_from_protocol(pw_mocks.code(), **given)
    given['overrides'] = {**FAMILY, 'parameters_pw': {'SYSTEM': {'nspin': 2}}}
    assert ReferenceWorkChain.get_builder_from_protocol(pw_mocks.code(), **given).base


@pytest.mark.parametrize(
    ('code', 'overrides', 'protocol', 'words'),
    [
        ('absent@nowhere', FAMILY, 'fast', "'absent@nowhere' cannot be loaded"),
        (None, {'pseudo_family': 'fake/famly'}, 'fast', "did you mean 'fake/family'"),
        (None, FAMILY, 'quick', "unknown protocol 'quick'"),
        (None, {'kpoint_distance': 1.0}, 'fast', "did you mean 'kpoints_distance'"),
        (None, {'pseudo_family': 'fake/none'}, 'balanced', 'recommends no cutoffs'),
    ],
)
def test_refusals(brucite, code, overrides, protocol, words):
    pw_mocks.family()
    pw_mocks.family('fake/none', cutoffs=False)
    code = code or pw_mocks.code()
    with pytest.raises(ValueError, match=re.escape(words)):
        ReferenceWorkChain.get_builder_from_protocol(code, frames_of(brucite), protocol, overrides)


def test_program_that_is_not_there(brucite):
    pw_mocks.family()
    gone = pw_mocks.code(filepath_executable='/nowhere/pw.x')
    with pytest.raises(ValueError, match='has no program'):
        ReferenceWorkChain.get_builder_from_protocol(gone, frames_of(brucite), 'fast', FAMILY)


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('max_concurrent', 0, 'must be above 0'),
        ('kpoints_distance', -1.0, 'must be above 0'),
        ('allowed_failure_fraction', 1.1, 'not between 0 and 1'),
    ],
)
def test_numbers_out_of_range(builder, name, value, words):
    inputs = {**builder._inputs(prune=True), name: orm.to_aiida_type(value)}
    with pytest.raises(ValueError, match=words):
        pw_mocks.instantiate(ReferenceWorkChain, **inputs)


def test_inputs_that_cannot_give_labels(builder):
    inputs = builder._inputs(prune=True)
    inputs['base']['pw']['pseudos'].pop('Mg')
    inputs['base']['pw']['parameters'] = orm.Dict({'CONTROL': {'calculation': 'relax'}})
    with pytest.raises(ValueError, match='pseudos: none for Mg') as caught:
        pw_mocks.instantiate(ReferenceWorkChain, **inputs)
    assert "must be 'scf'" in str(caught.value)
    assert 'tprnfor' in str(caught.value)


def test_supercells_that_fold_no_kpoints(brucite):
    pw_mocks.family()
    frame = brucite * (2, 1, 1)
    frame.info = {'source': 'supercell', 'matrix': '2 0 0 0 1 0 0 0 1'}
    frames = FramesData.from_frames([frame])
    with pytest.raises(ValueError, match='k-mesh 3x3x2 does not fold'):
        ReferenceWorkChain.get_builder_from_protocol(pw_mocks.code(), frames, 'fast', FAMILY)
    denser = {**FAMILY, 'kpoints_distance': 0.7}
    builder = ReferenceWorkChain.get_builder_from_protocol(pw_mocks.code(), frames, 'fast', denser)
    inputs = {**builder._inputs(prune=True), 'kpoints_distance': orm.Float(0.9)}
    with pytest.raises(ValueError, match='does not fold'):
        pw_mocks.instantiate(ReferenceWorkChain, **inputs)


def test_frames_are_divided_by_cost(builder):
    process = pw_mocks.instantiate(builder)
    process.setup()
    assert process.ctx.shares == [
        ['frame_0000'],
        ['frame_0001', 'frame_0002', 'frame_0003', 'frame_0004'],
    ]
    assert process.ctx.kpoints['frame_0000'].get_kpoints_mesh()[0] == [2, 3, 2]
    assert process.ctx.kpoints['frame_0001'].pk == process.ctx.kpoints['frame_0004'].pk


def test_lanes_get_their_share(builder):
    process = pw_mocks.instantiate(builder)
    submitted = pw_mocks.Submissions(process)
    process.setup()
    process.run_lanes()
    assert [cls for cls, _ in submitted.calls] == [ReferenceLaneWorkChain] * 2
    inputs = submitted.calls[1][1]
    assert inputs['tasks'].get_list() == process.ctx.shares[1]
    assert sorted(inputs['structures']) == process.ctx.shares[1]
    assert inputs['metadata']['call_link_label'] == 'lane_1'


def test_one_lane_for_one_at_a_time(builder):
    builder.max_concurrent = orm.Int(1)
    process = pw_mocks.instantiate(builder)
    process.setup()
    (share,) = process.ctx.shares
    assert sorted(share) == [f'frame_{i:04d}' for i in range(5)]


def test_all_frames_labelled(builder):
    process = pw_mocks.instantiate(builder)
    process.setup()
    lanes_end(process)
    process.inspect_lanes()
    assert process.results() is None
    dataset = process.outputs['dataset']
    assert dataset.n_frames == 5
    assert dataset.method == builder.method.value
    assert [frame.info['index'] for frame in dataset.get_frames()] == list(range(5))
    assert dataset.get_frames()[0].info['source'] == 'supercell'


def test_a_failed_frame_is_left_out(builder):
    builder.allowed_failure_fraction = orm.Float(0.2)
    process = pw_mocks.instantiate(builder)
    process.setup()
    lanes_end(process, failing=['frame_0002'])
    process.inspect_lanes()
    assert process.results() is None
    indices = [frame.info['index'] for frame in process.outputs['dataset'].get_frames()]
    assert indices == [0, 1, 3, 4]
    assert 'it failed' in process.ctx.failures['frame_0002']


def test_too_many_failures_keep_the_others(builder):
    process = pw_mocks.instantiate(builder)
    process.setup()
    lanes_end(process, failing=['frame_0002', 'frame_0004'])
    process.inspect_lanes()
    code = process.results()
    assert code.status == 401
    assert code.message.startswith('2 of 5 frames failed')
    assert 'frame_0002 (PwBaseWorkChain' in code.message
    assert process.outputs['dataset'].n_frames == 3


def test_no_frame_at_all(builder):
    builder.allowed_failure_fraction = orm.Float(1.0)
    process = pw_mocks.instantiate(builder)
    process.setup()
    lanes_end(process, failing=process.ctx.frame_keys)
    process.inspect_lanes()
    assert process.results().status == 401
    assert 'dataset' not in process.outputs


def test_a_broken_lane_keeps_what_was_done(builder):
    process = pw_mocks.instantiate(builder)
    process.setup()
    lanes_end(process, failing=['frame_0003'], state=ProcessState.EXCEPTED)
    process.inspect_lanes()
    assert process.results().status == 402
    assert process.outputs['dataset'].n_frames == 4


@pytest.fixture
def lane(builder):
    process = pw_mocks.instantiate(builder)
    submitted = pw_mocks.Submissions(process)
    process.setup()
    process.run_lanes()
    inputs = submitted.calls[1][1]
    made = pw_mocks.instantiate(ReferenceLaneWorkChain, **inputs)
    made.setup()
    return made


def end_of(atoms, status=0):
    outputs = pw_mocks.pw_outputs(atoms, prefix='output_') if status == 0 else {}
    return pw_mocks.finished(PwBaseWorkChain, outputs, status)


def test_lane_runs_its_tasks_in_turn(lane, brucite):
    submitted = pw_mocks.Submissions(lane)
    order = []
    while lane.has_task():
        order.append(lane.task)
        lane.run_task()
        lane.ctx.child = end_of(brucite)
        lane.inspect_task()
    assert order == lane.inputs.tasks.get_list()
    inputs = submitted.calls[2][1]
    assert inputs['pw']['structure'].pk == lane.inputs.structures[order[2]].pk
    assert inputs['kpoints'].get_kpoints_mesh()[0] == [3, 3, 2]
    assert inputs['metadata'] == {'call_link_label': order[2]}


def test_lane_goes_on_after_a_failure(lane, brucite):
    pw_mocks.Submissions(lane)
    lane.ctx.child = end_of(brucite, status=310)
    failed = lane.task
    lane.inspect_task()
    assert lane.task != failed
    assert lane.has_task()


def test_pseudos_of_other_elements_stay_out(brucite):
    pw_mocks.family()
    lithium = bulk('LiH', 'rocksalt', a=4.0)
    lithium.info = {'source': 'other'}
    brucite.info = {'source': 'brucite'}
    both = FramesData.from_frames([brucite, lithium])
    builder = ReferenceWorkChain.get_builder_from_protocol(
        pw_mocks.code(), both, 'fast', {**FAMILY, 'max_concurrent': 1}
    )
    process = pw_mocks.instantiate(builder)
    submitted = pw_mocks.Submissions(process)
    process.setup()
    process.run_lanes()
    lane = pw_mocks.instantiate(ReferenceLaneWorkChain, **submitted.calls[0][1])
    submitted = pw_mocks.Submissions(lane)
    lane.setup()
    while lane.has_task():
        lane.run_task()
        lane.next_task()
    used = {frozenset(inputs['pw']['pseudos']) for _, inputs in submitted.calls}
    assert used == {frozenset(['H', 'Mg', 'O']), frozenset(['H', 'Li'])}


def test_outputs_without_use(brucite):
    assert unusable(end_of(brucite), 5) is None
    assert 'it failed' in unusable(end_of(brucite, status=310), 5)
    assert 'three numbers per atom' in unusable(end_of(brucite), 4)
    assert 'has no' in unusable(pw_mocks.finished(PwBaseWorkChain), 5)
    outputs = pw_mocks.pw_outputs(brucite, energy=1e9, prefix='output_')
    assert 'absurd' in unusable(pw_mocks.finished(PwBaseWorkChain, outputs), 5)


def strained_lih():
    """Return compressed LiH, and it strained and moved both ways, and the strain."""
    start = bulk('LiH', 'rocksalt', a=3.9)
    start.positions[1] += [0.05, 0.02, -0.03]
    step = 0.005
    strains = [np.zeros((3, 3))]
    for i, j in ((0, 0), (0, 1)):
        for sign in (-1, 1):
            strain = np.zeros((3, 3))
            strain[i, j] = strain[j, i] = sign * step / (1 if i == j else 2)
            strains.append(strain)
    frames = []
    for strain in strains:
        frame = start.copy()
        frame.set_cell(start.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        frame.info = {'source': 'strain'}
        frames.append(frame)
    moved = start.copy()
    frames += [moved, moved.copy()]
    for frame, sign in zip(frames[-2:], (-1, 1), strict=True):
        frame.positions[1, 0] += 0.01 * sign
        frame.info = {'source': 'move'}
    return frames, step


@pytest.mark.pw
@pytest.mark.slow
def test_stress_and_forces_are_derivatives_of_the_energy(pw_code, pseudo_family):
    """Real runs: sign and unit proved by differences of the energy, and the provenance."""
    frames, step = strained_lih()
    overrides = {
        'pseudo_family': pseudo_family.label,
        'kpoints_distance': 1.5,
        'parameters_pw': {'ELECTRONS': {'conv_thr': 1e-11}},
    }
    builder = ReferenceWorkChain.get_builder_from_protocol(
        pw_code, FramesData.from_frames(frames), 'fast', overrides
    )
    results, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    labelled = results['dataset'].get_frames()
    energy = [frame.info['REF_energy'] for frame in labelled]
    stress = labelled[0].info['REF_stress']
    volume = labelled[0].get_volume()
    xx = (energy[2] - energy[1]) / (2 * step) / volume
    xy = (energy[4] - energy[3]) / (2 * step) / volume
    # Compressed: the crystal pushes outwards, so tension positive makes the stress negative.
    assert stress[0] * GPA_PER_EV_PER_ANGSTROM3 < -1.0
    assert stress[0] == pytest.approx(xx, rel=0.01)
    assert stress[5] == pytest.approx(xy, rel=0.02)
    force = -(energy[6] - energy[5]) / 0.02
    assert labelled[0].arrays['REF_forces'][1, 0] == pytest.approx(force, rel=0.01)

    upf = {pseudo.uuid for pseudo in builder.base.pw.pseudos.values()}
    ancestors = orm.QueryBuilder()
    ancestors.append(orm.Node, filters={'uuid': results['dataset'].uuid}, tag='dataset')
    ancestors.append(orm.CalcJobNode, with_descendants='dataset', tag='pw')
    assert ancestors.distinct().count() == len(frames)
    ancestors.append(
        orm.Data, with_outgoing='pw', edge_filters={'type': LinkType.INPUT_CALC.value},
        filters={'uuid': {'in': list(upf)}}, project='uuid',
    )  # fmt: skip
    assert set(ancestors.distinct().all(flat=True)) == upf
