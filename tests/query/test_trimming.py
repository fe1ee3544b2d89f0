"""Archives for publication: what goes, what is said of it, and what no longer names a machine."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.tools.archive.exceptions import ArchiveExportError, ExportValidationError
from aiida.tools.archive.implementations.sqlite_zip.main import ArchiveFormatSqlZip
from pw_mocks import code

from aiida_mlip_ins.query.redaction import Redaction, of_profile
from aiida_mlip_ins.query.stages import CACHED_EXTRA, is_cached
from aiida_mlip_ins.query.trimming import REDACTED, TRIMMED, write_archive

OUTPUT = 'a long output of pw.x on mycluster.example.org\n' * 200


@pytest.fixture
def run(aiida_profile):
    """Return a workchain with a job that has files, and a result that has others."""
    program = code(filepath_executable='/scratch/me/engines/bin/python')
    job = orm.CalcJobNode(computer=program.computer)
    job.set_options({'resources': {'num_machines': 1}})
    job.base.repository.put_object_from_bytes(b'&CONTROL /', 'aiida.in')
    job.set_remote_workdir('/tmp/aiida/ab/cd')
    job.base.links.add_incoming(program, LinkType.INPUT_CALC, 'code')
    work = orm.WorkChainNode()
    work.base.attributes.set('note', 'made in /scratch/me/engines/bin/run')
    work.store()
    job.base.links.add_incoming(work, LinkType.CALL_CALC, 'forces')
    job.store()
    job.base.extras.set('_aiida_cached_from', 'some-uuid')
    retrieved = orm.FolderData()
    retrieved.base.repository.put_object_from_bytes(OUTPUT.encode(), 'aiida.out')
    retrieved.base.links.add_incoming(job, LinkType.CREATE, 'retrieved')
    retrieved.store()
    array = orm.ArrayData()
    array.set_array('x', np.arange(1000.0))
    array.base.links.add_incoming(job, LinkType.CREATE, 'array')
    array.store()
    array.base.links.add_incoming(work, LinkType.RETURN, 'array')
    for node in (job, work):
        node.seal()
    return work


def content_of(path):
    """Return by UUID attributes, extras and names of files of all nodes of an archive."""
    with ArchiveFormatSqlZip().open(path, 'r') as reader:
        query = reader.querybuilder().append(
            orm.Node, project=['uuid', 'attributes', 'extras', 'repository_metadata']
        )
        return {uuid: rest for uuid, *rest in query.all()}


def test_raw_files_go_and_say_so(run, tmp_path):
    whole = write_archive(run, tmp_path / 'whole.aiida', trim=False)
    made = write_archive(run, tmp_path / 'small.aiida', trim=True)
    assert (whole.n_dropped, made.n_dropped) == (0, 2)
    assert made.n_nodes == whole.n_nodes
    assert made.size < whole.size
    job = run.called[0]
    before, after = content_of(whole.path), content_of(made.path)
    assert before.keys() == after.keys()
    _, extras, files = after[job.outputs.retrieved.uuid]
    assert files == {}
    assert list(extras[TRIMMED]['sha256']) == ['aiida.out']
    key = extras[TRIMMED]['sha256']['aiida.out']
    names = [zipfile.ZipFile(p).namelist() for p in (whole.path, made.path)]
    assert [f'repo/{key}' in found for found in names] == [True, False]
    assert after[job.outputs.array.uuid] == before[job.outputs.array.uuid]
    assert after[job.outputs.array.uuid][2]['o']
    for content in (before, after):
        assert content[job.uuid][1][CACHED_EXTRA] == 'some-uuid'
    assert '_aiida_hash' not in after[job.uuid][1]
    assert made.largest[0][0] >= made.largest[-1][0] > 0


def test_names_of_machines_are_replaced(run, tmp_path):
    made = write_archive(run, tmp_path / 'small.aiida', trim=True)
    content = content_of(made.path)
    job = run.called[0]
    attributes, extras, _ = content[run.uuid]
    assert attributes['note'] == 'made in <folder of the program>/run'
    assert extras[REDACTED] is True
    assert content[job.inputs.code.uuid][0]['filepath_executable'] == (
        '<folder of the program>/python'
    )
    assert content[job.uuid][0]['remote_workdir'] == '<work folder>/ab/cd'
    assert made.remaining == []
    assert any(name.startswith('computer label here') for name in made.names)
    assert any(name.startswith('user ') for name in made.names)


def test_what_remains_is_found(aiida_profile, tmp_path):
    node = orm.SinglefileData.from_string(str(Path.cwd()), filename='here.txt')
    made = write_archive(node.store(), tmp_path / 'file.aiida', trim=True)
    (line,) = made.remaining
    assert str(Path.cwd()) in line
    assert line.startswith(f'SinglefileData<{node.pk}>: here.txt: ')


def test_files_of_other_nodes_can_be_left_out(run, tmp_path):
    array = run.outputs.array
    made = write_archive(run, tmp_path / 'less.aiida', trim=False, without=[array])
    assert made.n_dropped == 1
    assert TRIMMED in content_of(made.path)[array.uuid][1]


def test_nothing_is_overwritten_and_what_goes_on_is_refused(run, tmp_path):
    path = tmp_path / 'there.aiida'
    path.write_text('x')
    with pytest.raises(ArchiveExportError, match='already exists'):
        write_archive(run, path, trim=False)
    with pytest.raises(ExportValidationError, match='sealed'):
        write_archive(orm.WorkChainNode().store(), tmp_path / 'new.aiida', trim=True)


def test_the_cache_is_known_after_an_import(run):
    job = run.called[0]
    assert is_cached(job)
    other = orm.CalcJobNode(computer=job.computer).store()
    assert not is_cached(other)
    other.base.extras.set(CACHED_EXTRA, 'some-uuid')
    assert is_cached(other)


def test_redaction_takes_the_longest_path_and_whole_names():
    redaction = Redaction({'/a/b': '<b>', '/a/b/c': '<c>'}, ['node', 'localhost'])
    assert redaction.text('/a/b/c/d /a/b/e /a/bc') == '<c>/d <b>/e /a/bc'
    assert redaction.text('node nodes my-node node.') == '<host> nodes my-node <host>.'
    assert redaction.text('on localhost') == 'on localhost'
    given = {'x': ['/a/b', 1, None, {'node': 'node'}]}
    assert redaction.apply(given) == {'x': ['<b>', 1, None, {'node': '<host>'}]}
    assert redaction.found_in(json.dumps(given).encode()) == ['/a/b', 'node']
    assert redaction.found_in(b'\0node \0') == []


def test_the_profile_knows_what_to_replace(run):
    found = of_profile()
    assert found.paths['/scratch/me/engines/bin'] == '<folder of the program>'
    assert found.paths['/tmp/aiida'] == '<work folder>'
    assert '/usr/bin' not in found.paths
