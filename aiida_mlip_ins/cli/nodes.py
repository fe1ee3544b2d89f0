"""From what the user typed to nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import click
from aiida import orm
from aiida.common.exceptions import MultipleObjectsError, NotExistent


class Refusal(click.ClickException):
    """What was asked for cannot be done, as far as the inputs tell; exits with 2."""

    exit_code = 2

    @classmethod
    def of(cls, what: str, problems: Iterable[str]) -> Self:
        """Return the refusal that lists every problem.

        :param what: was not done: ``submitted``, ``written``, ...
        """
        listed = '\n'.join(f'  - {problem}' for problem in problems)
        return cls(f'nothing was {what}, because\n{listed}')


def find_node(identifier: str, kind: type[orm.Node] = orm.Node) -> orm.Node:
    """Return the node with this PK, UUID (or the start of one) or label.

    Of a process that made one such node, and one only, it is that output.

    :raises ValueError: if there is none, several, or one of another type.
    """
    by_label = orm.QueryBuilder().append(kind, filters={'label': identifier}).all(flat=True)
    if len(by_label) == 1:
        return by_label[0]
    if by_label:
        pks = ', '.join(str(node.pk) for node in by_label)
        raise ValueError(
            f"several nodes have the label '{identifier}': give one of their PKs {pks}"
        )
    try:
        node = orm.load_node(identifier)
    except MultipleObjectsError:
        raise ValueError(f"several nodes match '{identifier}': give more of the UUID") from None
    except (NotExistent, ValueError):
        raise ValueError(
            f"'{identifier}' is neither a file nor the PK, UUID or label of a node"
        ) from None
    if isinstance(node, kind):
        return node
    if isinstance(node, orm.ProcessNode) and not issubclass(kind, orm.ProcessNode):
        made = node.base.links.get_outgoing(node_class=kind).all()
        # A chain returns its potential under two names.
        if len({link.node.pk for link in made}) == 1:
            return made[0].node
        if made:
            named = ', '.join(f'{link.link_label} <{link.node.pk}>' for link in made)
            raise ValueError(
                f'<{node.pk}> ({node.process_label}) has several outputs that could be meant: '
                f'give the PK of one of {named}'
            )
    raise ValueError(
        f'<{node.pk}> is a {type(node).__name__}, but a {kind.__name__} is needed here'
    )


def load_process(identifier: str) -> orm.ProcessNode:
    """Return a process, for a command that has one as its only input."""
    try:
        return find_node(identifier, orm.ProcessNode)
    except ValueError as error:
        raise Refusal(str(error)) from None
