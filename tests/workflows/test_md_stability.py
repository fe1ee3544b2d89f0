"""The stability test: builder, refusals, each step, and real runs, good and bad."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import ProcessState, run, run_get_node
from ase.build import make_supercell
from mace_nodes import FIXTURES, toy_model, toy_structure
from pw_mocks import Submissions, code, finished, instantiate

from aiida_mlip_ins.calculations.functions.md import collect_verdicts, judge_trajectory, supercell
from aiida_mlip_ins.calculations.mace_inspect import MaceInspectCalculation
from aiida_mlip_ins.calculations.mace_md import MaceMdCalculation
from aiida_mlip_ins.data.structure import to_atoms
from aiida_mlip_ins.data.trajectory import from_node, to_node
from aiida_mlip_ins.science.trajectory import Trajectory
from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain
from aiida_mlip_ins.workflows.protocols import PROTOCOLS, load_protocol

pytestmark = pytest.mark.usefixtures('aiida_profile')

KEYS = ('pressure_0_temperature_0', 'pressure_1_temperature_0')
SHORT = {
    'md': {
        'parameters': {
            'duration_ps': 0.02,
            'settle_ps': 0.0,
            'timestep_fs': 1.0,
            'record_every': 2,
        }
    },
    'criteria': {'equilibration_ps': 0.0},
}


def builder(pressures: Sequence[float] = (8.0, 10.0), **keywords: Any) -> Any:
    return MdStabilityWorkChain.get_builder_from_protocol(
        keywords.pop('code', None) or code(plugin='mlip_ins.mace_train'),
        [toy_structure() for _ in pressures],
        keywords.pop('model', None) or toy_model(),
        list(pressures),
        keywords.pop('temperatures', [300.0]),
        **{'supercell_matrix': [2, 2, 2], 'overrides': SHORT, **keywords},
    )


def frames(structure: orm.StructureData, first: int, last: int) -> orm.TrajectoryData:
    """Return frames of a crystal at rest, every second step of 1 fs."""
    atoms = to_atoms(structure)
    steps = np.arange(first, last + 1, 2)
    shape = (len(steps), len(atoms), 3)
    return to_node(
        Trajectory(
            symbols=atoms.get_chemical_symbols(),
            steps=steps,
            times=steps / 1000,
            positions=np.broadcast_to(atoms.positions, shape).copy(),
            velocities=np.zeros(shape),
            cells=np.repeat(atoms.cell.array[None], len(steps), axis=0),
            potential_energy=np.zeros(len(steps)),
            conserved_energy=np.zeros(len(steps)),
            pressure=np.zeros(len(steps)),
        )
    )


def ended(
    process: Any, key: str, status: int, first: int = 0, last: int = 20, **more: Any
) -> orm.WorkChainNode:
    """Return a job of a run that ended, with frames from one step to another."""
    outputs: dict[str, Any] = {}
    if last > first:
        outputs['trajectory'] = frames(process.ctx.supercells[key[:10]], first, last)
        outputs['checkpoint'] = orm.SinglefileData.from_string(str(last))
    if 'kind' in more:
        message = {'kind': more['kind'], 'message': 'it was seen to'}
        outputs['results'] = orm.Dict({'ended': message})
    return finished(
        MaceMdCalculation, outputs, status, state=more.get('state', ProcessState.FINISHED)
    )


def started(**keywords: Any) -> tuple[Any, Submissions]:
    process = instantiate(builder(**keywords))
    submissions = Submissions(process)
    process.setup()
    return process, submissions


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_is_accepted(protocol: str) -> None:
    process = instantiate(
        builder(protocol=protocol, overrides=None, supercell_matrix=None, temperatures=[10, 300.0])
    )
    least = load_protocol('md', protocol)['supercell_min_length']
    multiples = process.inputs.supercell_matrix.get_list()
    assert multiples == [int(np.ceil(least / 2.95))] * 3
    assert process.inputs.temperatures.get_list() == [10.0, 300.0]


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(ValueError, match='code') as error:
        MdStabilityWorkChain.get_builder_from_protocol(
            code(),
            [toy_structure()],
            toy_model(),
            [1.5, 0.0],
            [300.0, 0.0],
            [2, 2, 0],
            overrides={
                'md': {'parameters': {'ensemble': 'nve'}},
                'criteria': {'break_factor': 0.5},
                'max_concurrent': 0,
            },
        )
    message = str(error.value)
    for part in (
        'quantumespresso.pw',
        'ascending',
        'structures: 1 for 2 pressures',
        'temperatures: [0.0] K',
        'determinant is 0',
        "md.parameters.ensemble: 'nve'",
        'criteria.break_factor: 0.5',
        'max_concurrent: expected a whole number of at least 1, got 0',
    ):
        assert part in message


def test_inputs_that_do_not_fit_are_refused_without_the_builder_too() -> None:
    made = builder()
    del made.structures['pressure_1']
    made.criteria = orm.Dict({**made.criteria.get_dict(), 'equilibration_ps': 1.0})
    with pytest.raises(ValueError, match='pressures need pressure_0, pressure_1') as error:
        instantiate(made)
    assert 'nothing is left to judge' in str(error.value)


def test_supercell() -> None:
    found = supercell(toy_structure(), orm.List([[2, 0, 0], [0, 1, 0], [1, 0, 1]]))
    assert len(found.sites) == 4
    expected = make_supercell(to_atoms(toy_structure()), [[2, 0, 0], [0, 1, 0], [1, 0, 1]])
    np.testing.assert_allclose(to_atoms(found).positions, expected.positions)


def test_one_after_another_where_there_is_room_for_one() -> None:
    process, submissions = started(overrides={**SHORT, 'max_concurrent': 1})
    process.run_md()
    assert len(submissions.calls) == 1
    _, inputs = submissions.calls[0]
    assert inputs['metadata']['call_link_label'] == f'md_{KEYS[0]}'
    assert inputs['temperature'].value == 300.0
    assert inputs['pressure'].value == 8.0
    assert 'checkpoint' not in inputs
    process.ctx[KEYS[0]] = ended(process, KEYS[0], 0)
    process.inspect_md()
    assert process.has_runs()
    process.run_md()
    assert submissions.calls[1][1]['pressure'].value == 10.0


def test_a_run_goes_on_from_its_checkpoint() -> None:
    """Out of time, then killed, then done: three jobs, one trajectory."""
    process, submissions = started(pressures=[8.0])
    key = KEYS[0]
    for number, (status, first, last) in enumerate([(400, 0, 8), (301, 10, 14), (0, 16, 20)]):
        assert process.has_runs()
        process.run_md()
        _, inputs = submissions.calls[-1]
        label = f'md_{key}' if number == 0 else f'md_{key}_part_{number}'
        assert inputs['metadata']['call_link_label'] == label
        before = inputs['checkpoint'].get_content() if number else None
        assert before == (None, '8', '14')[number]
        process.ctx[key] = ended(process, key, status, first, last)
        process.inspect_md()
    assert not process.has_runs()
    process.judge()
    assert process.results() is None
    found = process.outputs['trajectories'][key]
    assert found.get_stepids().tolist() == list(range(0, 21, 2))
    assert found.creator.process_label == 'judge_trajectory'
    # atoms at rest are too cold
    assert process.outputs['verdict']['verdict'] == 'unstable'
    assert 'the temperature is 0 +- 0 K' in process.outputs['verdict']['reasons'][0]


def test_restarts_are_bounded() -> None:
    process, _ = started(pressures=[8.0], overrides={**SHORT, 'max_restarts': 1})
    for first, last in ((0, 4), (6, 8)):
        process.run_md()
        process.ctx[KEYS[0]] = ended(process, KEYS[0], 400, first, last)
        process.inspect_md()
    assert not process.has_runs()
    process.judge()
    result = process.results()
    assert result.status == 402
    assert '(after 2 jobs)' in result.message
    assert 'verdict' in process.outputs


def test_a_job_that_did_nothing_is_not_repeated() -> None:
    process, _ = started(pressures=[8.0])
    process.run_md()
    process.ctx[KEYS[0]] = ended(process, KEYS[0], 301, 0, 0)
    process.inspect_md()
    assert not process.has_runs()
    process.judge()
    assert process.results().status == 401
    assert 'verdict' not in process.outputs


def test_unstable_is_a_result_and_a_failure_keeps_the_others() -> None:
    process, _ = started()
    process.run_md()
    process.ctx[KEYS[0]] = ended(process, KEYS[0], 412, 0, 6, kind='EVAPORATED')
    process.ctx[KEYS[1]] = ended(process, KEYS[1], None, 0, 0, state=ProcessState.KILLED)
    process.inspect_md()
    assert not process.has_runs()
    process.judge()
    result = process.results()
    assert result.status == 401
    assert f'{KEYS[1]} <' in result.message
    assert KEYS[0] not in result.message
    verdict = process.outputs['verdict']
    assert verdict['verdict'] == 'unstable'
    assert verdict['reasons'][0] == '300 K, 8 GPa: it was seen to'
    assert set(verdict['runs']) == {KEYS[0]}


def test_verdicts_are_collected() -> None:
    def one(word: str) -> orm.Dict:
        values = {'verdict': word, 'reasons': [f'so {word}']}
        return orm.Dict({**values, 'temperature_asked_k': 300.0, 'pressure_asked_gpa': 1.5})

    every = orm.List([])
    found = collect_verdicts(every, a=one('stable'), b=one('undecided'))
    assert found['verdict'] == 'undecided'
    assert found['reasons'] == ['300 K, 1.5 GPa: so undecided']
    assert collect_verdicts(every, a=one('stable'))['verdict'] == 'stable'
    assert collect_verdicts(every, a=one('undecided'), b=one('unstable'))['verdict'] == 'unstable'
    found = collect_verdicts(orm.List(['b failed']), a=one('stable'))
    assert (found['verdict'], found['reasons']) == ('undecided', ['b failed'])
    found = collect_verdicts(orm.List(['b failed']), a=one('unstable'))
    assert (found['verdict'], found['reasons']) == ('unstable', ['300 K, 1.5 GPa: so unstable'])


def test_judge_refuses_another_trajectory() -> None:
    plain = orm.TrajectoryData()
    plain.set_trajectory(symbols=['H'], positions=np.zeros((1, 1, 3)))
    numbers = load_protocol('md')
    with pytest.raises(ValueError, match='it lacks cells, conserved_energy'):
        judge_trajectory(
            toy_structure(), orm.Float(300.0), orm.Float(0.0),
            orm.Dict(numbers['md']['parameters']), orm.Dict(numbers['criteria']),
            trajectory_0=plain,
        )  # fmt: skip


@pytest.mark.engines
@pytest.mark.slow
def test_good_and_bad_potentials_for_real(
    engine_code: orm.InstalledCode, engines_python: Path, tmp_path: Path
) -> None:
    """The toy crystal at 300 K stands 0.2 ps with its potential, and not with it upside down."""
    script = Path(__file__).parents[1] / 'drivers' / 'spoil.py'
    good = FIXTURES / 'train' / 'model.model'
    words = [engines_python, '-E', script, good, tmp_path / 'bad.model', '-5']
    subprocess.run(words, check=True)
    bad = run(
        MaceInspectCalculation, code=engine_code, file=orm.SinglefileData(tmp_path / 'bad.model')
    )['model']
    overrides = {
        'md': {
            'parameters': {
                'duration_ps': 0.2, 'timestep_fs': 2.0, 'record_every': 2, 'ensemble': 'nvt',
                'thermostat_time_fs': 20.0, 'thermostat': 'langevin',
            }
        },
        'criteria': {'equilibration_ps': 0.04, 'max_temperature_deviation': 0.3},
    }  # fmt: skip
    found = {}
    for name, model in (('good', toy_model()), ('bad', bad)):
        made = builder([8.0], code=engine_code, model=model, overrides=overrides)
        outputs, node = run_get_node(made)
        assert node.is_finished_ok, node.exit_message
        verdict = outputs['verdict'].get_dict()
        found[name] = verdict['verdict']
        trajectory = from_node(outputs['trajectories'][KEYS[0]])
        assert trajectory.times[-1] == pytest.approx(
            verdict['runs'][KEYS[0]]['numbers']['simulated_ps']
        )
        assert 'temperature' in outputs['analyses'][KEYS[0]].get_arraynames()
        if name == 'bad':
            assert verdict['runs'][KEYS[0]]['ended']['kind'] in ('TOO_HOT', 'EVAPORATED')
            assert verdict['runs'][KEYS[0]]['ended']['message'] in verdict['reasons'][0]
    assert found == {'good': 'stable', 'bad': 'unstable'}
