"""Where the time of a run went, checked on a run whose timestamps are known."""

from __future__ import annotations

from datetime import timedelta

import pytest
from aiida import orm
from plumpy import ProcessState
from report.synthetic import build_run

from aiida_mlip_ins.query.stages import History, Job, _memory_gb, _pieces


@pytest.fixture(scope='module')
def history(aiida_profile):
    return History(build_run())


def test_stages_are_named_after_their_links_and_in_order(history):
    assert [stage.name for stage in history.stages] == [
        'pw_scan', 'targeted_configurations', 'reference', 'join_datasets', 'training',
        'pw_phonons', 'mace_scan', 'mace_phonons', 'ins', 'compare',
    ]  # fmt: skip


def test_a_stage_lasts_from_its_first_process_to_its_last(history):
    seconds = {stage.name: stage.seconds for stage in history.stages}
    assert seconds['reference'] == pytest.approx(399.0)
    assert seconds['pw_phonons'] == pytest.approx(195.0)  # 605 to 800, one pressure after another
    assert history.wall_clock[1] - history.wall_clock[0] == pytest.approx(1000.0)


def test_jobs_are_counted_and_sorted_by_kind(history):
    kinds = [job.kind for job in history.jobs]
    assert kinds.count('DFT') == 2 + 8 + 2
    assert kinds.count('training') == 1
    assert kinds.count('forces') == 1 + 2
    assert kinds.count('spectra') == 2
    assert not any(job.cached for job in history.jobs)


def test_split_adds_up_to_the_wall_clock(history):
    split = history.time_split()
    assert sum(split.values()) == pytest.approx(1000.0)
    assert min(split.values()) >= 0.0
    # 180 s of relaxation, 4 x 85 s of frames, and DFT's modes shared with the training, 2 x 80 / 2.
    assert split['DFT'] == pytest.approx(180.0 + 4 * 85.0 + 80.0)
    # 225 s of training (after 5 of imports), of which 75 and 80 are shared with DFT.
    assert split['training'] == pytest.approx(225.0 - 155.0 / 2)


def test_memory_is_that_of_jobs_side_by_side(history):
    # The training (2.5 GB) beside one pw.x (0.18 GB); MACE's two forces jobs need 1.1 each.
    assert history.peak_memory_gb() == pytest.approx(2.68)


def test_cached_jobs_count_as_cached_and_compute_nothing(aiida_profile):
    history = History(build_run(cached=True))
    assert all(job.cached for job in history.jobs)
    assert all(stage.cached for stage in history.stages if stage.jobs)
    split = history.time_split()
    assert split['AiiDA overhead'] == pytest.approx(1000.0)
    assert history.peak_memory_gb() is None


def test_a_job_alone_is_its_own_stage(history):
    job = next(job for job in history.jobs if job.kind == 'training')
    alone = History(history.nodes[job.pk])
    assert [stage.name for stage in alone.stages] == ['MaceTrainCalculation']
    assert alone.stages[0].jobs == 1
    assert alone.stages[0].seconds == pytest.approx(250.0)


@pytest.mark.parametrize(
    ('numbers', 'expected'),
    [
        ({'peak_memory_gb': 1.5, 'estimated_ram_total': 3.0}, 1.5),
        ({'estimated_ram_total': 250.0, 'estimated_ram_total_units': 'MB'}, 0.25),
        ({'estimated_ram_per_process': 2.0, 'estimated_ram_per_process_units': 'GB'}, 2.0),
        ({}, 0.0),
    ],
)
def test_memory_units(numbers, expected):
    assert _memory_gb(numbers) == pytest.approx(expected)


def test_computing_lies_in_the_middle_of_the_life_of_a_job():
    job = Job(1, 'x', 'forces', 100.0, 120.0, 10.0, 4.0, 0.0, False, 0)
    assert _pieces(job) == [('imports', 105.0, 109.0), ('forces', 109.0, 115.0)]


def test_a_job_that_goes_on_computes_until_now(aiida_profile):
    node = orm.CalcJobNode(process_type='aiida.calculations:quantumespresso.pw').store()
    node.set_process_state(ProcessState.WAITING)
    node.backend_entity.bare_model.ctime -= timedelta(seconds=100)
    node.backend_entity.model.save()
    history = History(node)
    split = history.time_split()
    assert split['DFT'] == pytest.approx(100.0, abs=20.0)
    assert split['AiiDA overhead'] < 1.0
    assert history.peak_memory_gb() is None
