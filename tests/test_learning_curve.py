"""The learning curve's own arithmetic; what it runs is tested where it lives."""

from __future__ import annotations

import csv
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from aiida import orm
from ase import Atoms
from click.testing import CliRunner
from phonon_nodes import spring_force_constants
from script_modules import as_module
from springs import brucite_cell, brucite_dft

from aiida_mlip_ins.calculations.functions.compare import compare_on_supercell
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.science.dataset import labelled
from aiida_mlip_ins.science.training import TrainSettings, passes_left, train_problems
from aiida_mlip_ins.workflows.protocols import load_protocol

TRAIN = load_protocol('train', 'fast')['parameters']


@pytest.fixture(scope='module')
def benchmark():
    """Return the script as a module."""
    return as_module('benchmarks/learning_curve.py')


@pytest.fixture(scope='module')
def study(benchmark):
    """Return the module of what the script runs."""
    return sys.modules['learning_study']


@pytest.fixture(scope='module')
def sets(benchmark):
    """Return the module of the frames."""
    return sys.modules['learning_frames']


@pytest.fixture(scope='module')
def reference(benchmark):
    """Return the module of what is kept beside the points."""
    return sys.modules['learning_reference']


def row(benchmark, kind: str, size: int, pressure: float, error: float | None) -> dict:
    found = {**dict.fromkeys(benchmark.COLUMNS), 'model': None}
    errors = dict.fromkeys(benchmark.ERRORS, error)
    return {**found, 'set': kind, 'n_frames': size, 'pressure_gpa': pressure, **errors}


@pytest.fixture
def rows(benchmark):
    errors = {'targeted': (9.0, 2.5, 2.0), 'random': (20.0, 8.0, None)}
    return [
        row(benchmark, kind, size, pressure, None if error is None else error + pressure / 5)
        for size, place in ((10, 0), (20, 1), (40, 2))
        for kind, given in errors.items()
        for error in [given[place]]
        for pressure in (0.0, 1.5)
    ]


