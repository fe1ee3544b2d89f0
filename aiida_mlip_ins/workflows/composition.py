"""What a workchain needs that only composes others: labels, exit codes, builders, gaps."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, TypeVar

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ToContext, WorkChain

T = TypeVar('T')


def tried(found: list[str], link: str, make: Callable[..., T], *arguments: Any) -> T | None:
    """Return what ``make`` makes, or note its problems under the name of the link."""
    try:
        return make(*arguments)
    except ValueError as error:
        found.extend(f'{link}: {line}' for line in str(error).splitlines())
    return None


def gathered(found: Iterable[str], links: Container[str]) -> list[str]:
    """Return problems each once; what is wrong with several links is said with all their names."""
    names: dict[str, list[str]] = {}
    for line in dict.fromkeys(found):
        link, _, rest = line.partition(': ')
        if link in links and rest:
            names.setdefault(rest, []).append(link)
        else:
            names.setdefault(line, [])
    return [f'{", ".join(own)}: {line}' if own else line for line, own in names.items()]


def fill(
    builder: ProcessBuilder, port: str, excluded: tuple[str, ...], link: ProcessBuilder | None
) -> None:
    """Put a link's inputs under its port, without those that the chain itself connects."""
    if link is not None:
        inputs = link._inputs(prune=True)
        builder[port] = {name: value for name, value in inputs.items() if name not in excluded}


def set_link_label(inputs: dict[str, Any], label: str) -> None:
    """Set the label of the call link, which says which link of the chain a process is."""
    inputs['metadata'] = {**inputs.get('metadata', {}), 'call_link_label': label}


def cause_of(node: orm.ProcessNode) -> str:
    """Return which process did not end well, and why."""
    return f'<{node.pk}> {node.exit_message or node.process_state}'


class Composition(WorkChain):
    """A workchain of links, of which one that fails may be an end or only something missing.

    A subclass has an exit code ``ERROR_<LINK>_FAILED`` with a ``{cause}`` for each link that is an
    end, and sets ``ctx.missing`` to an empty list before it begins.
    """

    def _submit(
        self, key: str, process: type, inputs: dict[str, Any], label: str | None = None
    ) -> ToContext:
        """Submit a link of the chain under a call link label that says which it is."""
        set_link_label(inputs, label or key)
        node = self.submit(process, **inputs)
        self.report(f'{label or key} <{node.pk}> started')
        return ToContext(**{key: node})

    def _take(self, node: orm.ProcessNode, places: Mapping[str, str]) -> None:
        """Take over outputs of a link, as far as it has them, each under a name of our own."""
        for source, target in places.items():
            if source in node.outputs:
                self.out(target, node.outputs[source])

    def _failure(self, node: orm.ProcessNode, link: str) -> ExitCode | None:
        """Return the exit code of a failed link, with its own words as the cause, and say it."""
        if node.is_finished_ok:
            return None
        code: ExitCode = getattr(self.exit_codes, f'ERROR_{link}_FAILED')
        failure = code.format(cause=cause_of(node))
        self.report(failure.message)
        return failure

    def _note_missing(self, node: orm.ProcessNode, what: str) -> None:
        """Remember what a failed child leaves out; the rest goes on."""
        if not node.is_finished_ok:
            self._lack(f'{what} (<{node.pk}> {node.exit_message})')

    def _lack(self, what: str) -> None:
        """Remember what there is not, to be said at the end, and say it now."""
        self.ctx.missing.append(what)
        self.report(f'missing: {what}')
