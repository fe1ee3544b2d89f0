"""The set-up for real, in a profile of its own, with the environments that are there."""

import os

import click
import pytest

from aiida_mlip_ins.cli import installation


@pytest.fixture
def folder(engines_python, pw_executable, tmp_path):
    """Return a folder of environments made of those that are there, as `make` leaves them."""
    from aiida_mlip_ins.cli.environments import ENVIRONMENTS, STAMP, _checksum

    top = engines_python.parents[2]
    upf = top / 'pseudos/upf'
    if not (upf.is_dir() and top.name == '.envs'):
        pytest.skip('the environments are not those that `make` builds')
    made = tmp_path / 'envs'
    for name in ('engines', 'pw', 'pseudos'):
        (made / name).mkdir(parents=True)
        for path in (top / name).iterdir():
            if path.name != STAMP:
                (made / name / path.name).symlink_to(path)
        (made / name / STAMP).write_text(_checksum(ENVIRONMENTS[name]))
    return made


def states(result):
    assert result.returncode == 0, result.stdout + result.stderr
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    return {line[1].partition(':')[0]: line[0] for line in lines if line[0] in
            ('found', 'made', 'skipped')}  # fmt: skip


@pytest.mark.engines
@pytest.mark.pw
@pytest.mark.slow
def test_makes_what_is_missing_and_finds_it_the_next_time(presto, folder):
    words = ('aiida-mlip-ins', 'setup', '--environments', str(folder))
    first = presto(*words, '--caching')
    assert states(first) == {
        'profile': 'found',
        'database': 'found',
        'caching': 'made',
        'engines environment': 'found',
        'pw environment': 'found',
        'pseudos environment': 'found',
        'computer': 'found',
        'mlip-ins-engines@localhost': 'made',
        'pw@localhost': 'made',
        'pseudopotentials': 'made',
    }
    assert 'torch 2' in first.stdout
    assert 'PWSCF v.' in first.stdout
    assert 'building' not in first.stdout
    again = states(presto(*words))
    assert set(again.values()) == {'found'}
    assert presto('verdi', 'code', 'show', 'pw@localhost').stdout.count(str(folder)) == 1
    other = presto(*words, '--pseudo-family', 'mine')
    assert other.returncode == 1
    assert "no pseudopotential family 'mine' (there is: PseudoDojo" in other.stderr


@pytest.fixture
def program(tmp_path):
    """Return a function that writes a shell script."""

    def write(name, text):
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\n{text}\n')
        path.chmod(0o755)
        return path

    return write


def test_a_program_that_is_not_pw_is_refused(program, tmp_path):
    with pytest.raises(click.ClickException, match=r'does not answer like pw.x:\nhello'):
        installation.pw_version(program('pw.x', 'echo hello'))
    with pytest.raises(click.ClickException, match='is not a program that can be run'):
        installation.pw_version(tmp_path / 'missing')
    said = program('good', 'echo "     Program PWSCF v.6.7MaX starts on  1Jan2020"')
    assert installation.pw_version(said) == 'PWSCF v.6.7MaX'


def test_an_engines_python_without_engines_is_refused(program):
    import sys

    with pytest.raises(click.ClickException, match='cannot import') as caught:
        installation.engine_versions(program('python', f'exec {sys.executable} -E "$@"'))
    assert 'torch: No module named' in caught.value.message
    assert 'numpy' not in caught.value.message
    with pytest.raises(click.ClickException, match='boom'):
        installation.engine_versions(program('broken', 'echo boom >&2; exit 3'))


def test_a_code_with_another_program_replaces_the_old_one(program, aiida_localhost):
    from aiida import orm

    text = 'echo "     Program PWSCF v.7.2 starts"'
    first = installation.pw_code(program('one', text), 'localhost')
    assert (first.state, first.name) == ('made', 'pw@localhost')
    assert installation.pw_code(program('one', text), 'localhost').state == 'found'
    old = orm.load_code('pw@localhost')
    second = installation.pw_code(program('two', text), 'localhost')
    assert second.state == 'made'
    assert f'pw-{old.pk}' in second.detail
    assert old.is_hidden
    assert orm.load_code('pw@localhost').filepath_executable.name == 'two'
    assert orm.load_code('pw@localhost').with_mpi is False


