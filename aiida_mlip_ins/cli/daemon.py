"""The daemon of the loaded profile, for as long as a command needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

TIMEOUT_S = 60
"""Of answers from the daemon, which are slow where all processors compute."""


@contextmanager
def running_daemon(workers: int = 3) -> Iterator[tuple[bool, Callable[[], None]]]:
    """Start the daemon unless it runs, and stop it at the end if it was started here.

    :param workers: a workchain runs in one of them. The broker hands tasks out in turn; with as
        many workers as lanes, the costly process of every frame could fall to one and the same.
    :return: whether it was started here, and a function that raises if it no longer runs.
    """
    from aiida.engine.daemon.client import DaemonException, get_daemon_client

    client = get_daemon_client()
    started = not client.is_daemon_running
    if started:
        try:
            client.start_daemon(number_workers=workers, timeout=TIMEOUT_S)
        except DaemonException as error:
            raise click.ClickException(
                f'the daemon did not start: {error}\nIts log: {client.daemon_log_file}'
            ) from None

    def check() -> None:
        if not client.is_daemon_running:
            raise click.ClickException(
                f'the daemon has stopped; its log: {client.daemon_log_file}. Run the command again '
                'to go on from where it was.'
            )

    try:
        _await_broker()
        yield started, check
    finally:
        if started and client.is_daemon_running:
            try:
                client.stop_daemon(wait=True, timeout=TIMEOUT_S)
            except DaemonException as error:
                click.echo(f'The daemon may still run ({error}): `verdi daemon stop`.', err=True)


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


def _await_broker() -> None:
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
