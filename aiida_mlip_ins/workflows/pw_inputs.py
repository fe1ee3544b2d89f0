"""Inputs of pw.x made from a protocol's numbers, and all that can be known to fail beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiida import orm
from aiida.common import exceptions
from aiida.plugins import GroupFactory

from aiida_mlip_ins.calculations import PW_PLUGIN
from aiida_mlip_ins.data.structure import to_atoms
from aiida_mlip_ins.science.dataset_checks import NO_DISPERSION
from aiida_mlip_ins.science.settings import nearest
from aiida_mlip_ins.science.text import shortened
from aiida_mlip_ins.workflows.protocols import merge
from aiida_mlip_ins.workflows.pw_numbers import chosen_cutoffs, number_problems

D3_DAMPING = {2: 'D2', 3: 'D3(0)', 4: 'D3(BJ)', 5: 'D3M(0)', 6: 'D3M(BJ)'}
"""What pw.x's ``dftd3_version`` stands for."""


def load_pw_code(code: orm.AbstractCode | str) -> tuple[orm.AbstractCode | None, list[str]]:
    """Return the code, given as a node or a label such as ``pw@localhost``, and its problems."""
    if isinstance(code, str):
        try:
            code = orm.load_code(code)
        except (exceptions.NotExistent, exceptions.MultipleObjectsError, ValueError) as error:
            return None, [f"code: '{code}' cannot be loaded ({error}); {_known_codes()}"]
    if not isinstance(code, orm.AbstractCode):
        return None, [f'code: expected a code or its label, got {code!r}']
    return code, code_problems(code)


def code_problems(code: orm.AbstractCode) -> list[str]:
    """Return why a code cannot run pw.x: it is for something else, or its program is not there."""
    plugin = _plugin(code)
    if plugin and plugin != PW_PLUGIN:
        return [
            f"code: '{code.full_label}' is for the plugin '{plugin}', but pw.x ('{PW_PLUGIN}') is "
            f'needed; {_known_codes()}'
        ]
    # Looking for the program on a remote computer would open a connection at every launch.
    if isinstance(code, orm.InstalledCode) and code.computer.transport_type == 'core.local':
        try:
            code.validate_filepath_executable()
        except exceptions.ValidationError as error:
            return [f"code: '{code.full_label}' has no program: {error}"]
    return []


def validate_pw_code(code: orm.AbstractCode, _: Any) -> str | None:
    """Port validator of a code that has to be pw.x."""
    return '\n'.join(code_problems(code)) or None


def family_problems(
    label: str, elements: Iterable[str], cutoffs: Mapping[str, Any]
) -> tuple[orm.Group | None, list[str]]:
    """Return the family of pseudopotentials and why it cannot be used.

    :param label: of an installed family.
    :param elements: that need a pseudopotential.
    :param cutoffs: ``ecutwfc``, ``ecutrho`` (Ry), ``dual`` and ``stringency`` of a protocol.
    """
    base = GroupFactory('pseudo.family')
    try:
        family = orm.QueryBuilder().append(base, filters={'label': label}).one()[0]
    except (exceptions.NotExistent, exceptions.MultipleObjectsError):
        labels = orm.QueryBuilder().append(base, project='label').all(flat=True)
        known = nearest(label, labels) if labels else ' (none is installed)'
        return None, [
            f"pseudo_family: there is no family '{label}'{known}; "
            'see `aiida-pseudo list`, `aiida-mlip-ins setup` installs one'
        ]
    missing = sorted(set(elements) - set(family.elements))
    found: list[str] = []
    if missing:
        found.append(
            f"pseudo_family: '{label}' has no pseudopotential for {', '.join(missing)}; "
            f'it has {shortened(sorted(family.elements), 100)}'
        )
    elif not number_problems({'cutoffs': cutoffs}):
        try:
            chosen_cutoffs(family, elements, cutoffs)
        except (AttributeError, ValueError) as error:
            found.append(
                f"pseudo_family: '{label}' recommends no cutoffs ({error}); give "
                'cutoffs.ecutwfc (Ry) in the overrides'
            )
    return family, found


