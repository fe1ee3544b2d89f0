import io
import json
import time

import click
import pytest
from aiida import orm
from aiida.common.links import LinkType
from click.testing import CliRunner

from aiida_mlip_ins.cli.follow import Display, duration, follow, render
from aiida_mlip_ins.cli.job_progress import pw_words, read_progress
from aiida_mlip_ins.cli.main import main
from aiida_mlip_ins.cli.progress import FINAL_SCF, Line, Progress, time_left
from aiida_mlip_ins.workflows import pw_pressure_lane


def process(kind, label, plugin, state, caller=None, link='CALL', exit_status=None, **inputs):
    """Store a process node as a running or ended process would have left it."""
    node = kind()
    node.set_process_label(label)
    node.set_process_type(f'aiida.workflows:{plugin}')
    if kind is orm.CalcJobNode:
        node.computer = orm.load_computer('localhost')
    for name, value in inputs.items():
        node.base.links.add_incoming(value.store(), LinkType.INPUT_WORK, name)
    if caller is not None:
        link_type = LinkType.CALL_CALC if kind is orm.CalcJobNode else LinkType.CALL_WORK
        node.base.links.add_incoming(caller, link_type, link)
    node.store()
    node.set_process_state(state)
    if exit_status is not None:
        node.set_exit_status(exit_status)
        node.set_exit_message('it broke')
    return node


@pytest.fixture
def tree(aiida_profile_clean, aiida_localhost):
    """Return a chain at its reference: a frame done, one failed, one running, one to do."""
    chain = process(orm.WorkChainNode, 'Chain', 'mlip_ins.high_pressure_ins', 'waiting')
    done = process(orm.WorkChainNode, 'Scan', 'x.scan', 'finished', chain, 'pw_scan', 0)
    job = process(orm.CalcJobNode, 'Job', 'x.job', 'finished', done, 'CALL', 0)
    reference = process(
        orm.WorkChainNode, 'Reference', 'mlip_ins.reference', 'waiting', chain, 'reference'
    )
    lane = process(
        orm.WorkChainNode, 'Lane', 'x.lane', 'waiting', reference, 'lane_0',
        tasks=orm.List(['a', 'b', 'c', 'd']),
    )  # fmt: skip
    base = 'quantumespresso.pw.base'
    one = process(orm.WorkChainNode, 'PwBase', base, 'finished', lane, 'frame_0000', 0)
    process(orm.CalcJobNode, 'Pw', 'quantumespresso.pw', 'finished', one, 'iteration_01', 0)
    two = process(orm.WorkChainNode, 'PwBase', base, 'finished', lane, 'frame_0001', 401)
    for number in (1, 2):
        name = f'iteration_0{number}'
        process(orm.CalcJobNode, 'Pw', 'quantumespresso.pw', 'finished', two, name, 305)
    three = process(orm.WorkChainNode, 'PwBase', base, 'waiting', lane, 'frame_0002')
    process(orm.CalcJobNode, 'Pw', 'quantumespresso.pw', 'waiting', three, 'iteration_01')
    return {'chain': chain, 'job': job, 'reference': reference, 'lane': lane, 'three': three}


def lines_of(node):
    return {line.name: line for line in Progress(node.pk).lines()}


def test_counts_are_of_frames_not_of_restarts(tree):
    lines = lines_of(tree['chain'])
    assert (lines['reference'].done, lines['reference'].total) == (2, 4)
    assert (lines['Chain'].done, lines['Chain'].total) == (3, 5)


def test_what_runs_or_failed_is_shown_and_what_is_done_is_not(tree):
    lines = lines_of(tree['chain'])
    assert lines['pw_scan'].state == 'done'
    assert 'Job' not in lines
    assert 'frame_0000' not in lines
    assert lines['frame_0001'].state == 'failed [401]'
    assert lines['frame_0001'].detail == 'it broke'
    assert lines['frame_0002'].state == 'running'
    assert lines['lane_0'].depth == 2


def test_a_relaxation_that_is_repeated_from_its_end_has_not_failed(tree):
    assert pw_pressure_lane.FINAL_SCF.status == FINAL_SCF
    process(
        orm.WorkChainNode, 'PwBase', 'quantumespresso.pw.base', 'finished', tree['lane'],
        'pressure_0_0', FINAL_SCF,
    )  # fmt: skip
    names = lines_of(tree['chain'])
    assert 'frame_0001' in names
    assert 'pressure_0_0' not in names


def test_time_left_is_that_of_the_mean_piece_and_as_many_at_a_time():
    assert time_left([60.0, 40.0], [20.0], 4) == pytest.approx(4 * 50 - 20)
    assert time_left([60.0, 40.0], [20.0, 0.0], 4) == pytest.approx((4 * 50 - 20) / 2)
    # one that runs for longer than the mean is about to end, the others are still to do
    assert time_left([50.0], [900.0], 3) == pytest.approx(2 * 50)
    assert time_left([], [100.0], 4) is None
    assert time_left([0.1, 0.2], [100.0], 4) is None


def test_time_left_is_that_of_what_was_computed(tree, monkeypatch):
    begun = tree['three'].ctime.timestamp()
    monkeypatch.setattr(time, 'time', lambda: begun + 100.0)
    monkeypatch.setattr('aiida_mlip_ins.cli.progress.MIN_PROGRESS_S', 1e-9)
    lines = lines_of(tree['chain'])
    assert lines['reference'].seconds >= 100.0
    took = [
        (node.mtime - node.ctime).total_seconds()
        for node in tree['lane'].called
        if node.is_finished
    ]
    each = sum(took) / 2
    # Two to do, of which one has run for longer than the mean; times are good to a microsecond.
    assert lines['reference'].left == pytest.approx(each, abs=1e-4)
    assert lines['Chain'].left is None
    for node in tree['lane'].called:
        for job in node.called:
            job.base.extras.set('_aiida_cached_from', 'some-uuid')
    assert lines_of(tree['chain'])['reference'].left is None


