"""A run leaves for another profile in one file, and its report can be made there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiida import orm
from aiida.manage import get_manager
from aiida.tools.archive import create_archive
from report.synthetic import build_run

from aiida_mlip_ins.query.trimming import write_archive
from aiida_mlip_ins.report.html import write_report

SCRIPT = """
import sys
from aiida import load_profile, orm
load_profile('tests')
from aiida_mlip_ins.query.provenance import frames_of, pseudos_of
from aiida_mlip_ins.report.html import write_report
run = orm.load_node(sys.argv[1])
write_report(run, sys.argv[2])
print(len(frames_of(run)), len(pseudos_of(run)))
"""


EMPTY = """
from aiida import load_profile, orm
load_profile('tests')
print(orm.QueryBuilder().append(orm.Node).count())
"""


@pytest.mark.slow
def test_a_trimmed_archive_shows_the_same_report_alone_and_imported(
    aiida_profile, presto, tmp_path
):
    run = build_run(cached=True)
    here = tmp_path / 'here'
    write_report(run, here)
    archive = tmp_path / 'run.aiida'
    made = write_archive(run, archive, trim=True)
    assert made.size < 2e6

    alone = presto('aiida-mlip-ins', 'report', '--archive', str(archive), '-o', 'alone')
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert presto('python', '-c', EMPTY).stdout.split() == ['0']
    imported = presto('verdi', '-p', 'tests', 'archive', 'import', str(archive))
    assert imported.returncode == 0, imported.stdout + imported.stderr
    there = presto('aiida-mlip-ins', 'report', run.uuid, '-p', 'tests', '-o', 'there')
    assert there.returncode == 0, there.stdout + there.stderr
    numbers = json.loads((here / 'summary.json').read_text())
    assert numbers['cached_jobs'] == numbers['jobs'] > 0
    # an archive has the PKs of the profile that it comes from, an import makes new ones
    assert json.loads((tmp_path / 'alone/summary.json').read_text()) == numbers
    _same_report(here, tmp_path / 'alone')
    _same_report(here, tmp_path / 'there')
    again = presto('aiida-mlip-ins', 'export', run.uuid, 'again.aiida', '-p', 'tests', '--trim')
    assert again.returncode == 0, again.stdout + again.stderr
    assert f'{made.n_nodes} nodes' in again.stdout


def test_an_archive_that_is_none_and_one_with_several_runs(aiida_profile, presto, tmp_path):
    (tmp_path / 'none.aiida').write_text('no archive')
    said = presto('aiida-mlip-ins', 'report', '--archive', 'none.aiida')
    assert said.returncode == 2
    assert 'none.aiida is no AiiDA archive' in said.stderr
    assert presto('aiida-mlip-ins', 'report').returncode == 2
    runs = [orm.WorkChainNode().store() for _ in range(2)]
    for run in runs:
        run.seal()
    backend = get_manager().get_profile_storage()
    create_archive(runs, filename=tmp_path / 'two.aiida', backend=backend)
    said = presto('aiida-mlip-ins', 'report', '--archive', 'two.aiida')
    assert said.returncode == 2
    assert all(run.uuid in said.stderr for run in runs)


@pytest.mark.slow
def test_report_from_an_imported_archive_is_the_same(aiida_profile, presto, tmp_path):
    run = build_run()
    here = tmp_path / 'here'
    write_report(run, here)
    archive = tmp_path / 'run.aiida'
    _create_archive(run, archive)

    imported = presto('verdi', '-p', 'tests', 'archive', 'import', str(archive))
    assert imported.returncode == 0, imported.stdout + imported.stderr
    there = tmp_path / 'there'
    made = presto('python', '-c', SCRIPT, run.uuid, str(there))
    assert made.returncode == 0, made.stdout + made.stderr
    frames, pseudos = map(int, made.stdout.split()[-2:])
    assert frames == 12
    assert pseudos == 3

    _same_report(here, there)


def _same_report(here: Path, there: Path) -> None:
    """Check that two folders have the same numbers, figures and spectra."""
    first, second = (_without_pks(json.loads((f / 'summary.json').read_text())) for f in
                     (here, there))  # fmt: skip
    assert first == second
    names = sorted(path.name for path in here.iterdir())
    assert names == sorted(path.name for path in there.iterdir())
    for name in names:
        if name.endswith(('.csv', '.png')):
            assert (here / name).read_bytes() == (there / name).read_bytes(), name


def _create_archive(run: orm.ProcessNode, path: Path) -> None:
    """Export a run by its UUID, as ``verdi archive create`` does."""
    create_archive([run], filename=path, backend=get_manager().get_profile_storage())


def _without_pks(content: object) -> object:
    """Drop what differs between profiles: the PKs."""
    if isinstance(content, dict):
        return {key: _without_pks(value) for key, value in content.items() if key != 'pks'}
    if isinstance(content, list):
        return [_without_pks(value) for value in content]
    return content
