"""Relaxation by pw.x at pressures: refusals, repetition, and what is kept of failures."""

import pw_mocks
import pytest
from aiida import orm
from aiida.engine import ProcessState, run_get_node
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain
from ase.build import bulk

from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.workflows.pw_pressure_lane import FINAL_SCF, PwPressureLaneWorkChain
from aiida_mlip_ins.workflows.pw_pressure_scan import PwPressureScanWorkChain

pytestmark = pytest.mark.usefixtures('aiida_profile')
FAMILY = {'pseudo_family': 'fake/family'}
NAMES = ('parameters', 'trajectory', 'structure')


@pytest.fixture
def builder(brucite_structure):
    pw_mocks.family()
    return PwPressureScanWorkChain.get_builder_from_protocol(
        pw_mocks.code(), brucite_structure, [0, 1.5, 3.0], 'fast', FAMILY
    )


def scaled(atoms, factor):
    new = atoms.copy()
    new.set_cell(atoms.cell * factor ** (1 / 3), scale_atoms=True)
    return new


def test_builder_has_the_numbers_of_the_protocol(builder):
    parameters = builder.base.pw.parameters.get_dict()
    assert parameters['CONTROL']['calculation'] == 'vc-relax'
    assert parameters['SYSTEM']['ecutwfc'] == 90.0
    assert 'press' not in parameters['CELL']
    assert builder.pressures.get_list() == [0.0, 1.5, 3.0]
    assert builder.volume_tolerance.value == 2e-3


def test_dft_is_that_of_the_reference(builder, brucite_structure):
    from aiida_mlip_ins.workflows.reference import ReferenceWorkChain

    reference = ReferenceWorkChain.get_builder_from_protocol(
        pw_mocks.code(), structure=brucite_structure, protocol='fast', overrides=FAMILY
    )
    ours, theirs = (b.base.pw.parameters.get_dict() for b in (builder, reference))
    assert ours['SYSTEM'] == theirs['SYSTEM']
    assert ours['ELECTRONS'] == theirs['ELECTRONS']
    assert builder.kpoints_distance.value == reference.kpoints_distance.value


def test_everything_wrong_is_said_at_once(brucite):
    pw_mocks.family()
    brucite.positions[4] = brucite.positions[3] + [0.0, 0.0, 0.2]
    brucite.symbols[0] = 'Ca'
    with pytest.raises(ValueError, match='cannot be loaded') as caught:
        PwPressureScanWorkChain.get_builder_from_protocol(
            'absent', to_structure(brucite), [1.5, -1.0, 1.5], 'fast', FAMILY
        )
    message = str(caught.value)
    for words in ('overlap', 'negative', 'more than once', 'ascending', 'pseudopotential for Ca'):
        assert words in message


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('pressures', [1.0, 0.0], 'ascending'),
        ('pressures', [], 'at least one'),
        ('max_concurrent', 0, 'above 0'),
        ('volume_tolerance', 0.0, 'above 0'),
    ],
)
def test_ports_refuse(builder, name, value, words):
    inputs = {**builder._inputs(prune=True), name: orm.to_aiida_type(value)}
    with pytest.raises(ValueError, match=words):
        pw_mocks.instantiate(PwPressureScanWorkChain, **inputs)


def test_inputs_that_contradict(builder):
    inputs = builder._inputs(prune=True)
    inputs['base']['pw']['pseudos'].pop('O')
    inputs['base']['pw']['parameters'] = orm.Dict(
        {'CONTROL': {'calculation': 'scf'}, 'CELL': {'press': 1.0}}
    )
    with pytest.raises(ValueError, match='pseudos: none for O') as caught:
        pw_mocks.instantiate(PwPressureScanWorkChain, **inputs)
    assert "must be 'vc-relax'" in str(caught.value)
    assert 'CELL.press is set from the pressures' in str(caught.value)


def test_pressures_are_dealt_to_the_lanes(builder):
    process = pw_mocks.instantiate(builder)
    submitted = pw_mocks.Submissions(process)
    process.setup()
    process.run_lanes()
    first, second = (inputs for _, inputs in submitted.calls)
    assert first['pressures'].get_dict() == {'pressure_0': 0.0, 'pressure_2': 3.0}
    assert second['pressures'].get_dict() == {'pressure_1': 1.5}
    assert first['kpoints'].get_kpoints_mesh()[0] == [3, 3, 2]
    assert first['kpoints'].pk == second['kpoints'].pk


@pytest.fixture
def lane(builder):
    process = pw_mocks.instantiate(builder)
    submitted = pw_mocks.Submissions(process)
    process.setup()
    process.run_lanes()
    made = pw_mocks.instantiate(PwPressureLaneWorkChain, **submitted.calls[0][1])
    made.setup()
    return made


def run_of(lane, atoms, status=0):
    """Let the lane's next run end with the atoms relaxed to; return its inputs."""
    submitted = pw_mocks.Submissions(lane)
    lane.run_task()
    outputs = pw_mocks.pw_outputs(atoms, prefix='output_')
    failed = status not in (0, FINAL_SCF.status)
    lane.ctx.child = pw_mocks.finished(PwBaseWorkChain, {} if failed else outputs, status)
    lane.inspect_task()
    return submitted.calls[0][1]


