"""The benchmark: builder, refusals, what happens to cells that fail, and a real run."""

from __future__ import annotations

from typing import Any

import ase
import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from mace_nodes import FIXTURES, toy_model
from pw_mocks import Submissions, code, finished, instantiate
from spectra_nodes import PEAKS, measured_node, simulated_node

from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
from aiida_mlip_ins.calculations.mace_inspect import MaceInspectCalculation
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.science.benchmark import RUN
from aiida_mlip_ins.workflows.benchmark import BenchmarkWorkChain
from aiida_mlip_ins.workflows.benchmark_inputs import Reference
from aiida_mlip_ins.workflows.compare_spectra import CompareSpectraWorkChain
from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain
from aiida_mlip_ins.workflows.protocols import PROTOCOLS

pytestmark = pytest.mark.usefixtures('aiida_profile')

PRESSURES = [0.0, 1.5]
WINDOWS = {'hydride': [[50.0, 850.0]]}


def hydride(symbols: str = 'NiH') -> orm.StructureData:
    """Return the toy crystal with hydrogen, rock salt."""
    places = [(0, 0, 0), (0.5, 0.5, 0.5)]
    cell = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 2.25
    return to_structure(ase.Atoms(symbols, scaled_positions=places, cell=cell, pbc=True))


def model_of(*elements: str) -> MaceModelData:
    """Return the toy model as if it knew other elements."""
    node = toy_model()
    node.base.attributes.set('elements', sorted(elements))
    return node


def model_file() -> orm.SinglefileData:
    return orm.SinglefileData(FIXTURES / 'train' / 'model.model')


def builder(**keywords: Any) -> Any:
    given = {
        'crystals': {'hydride': hydride()},
        'models': {'good': model_of('H', 'Ni'), 'bad': model_of('Al', 'H', 'Ni')},
        'pressures': PRESSURES,
        'code': code(plugin='mlip_ins.mace_train'),
        'references': [
            Reference('hydride', 'experiment', measured_node(), 0.0),
            Reference('hydride', 'dft', simulated_node(pressure=1.5)),
        ],
        'windows': WINDOWS,
        **keywords,
    }
    return BenchmarkWorkChain.get_builder_from_protocol(**given)


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_makes_inputs_that_are_accepted(protocol: str) -> None:
    process = instantiate(builder(protocol=protocol))
    assert process.inputs.protocol.value == protocol
    assert process.inputs.max_concurrent.value == 1
    assert process.inputs.about['windows'] == WINDOWS


def test_without_windows_what_all_cover_is_compared() -> None:
    assert builder(windows=None).about['windows'] == {'hydride': [[20.0, 900.0]]}
    overrides = {'ins': {'parameters': {'energy_max': 600.0}}}
    made = builder(windows=None, overrides=overrides)
    assert made.about['windows'] == {'hydride': [[20.0, 600.0]]}
    assert made.overrides.get_dict() == overrides


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r'\w') as error:
        builder(
            crystals={'hydride': hydride(), 'bad name': hydride()},
            models={'experiment': model_of('H', 'Ni'), 'useless': model_of('O')},
            pressures=[1.5, 0.0],
            references=[
                Reference('hydride', 'experiment', measured_node(), 0.4),
                Reference('hydrid', 'dft', simulated_node()),
            ],
            windows={'hydride': [[10.0, 850.0]]},
            overrides={'ins': {'parameters': {'temprature': 1.0}}, 'mace_phonons': {'x': 1}},
        )
    said = str(error.value)
    assert "crystals: 'bad name' is no name" in said
    assert "models: 'experiment' is what a reference is called" in said
    assert 'ascending order' in said
    assert 'hydride_experiment_0: 0.4 GPa is none of the pressures of the benchmark' in said
    assert "there is no crystal 'hydrid' (did you mean 'hydride'?)" in said
    assert "unknown key 'temprature' (did you mean 'temperature'?)" in said
    assert 'models.useless: it knows O, and no crystal is made of these alone' in said


def test_what_only_the_links_know_is_said_too() -> None:
    with pytest.raises(ValueError, match="unknown key 'x'"):
        builder(overrides={'mace_phonons': {'x': 1}})
    with pytest.raises(ValueError, match=r"for the plugin 'quantumespresso\.pw'"):
        builder(code=code())
    with pytest.raises(ValueError, match='the window from 10 to 850 1/cm is not within'):
        builder(windows={'hydride': [[10.0, 850.0]]})
    with pytest.raises(ValueError, match='the simulation ends at 500'):
        builder(overrides={'ins': {'parameters': {'energy_max': 500.0}}})
    with pytest.raises(ValueError, match='no model knows all of H, Ni'):
        builder(models={'other': model_of('H', 'O')})
    with pytest.raises(ValueError, match='no hydrogen'):
        builder(
            crystals={'alloy': hydride('NiAl')}, references=[], windows=None,
            models={'good': model_of('Al', 'Ni')},
        )  # fmt: skip
    twice = [Reference('hydride', 'experiment', measured_node(seed=i), 0.0) for i in range(2)]
    with pytest.raises(ValueError, match='two spectra of experiment at 0 GPa'):
        builder(references=twice)


