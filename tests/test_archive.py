"""A run leaves for another profile in one file, and its report can be made there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiida import orm
from aiida.manage import get_manager
from report.synthetic import build_run

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
    from aiida.tools.archive import create_archive

    create_archive([run], filename=path, backend=get_manager().get_profile_storage())


def _without_pks(content: object) -> object:
    """Drop what differs between profiles: the PKs."""
    if isinstance(content, dict):
        return {key: _without_pks(value) for key, value in content.items() if key != 'pks'}
    if isinstance(content, list):
        return [_without_pks(value) for value in content]
    return content