def test_a_process_from_the_cache_says_so(tree):
    tree['job'].base.extras.set('_aiida_cached_from', 'some-uuid')
    assert lines_of(tree['job'])['Job'].detail == 'from the cache'


def test_epochs_and_time_left_of_a_running_training(tree, tmp_path):
    job = process(
        orm.CalcJobNode, 'MaceTrain', 'mlip_ins.mace_train', 'waiting', tree['chain'], 'training'
    )
    remote = orm.RemoteData(remote_path=str(tmp_path), computer=job.computer)
    remote.base.links.add_incoming(job, LinkType.CREATE, 'remote_folder')
    remote.store()
    assert read_progress(job) == []
    now = time.time()
    entries = [
        {'time': now - 100, 'stage': 'load', 'done': 1, 'total': 1},
        {'time': now - 60, 'stage': 'train', 'done': 10, 'total': 100},
        {'time': now, 'stage': 'train', 'done': 40, 'total': 100,
         'force_mae_mev_per_angstrom': 12.34},
    ]  # fmt: skip
    text = ''.join(json.dumps(entry) + '\n' for entry in entries)
    (tmp_path / 'progress.jsonl').write_text(text + '{"time": 12, "sta')
    line = lines_of(tree['chain'])['training']
    assert line.detail == 'train 40/100, force MAE 12.3 meV/angstrom'
    assert line.left == pytest.approx(120.0, abs=5.0)
    passes = (0, 200, 100)
    longer = [{**e, 'passes_left': left} for e, left in zip(entries, passes, strict=True)]
    (tmp_path / 'progress.jsonl').write_text(''.join(json.dumps(e) + '\n' for e in longer))
    assert lines_of(tree['chain'])['training'].left == pytest.approx(60.0, abs=5.0)


STEP = """
!    total energy              =    -101.08706057 Ry
     Total force =     0.010000     Total SCF correction =     0.000018
          total   stress  (Ry/bohr**3)                   (kbar)     P=      -18.36
"""


def test_pw_says_which_step_of_a_relaxation_it_is_at():
    begun = STEP + '     BFGS Geometry Optimization\n'
    assert pw_words(STEP) == ''
    assert pw_words(begun) == 'step 2, force 0.257 eV/angstrom, -1.84 GPa'
    assert pw_words(begun + STEP).startswith('step 3, ')
    assert pw_words(begun + STEP + '     End of BFGS Geometry Optimization') == ''


def test_a_training_of_several_jobs_counts_as_one(tree):
    chain = tree['chain']
    training = process(
        orm.WorkChainNode, 'MaceTrain', 'mlip_ins.train', 'waiting', chain, 'training'
    )
    for name, state, status in (
        ('iteration_01', 'finished', 320),
        ('iteration_02', 'waiting', None),
    ):
        plugin = 'mlip_ins.mace_train'
        process(orm.CalcJobNode, 'MaceTrainJob', plugin, state, training, name, status)
    lines = lines_of(chain)
    assert (lines['training'].done, lines['training'].total) == (0, 1)
    assert (lines['Chain'].done, lines['Chain'].total) == (3, 6)
    assert lines['MaceTrainJob'].state == 'running'


def test_rendered_lines_can_be_read(tree):
    rows = render(Progress(tree['chain'].pk).lines())
    assert rows[0].startswith(f'Chain <{tree["chain"].pk}>')
    assert any('2/4' in row for row in rows)
    row = render([Line(0, 'training', 7, 'running', 0, 1, 75.0, 200.0, 'train 4/9')])[0]
    assert 'about 3 min 20 s left' in row
    assert row.endswith('train 4/9')


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(0.4, '0 s'), (59.6, '1 min 0 s'), (200, '3 min 20 s'), (3900, '1 h 5 min')],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_a_display_that_is_no_terminal_shows_only_news():
    stream, log = io.StringIO(), io.StringIO()
    display = Display(stream, log)
    line = Line(0, 'x', 1, 'running', 0, 3, 1.0, None, '')
    for _ in range(5):
        display.show([line])
    display.show([Line(0, 'x', 1, 'done', 3, 3, 9.0, None, '')])
    assert stream.getvalue().count('x <1>') == 2
    assert '\x1b' not in stream.getvalue()
    assert log.getvalue().count('x <1>') == 2


def test_a_terminal_is_drawn_over(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, 'isatty', lambda: True, raising=False)
    display = Display(stream)
    line = Line(0, 'x' * 300, 1, 'running', 0, 3, 1.0, None, '')
    display.show([line, line])
    display.show([line])
    assert '\x1b[2A' in stream.getvalue()
    assert max(len(row) for row in click.unstyle(stream.getvalue()).splitlines()) < 80


def test_following_ends_with_the_process(tree, monkeypatch):
    checks = []

    def check():
        checks.append(1)
        tree['chain'].set_process_state('finished')

    follow(tree['chain'].pk, Display(io.StringIO()), check, interval=0.01)
    assert checks == [1]


def test_status_command(tree):
    result = CliRunner().invoke(main, ['status', str(tree['chain'].pk)])
    assert result.exit_code == 0, result.output
    assert 'reference' in result.output
    result = CliRunner().invoke(main, ['status', '987654'])
    assert result.exit_code == 2
    assert 'neither a file nor' in result.output
