"""What a published archive should not say of the machines that a run was made on."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from aiida import orm
from aiida.manage.configuration.settings import AiiDAConfigDir

COMMON = ('/', '/bin', '/usr/bin', '/usr/local/bin', '/tmp', '/home', '/opt')
"""Folders that say nothing of a machine."""
LONG = 6
"""Characters of a name of a host that does not turn up by chance."""
LOCAL = ('localhost', '')


class Redaction:
    """Replaces paths and names of hosts in texts, at any depth of attributes."""

    def __init__(self, paths: dict[str, str], hosts: Iterable[str]) -> None:
        """Take what to replace.

        :param paths: folder -> what is written in its place.
        :param hosts: names of computers.
        """
        self.paths = {path: paths[path] for path in sorted(paths, key=len, reverse=True)}
        self.hosts = sorted({host for host in hosts if host not in LOCAL}, key=len, reverse=True)
        names = '|'.join(map(re.escape, self.hosts))
        self._hosts = re.compile(rf'(?<![\w.-])({names})(?![\w-])') if names else None

    def text(self, text: str) -> str:
        """Return a text without the paths and hosts."""
        for path, token in self.paths.items():
            if path in text:
                text = re.sub(rf'{re.escape(path)}(?![\w.-])', token, text)
        return text if self._hosts is None else self._hosts.sub('<host>', text)

    def apply(self, content: Any) -> Any:
        """Return nested content with all its texts treated; keys stay as they are."""
        if isinstance(content, str):
            return self.text(content)
        if isinstance(content, dict):
            return {key: self.apply(value) for key, value in content.items()}
        if isinstance(content, list):
            return [self.apply(value) for value in content]
        return content

    def found_in(self, content: bytes) -> list[str]:
        """Return the paths and hosts that are still in some bytes.

        Short names are looked for in texts alone: numbers have them by chance.
        """
        found = [path for path in self.paths if path.encode() in content]
        text = b'\0' not in content
        return found + [
            host
            for host in self.hosts
            if (text or len(host) >= LONG)
            and re.search(rb'(?<![\w.-])' + re.escape(host.encode()) + rb'(?![\w-])', content)
        ]


def of_profile() -> Redaction:
    """Return the redaction of what the profile knows of machines, and of this one.

    These are the work folders and names of all computers, the folders of all codes, this machine's
    name, AiiDA's folder, the current one and that of the user.
    """
    paths: dict[str, str] = {}
    hosts = {socket.gethostname(), socket.getfqdn()}
    for computer in orm.QueryBuilder().append(orm.Computer).all(flat=True):
        hosts.add(computer.hostname)
        folder = computer.get_workdir()
        paths[folder] = paths[folder.format(username=getpass.getuser())] = '<work folder>'
    for code in orm.QueryBuilder().append(orm.InstalledCode).all(flat=True):
        folder = PurePosixPath(code.filepath_executable).parent
        if folder.is_absolute():
            paths[str(folder)] = '<folder of the program>'
    for place, token in (
        (AiiDAConfigDir.get(), '<AiiDA folder>'), (Path.cwd(), '<folder>'), (Path.home(), '~'),
    ):  # fmt: skip
        paths.setdefault(str(place), token)
    return Redaction({p: token for p, token in paths.items() if p not in COMMON}, hosts)
