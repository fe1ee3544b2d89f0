"""Active learning: builder, refusals, when it ends and with what, and a real one."""

from __future__ import annotations

from typing import Any

import pytest
from active_nodes import FAMILY, METAL, SETTINGS, builder, frames_of_method, method, overrides
from aiida import orm
from aiida.engine import ProcessSpec, WorkChain, calcfunction, run_get_node
from ase.calculators.emt import EMT
from mace_nodes import toy_dataset, toy_model, toy_structure
from pw_mocks import Submissions, code, finished, instantiate

from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.report.html import write_report
from aiida_mlip_ins.science.dataset import labelled
from aiida_mlip_ins.workflows import active_learning
from aiida_mlip_ins.workflows.active_inputs import input_problems
from aiida_mlip_ins.workflows.active_round import ActiveLearningRoundWorkChain
from aiida_mlip_ins.workflows.protocols import PROTOCOLS
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain

pytestmark = pytest.mark.usefixtures('aiida_profile')

TINY = {
    'r_max': 3.5, 'num_channels': 4, 'max_ell': 2, 'correlation': 2, 'num_radial_basis': 4,
    'radial_MLP': [8, 8], 'minimum_frames': 4, 'stage_two_start': None, 'lbfgs_start': None,
    'ema_decay': None, 'learning_rate': 0.03, 'max_epochs': 40, 'learning_rate_decay': 0.98,
}  # fmt: skip
"""The smallest potential that relaxes the toy crystal."""


def begun(made: Any = None, **inputs: Any) -> tuple[Any, Submissions]:
    made = made or builder()
    for name, value in inputs.items():
        made[name] = value
    process = instantiate(made)
    submissions = Submissions(process)
    process.setup()
    return process, submissions


def row(number: int, reached: bool = False) -> orm.Dict:
    return orm.Dict(
        {
            'round': number, 'n_frames': 22 + 3 * number, 'n_labelled': 3, 'force_error': 20.0,
            'rank_correlation': 0.5, 'valid_force_error': 9.0, 'force_spread': 15.0,
            'frequency_spread': None, 'reached': reached, 'sentences': [f'sentence {number}'],
        }
    )  # fmt: skip


def do_round(
    process: Any, new: int = 3, reached: bool = False, status: int = 0, model: bool = True
) -> Any:
    """Let the next round end; return what the chain makes of it."""
    process.run_round()
    outputs: dict[str, orm.Data] = {'row': row(process.ctx.number, reached)}
    if model:
        outputs |= {'model': toy_model(), 'structures.pressure_0': toy_structure()}
        outputs['models.member_0'] = outputs['model']
    if new:
        frames = process.ctx.dataset.get_frames()
        added = [toy_dataset().get_frames()[0] for _ in range(new)]
        outputs['dataset'] = DatasetData.from_frames(frames + added, method())
    process.ctx.round = finished(ActiveLearningRoundWorkChain, outputs, status)
    return process.inspect_round()


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('given', [True, False])
def test_every_protocol_is_accepted(protocol: str, given: bool) -> None:
    # Of larger stringency the family recommends cutoffs, and the labels another method.
    changes = {
        'pseudo_family': FAMILY,
        'cutoffs': {'ecutwfc': 90.0},
        'kpoints_distance': 0.9,
        'parameters_pw': METAL,
    }
    made = builder(
        (0.0, 8.0), given, protocol=protocol, overrides=overrides(reference=changes),
    )  # fmt: skip
    process = instantiate(made)
    assert process.inputs.sampling['rattle']['pressures'] == [-1.0, 9.0]
    assert process.inputs.first['sampling']['path']['pressures'] == [-1.0, 0.0, 8.0, 9.0]
    assert process.inputs.first['pressure'] == 9.0
    assert 'mace_phonons' in process.inputs


def test_phonons_can_be_left_out() -> None:
    process = instantiate(builder(overrides=overrides(frequencies=False)))
    assert 'mace_phonons' not in process.inputs


