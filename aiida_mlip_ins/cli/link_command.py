"""What the subcommands of ``aiida-mlip-ins launch`` have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from aiida_mlip_ins.cli import options

METHOD = click.option(
    '--method', metavar='TEXT', help='For a file: how its labels were computed, kept with them.'
)
FOUNDATION = click.option('--foundation', metavar='NODE', help='Model that trainings start from.')
NUMBERS = (options.PROTOCOL, options.OVERRIDES)


def link(*declared: Callable) -> Callable:
    """Declare a subcommand: its own arguments and options, then those that all links share.

    The decorated function takes the inputs to be collected and returns the builder.
    """

    def decorate(function: Callable) -> click.Command:
        @wraps(function)
        def command(profile: str | None, daemon: bool, check: bool, **given: Any) -> None:
            from aiida_mlip_ins.cli import profile as profiles

            profiles.load(profile)
            from aiida_mlip_ins.cli.carry_out import carry_out
            from aiida_mlip_ins.cli.inputs import Inputs

            inputs = Inputs()
            carry_out(inputs, function(inputs, **given), daemon, check)

        shared = (options.DAEMON, options.CHECK, options.PROFILE)
        for option in reversed((*declared, *shared)):
            command = option(command)
        return click.command(function.__name__.strip('_').replace('_', '-'))(command)

    return decorate
