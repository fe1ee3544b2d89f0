"""Directives that write the reference from the code itself, so that it cannot go stale.

``{mlip-process} ENTRY_POINT`` prints inputs, outputs, outline and exit codes of a process;
``{mlip-protocols} WORKFLOW`` prints the numbers of a workflow's protocols;
``{mlip-nodes}`` prints the node types of the plugin.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from aiida.engine.processes.ports import PortNamespace
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from aiida_mlip_ins.workflows.protocols import _read, load_protocol

PREFIX = 'mlip_ins.'
FOREIGN = ('metadata', 'options', 'settings', 'handler_overrides')


class MarkdownDirective(SphinxDirective):
    """A directive whose content is Markdown that a subclass writes."""

    def markdown(self) -> Iterator[str]:
        """Yield the lines."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the lines where the directive stands, in every build: the code may have changed."""
        self.env.note_reread()
        container = nodes.container()
        lines = StringList(list(self.markdown()), source=f'<{self.name}>')
        self.state.nested_parse(lines, self.content_offset, container)
        return container.children


class ProcessDirective(MarkdownDirective):
    """Reference of one process, named by its entry point."""

    required_arguments = 1
    option_spec = {'kind': directives.unchanged}

    def markdown(self) -> Iterator[str]:
        """Yield docstring, ports, outline and exit codes."""
        process = load(self.arguments[0], self.options.get('kind'))
        spec = process.spec()
        yield f'`{process.__module__}.{process.__name__}`'
        yield ''
        yield from inspect.cleandoc(process.__doc__ or '').replace('``', '`').splitlines()
        yield from ['', '**Inputs**', '']
        yield from port_table(spec.inputs, exposed(spec.inputs, spec._exposed_inputs))
        settings = getattr(process, 'SETTINGS', None)
        if settings is not None:
            yield from [f'**Keys of `parameters`** (`{settings.__name__}`)', '']
            yield from settings_table(settings)
        yield from ['**Outputs**', '']
        yield from port_table(spec.outputs, exposed(spec.outputs, spec._exposed_outputs))
        if hasattr(spec, 'get_outline'):
            yield from ['**Outline**', '', '```text']
            yield from outline(spec.get_outline().get_description(), 0)
            yield from ['```', '']
        yield from ['**Exit codes**', '']
        yield from table(
            ('status', 'label', 'message'),
            [
                (str(code.status), f'`{label}`', code.message or '')
                for label, code in sorted(spec.exit_codes.items(), key=lambda p: p[1].status)
                if code.status >= 200
            ],
        )


class ProtocolsDirective(MarkdownDirective):
    """Every number of a workflow's protocols, side by side."""

    required_arguments = 1

    def markdown(self) -> Iterator[str]:
        """Yield what each protocol is for, then a table of its values."""
        workflow = self.arguments[0]
        content = _read(workflow)
        for name, entry in content['protocols'].items():
            default = ' (the default)' if name == content['default'] else ''
            yield f'- `{name}`{default}: {entry["description"]}'
        yield ''
        flat = {name: dict(flatten(load_protocol(workflow, name))) for name in content['protocols']}
        keys = list(dict.fromkeys(key for values in flat.values() for key in values))
        yield from table(
            ('key', *flat),
            [(f'`{key}`', *(f'{values.get(key, "")}' for values in flat.values())) for key in keys],
        )


class NodesDirective(MarkdownDirective):
    """The node types of the plugin with their docstrings."""

    def markdown(self) -> Iterator[str]:
        """Yield one paragraph a node type."""
        for point in sorted(importlib.metadata.entry_points(group='aiida.data')):
            if point.name.startswith(PREFIX):
                cls = point.load()
                yield from [f'`{point.name}`', f': **{cls.__name__}**.']
                for line in inspect.cleandoc(cls.__doc__ or '').replace('``', '`').splitlines():
                    yield f'  {line}' if line else ''
                yield ''


def load(name: str, kind: str | None) -> Any:
    """Return the process class of an entry point, of either ``kind`` if none is given."""
    for group in (f'aiida.{kind}',) if kind else ('aiida.calculations', 'aiida.workflows'):
        found = importlib.metadata.entry_points(group=group, name=name)
        for point in found:
            if point.value.startswith('aiida_mlip_ins'):
                return point.load()
    raise ValueError(f"no process of ours has the entry point '{name}'")