def test_a_pressure_is_repeated_until_the_volume_stays(lane, brucite):
    inputs = run_of(lane, scaled(brucite, 0.97), FINAL_SCF.status)
    assert inputs['pw']['parameters']['CELL']['press'] == 0.0
    assert inputs['metadata'] == {'call_link_label': 'pressure_0_0'}
    assert lane.task == 'pressure_0'
    again = run_of(lane, scaled(brucite, 0.9701))
    assert again['pw']['structure'].get_cell_volume() == pytest.approx(0.97 * brucite.get_volume())
    assert again['metadata'] == {'call_link_label': 'pressure_0_1'}
    assert lane.task == 'pressure_2'
    next_one = run_of(lane, scaled(brucite, 0.9))
    assert next_one['pw']['parameters']['CELL']['press'] == pytest.approx(30.0)
    assert next_one['pw']['structure'].uuid == lane.inputs.structure.uuid
    assert sorted(lane.outputs['structure']) == ['pressure_0_0', 'pressure_0_1', 'pressure_2_0']


def test_repetition_is_bounded(lane, brucite):
    for repeat in range(lane.inputs.max_repeats.value):
        assert lane.task == 'pressure_0'
        run_of(lane, scaled(brucite, 0.97 - 0.03 * repeat))
    assert lane.task == 'pressure_2'


def test_lane_goes_on_after_a_failure(lane, brucite):
    run_of(lane, brucite, status=310)
    assert lane.task == 'pressure_2'
    assert 'structure' not in lane.outputs
    assert (lane.ctx.repeat, lane.ctx.structure.uuid) == (0, lane.inputs.structure.uuid)


def lanes_end(process, brucite, factors, failing=(), **options):
    """Let the lanes end: per pressure the volumes that its relaxations led to."""
    for index, share in enumerate(process.ctx.shares):
        outputs, called = {}, {}
        for key in share:
            number = int(key.removeprefix('pressure_'))
            for repeat, factor in enumerate(factors[number]):
                made = pw_mocks.pw_outputs(scaled(brucite, factor))
                outputs |= {f'{name}.{key}_{repeat}': made[name] for name in NAMES}
            if number in failing:
                called[f'{key}_{len(factors[number])}'] = 310
        process.ctx[f'lane_{index}'] = pw_mocks.finished(
            PwPressureLaneWorkChain, outputs, called=called, **options
        )


def results_of(builder, *arguments, **options):
    process = pw_mocks.instantiate(builder)
    process.setup()
    lanes_end(process, *arguments, **options)
    process.inspect_lanes()
    return process, process.results()


def test_all_pressures(builder, brucite):
    process, code = results_of(builder, brucite, [[1.0], [0.97, 0.9701], [0.95, 0.9501]])
    assert code is None
    assert sorted(process.outputs['structures']) == ['pressure_0', 'pressure_1', 'pressure_2']
    rows = process.outputs['results']['pressures']
    assert [row['pressure_gpa'] for row in rows] == [0.0, 1.5, 3.0]
    assert [row['repeats'] for row in rows] == [1, 2, 2]
    assert all(row['converged'] for row in rows)
    volume = process.outputs['structures']['pressure_1'].get_cell_volume()
    assert volume == pytest.approx(rows[1]['volume_angstrom3'])


@pytest.mark.parametrize('done', [[], [0.97]])
def test_a_failed_pressure_keeps_the_others(builder, brucite, done):
    process, code = results_of(builder, brucite, [[1.0], done, [0.95, 0.9501]], failing=[1])
    assert code.status == 401
    assert '1.5 GPa' in code.message
    assert 'it failed' in code.message
    assert {'pressure_0', 'pressure_2'} <= set(process.outputs['structures'])


def test_a_volume_that_still_changes(builder, brucite):
    process, code = results_of(builder, brucite, [[1.0], [0.97, 0.96], [0.95, 0.9501]])
    assert code.status == 403
    assert '1.5 GPa' in code.message
    assert sorted(process.outputs['structures']) == ['pressure_0', 'pressure_1', 'pressure_2']


def test_a_broken_lane_keeps_what_was_done(builder, brucite):
    process, code = results_of(builder, brucite, [[1.0], [1.0], []], state=ProcessState.EXCEPTED)
    assert code.status == 402
    assert sorted(process.outputs['structures']) == ['pressure_0', 'pressure_1']


def test_nothing_at_all(builder, brucite):
    process, code = results_of(builder, brucite, [[], [], []], failing=[0, 1, 2])
    assert code.status == 401
    assert '0, 1.5, 3 GPa' in code.message
    assert 'results' not in process.outputs


@pytest.mark.pw
@pytest.mark.slow
def test_real_relaxation_reaches_its_pressure(pw_code, pseudo_family):
    overrides = {
        'pseudo_family': pseudo_family.label,
        'kpoints_distance': 1.5,
        'volume_tolerance': 5e-3,
    }
    structure = to_structure(bulk('LiH', 'rocksalt', a=3.7))
    builder = PwPressureScanWorkChain.get_builder_from_protocol(
        pw_code, structure, [10.0], 'fast', overrides
    )
    results, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    (row,) = results['results']['pressures']
    assert row['spacegroup'] == 'Fm-3m (225)'
    assert row['stress_residual_gpa'] < 0.5
    assert row['volume_angstrom3'] == pytest.approx(
        results['structures']['pressure_0'].get_cell_volume()
    )