def results(**changes: Any) -> orm.Dict:
    return orm.Dict({'timing': {'import': 1.0, 'total': 8.0}, **changes})


def relaxed(pressure: float, **changes: Any) -> dict[str, Any]:
    return {
        'pressure_gpa': pressure, 'converged': True, 'diverged': '', 'volume_angstrom3': 13.0,
        'spacegroup': 'Fm-3m (225)', 'steps': 3, **changes,
    }  # fmt: skip


def chain(places: Any = PEAKS, status: int = 0, pressures: int = 2) -> orm.WorkChainNode:
    """Return the end of a chain with spectra at so many pressures."""
    gone = {'converged': False, 'diverged': 'its volume changed by 40 %', 'volume_angstrom3': None}
    rows = [relaxed(p, **({} if i < pressures else gone)) for i, p in enumerate(PRESSURES)]
    outputs: dict[str, orm.Data] = {'mace.results': results(pressures=rows)}
    for index in range(pressures):
        key = f'pressure_{index}'
        outputs[f'mace.phonons.{key}'] = orm.Dict(
            {'imaginary': False, 'min_frequency_per_cm': 30.0}
        )
        outputs[f'spectra.{key}'] = simulated_node(places, PRESSURES[index])
    node = finished(HighPressureInsWorkChain, outputs, status)
    for index in range(pressures):
        phonons = finished(
            HighPressureInsWorkChain, caller=(node, f'mace_phonons_pressure_{index}')
        )
        job = orm.CalcJobNode(process_type=MaceEvaluateCalculation.build_process_type())
        job.computer = code().computer
        job.set_options({'resources': {'num_machines': 1}})
        job.base.links.add_incoming(phonons, LinkType.CALL_CALC, 'forces')
        job.store()
        made = results()
        made.base.links.add_incoming(job, LinkType.CREATE, 'results')
        made.store()
    return node


def start(process: Any) -> Submissions:
    """Begin a benchmark whose children are put in by hand."""
    submissions = Submissions(process)
    process.setup()
    process.plan_cells()
    return submissions


def put(process: Any, **chains: orm.WorkChainNode) -> None:
    """Let the chains of a batch end, and the comparisons run for real."""
    process.run_chains()
    for label in chains:
        process.ctx[label] = chains[label]
    process.inspect_chains()
    process.submit = lambda cls, **inputs: run_get_node(cls, **inputs)[1]
    for label, node in (process.run_comparisons() or {}).items():
        process.ctx[label] = node
    process.inspect_comparisons()


def test_rows_of_models_that_work_and_one_that_does_not() -> None:
    process = instantiate(builder(overrides={'max_concurrent': 2}))
    start(process)
    assert process.ctx.waiting == [['hydride', 'bad'], ['hydride', 'good']]
    moved = [place + 15 for place in PEAKS]
    put(
        process,
        hydride_with_good=chain(),
        hydride_with_bad=chain(moved, status=405, pressures=1),
    )
    assert not process.has_cells()
    process.make_table()
    code_ = process.results()
    rows = {(row['model'], row['pressure_gpa']): row for row in process.outputs['table']['rows']}
    assert code_ is None
    assert [row['status'] for row in rows.values()] == ['done', 'not relaxed', 'done', 'done']
    assert rows['bad', 1.5]['reason'] == 'its volume changed by 40 %'
    good, bad = rows['good', 0.0], rows['bad', 0.0]
    assert good['cost_s']['forces'] == 8.0
    assert good['volume_change_percent'] == pytest.approx(100 * (13.0 / (2 * 2.25**3) - 1))
    (found,) = good['agreement']
    assert (found['reference'], found['r_squared']) == ('experiment', pytest.approx(1, abs=1e-3))
    assert bad['agreement'][0]['peak_shift_per_cm'] == pytest.approx(15.0, abs=0.5)
    (against_dft,) = rows['good', 1.5]['agreement']
    assert against_dft['reference'] == 'dft'
    assert set(process.outputs['agreement']['hydride']['good']) == {'dft', 'experiment'}
    assert set(process.outputs['spectra']['hydride']['bad']) == {'pressure_0'}
    table = process.outputs['table']
    spectrum = process.outputs['spectra']['hydride']['good']['pressure_1']
    assert table.creator.inputs.spectra.hydride.good.pressure_1.uuid == spectrum.uuid


