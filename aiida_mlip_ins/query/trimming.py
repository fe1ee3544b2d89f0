"""An archive of a run that is small enough to be published, and honest about what it lacks.

AiiDA's own archives hold every file of every node. Here the raw files of the jobs are left out:
what was written into their folders and what was retrieved. All nodes and links stay, with their
UUIDs, attributes and arrays, so the provenance is whole and the report can be made. A node without
its files says so in the extra ``mlip_ins_trimmed``: name and SHA-256 of each file. Paths and names
of hosts are replaced; a node that had some says so in ``mlip_ins_redacted``. Neither kind of node
keeps its hash, so that nothing is ever taken from it as from a cache.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from aiida import orm
from aiida.manage import get_manager
from aiida.orm.entities import EntityTypes
from aiida.repository import Repository
from aiida.storage.sqlite_zip.utils import REPO_FOLDER
from aiida.tools.archive import create_archive
from aiida.tools.archive.implementations.sqlite_zip.main import ArchiveFormatSqlZip
from aiida.tools.archive.implementations.sqlite_zip.writer import ArchiveWriterSqlZip

from aiida_mlip_ins.query.redaction import Redaction, of_profile
from aiida_mlip_ins.query.stages import CACHED_EXTRA

TRIMMED = 'mlip_ins_trimmed'
REDACTED = 'mlip_ins_redacted'
HASH = '_aiida_hash'
CACHED_FROM = '_aiida_cached_from'
TEXTS = {
    EntityTypes.COMPUTER: ('hostname', 'description', 'metadata'),
    EntityTypes.NODE: ('attributes', 'extras', 'label', 'description'),
    EntityTypes.LOG: ('message', 'metadata'),
    EntityTypes.COMMENT: ('content',),
}
"""Columns that may name a machine."""


@dataclass
class Trimming:
    """What is left out of an archive, and what has been."""

    without_files: set[int]
    """Nodes whose files are left out, by PK."""
    redaction: Redaction | None
    kept: dict[str, str] = field(default_factory=dict)
    """Files that stay, by key: the node that they belong to, in words."""
    dropped: set[str] = field(default_factory=set)
    """Keys of the files that are left out."""
    n_nodes: int = 0
    n_redacted: int = 0
    names: list[str] = field(default_factory=list)
    """What is not replaced: users and computers are entities that other profiles tell apart."""

    def row(self, entity: EntityTypes, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row of an entity as it goes into the archive."""
        row = dict(row)
        if entity is EntityTypes.USER:
            self.names.append(f'user {row["email"]}')
        elif entity is EntityTypes.COMPUTER:
            self.names.append(f'computer label {row["label"]}')
        before = {name: row[name] for name in TEXTS.get(entity, ())}
        if self.redaction is not None:
            row |= {name: self.redaction.apply(value) for name, value in before.items()}
        if entity is EntityTypes.NODE:
            self._node(row, any(row[name] != value for name, value in before.items()))
        return row

    def _node(self, row: dict[str, Any], changed: bool) -> None:
        """Take the files off a node, and note on it what was done to it."""
        self.n_nodes += 1
        extras = dict(row['extras'] or {})
        if CACHED_FROM in extras:
            # AiiDA drops its own extras on import, and with them what a job took from the cache
            extras[CACHED_EXTRA] = extras[CACHED_FROM]
        files = Repository.flatten(row['repository_metadata'])
        keys = {path: key for path, key in files.items() if key is not None}
        if keys and row['id'] in self.without_files:
            extras[TRIMMED] = {'sha256': keys}
            row['repository_metadata'] = {}
            self.dropped |= set(keys.values())
            changed = True
        else:
            what = f'{row["node_type"].split(".")[-2]}<{row["id"]}> {row["label"]}'.rstrip()
            self.kept.update({key: f'{what}: {path}' for path, key in keys.items()})
        if changed:
            extras.pop(HASH, None)
            if TRIMMED not in extras:
                extras[REDACTED] = True
                self.n_redacted += 1
        row['extras'] = extras