def exposed(namespace: PortNamespace, record: Mapping[Any, Any]) -> dict[str, tuple[Any, list]]:
    """Return which namespaces are another process's ports: the process, and which it takes."""
    found = {}
    for name, processes in record.items():
        for process, names in processes.items() if name else ():
            found[name] = (process, list(names))
    return found


def port_table(namespace: PortNamespace, others: dict[str, tuple[Any, list]]) -> Iterator[str]:
    """Yield a table of the ports of a namespace at every depth, up to those of other processes."""
    yield from table(
        ('port', 'type', '', 'help'),
        [
            (
                f'`{name}`',
                'namespace' if name in others else type_names(port),
                'required' if port.required else '',
                reference(*others[name], namespace.name) if name in others else text(port),
            )
            for name, port in ports(namespace, '', others)
        ],
    )


def reference(process: Any, taken: list[str], side: str) -> str:
    """Return in words that a namespace holds the ports of another process."""
    module, name = process.__module__, process.__name__
    for group in ('aiida.workflows', 'aiida.calculations'):
        for point in importlib.metadata.entry_points(group=group):
            if point.value == f'{module}:{name}':
                name = f'`{point.name}`'
    whole = process.spec().inputs if side == 'inputs' else process.spec().outputs
    hidden = [port for port in whole if port not in (*taken, 'metadata')]
    without = f' without {", ".join(f"`{port}`" for port in hidden)}' if hidden else ''
    return f'The ports of {name}{without}.'


def ports(
    namespace: PortNamespace, prefix: str, others: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield each port with its full name; what is AiiDA's or another process's is not opened."""
    for name, port in namespace.items():
        if name == 'metadata':
            continue
        yield prefix + name, port
        if isinstance(port, PortNamespace) and name not in FOREIGN:
            _, taken = others.get(prefix + name, (None, []))
            for inner, own in ports(port, f'{prefix}{name}.', others):
                if inner.removeprefix(f'{prefix}{name}.').partition('.')[0] not in taken:
                    yield inner, own


def text(port: Any) -> str:
    """Return the help of a port on one line."""
    return ' '.join((port.help or '').split()).replace('``', '`')


def type_names(port: Any) -> str:
    """Return the node types that a port takes."""
    kinds = port.valid_type
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    named = ' or '.join(k.__name__ for k in kinds if k is not None and k is not type(None))
    if isinstance(port, PortNamespace):
        return f'namespace of {named}' if named and port.dynamic else 'namespace'
    return named or 'any'


def settings_table(settings: type) -> Iterator[str]:
    """Yield a table of the keys of a settings class with type, unit, range and meaning."""
    hints = typing.get_type_hints(settings)
    rows = []
    for field in dataclasses.fields(settings):
        kind = hints[field.name]
        kind_name = kind.__name__ if isinstance(kind, type) else str(kind).replace('typing.', '')
        meta = field.metadata
        rows.append((f'`{field.name}`', f'`{kind_name}`', meta['unit'], limits(meta), meta['help']))
    yield from table(('key', 'type', 'unit', 'allowed', 'meaning'), rows)


def limits(meta: Mapping[str, Any]) -> str:
    """Return the allowed values of a setting in words."""
    if meta['choices']:
        return ', '.join(f'`{choice}`' for choice in meta['choices'])
    words = [
        f'{sign} {meta[key]:g}'
        for key, sign in (('minimum', '≥'), ('above', '>'), ('maximum', '≤'))
        if meta[key] is not None
    ]
    return ', '.join(words)


def outline(description: Any, depth: int) -> Iterator[str]:
    """Yield the steps of an outline, indented."""
    indent = '    ' * depth
    if isinstance(description, str):
        yield indent + description
    elif isinstance(description, Mapping):
        for key, inner in description.items():
            yield indent + key
            yield from outline(inner, depth + 1)
    else:
        for part in description:
            yield from outline(part, depth)


def flatten(values: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested values with dotted names."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield a Markdown table, or a word if there is nothing to show."""
    if not rows:
        yield from ['None.', '']
        return
    yield '| ' + ' | '.join(head) + ' |'
    yield '|' + ' --- |' * len(head)
    for row in rows:
        yield '| ' + ' | '.join(str(cell).replace('|', '\\|') for cell in row) + ' |'
    yield ''


def setup(app: Any) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive('mlip-process', ProcessDirective)
    app.add_directive('mlip-protocols', ProtocolsDirective)
    app.add_directive('mlip-nodes', NodesDirective)
    return {'parallel_read_safe': True, 'version': '1'}