def test_a_chain_that_is_lost_is_a_gap_and_named() -> None:
    process = instantiate(builder(overrides={'max_concurrent': 2}, references=[], windows=None))
    start(process)
    lost = finished(HighPressureInsWorkChain, status=404)
    put(process, hydride_with_good=chain(), hydride_with_bad=lost)
    process.make_table()
    found = process.results()
    assert found.status == 405
    assert 'hydride with bad at 0 GPa: ' in found.message
    assert 'it failed' in found.message
    rows = process.outputs['table']['rows']
    assert [row['status'] for row in rows] == ['failed', 'failed', 'done', 'done']
    assert rows[2]['agreement'] == []


def test_a_model_without_an_element_is_not_run() -> None:
    made = builder(
        crystals={'hydride': hydride(), 'other': hydride('AlH')}, references=[], windows=None
    )
    process = instantiate(made)
    start(process)
    assert process.ctx.waiting == [
        ['hydride', 'bad'], ['hydride', 'good'], ['other', 'bad'],
    ]  # fmt: skip
    assert 'Al not in the model' in process.ctx.unfit['other']['good']


def test_batches_and_labels() -> None:
    process = instantiate(builder())
    submissions = start(process)
    process.run_chains()
    assert process.ctx.batch == [['hydride', 'bad']]
    assert process.has_cells()
    ((cls, inputs),) = submissions.calls
    assert cls is HighPressureInsWorkChain
    assert inputs['metadata']['call_link_label'] == 'hydride_with_bad'
    assert inputs['model'].uuid == process.inputs.models.bad.uuid
    assert inputs['pressures'].uuid == process.inputs.pressures.uuid
    assert 'pw_phonons' not in inputs


def test_files_become_models_or_gaps() -> None:
    made = builder(models={'good': model_file(), 'broken': model_file()}, references=[])
    process = instantiate(made)
    submissions = Submissions(process)
    process.setup()
    names = []
    while process.has_files():
        process.run_inspections()
        (name,) = process.ctx.batch
        names.append(name)
        ended = {'model': model_of('H', 'Ni')} if name == 'good' else {}
        process.ctx[f'inspect_{name}'] = finished(
            MaceInspectCalculation, ended, 0 if ended else 330
        )
        process.inspect_inspections()
    assert names == ['broken', 'good']
    assert submissions.calls[0][0] is MaceInspectCalculation
    process.plan_cells()
    assert process.ctx.waiting == [['hydride', 'good']]
    assert 'no model: ' in process.ctx.failures['hydride']['broken'][RUN]
    assert set(process.outputs['models']) == {'good'}


def test_a_comparison_that_fails_loses_only_itself() -> None:
    process = instantiate(builder(models={'good': model_of('H', 'Ni')}))
    start(process)
    process.run_chains()
    process.ctx['hydride_with_good'] = chain()
    process.inspect_chains()
    process.run_comparisons()
    process.ctx['hydride_with_good_against_dft'] = finished(CompareSpectraWorkChain, status=401)
    process.ctx['hydride_with_good_against_experiment'] = finished(
        CompareSpectraWorkChain, {'metrics': orm.Dict({'pairs': []})}
    )
    process.inspect_comparisons()
    process.make_table()
    found = process.results()
    assert found.status == 405
    assert 'hydride with good against dft' in found.message
    assert all(row['status'] == 'done' for row in process.outputs['table']['rows'])


@pytest.mark.engines
@pytest.mark.slow
def test_a_real_benchmark(engine_code: orm.InstalledCode) -> None:
    """The toy hydride with its potential as a file, and with one whose node says too much."""
    made = builder(
        models={
            'file': orm.SinglefileData(FIXTURES / 'hydride' / 'model.model'),
            'liar': model_of('Al', 'H', 'Ni'),
        },
        pressures=[0.0],
        code=engine_code,
        references=[Reference('hydride', 'experiment', measured_node(), 0.0)],
        protocol='fast',
        overrides={
            'mace_phonons': {'mace': {'supercell_min_length': 3.0}, 'q_spacing': 1.5},
            'ins': {
                'q_spacing': 1.5,
                'parameters': {'imaginary': 'leave_out', 'energy_max': 1500.0},
            },
        },
    )
    outputs, node = run_get_node(made)
    assert node.exit_status == 405
    rows = {row['model']: row for row in outputs['table']['rows']}
    assert rows['liar']['status'] == 'failed'
    assert 'not in the model' in rows['liar']['reason'] or 'H' in rows['liar']['reason']
    row = rows['file']
    assert row['status'] == 'done', row['reason']
    assert row['relaxed'] is True
    assert all(value > 0 for value in row['cost_s'].values())
    assert row['agreement'][0]['r_squared'] is not None
    assert outputs['models']['file'].elements == ['H', 'Ni']
    assert np.isfinite(outputs['spectra']['hydride']['file']['pressure_0'].intensity).all()
