"""The AiiDA profile that a command works with."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from aiida.manage.configuration import Profile


def load(name: str | None) -> Profile:
    """Load a profile, or the default one if no name is given.

    :raises click.UsageError: if there is none, with how to make one.
    """
    from aiida.common.exceptions import (
        ConfigurationError,
        MissingConfigurationError,
        ProfileConfigurationError,
    )
    from aiida.manage.configuration import get_config, load_profile

    try:
        get_config()
        return load_profile(name)
    except (ConfigurationError, MissingConfigurationError, ProfileConfigurationError) as error:
        raise click.UsageError(
            f'no AiiDA profile could be loaded ({error}). '
            '`aiida-mlip-ins setup --new-profile NAME` makes one that needs no service.'
        ) from None


def load_archive(path: Path) -> Profile:
    """Load an archive as a profile that can only be read.

    The user's own configuration is not looked at: AiiDA is given an empty folder for it, which goes
    when the command ends. So this has to come before anything else imports AiiDA.

    :raises click.UsageError: if the file is no archive, or one that has to be migrated.
    """
    folder = click.get_current_context().with_resource(tempfile.TemporaryDirectory())
    os.environ['AIIDA_PATH'] = folder
    warnings.filterwarnings('ignore', 'Creating AiiDA configuration folder')
    from aiida.common.exceptions import (
        AiidaException,
        IncompatibleStorageSchema,
        StorageMigrationError,
    )
    from aiida.manage import get_manager
    from aiida.storage.sqlite_zip.backend import SqliteZipBackend

    try:
        profile = get_manager().load_profile(
            SqliteZipBackend.create_profile(path.resolve()), allow_switch=True
        )
        get_manager().get_profile_storage()
    except (IncompatibleStorageSchema, StorageMigrationError):
        raise click.UsageError(
            f'{path} is of another version of AiiDA: `verdi archive migrate {path} NEW` makes one '
            'of this version'
        ) from None
    except AiidaException as error:
        raise click.UsageError(f'{path} is no AiiDA archive ({error})') from None
    return profile


def ensure(name: str) -> bool:
    """Make a profile on SQLite with the ZeroMQ broker, unless it is there; load it.

    :return: whether it was made.
    """
    from aiida import orm
    from aiida.manage.configuration import get_config, load_profile, reset_config

    from aiida_mlip_ins.cli.installation import configure_this_machine

    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Creating AiiDA configuration folder')
        names = get_config(create=True).profile_names
    if name in names:
        load_profile(name)
        return False
    command = [sys.executable, '-m', 'aiida', 'presto', '--use-zeromq', '-n', '-p', name]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise click.ClickException(f'`verdi presto` failed:\n{made.stdout}{made.stderr}')
    reset_config()
    load_profile(name)
    configure_this_machine(orm.load_computer('localhost'))
    return True


def set_caching(profile: Profile, enabled: bool) -> bool:
    """Switch caching for all processes of a profile; return whether that changed anything."""
    from aiida.manage.configuration import get_config

    config = get_config()
    if config.get_option('caching.default_enabled', scope=profile.name) == enabled:
        return False
    config.set_option('caching.default_enabled', enabled, scope=profile.name)
    config.store()
    return True


def let_readers_and_writers_coexist(profile: Profile) -> tuple[str, str] | None:
    """Switch the database of a profile on SQLite to write-ahead logging, which lasts.

    Without it whoever reads (the progress display, the REST API) can make a commit of the daemon
    fail after 5 s, and the daemon then never recovers: its session keeps the database locked.

    :return: ``found``, ``made`` or ``skipped`` and the words for it; nothing if it is not SQLite.
    """
    if profile.storage_backend != 'core.sqlite_dos':
        return None
    path = Path(profile.storage_config['filepath']) / 'database.sqlite'
    if not path.is_file():
        return None
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        try:
            if connection.execute('PRAGMA journal_mode').fetchone()[0] == 'wal':
                return 'found', 'SQLite with write-ahead logging'
            mode = connection.execute('PRAGMA journal_mode = WAL').fetchone()[0]
        except sqlite3.OperationalError as error:
            mode = str(error)
    if mode == 'wal':
        return 'made', 'SQLite now with write-ahead logging, so that nobody waits for readers'
    return 'skipped', f'SQLite without write-ahead logging ({mode}); stop the daemon and try again'
