"""A round of active learning: its steps one by one, and what it makes of failures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from active_nodes import (
    SETTINGS,
    builder,
    committee_outputs,
    labelled,
    method,
    modes,
    overrides,
    relaxation_outputs,
)
from aiida import orm
from mace_nodes import toy_structure
from pw_mocks import Submissions, finished, instantiate

from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.trajectory import to_node
from aiida_mlip_ins.science.trajectory import Trajectory
from aiida_mlip_ins.workflows.active_round import ActiveLearningRoundWorkChain
from aiida_mlip_ins.workflows.committee import CommitteeWorkChain
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain

pytestmark = pytest.mark.usefixtures('aiida_profile')


def begun(
    pressures: tuple[float, ...] = (8.0,), count: int = 3, **changes: Any
) -> tuple[Any, Submissions]:
    """Return a round that has been set up, around the crystal as it is."""
    inputs = builder(pressures, overrides=overrides(**changes))._inputs(prune=True)
    del inputs['first']
    cells = {f'pressure_{index}': toy_structure() for index in range(len(pressures))}
    inputs.update(cells=cells, number=orm.Int(0), count=orm.Int(count))
    process = instantiate(ActiveLearningRoundWorkChain, **inputs)
    submissions = Submissions(process)
    process.setup()
    return process, submissions


def to_candidates(process: Any, converged: tuple[bool, ...] = (True,), status: int = 0) -> None:
    """Let committee and relaxation end, and make the candidates."""
    process.run_committee()
    process.ctx.committee = finished(CommitteeWorkChain, committee_outputs())
    assert process.inspect_committee() is None
    process.run_relaxation()
    process.ctx.relaxation = finished(
        MacePressureScanWorkChain, relaxation_outputs(converged), status
    )
    process.inspect_relaxation()
    assert process.make_candidates() is None


def do_tasks(process: Any, failing: tuple[str, ...] = ()) -> list[list[str]]:
    """Let all tasks end; return the labels of those that ran side by side."""
    batches = []
    while process.has_tasks():
        process.run_tasks()
        labels = []
        for member, pressure in process.ctx.running:
            label = f'phonons_{member}_{pressure}' if pressure else f'evaluate_{member}'
            number = int(member[-1])
            if pressure:
                process_class, outputs = MacePhononsWorkChain, {'modes': modes(2.0 * number)}
            else:
                process_class = MaceEvaluateCalculation
                outputs = {'dataset': labelled(process.ctx.candidates, 0.01 * (1 + 2 * number))}
            failed = label in failing
            process.ctx[label] = finished(
                process_class, {} if failed else outputs, 410 if failed else 0
            )
            labels.append(label)
        process.inspect_tasks()
        batches.append(labels)
    return batches


def label_frames(process: Any, status: int = 0, left_out: int = 0) -> DatasetData:
    """Let the labelling end; return the labels."""
    process.run_labeller()
    truth = labelled(process.ctx.chosen, 0.0, method())
    kept = truth.get_frames()[left_out:]
    node = DatasetData.from_frames(kept, method())
    process.ctx.reference = finished(ReferenceWorkChain, {'dataset': node}, status)
    process.inspect_labeller()
    return node


def test_a_round_that_goes_well() -> None:
    process, submissions = begun()
    to_candidates(process)
    sources = process.ctx.candidates.sources
    assert sources['rattle'] == 6
    assert do_tasks(process) == [
        ['evaluate_member_0', 'evaluate_member_1'],
        ['phonons_member_0_pressure_0', 'phonons_member_1_pressure_0'],
    ]
    assert process.choose() is None
    assert process.has_frames()
    assert label_frames(process).n_frames == 3
    assert process.results() is None
    called = [(c.__name__, i['metadata']['call_link_label']) for c, i in submissions.calls]
    assert called == [
        ('CommitteeWorkChain', 'committee'),
        ('MacePressureScanWorkChain', 'relaxation'),
        ('MaceEvaluateCalculation', 'evaluate_member_0'),
        ('MaceEvaluateCalculation', 'evaluate_member_1'),
        ('MacePhononsWorkChain', 'phonons_member_0_pressure_0'),
        ('MacePhononsWorkChain', 'phonons_member_1_pressure_0'),
        ('ReferenceWorkChain', 'reference'),
    ]
    outputs = process.outputs
    assert set(outputs['models']) == {'member_0', 'member_1'}
    assert outputs['model'].uuid == outputs['models']['member_0'].uuid
    assert outputs['dataset'].n_frames == 25
    assert outputs['dataset'].method == method()
    row = outputs['row'].get_dict()
    assert (row['round'], row['n_frames'], row['n_labelled']) == (0, 22, 3)
    assert row['valid_force_error'] == 12.0
    assert row['frequency_spread'] == pytest.approx(2.0 / np.sqrt(2))
    assert row['force_error'] > 0
    assert not row['reached']
    kept = [frame for frame in outputs['dataset'].get_frames() if 'round' in frame.info]
    assert [frame.info['pool_index'] for frame in kept] == outputs['selection']['chosen']


def test_candidates_of_a_pressure_that_cannot_be_relaxed_are_around_the_given_cell() -> None:
    process, _ = begun((8.0, 12.0))
    given = process.ctx.cells['pressure_1'].uuid
    to_candidates(process, (True, False), 402)
    assert process.ctx.cells['pressure_1'].uuid == given
    assert process.ctx.cells['pressure_0'].uuid != given
    # No phonons of a cell that is not relaxed.
    assert not any('pressure_1' in label for batch in do_tasks(process) for label in batch)
    process.choose()
    label_frames(process)
    assert process.results() is None
    row = process.outputs['row'].get_dict()
    assert row['frequency_spreads'][1] is None
    assert row['volumes'] == [24.0, None]


def test_a_volume_that_no_labelled_frame_has_is_not_believed() -> None:
    process, _ = begun()
    given = process.ctx.cells['pressure_0'].uuid
    blown = toy_structure().get_ase()
    blown.set_cell(blown.cell * 1.15, scale_atoms=True)
    outputs = {**relaxation_outputs(), 'structures.pressure_0': orm.StructureData(ase=blown)}
    process.ctx.relaxation = finished(MacePressureScanWorkChain, outputs)
    process.inspect_relaxation()
    assert process.ctx.cells['pressure_0'].uuid == given
    assert process.ctx.relaxed == []
    assert process.outputs['structures']['pressure_0'].get_cell_volume() > 35


def test_steps_of_the_relaxation_are_candidates() -> None:
    process, _ = begun()
    process.run_committee()
    process.ctx.committee = finished(CommitteeWorkChain, committee_outputs())
    process.inspect_committee()
    steps = []
    for index in range(4):
        step = toy_structure().get_ase()
        step.positions[0, 0] += 0.06 * index
        step.info.update(source='relaxation', pressure_index=0)
        steps.append(step)
    trajectory = FramesData.from_frames(steps)
    outputs = {**relaxation_outputs(), 'trajectory': trajectory}
    process.ctx.relaxation = finished(MacePressureScanWorkChain, outputs)
    process.inspect_relaxation()
    process.make_candidates()
    assert process.ctx.candidates.sources['relaxation'] == 4


def moved(verdict: str = 'unstable', lost_at: int = 3) -> dict[str, orm.Data]:
    """Return what molecular dynamics leaves: five frames 0.1 ps apart, of which atoms overlap."""
    crystal = toy_structure().get_ase().repeat((3, 1, 1))
    positions = np.array([crystal.positions + 0.02 * step for step in range(5)])
    positions[:, 0, 0] += 0.05 * np.arange(5)
    positions[lost_at:, 0] = positions[lost_at:, 1]
    nothing = np.zeros(5)
    trajectory = Trajectory(
        symbols=crystal.get_chemical_symbols(), steps=np.arange(5), times=0.1 * np.arange(5),
        positions=positions, velocities=np.zeros_like(positions),
        cells=np.array([crystal.cell.array] * 5), potential_energy=nothing,
        conserved_energy=nothing, pressure=nothing,
    )  # fmt: skip
    found = orm.Dict({'verdict': verdict, 'reasons': ['8 K, 8 GPa: a bond broke']})
    return {'verdict': found, 'trajectories.pressure_0_temperature_0': to_node(trajectory)}


def test_frames_of_motion_are_candidates_as_long_as_the_crystal_holds() -> None:
    process, submissions = begun(
        (8.0, 12.0), md_temperatures=[8.0], md={'supercell_matrix': [3, 1, 1]},
        settings={**SETTINGS, 'motion_apart': 0.1},
    )  # fmt: skip
    process.run_committee()
    process.ctx.committee = finished(CommitteeWorkChain, committee_outputs())
    process.inspect_committee()
    process.ctx.relaxation = finished(
        MacePressureScanWorkChain, relaxation_outputs((False, True)), 402
    )
    process.inspect_relaxation()
    assert process.wants_motion()
    process.run_motion()
    called, inputs = submissions.calls[-1]
    assert called is MdStabilityWorkChain
    assert inputs['pressures'].get_list() == [12.0]
    assert inputs['structures']['pressure_0'].uuid == process.ctx.cells['pressure_1'].uuid
    process.ctx.motion = finished(MdStabilityWorkChain, moved())
    process.inspect_motion()
    assert process.make_candidates() is None
    frames = [f for f in process.ctx.candidates.get_frames() if f.info['source'] == 'md']
    assert [frame.info['time_ps'] for frame in frames] == pytest.approx([0.1, 0.2])
    assert {str(frame.info['matrix']) for frame in frames} == {str(frames[0].info['matrix'])}
    assert {len({frame.info['trajectory'] for frame in frames}), len(frames[0])} == {1, 6}
    do_tasks(process)
    process.choose()
    label_frames(process)
    process.results()
    row = process.outputs['row'].get_dict()
    assert row['motion'] == 'unstable'
    assert 'unstable in molecular dynamics' in row['sentences']
    assert process.outputs['motion']['reasons'] == row['motion_reasons']


def test_motion_that_was_asked_for_and_did_not_come_about_reaches_nothing() -> None:
    targets = {'target_force_error': None, 'target_frequency_spread': 3.0}
    process, _ = begun(
        md_temperatures=[8.0], md={'supercell_matrix': [3, 1, 1]}, settings={**SETTINGS, **targets}
    )
    to_candidates(process)
    process.ctx.motion = finished(MdStabilityWorkChain, {}, 401)
    process.inspect_motion()
    do_tasks(process)
    process.choose()
    assert process.has_frames()
    label_frames(process)
    assert process.results() is None
    row = process.outputs['row']
    assert not row['reached']
    assert 'not known in molecular dynamics' in row['sentences']


def test_without_motion_there_is_none() -> None:
    process, _ = begun()
    to_candidates(process)
    assert not process.wants_motion()


def test_nothing_is_labelled_without_a_budget() -> None:
    process, _ = begun(count=0)
    to_candidates(process)
    do_tasks(process)
    assert process.choose() is None
    assert not process.has_frames()
    assert process.results() is None
    assert 'dataset' not in process.outputs
    assert process.outputs['row']['n_labelled'] == 0
    assert process.outputs['selection']['n_chosen'] == 0


def test_nothing_is_labelled_where_the_spread_is_all_that_is_asked_and_is_reached() -> None:
    targets = {'target_force_error': None, 'target_frequency_spread': 3.0}
    process, _ = begun(settings={**SETTINGS, **targets})
    to_candidates(process)
    do_tasks(process)
    process.choose()
    assert not process.has_frames()
    assert process.results() is None
    assert process.outputs['row']['reached']


def test_a_member_that_failed_is_left_out() -> None:
    process, _ = begun(committee={'size': 3, 'train': {'parameters': {'minimum_frames': 4}}})
    process.run_committee()
    process.ctx.committee = finished(CommitteeWorkChain, committee_outputs(2), 401)
    assert process.inspect_committee() is None
    assert len(process.ctx.models) == 2


@pytest.mark.parametrize('count', [0, 1])
def test_no_committee_is_an_end(count: int) -> None:
    process, _ = begun()
    process.run_committee()
    outputs = {k: v for k, v in committee_outputs(count).items() if k.startswith('models')}
    process.ctx.committee = finished(CommitteeWorkChain, outputs, 401)
    assert process.inspect_committee().status == 401


def test_frames_that_cannot_be_trained_on_are_an_end() -> None:
    process, submissions = begun()
    frames = [f for f in process.inputs.dataset.get_frames() if f.info['split'] == 'train']
    inputs = dict(process.inputs)
    inputs['dataset'] = DatasetData.from_frames(frames, method()).store()
    process = instantiate(ActiveLearningRoundWorkChain, **inputs)
    submissions = Submissions(process)
    process.setup()
    result = process.run_committee()
    assert result.status == 401
    assert "no frame has the split 'valid'" in result.message
    assert not submissions.calls


def test_one_evaluation_is_no_spread() -> None:
    process, _ = begun()
    to_candidates(process)
    do_tasks(process, ('evaluate_member_1',))
    result = process.choose()
    assert result.status == 403
    assert 'evaluate_member_1 (<' in result.message


def test_candidates_that_are_all_known_are_an_end_with_a_row() -> None:
    process, _ = begun(settings={**SETTINGS, 'min_separation': 9.0})
    to_candidates(process)
    do_tasks(process)
    assert process.choose() is None
    assert not process.has_frames()
    result = process.results()
    assert result.status == 404
    assert 'like labelled frames' in result.message
    assert 'row' in process.outputs


def test_labels_of_a_labelling_that_failed_are_kept() -> None:
    process, _ = begun()
    to_candidates(process)
    do_tasks(process)
    process.choose()
    label_frames(process, status=401, left_out=1)
    result = process.results()
    assert result.status == 405
    assert process.outputs['dataset'].n_frames == 24
    assert process.outputs['row']['n_labelled'] == 2


def test_the_seed_of_a_round_follows_from_its_number() -> None:
    process, _ = begun()
    inputs = {**dict(process.inputs), 'number': orm.Int(4)}
    other = instantiate(ActiveLearningRoundWorkChain, **inputs)
    other.setup()
    assert other._seed == process._seed + 4