@pytest.mark.parametrize('n_train', [9, 18, 36, 54])
def test_trainings_have_the_same_steps_and_course(study, n_train):
    course = study.of_steps(TRAIN, n_train, 5000)
    settings = {**TRAIN, **course}
    assert not train_problems(settings, 'parameters')
    passes = passes_left(TrainSettings(**settings), 0)
    assert passes * (n_train // TRAIN['batch_size']) == pytest.approx(5000, rel=0.02)
    for name in ('stage_two_start', 'eval_interval'):
        share = course[name] / course['lbfgs_start']
        assert share == pytest.approx(TRAIN[name] / TRAIN['lbfgs_start'], rel=0.1)
    assert course['learning_rate_decay'] ** course['lbfgs_start'] == pytest.approx(
        TRAIN['learning_rate_decay'] ** TRAIN['lbfgs_start'], rel=0.01
    )


def test_frames_to_the_goal_are_those_of_the_worst_pressure(benchmark, rows):
    assert benchmark.reached(rows, 'gamma_mae_per_cm') == {'targeted': 20, 'random': None}
    assert benchmark.reached(rows, 'gamma_mae_per_cm', 2.6) == {'targeted': 40, 'random': None}
    assert benchmark.reached(rows, 'gamma_mae_per_cm', 9.0)['random'] == 20


def test_files(benchmark, rows, tmp_path):
    benchmark.write(tmp_path / 'new', rows, {'seed': 7})
    content = json.loads((tmp_path / 'new' / 'learning_curve.json').read_text())
    assert content['rows'] == rows
    assert content['frames_to_goal']['supercell_mae_per_cm'] == {'targeted': 20, 'random': None}
    with (tmp_path / 'new' / 'learning_curve.csv').open() as handle:
        table = list(csv.DictReader(handle))
    assert [float(line['n_frames']) for line in table] == [each['n_frames'] for each in rows]
    assert (tmp_path / 'new' / 'learning_curve.png').read_bytes().startswith(b'\x89PNG')


def test_points_of_earlier_runs_stay(benchmark, rows, tmp_path):
    settings = dict.fromkeys(benchmark.OF_THE_STUDY, 1)
    assert benchmark.points_there(tmp_path, settings, ['random'], [10]) == []
    benchmark.write(tmp_path, rows, {**settings, 'sets': ['targeted', 'random']})
    polished = [{**each, 'set': f'{each["set"]}, polished'} for each in rows]
    benchmark.write(tmp_path, [*rows, *polished], {**settings, 'sets': ['targeted', 'random']})
    kept = benchmark.points_there(tmp_path, settings, ['random'], [10, 20])
    assert kept == [r for r in [*rows, *polished] if 'targeted' in r['set'] or r['n_frames'] == 40]
    with pytest.raises(ValueError, match='other steps, seed; take another folder'):
        benchmark.points_there(tmp_path, {**settings, 'steps': 2, 'seed': 3}, ['random'], [10])


def test_polishing_is_nearly_all_lbfgs(study):
    settings = {**TRAIN, **study.polishing(30)}
    assert not train_problems(settings, 'parameters')
    assert settings['max_epochs'] - settings['lbfgs_start'] == 30
    assert settings['lbfgs_start'] < 3


def test_a_polished_potential_is_a_point_of_its_own(study, monkeypatch):
    """What failed after the first potential does not take its point away."""
    found = object.__new__(study.Study)
    found.settings, found.cells = {'pressures': [0.0], 'polish': 30}, {'pressure_0': None}
    model = SimpleNamespace(uuid='u')

    def potential(name, dataset, before):
        if name.endswith('polished'):
            assert before is model
            raise study.Failed('no memory')
        return model

    for name, made in {
        'dataset': lambda kind, size: None,
        'potential': potential,
        'relaxation': lambda model: {'pressure_0': {'volume_error_percent': 0.1}},
        'errors': lambda key, model: {'gamma_mae_per_cm': 2.0},
    }.items():
        monkeypatch.setattr(found, name, made)
    (first,), (second,) = found.points('folded', 20)
    assert (first['set'], first['model'], first['gamma_mae_per_cm']) == ('folded', 'u', 2.0)
    assert first['failed'] is None
    assert (second['set'], second['failed']) == ('folded, polished', 'no memory')


def test_numbers_of_a_point(study, aiida_profile):
    settings = orm.Dict(load_protocol('compare')['parameters'])
    dft, mace = spring_force_constants(), spring_force_constants(1.02**2)
    found = compare_on_supercell(settings, mace, dft).get_dict()
    errors = study.errors_of(found)
    assert set(errors) <= set(study.COLUMNS)
    assert errors['gamma_mae_per_cm'] == found['points'][0]['mae_per_cm'] > 5
    assert errors['supercell_mae_per_cm'] == pytest.approx(errors['gamma_mae_per_cm'], rel=0.3)
    assert found['points'][0]['q'] == [0.0, 0.0, 0.0]


def test_frames_of_a_set_are_a_node(sets, aiida_profile):
    sections = load_protocol('pipeline', 'fast')['sampling']
    sections.pop('splits')
    along = [[[1, 0, 0], [0, 1, 0], [0, 0, 2]], [[3, 0, 0], [0, 1, 0], [0, 0, 1]]]
    warm = {**sections.pop('warm'), 'matrices': along}
    settings = orm.Dict(
        {'sections': sections, 'seed': 7, 'sigma': 0.03, 'strain': 0.01, 'supercell': [1, 1, 2],
         'warm': warm, 'lowest': -8.0}
    )  # fmt: skip
    cells = {
        f'pressure_{i}': orm.StructureData(ase=brucite_dft(p)[0])
        for i, p in enumerate(('0.0', '1.5'))
    }
    for kind in (*sets.SETS, sets.RANDOM_FOLDED, sets.FOLDED, sets.WARM):
        frames = sets.frames_of_set(
            orm.Str(kind), settings, orm.Int(20), orm.List([0.0, 1.5]), **cells
        )
        new = sets.part(frames, orm.Int(10), orm.Int(20))
        assert (frames.n_frames, new.n_frames) == (20, 10)
        places = [each.positions for each in (new.get_frames()[0], frames.get_frames()[10])]
        assert np.array_equal(*places)
        sizes = [len(each) for each in frames.get_frames() if each.info['source'] == 'warm']
        assert sizes == ([10, 15, 10, 15, 10] if kind == sets.WARM else [])
        expanded = min(each.info.get('pressure', 0.0) for each in frames.get_frames())
        assert (expanded == -8.0) == (kind == sets.WARM)
        if kind == sets.RANDOM_FOLDED:
            # Their k-points follow from the supercell that they say they are.
            for each in frames.get_frames():
                assert len(each) == 10
                assert np.array_equal(np.ravel(each.info['matrix']), np.ravel(along[0]))


def brucite_frames(count: int, marks: dict | None = None) -> list[Atoms]:
    frames = []
    for seed in range(count):
        frame = brucite_cell()
        frame.rattle(0.05, seed=seed)
        frame.info.update(source='rattle', **(marks or {}))
        frames.append(frame)
    return frames


def test_labels_are_found_whatever_their_order(reference):
    known = [
        labelled(each, -float(i), each.positions, None, i)
        for i, each in enumerate(brucite_frames(4))
    ]
    wanted = brucite_frames(5, {'split': 'valid'})
    for frame in wanted:
        frame.positions += 1e-6  # relaxed on another machine
    found = reference.labels_of(wanted, known[::-1])
    assert [each.info['REF_energy'] for each in found] == [-0.0, -1.0, -2.0, -3.0]
    assert {each.info['split'] for each in found} == {'valid'}
    assert np.array_equal(found[2].arrays['REF_forces'], known[2].positions)
    assert reference.labels_of(wanted, known[1:]) == []
    assert reference.labels_of(wanted, []) == []


def test_what_dft_made_goes_to_another_machine(reference, aiida_profile_clean, tmp_path):
    path = tmp_path / 'new' / 'reference.aiida'
    here = reference.Reference(path, {'crystal': 'brucite', 'method': 'PBE'})
    other = reference.Reference(path, {'crystal': 'ice', 'method': 'PBE'})
    frames = [
        labelled(each, -1.0, each.positions, np.zeros(6), i)
        for i, each in enumerate(brucite_frames(3))
    ]
    assert here.labelled(FramesData.from_frames(brucite_frames(3))) is None
    other.keep('cell', orm.StructureData(ase=brucite_cell()).store())
    here.keep('cell', orm.StructureData(ase=brucite_cell()).store())
    for begin in (0, 2):
        here.keep('labels', DatasetData.from_frames(frames[begin : begin + 2], 'PBE').store())
    cell = here.find('cell').uuid
    assert len(here.every()) == 3

    aiida_profile_clean.reset_storage()
    there = reference.Reference(path, {'method': 'PBE', 'crystal': 'brucite'})
    assert there.find('cell').uuid == cell
    assert there.find('force constants') is None
    found = there.labelled(FramesData.from_frames(brucite_frames(5)))
    assert (found.n_frames, found.method) == (3, 'PBE')
    assert orm.QueryBuilder().append(orm.StructureData).count() == 1
    reference.Reference(path, {'method': 'PBE', 'crystal': 'brucite'})  # once more does no harm
    assert len(there.every('labels')) == 2
    assert reference.Reference(path, {'method': 'PBE0', 'crystal': 'brucite'}).every() == []


def test_the_same_crystal_is_the_same_study(study, aiida_profile, tmp_path):
    settings = {'foundation': None, 'lanes': 1, 'protocol': 'fast', 'method': 'PBE'}
    settings['supercell'] = [1, 1, 2]
    cells = [brucite_cell(), brucite_cell(), brucite_dft('1.5')[0]]
    first, again, other = (
        study.Study(orm.StructureData(ase=cell), settings, tmp_path / 'kept').kept.study
        for cell in cells
    )
    assert first == again != other


def test_supercells_with_other_kpoints_are_refused(benchmark):
    assert benchmark.supercell_problem(brucite_cell(), [1, 1, 2], 0.9) is None
    assert '(3, 3, 2) k-points' in benchmark.supercell_problem(brucite_cell(), [2, 1, 1], 0.9)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--sizes', '10,15'], 'no multiples of 10'),
        (['--sizes', 'ten'], 'no list of numbers'),
        (['--sets', 'targeted,best'], "['best'] are none of"),
        (['--sets', 'targeted,fine-tuned'], 'fine-tuned needs --foundation'),
        (['--supercell', '2,1,1'], 'k-points'),
    ],
)
def test_wrong_words_are_refused(benchmark, aiida_profile, words, message):
    result = CliRunner().invoke(benchmark.main, words)
    assert result.exit_code == 2
    assert message in ' '.join(result.output.replace('│', ' ').split())
