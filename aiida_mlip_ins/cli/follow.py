"""Show the tree of stages as text, once or until the process has ended."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from aiida_mlip_ins.cli.progress import Line

COLOURS = {'done': 'green', 'running': 'cyan'}
REFRESH_S = 3.0
POLL_S = 1.0
"""Between questions whether the process has ended, which cost little."""
SHARE = 0.05
"""Of the time, spent on looking at the tree: the work needs the processors."""
LOG_EVERY_S = 60.0


def duration(seconds: float) -> str:
    """Return a time span as people say it: ``42 s``, ``3 min 20 s``, ``1 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f'{whole} s'
    if whole < 3600:
        return f'{whole // 60} min {whole % 60} s'
    return f'{whole // 3600} h {whole % 3600 // 60} min'


def render(lines: Sequence[Line]) -> list[str]:
    """Return the lines of the tree as text."""
    rows = []
    for line in lines:
        name = f'{"  " * line.depth}{line.name} <{line.pk}>'
        counts = f'{line.done}/{line.total}' if line.total > 1 else ''
        state = click.style(f'{line.state:12}', fg=COLOURS.get(line.state.split()[0], 'red'))
        text = f'{name:44} {state} {counts:>7} {duration(line.seconds):>13}'
        if line.left is not None and line.state == 'running':
            text += f', about {duration(line.left)} left'
        if line.detail:
            text += f'  {line.detail}'
        rows.append(text.rstrip())
    return rows


class Display:
    """Shows a changing block of text: in place on a terminal, else what is new now and then."""

    def __init__(self, stream: TextIO | None = None, log: TextIO | None = None) -> None:
        """Write to the stream (default: standard output) and, without colours, to a log."""
        self.stream = stream or sys.stdout
        self.in_place = self.stream.isatty()
        self.log = log
        self._height = 0
        self._last = -LOG_EVERY_S
        self._states: list[tuple[str, str]] = []

    def show(self, lines: Sequence[Line]) -> None:
        """Show the tree as it is now."""
        rows = render(lines)
        states = [(line.name, line.state) for line in lines if line.depth <= 1]
        now = time.monotonic()
        news = states != self._states or now - self._last >= LOG_EVERY_S
        if news:
            self._states, self._last = states, now
            if self.log:
                _append(self.log, rows)
        if self.in_place:
            width, height = shutil.get_terminal_size()
            self._redraw([_cut(row, width) for row in rows][-(height - 2) :])
        elif news:
            _append(self.stream, rows)

    def _redraw(self, rows: list[str]) -> None:
        up = f'\x1b[{self._height}A' if self._height else ''
        self.stream.write(up + ''.join(f'\x1b[2K{row}\n' for row in rows) + '\x1b[J')
        self.stream.flush()
        self._height = len(rows)


def follow(
    pk: int, display: Display, check: Callable[[], None] | None = None, interval: float = REFRESH_S
) -> None:
    """Show the tree of a process until it has ended.

    :param check: called at each refresh; may raise to stop, for instance if the daemon has died.
    :param interval: s between refreshes; more where a look at a large tree takes long.
    """
    from aiida.manage import get_manager
    from sqlalchemy.exc import OperationalError

    from aiida_mlip_ins.cli.progress import ENDED, Progress, read_state

    progress = Progress(pk)
    due = 0.0
    while True:
        began = time.monotonic()
        try:
            state = read_state(pk)
            if state in ENDED or began >= due:
                display.show(progress.lines())
                now = time.monotonic()
                due = now + max(interval, (now - began) / SHARE)
                if check and state not in ENDED:
                    check()
        except OperationalError:  # SQLite was locked for too long; the next look will do
            get_manager().get_profile_storage().get_session().rollback()
            state = None
        if state in ENDED:
            return
        time.sleep(min(POLL_S, interval))


def _append(stream: TextIO, rows: Sequence[str]) -> None:
    """Write the lines below what is there, with the time of day."""
    stream.write(time.strftime('-- %H:%M:%S\n'))
    stream.writelines(f'{click.unstyle(row)}\n' for row in rows)
    stream.flush()


def _cut(row: str, width: int) -> str:
    """Cut a line to the width of the terminal, since a wrapped one cannot be drawn over."""
    return row if len(click.unstyle(row)) < width else click.unstyle(row)[: width - 1]