def test_molecular_dynamics_can_be_asked_for() -> None:
    matrix = [[3, 0, 0], [0, 1, 0], [0, 0, 1]]
    changes = overrides(md_temperatures=[300.0], md={'supercell_matrix': matrix})
    process = instantiate(builder((0.0, 8.0), overrides=changes))
    assert process.inputs.md.temperatures.get_list() == [300.0]
    assert process.inputs.md.supercell_matrix.get_list() == matrix
    assert 'md' not in instantiate(builder()).inputs
    changes = overrides(md_temperatures=[-1.0], md={'criteria': {'max_rms': 1.0}})
    with pytest.raises(ValueError, match=r"did you mean 'max_rmsd'") as error:
        builder(overrides=changes)
    assert 'md: ' in str(error.value)
    with pytest.raises(ValueError, match=r"md: no molecular dynamics .* 'md_temperatures'"):
        builder(overrides=overrides(md={'criteria': {'max_rmsd': 1.0}}))
    uneven = overrides(md_temperatures=[300.0], md={'supercell_matrix': [7, 1, 1]})
    with pytest.raises(ValueError, match=r'md\.supercell_matrix: k-mesh'):
        builder(overrides=uneven)


def test_everything_wrong_is_said_at_once() -> None:
    changes = overrides(
        settings={**SETTINGS, 'frames_per_round': 0},
        sampling={'rattle': {'cout': 3}},
    )
    with pytest.raises(ValueError, match=r'cout.*did you mean .count'):
        builder(overrides=changes)
    changes = overrides(
        settings={**SETTINGS, 'frames_per_round': 0},
        first={'bulk_modulus': 1.0},
        committee={'size': 1, 'train': {'parameters': {'learning_rat': 1}}},
        evaluate={'parameters': {'batch_size': 0}},
    )
    with pytest.raises(ValueError, match='frames_per_round') as error:
        builder(overrides=changes)
    for part in (
        'frames_per_round: 0 is below the minimum of 1',
        'first.bulk_modulus: at 1 GPa the crystal would lose',
        'committee: size: expected a whole number of at least 2',
        "did you mean 'learning_rate'",
        'evaluate: parameters.batch_size',
    ):
        assert part in str(error.value)


def test_wrong_codes_and_pressures_are_refused() -> None:
    with pytest.raises(ValueError, match=r'quantumespresso\.pw') as error:
        builder((8.0, 1.0), code=code())
    assert 'ascending' in str(error.value)
    with pytest.raises(ValueError, match=r"reference: .*'mlip_ins\.mace_train'"):
        builder(pw_code=code(plugin='mlip_ins.mace_train'))


def test_a_dataset_that_does_not_fit_is_refused() -> None:
    other = frames_of_method('another method')
    with pytest.raises(ValueError, match="its labels are of 'another method'") as error:
        _with(dataset=other)
    assert method() in str(error.value)
    frames = [frame for frame in toy_dataset().get_frames() if frame.info['split'] == 'train']
    with pytest.raises(ValueError, match="no frame has the split 'valid'"):
        _with(dataset=DatasetData.from_frames(frames, method()).store())


def _with(**inputs: Any) -> Any:
    made = builder()
    for name, value in inputs.items():
        made[name] = value
    return instantiate(made)


def test_first_frames_are_looked_at_before_anything_is_labelled() -> None:
    changes = overrides(settings={**SETTINGS, 'max_frames': 5})
    with pytest.raises(ValueError, match=r'settings\.max_frames: 5, but there are \d+ first'):
        builder(dataset=False, overrides=changes)
    few = {'minimum_frames': 50}
    changes = overrides(committee={'size': 2, 'train': {'parameters': few}})
    with pytest.raises(ValueError, match=r'first: frames: .*minimum_frames of 50'):
        builder(dataset=False, overrides=changes)
    huge = {'bulk_modulus': 100.0, 'sampling': {'rattle': {'heavy': 3.0}}}
    with pytest.raises(ValueError, match='first: atoms too close'):
        builder(dataset=False, overrides=overrides(first=huge))


