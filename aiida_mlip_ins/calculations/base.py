"""The CalcJob that all engine jobs share: its driver travels with it to a foreign Python."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec

from aiida_mlip_ins.calculations.shipping import checksum, read_shipped, shipped_files
from aiida_mlip_ins.drivers.common import ERROR, INPUTS, PROGRESS, RESULTS
from aiida_mlip_ins.science.settings import problems

# The daemon exports the PYTHONPATH of its own environment, which the engines' Python must not see;
# without byte code in its cache, importing mace takes four times as long.
PREPEND_TEXT = 'unset PYTHONPATH PYTHONDONTWRITEBYTECODE PYTHONHOME'


class EngineCalculation(CalcJob):
    """Base of the engine jobs: subclasses name a driver and write its inputs.

    The driver and the modules that it imports are copied into the job's folder, so nothing of ours
    is installed where it runs, and what ran is kept with the job. ``CACHE_VERSION`` is the checksum
    of these bytes: an edited driver never hits an old cache entry.
    """

    DRIVER: ClassVar[str]
    """Module in ``aiida_mlip_ins.drivers``."""
    SETTINGS: ClassVar[type]
    """Settings class that the ``parameters`` input is checked against."""
    RETRIEVE: ClassVar[tuple[str, ...]] = ()
    """Files kept in the retrieved folder, beside the ones every driver writes."""
    RETRIEVE_TEMPORARY: ClassVar[tuple[str, ...]] = ()
    """Files the parser reads and turns into nodes, so that they are not stored twice."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Set the cache version of a subclass that names its driver."""
        super().__init_subclass__(**kwargs)
        if 'DRIVER' in cls.__dict__:
            cls.CACHE_VERSION = checksum(cls.DRIVER)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare what all engine jobs have in common."""
        super().define(spec)
        spec.input(
            'code',
            valid_type=orm.AbstractCode,
            validator=validate_engine_code,
            help='Python of the engines environment (see `aiida-mlip-ins setup`).',
        )
        if hasattr(cls, 'SETTINGS'):
            spec.input(
                'parameters',
                valid_type=orm.Dict,
                serializer=orm.to_aiida_type,
                validator=cls.validate_parameters,
                help=f'Settings, see `{cls.SETTINGS.__name__}`.',
            )
        resources = spec.inputs['metadata']['options']['resources']
        # A builder checks what it is given before defaults are filled in.
        resources.required = False
        resources.default = lambda: {
            'num_machines': 1,
            'num_mpiprocs_per_machine': 1,
            'num_cores_per_mpiproc': 1,
        }
        spec.inputs['metadata']['options']['withmpi'].default = False
        spec.output('results', valid_type=orm.Dict, help='Numbers, versions and timing (s).')
        spec.default_output_node = 'results'
        spec.exit_code(301, 'ERROR_OUTPUT_MISSING', invalidates_cache=True,
                       message='The job left neither results nor an error: {message}')  # fmt: skip
        spec.exit_code(302, 'ERROR_OUTPUT_UNREADABLE', invalidates_cache=True,
                       message='An output of the job cannot be read: {message}')  # fmt: skip
        spec.exit_code(310, 'ERROR_UNEXPECTED', invalidates_cache=True,
                       message='The driver stopped with an error: {message}')  # fmt: skip
        spec.exit_code(311, 'ERROR_ENGINE_MISSING', invalidates_cache=True,
                       message='The engines environment lacks a package: {message}')  # fmt: skip
        spec.exit_code(312, 'ERROR_BAD_INPUT', invalidates_cache=True,
                       message='The driver refused its input: {message}')  # fmt: skip
        spec.exit_code(320, 'ERROR_INTERRUPTED', invalidates_cache=True,
                       message='The job was interrupted before it was done: {message}')  # fmt: skip
        spec.exit_code(330, 'ERROR_MODEL_UNREADABLE', invalidates_cache=True,
                       message='The model file cannot be used: {message}')  # fmt: skip

    @classmethod
    def validate_parameters(cls, value: orm.Dict, _: Any) -> str | None:
        """Refuse settings that are unknown, missing or out of range, all at once."""
        return '\n'.join(problems(cls.SETTINGS, value.get_dict(), 'parameters')) or None

    def write_inputs(self, folder: Folder) -> dict[str, Any]:
        """Write the input files and return what goes into ``inputs.json`` beside ``parameters``."""
        raise NotImplementedError

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write driver and inputs and say how to run them."""
        inputs = self.write_inputs(folder)
        if 'parameters' in self.inputs:
            inputs['parameters'] = self.inputs.parameters.get_dict()
        resources = self.inputs.metadata.options.resources
        inputs['num_threads'] = int(resources.get('num_cores_per_mpiproc') or 1)
        with folder.open(INPUTS, 'w') as handle:
            json.dump(inputs, handle, indent=1)
        for name in shipped_files(self.DRIVER):
            parent, _, filename = name.rpartition('/')
            with folder.get_subfolder(parent, create=True).open(filename, 'wb') as handle:
                handle.write(read_shipped(name))

        codeinfo = CodeInfo()
        codeinfo.code_uuid = self.inputs.code.uuid
        codeinfo.cmdline_params = ['-m', f'aiida_mlip_ins.drivers.{self.DRIVER}']
        codeinfo.stdout_name = 'driver.out'
        codeinfo.stderr_name = 'driver.err'
        threads = inputs['num_threads']
        calcinfo = CalcInfo()
        calcinfo.codes_info = [codeinfo]
        calcinfo.prepend_text = (
            f'{PREPEND_TEXT}\nexport OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads}'
        )
        calcinfo.retrieve_list = [
            RESULTS, ERROR, PROGRESS, 'driver.out', 'driver.err', *self.RETRIEVE,
        ]  # fmt: skip
        calcinfo.retrieve_temporary_list = list(self.RETRIEVE_TEMPORARY)
        return calcinfo


def validate_engine_code(value: orm.AbstractCode, _: Any) -> str | None:
    """Refuse a code of another plugin, such as pw.x."""
    # The codes of some other plugins do not say what they are for.
    plugin = getattr(value, 'default_calc_job_plugin', None)
    if plugin and not plugin.startswith('mlip_ins.'):
        return (
            f"code: '{value.full_label}' is a code for the plugin '{plugin}', but this job needs "
            'the Python of the engines environment; `aiida-mlip-ins setup` makes one.'
        )
    return None