def test_a_program_with_mpi_gets_settings_for_side_by_side_runs(tmp_path, program, monkeypatch,
                                                                 aiida_localhost):  # fmt: skip
    from aiida import orm

    binary = tmp_path / 'pw-mpi.x'
    binary.write_bytes(b'\x7fELF')
    binary.chmod(0o755)
    monkeypatch.setattr(installation.shutil, 'which', lambda name: f'/usr/bin/{name}')
    installation.pw_code(binary, 'localhost', verify=False)
    code = orm.load_code('pw@localhost')
    assert code.with_mpi is True
    assert 'OMPI_MCA_hwloc_base_binding_policy=none' in code.prepend_text


def test_a_computer_that_is_not_there(aiida_profile):
    with pytest.raises(click.ClickException, match="there is no computer 'cluster'"):
        installation.computer('cluster')


def test_this_computer_is_made_and_found(aiida_profile_clean):
    from aiida import orm

    assert installation.computer('localhost').state == 'made'
    assert installation.computer('localhost').state == 'found'
    computer = orm.load_computer('localhost')
    assert computer.is_configured
    assert computer.transport_type == 'core.local'
    assert computer.get_minimum_job_poll_interval() <= 2.0
    assert computer.get_configuration()['use_login_shell'] is False


@pytest.mark.slow
def test_without_a_profile_it_says_how_to_make_one(presto, tmp_path):
    env = {**presto.env, 'AIIDA_PATH': str(tmp_path / 'nothing')}
    for words in (['setup'], ['status', '1'], ['launch', 'ins', '1']):
        done = presto('aiida-mlip-ins', *words, env=env)
        assert done.returncode == 2
        assert 'setup --new-profile NAME' in done.stderr
        assert 'Traceback' not in done.stderr


@pytest.mark.pw
def test_the_pw_wrapper_keeps_foreign_packages_out(pw_executable, monkeypatch, tmp_path):
    (tmp_path / 'numpy.py').write_text('raise RuntimeError("the wrong numpy")')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    assert installation.pw_version(pw_executable).startswith('PWSCF v.')
    assert os.environ['PYTHONPATH'] == str(tmp_path)


def test_readers_do_not_block_a_commit_once_set_up(presto, tmp_path):
    import sqlite3
    from types import SimpleNamespace

    from aiida_mlip_ins.cli.profile import let_readers_and_writers_coexist

    folder = next((tmp_path / 'aiida').rglob('database.sqlite')).parent
    profile = SimpleNamespace(
        storage_backend='core.sqlite_dos', storage_config={'filepath': str(folder)}
    )
    connect = {'database': folder / 'database.sqlite', 'timeout': 0.1, 'isolation_level': None}
    sqlite3.connect(**connect).execute('PRAGMA journal_mode = DELETE')

    def commit_while_somebody_reads():
        reader, writer = sqlite3.connect(**connect), sqlite3.connect(**connect)
        reader.execute('BEGIN')
        reader.execute('SELECT * FROM db_dbuser').fetchall()
        try:
            writer.execute("UPDATE db_dbuser SET first_name = 'x'")
        finally:
            reader.close()
            writer.close()

    with pytest.raises(sqlite3.OperationalError, match='locked'):
        commit_while_somebody_reads()
    assert let_readers_and_writers_coexist(profile)[0] == 'made'
    commit_while_somebody_reads()
    assert let_readers_and_writers_coexist(profile)[0] == 'found'


def test_other_storages_are_left_alone():
    from types import SimpleNamespace

    from aiida_mlip_ins.cli.profile import let_readers_and_writers_coexist

    profile = SimpleNamespace(storage_backend='core.psql_dos', storage_config={})
    assert let_readers_and_writers_coexist(profile) is None