def test_what_cannot_be_gone_on_from_is_refused() -> None:
    table = orm.Dict({'rounds': [{'round': 1}]})
    with pytest.raises(ValueError, match='give the output `rounds`'):
        _with(history=orm.Dict({'rows': []}))
    with pytest.raises(ValueError, match='stop_after_round: 1, but the first round to come is 2'):
        _with(history=table, stop_after_round=orm.Int(1))
    with pytest.raises(ValueError, match='cells: there are pressure_1, but the pressures need'):
        _with(cells={'pressure_1': toy_structure()})
    inputs = dict(builder()._inputs(prune=True))
    inputs['history'] = table
    del inputs['dataset']
    assert 'it needs the `dataset`' in input_problems(inputs, None)


def test_it_begins_with_the_first_frames() -> None:
    process, submissions = begun(builder((0.0, 8.0), dataset=False))
    assert process.needs_frames()
    process.run_first_labels()
    ((labeller, inputs),) = submissions.calls
    assert labeller is ReferenceWorkChain
    assert inputs['metadata']['call_link_label'] == 'first_labels'
    splits = [frame.info['split'] for frame in inputs['frames'].get_frames()]
    assert splits.count('valid') >= 1
    volumes = [frame.get_volume() for frame in inputs['frames'].get_frames()]
    assert max(volumes) > 2.95**3 > 1.05 * min(volumes)
    process.ctx.first_labels = finished(ReferenceWorkChain, {'dataset': frames_of_method('x')})
    assert process.inspect_first_labels() is None
    process.run_round()
    assert submissions.calls[1][1]['dataset'].method == 'x'


def test_first_frames_that_failed_are_an_end_with_what_there_is() -> None:
    process, _ = begun(builder(dataset=False))
    process.run_first_labels()
    outputs = {'dataset': frames_of_method('x')}
    process.ctx.first_labels = finished(ReferenceWorkChain, outputs, 401)
    assert process.inspect_first_labels().status == 402
    assert process.outputs['dataset'].method == 'x'
    assert 'rounds' not in process.outputs


def test_it_ends_where_the_target_is_reached() -> None:
    process, submissions = begun()
    assert not process.needs_frames()
    assert do_round(process) is None
    assert process.has_round()
    assert do_round(process, reached=True) is None
    assert not process.has_round()
    assert process.results() is None
    numbers = [inputs['number'].value for _, inputs in submissions.calls]
    labels = [inputs['metadata']['call_link_label'] for _, inputs in submissions.calls]
    assert (numbers, labels) == ([0, 1], ['round_0', 'round_1'])
    first, second = (inputs for _, inputs in submissions.calls)
    assert second['dataset'].n_frames == 25
    assert second['structure'].uuid == first['structure'].uuid
    assert second['cells']['pressure_0'].uuid == first['cells']['pressure_0'].uuid
    assert process.outputs['dataset'].n_frames == 28
    assert process.outputs['rounds']['ended'] == active_learning.REACHED
    assert [r['round'] for r in process.outputs['rounds']['rounds']] == [0, 1]
    assert process.outputs['model'].uuid == process.outputs['models']['member_0'].uuid


def test_the_last_round_labels_nothing_and_the_exit_code_says_so() -> None:
    process, submissions = begun()
    counts = []
    while process.has_round():
        left = process._count()
        assert do_round(process, new=left) is None
        counts.append(submissions.calls[-1][1]['count'].value)
    # 22 frames, and 27 are allowed.
    assert counts == [3, 2, 0]
    result = process.results()
    assert result.status == 710
    assert 'sentence 2' in result.message
    assert process.outputs['rounds']['ended'] == active_learning.SPENT
    assert process.outputs['dataset'].n_frames == 27


