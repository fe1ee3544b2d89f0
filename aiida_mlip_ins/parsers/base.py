"""The parser that all engine jobs share: the outcome as a node or the matching exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import ExitCode
from aiida.parsers import Parser

from aiida_mlip_ins.drivers.common import ERROR, RESULTS

UNREADABLE = (OSError, ValueError, KeyError, TypeError)
"""What reading a broken output raises; ``TypeError`` where a number is not one."""


class EngineParser(Parser):
    """Reads ``results.json`` or ``error.json``; subclasses turn the files into nodes.

    An error kind ``X`` of the driver becomes the exit code ``ERROR_X`` of the calculation; what was
    computed before the error is still parsed where :meth:`parse_results` can.
    """

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Parse the retrieved files."""
        names = self.retrieved.base.repository.list_object_names()
        temporary = Path(kwargs.get('retrieved_temporary_folder') or '.')
        results: dict[str, Any] | None = None
        if RESULTS in names:
            try:
                content = self.retrieved.get_object_content(RESULTS)
                # A node holds no NaN and no infinity.
                results = json.loads(content, parse_constant=lambda _: None)
            except json.JSONDecodeError as error:
                return self._exit('OUTPUT_UNREADABLE', f'{RESULTS}: {error}')
        if ERROR in names:
            error = json.loads(self.retrieved.get_object_content(ERROR))
            if results is not None:
                try:
                    self.parse_results(results, temporary)
                    self.out('results', orm.Dict(results))
                except UNREADABLE as problem:
                    self.logger.warning(f'nothing was saved of it: {problem}')
            else:
                self._save_remains(temporary)
            if f'ERROR_{error["kind"]}' not in self.exit_codes:
                error['kind'] = 'UNEXPECTED'
            return self._failed(error)
        if results is None:
            self._save_remains(temporary)
            return self._exit('OUTPUT_MISSING', self._last_words(names))
        try:
            code = self.parse_results(results, temporary)
        except UNREADABLE as error:
            return self._exit('OUTPUT_UNREADABLE', f'{type(error).__name__}: {error}')
        self.out('results', orm.Dict(results))
        return code

    def parse_results(self, results: dict[str, Any], temporary: Path) -> ExitCode | None:
        """Turn the results and the files into output nodes.

        Keys popped from ``results`` are left out of the ``results`` node, for what has a node of
        its own. Raise ``OSError``, ``ValueError`` or ``KeyError`` for a file that cannot be read.
        """
        raise NotImplementedError

    def parse_remains(self, temporary: Path) -> None:
        """Turn what a job that left no results had written into nodes; nothing, by default.

        Raise ``OSError`` or ``ValueError`` for a file that cannot be read.
        """

    def _save_remains(self, temporary: Path) -> None:
        try:
            self.parse_remains(temporary)
        except (OSError, ValueError) as problem:
            self.logger.warning(f'nothing was saved of it: {problem}')

    def _exit(self, kind: str, message: str) -> ExitCode:
        """Return the exit code of a kind of error, with its message also in the report."""
        self.logger.error(message)
        code: ExitCode = getattr(self.exit_codes, f'ERROR_{kind}')
        return code.format(message=message)

    def _failed(self, failure: dict[str, Any]) -> ExitCode:
        """Return the exit code of a driver's ``kind``, ``message`` and ``hint``."""
        sentences = [failure['message'].rstrip('.'), failure.get('hint')]
        return self._exit(failure['kind'], '. '.join(filter(None, sentences)))

    def _last_words(self, names: list[str]) -> str:
        """Return the end of what the job wrote to its standard error."""
        for name in ('driver.err', '_scheduler-stderr.txt'):
            if name in names:
                lines = self.retrieved.get_object_content(name).strip().splitlines()
                if lines:
                    return lines[-1]
        return 'nothing was written to the standard error'