def base_inputs(
    code: orm.AbstractCode,
    family: orm.Group,
    elements: Iterable[str],
    numbers: Mapping[str, Any],
    options: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the inputs of a ``PwBaseWorkChain`` but its structure and k-points.

    :param numbers: a protocol's ``parameters_pw``, ``cutoffs``, ``options``, ``max_iterations`` and
        ``clean_workdir``.
    :param options: ``metadata.options`` of each pw.x job (``resources``, ``withmpi``, ...), on top
        of the protocol's.
    """
    elements = sorted(set(elements))
    wfc, rho = chosen_cutoffs(family, elements, numbers['cutoffs'])
    parameters = merge(numbers['parameters_pw'], {'SYSTEM': {'ecutwfc': wfc, 'ecutrho': rho}})
    return {
        'pw': {
            'code': code,
            'parameters': orm.Dict(parameters),
            'pseudos': family.get_pseudos(elements=tuple(elements)),
            'metadata': {'options': job_options(code, merge(numbers['options'], options or {}))},
        },
        'max_iterations': orm.Int(numbers['max_iterations']),
        'clean_workdir': orm.Bool(numbers['clean_workdir']),
    }


def job_options(code: orm.AbstractCode, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return job options in which the number of machines and processes is given.

    One process per machine unless said otherwise; other schedulers' keys are left as they are.
    """
    resources = dict(options.get('resources') or {})
    if code.computer is not None and code.computer.scheduler_type != 'core.sge':
        resources.setdefault('num_machines', 1)
        if 'tot_num_mpiprocs' not in resources:
            resources.setdefault('num_mpiprocs_per_machine', 1)
    chosen = {**options, 'resources': resources}
    # PwBaseWorkChain passes PwCalculation's default (with MPI) on as if it had been asked for, and
    # AiiDA refuses that for a code that says otherwise.
    if code.with_mpi is not None:
        chosen.setdefault('withmpi', code.with_mpi)
    return chosen


def method_label(family: str, parameters: Mapping[str, Any], distance: float) -> str:
    """Return the label of a method: program, cutoffs, family, dispersion and k-points."""
    system = parameters['SYSTEM']
    dispersion = str(system.get('vdw_corr', NO_DISPERSION)).lower()
    if dispersion in ('dft-d3', 'grimme-d3'):
        dispersion = D3_DAMPING.get(system.get('dftd3_version', 3), dispersion)
        if system.get('dftd3_threebody', True):
            dispersion += ' with three-body term'
    cutoffs = f'{system["ecutwfc"]:g}/{system["ecutrho"]:g} Ry'
    return f'pw.x {cutoffs}, {family}, {dispersion}, k-points {distance:g} 1/angstrom'


def pseudo_problems(pseudos: Iterable[str], elements: Iterable[str]) -> list[str]:
    """Return which elements of the structures have no pseudopotential among the inputs."""
    missing = sorted(set(elements) - set(pseudos))
    return [f'pseudos: none for {", ".join(missing)}'] if missing else []


def electron_problems(structure: orm.StructureData, system: Mapping[str, Any]) -> list[str]:
    """Return what keeps fixed occupations from holding a crystal's electrons: an odd number.

    :param system: of the parameters of pw.x.
    """
    paired = system.get('occupations') == 'fixed' and system.get('nspin', 1) == 1
    neutral = not system.get('noncolin') and not system.get('tot_charge')
    if not (paired and neutral) or structure.is_alloy:
        return []
    count = sum(to_atoms(structure).numbers)
    if count % 2 == 0:
        return []
    return [
        f'structure: its {count} electrons are an odd number, which `occupations: fixed` cannot '
        'hold; is an atom (hydrogen) missing? If not, give other occupations in '
        'parameters_pw.SYSTEM of the overrides'
    ]


def validate_positive(value: orm.Int | orm.Float, _: Any) -> str | None:
    """Refuse numbers that are not above zero."""
    return None if value.value > 0 else f'{value.value} must be above 0'


def validate_fraction(value: orm.Float, _: Any) -> str | None:
    """Refuse numbers outside 0 to 1."""
    return None if 0 <= value.value <= 1 else f'{value.value} is not between 0 and 1'


def _known_codes() -> str:
    """Return the sentence on the pw.x codes of the profile."""
    query = orm.QueryBuilder().append(orm.AbstractCode)
    codes = query.all(flat=True)
    labels = sorted(c.full_label for c in codes if _plugin(c) == PW_PLUGIN)
    if labels:
        return f'codes for pw.x here: {", ".join(labels)}'
    return 'there is no code for pw.x here, `aiida-mlip-ins setup` makes one'


def _plugin(code: orm.AbstractCode) -> str | None:
    """Return what a code is for; the codes of some other plugins do not say."""
    return getattr(code, 'default_calc_job_plugin', None)