def test_a_budget_without_a_target_is_used_up_well() -> None:
    changes = overrides(settings={**SETTINGS, 'max_rounds': 1})
    process, _ = begun(builder(overrides=changes))
    do_round(process)
    process.run_round()
    nothing = orm.Dict({**row(1).get_dict(), 'sentences': []})
    outputs = {'row': nothing, 'model': toy_model()}
    process.ctx.round = finished(ActiveLearningRoundWorkChain, outputs)
    process.inspect_round()
    assert process.results() is None
    assert process.outputs['rounds']['ended'] == active_learning.SPENT


def test_it_stops_and_goes_on() -> None:
    process, _ = begun(stop_after_round=orm.Int(0))
    do_round(process)
    assert not process.has_round()
    assert process.results() is None
    assert process.outputs['rounds']['ended'] == active_learning.STOPPED
    outputs = process.outputs
    other, submissions = begun(
        dataset=outputs['dataset'].store(),
        history=outputs['rounds'],
        cells=dict(outputs['structures']),
    )
    assert do_round(other, reached=True) is None
    other.results()
    inputs = submissions.calls[0][1]
    assert inputs['number'].value == 1
    assert inputs['dataset'].n_frames == 25
    assert inputs['structure'].uuid == outputs['structures']['pressure_0'].uuid
    assert [r['round'] for r in other.outputs['rounds']['rounds']] == [0, 1]


def test_what_the_rounds_made_is_kept_where_one_fails() -> None:
    process, _ = begun()
    do_round(process)
    result = do_round(process, new=0, status=401, model=False)
    assert result.status == 403
    assert 'Round 1 failed' in result.message
    assert process.outputs['dataset'].n_frames == 25
    assert 'member_0' in process.outputs['models']
    assert process.outputs['rounds']['ended'] == 'a round failed'


@calcfunction
def label_with_emt(frames: FramesData, method: orm.Str) -> DatasetData:
    """Return the frames with ASE's EMT as their DFT."""
    made = []
    for index, frame in enumerate(frames.get_frames()):
        frame.calc = EMT()
        stress = frame.get_stress()
        made.append(
            labelled(frame, frame.get_potential_energy(), frame.get_forces(), stress, index)
        )
    return DatasetData.from_frames(made, method.value)


class EmtLabelsWorkChain(WorkChain):
    """Takes the place of the reference workchain."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        super().define(spec)
        spec.input('frames', valid_type=FramesData)
        spec.input('method', valid_type=orm.Str)
        spec.outline(cls.label)
        spec.output('dataset', valid_type=DatasetData)

    def label(self) -> None:
        self.out('dataset', label_with_emt(self.inputs.frames, self.inputs.method))


@pytest.mark.engines
@pytest.mark.slow
def test_for_real(engine_code: orm.InstalledCode, monkeypatch: Any, tmp_path: Any) -> None:
    """A round by real potentials: each step but pw.x."""

    def labeller(self: Any, frames: FramesData) -> tuple[Any, dict[str, Any]]:
        return EmtLabelsWorkChain, {'frames': frames, 'method': self.inputs.reference.method}

    monkeypatch.setattr(ActiveLearningRoundWorkChain, 'labeller', labeller)
    changes = overrides(
        settings={**SETTINGS, 'target_force_error': 1e-3},
        committee={'size': 2, 'max_concurrent': 2, 'train': {'parameters': TINY}},
    )
    made = builder(code=engine_code, overrides=changes, stop_after_round=0)
    outputs, node = run_get_node(made)
    assert node.exit_status == 0, node.exit_message
    assert outputs['rounds']['ended'] == active_learning.STOPPED
    (found,) = outputs['rounds']['rounds']
    assert (found['n_frames'], found['n_labelled']) == (22, 3)
    assert outputs['dataset'].n_frames == 25
    assert outputs['dataset'].method == method()
    assert found['force_error'] >= found['new']['force']['rms_error'] > 0
    assert found['force_spread'] > 0
    assert found['chosen_force_spread'] > 0
    assert found['volumes'][0] is None or 15 < found['volumes'][0] < 30
    page = write_report(node, tmp_path).read_text()
    assert 'Active learning' in page
    assert (tmp_path / 'rounds.png').is_file()
