"""The daemon of the loaded profile, for as long as a command needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from aiida.engine.daemon.client import DaemonClient

TIMEOUT_S = 60
"""Of answers from the daemon, which are slow where all processors compute."""


class Daemon:
    """The daemon while a command runs: whether the command started it, and what it asks of it."""

    def __init__(self, client: DaemonClient, started: bool) -> None:
        self.client = client
        self.started = started

    def check(self) -> None:
        """Raise if it no longer runs."""
        if not self.client.is_daemon_running:
            raise click.ClickException(
                f'the daemon has stopped; its log: {self.client.daemon_log_file}. Run the command '
                'again to go on from where it was.'
            )

    def await_broker(self) -> None:
        """Wait until the broker answers; AiiDA gives it ten seconds, too few on a busy machine."""
        from aiida.manage import get_manager

        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                get_manager().get_communicator()
            except ConnectionError as error:
                if time.monotonic() > deadline:
                    raise click.ClickException(f'the broker does not answer: {error}') from None
            else:
                return

    def ask_to_stop(self) -> None:
        """Let it stop while the command goes on, if the command started it."""
        from aiida.engine.daemon.client import DaemonException

        if self.started and self.client.is_daemon_running:
            try:
                self.client.stop_daemon(wait=False, timeout=TIMEOUT_S)
            except DaemonException as error:
                click.echo(f'The daemon may still run ({error}): `verdi daemon stop`.', err=True)

    def await_end(self) -> None:
        """Wait until it has stopped: a command that finds it stopping would take it as running."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.started and self.client.is_daemon_running and time.monotonic() < deadline:
            time.sleep(0.1)


@contextmanager
def running_daemon(workers: int = 3) -> Iterator[Daemon]:
    """Start the daemon unless it runs, and stop it at the end if it was started here.

    It takes seconds until its workers listen, in which the command can do something else.

    :param workers: a workchain runs in one of them. The broker hands tasks out in turn; with as
        many workers as lanes, the costly process of every frame could fall to one and the same.
    """
    from aiida.engine.daemon.client import DaemonException, get_daemon_client

    client = get_daemon_client()
    daemon = Daemon(client, started=not client.is_daemon_running)
    if daemon.started:
        try:
            client.start_daemon(number_workers=workers, timeout=TIMEOUT_S)
        except DaemonException as error:
            raise click.ClickException(
                f'the daemon did not start: {error}\nIts log: {client.daemon_log_file}'
            ) from None
    try:
        yield daemon
    finally:
        daemon.ask_to_stop()
        daemon.await_end()


def warn_without_daemon() -> Callable[[], None]:
    """Return a function that says, each time it happens, that the daemon no longer runs.

    No reason to stop: a process may be run in place by another shell, or the daemon come back.
    """
    from aiida.engine.daemon.client import get_daemon_client

    client = get_daemon_client()
    warned = False

    def check() -> None:
        nonlocal warned
        running = client.is_daemon_running
        if not running and not warned:
            click.echo(
                'The daemon does not run: nothing goes on unless another shell runs the process. '
                '`verdi daemon start` starts it; Ctrl-C ends this view.',
                err=True,
            )
        warned = not running

    return check