@dataclass(frozen=True)
class Written:
    """An archive and what there is to be said of it."""

    path: Path
    size: int
    """Bytes."""
    n_nodes: int
    n_files: int
    n_dropped: int
    """Files that were left out."""
    largest: list[tuple[int, str]]
    """Compressed size (bytes) of the largest files, and whose they are."""
    n_redacted: int
    """Nodes that had names of machines which were replaced, trimmed ones not counted."""
    names: list[str]
    """Users and computers, whose names are in it."""
    remaining: list[str]
    """What else still names a machine."""


class _Writer(ArchiveWriterSqlZip):
    """Writes what a trimming leaves."""

    trimming: Trimming

    def bulk_insert(
        self, entity_type: EntityTypes, rows: list[dict[str, Any]], allow_defaults: bool = False
    ) -> None:
        """Write rows as the trimming leaves them."""
        rows = [self.trimming.row(entity_type, row) for row in rows]
        super().bulk_insert(entity_type, rows, allow_defaults)

    def put_object(
        self, stream: BinaryIO, *, buffer_size: int | None = None, key: str | None = None
    ) -> str:
        """Write a file unless every node that has it has been trimmed."""
        if key is not None and key in self.trimming.dropped and key not in self.trimming.kept:
            return key
        return super().put_object(stream, buffer_size=buffer_size, key=key)


class _Format(ArchiveFormatSqlZip):
    """AiiDA's archive format with a writer that trims."""

    def __init__(self, trimming: Trimming) -> None:
        self.trimming = trimming

    def open(self, path: Any, mode: Any = 'r', *, compression: int = 6, **kwargs: Any) -> Any:
        """Return a reader or writer of the archive."""
        if mode not in ('x', 'w'):
            return super().open(path, mode, compression=compression, **kwargs)
        writer = _Writer(path, self, mode=mode, compression=compression, **kwargs)
        writer.trimming = self.trimming
        return writer


def write_archive(
    run: orm.ProcessNode,
    path: Path,
    trim: bool,
    without: Iterable[orm.Node] = (),
    overwrite: bool = False,
) -> Written:
    """Write a finished run and everything that it stands on into an archive.

    :param run: the process.
    :param path: file to be written.
    :param trim: leave out raw files of jobs and names of machines, see this module.
    :param without: further nodes whose files are left out.
    :param overwrite: whether a file that is there is replaced.
    :raises aiida.tools.archive.exceptions.ArchiveExportError: if the file is there, or the process
        or one that it called has not ended.
    """
    dropped = {node.pk for node in without if node.pk is not None}
    trimming = Trimming((raw_files() if trim else set()) | dropped, of_profile() if trim else None)
    create_archive(
        [run], path, archive_format=_Format(trimming), overwrite=overwrite, compression=9,
        backend=get_manager().get_profile_storage(),
    )  # fmt: skip
    with zipfile.ZipFile(path) as archive:
        sizes = {
            info.filename.removeprefix(f'{REPO_FOLDER}/'): info.compress_size
            for info in archive.infolist()
        }
    named = [(size, trimming.kept.get(name, name)) for name, size in sizes.items()]
    return Written(
        path=path,
        size=path.stat().st_size,
        n_nodes=trimming.n_nodes,
        n_files=len(trimming.kept),
        n_dropped=len(trimming.dropped - set(trimming.kept)),
        largest=sorted(named, reverse=True),
        n_redacted=trimming.n_redacted,
        names=trimming.names,
        remaining=remaining(path, trimming) if trim else [],
    )


def raw_files() -> set[int]:
    """Return the PKs of all jobs, whose files are their inputs, and of what they retrieved."""
    jobs = orm.QueryBuilder().append(orm.CalcJobNode, project='id')
    query = orm.QueryBuilder()
    query.append(orm.CalcJobNode, tag='job')
    query.append(
        orm.FolderData, with_incoming='job', edge_filters={'label': 'retrieved'}, project='id'
    )
    return {*jobs.all(flat=True), *query.all(flat=True)}


def remaining(path: Path, trimming: Trimming) -> list[str]:
    """Return what of the redaction is still in the files of an archive, and whose they are."""
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            words = trimming.redaction.found_in(archive.read(name)) if trimming.redaction else []
            if words:
                whose = trimming.kept.get(name.removeprefix(f'{REPO_FOLDER}/'), name)
                found.append(f'{whose}: {", ".join(words)}')
    return found
