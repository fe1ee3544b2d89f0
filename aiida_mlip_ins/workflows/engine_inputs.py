"""The code of the engine jobs, looked up with all that can be known to fail beforehand."""

from __future__ import annotations

from aiida import orm
from aiida.common import exceptions

from aiida_mlip_ins.calculations.base import validate_engine_code


def load_engine_code(code: orm.AbstractCode | str) -> tuple[orm.AbstractCode | None, list[str]]:
    """Return the code, given as a node or a label, and why it cannot run the engine jobs."""
    if isinstance(code, str):
        try:
            code = orm.load_code(code)
        except (exceptions.NotExistent, exceptions.MultipleObjectsError, ValueError) as error:
            return None, [
                f"code: '{code}' cannot be loaded ({error}); `verdi code list` shows those there "
                'are, `aiida-mlip-ins setup` makes the one of the engines'
            ]
    if not isinstance(code, orm.AbstractCode):
        return None, [f'code: expected a code or its label, got {code!r}']
    problem = validate_engine_code(code, None)
    if problem:
        return code, [problem]
    if isinstance(code, orm.InstalledCode) and code.computer.transport_type == 'core.local':
        try:
            code.validate_filepath_executable()
        except exceptions.ValidationError as error:
            return code, [f"code: '{code.full_label}' has no program: {error}"]
    return code, []
