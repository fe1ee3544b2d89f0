"""Calcfunctions that make error bands of what the members of a committee led to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_mlip_ins.calculations.functions.compare import modes_of
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science import error_bands, ins
from aiida_mlip_ins.science.comparison import CompareSettings
from aiida_mlip_ins.science.error_bands import Band, Calibration, Curve
from aiida_mlip_ins.science.member_modes import member_table
from aiida_mlip_ins.science.settings import build

SEPARATOR = '__'
"""Between kind, member and pressure in the names of the inputs."""


def input_name(kind: str, member: str, *rest: str) -> str:
    """Return the name of an input, such as ``modes__member_0__pressure_0``."""
    return SEPARATOR.join((kind, member, *rest))


def in_order(members: Iterable[str]) -> list[str]:
    """Return names of members as people count: ``member_2`` before ``member_10``."""
    return sorted(members, key=lambda name: (len(name), name))


def calibration(committee: orm.Dict | None) -> Calibration | None:
    """Return the factors in the summary of a committee, if one is given.

    :raises ValueError: if it is no such summary.
    """
    return None if committee is None else error_bands.calibration_of(committee.get_dict())


@calcfunction
def spectrum_band(
    committee: orm.Dict | None = None, **spectra: InsSpectrumData
) -> orm.ArrayData | ExitCode:
    """Return mean and spread of the members' spectra at one pressure.

    :param committee: ``summary`` of the committee, for the calibration.
    :param spectra: ``spectrum__MEMBER``.
    :return: ``energy_bins`` (n + 1, 1/cm), edges; ``mean``, ``spread``, ``lower``, ``upper`` and,
        with a calibration, ``calibrated_spread`` (n,) in the unit of the spectra; the attributes
        say which members there are and ``spread_share``, its area as a share of the mean's.
    """
    found = _by_member('spectrum', spectra)
    try:
        made = error_bands.band([_curve(node) for node in found.values()])
        return _node(made, found, calibration(committee))
    except ValueError as error:
        return ExitCode(401, str(error))


@calcfunction
def spectra_difference_band(
    committee: orm.Dict | None = None, **spectra: InsSpectrumData
) -> orm.ArrayData | ExitCode:
    """Return mean and spread of the members' own differences between two pressures.

    :param committee: ``summary`` of the committee, for the calibration.
    :param spectra: ``low__MEMBER`` and ``high__MEMBER``, which the first is subtracted from.
    :return: as :func:`spectrum_band`.
    """
    low, high = (_by_member(kind, spectra) for kind in ('low', 'high'))
    try:
        made = error_bands.difference_band(
            [_curve(node) for node in low.values()], [_curve(high[name]) for name in low]
        )
        return _node(made, high, calibration(committee))
    except ValueError as error:
        return ExitCode(401, str(error))


@calcfunction
def shifts_of_members(
    pressures: orm.List,
    parameters: orm.Dict,
    committee: orm.Dict | None = None,
    **modes: orm.ArrayData,
) -> orm.Dict | ExitCode:
    """Return volumes, frequencies at Gamma and their shifts with the spread over the members.

    :param pressures: GPa.
    :param parameters: ``CompareSettings``.
    :param committee: ``summary`` of the committee, for the calibration.
    :param modes: ``modes__MEMBER__pressure_i``, of a phonon workchain.
    :return: see ``science.member_modes.member_table``; ``units``.
    """
    values = [float(pressure) for pressure in pressures.get_list()]
    settings = build(CompareSettings, parameters.get_dict(), 'parameters')
    members = {}
    for member in in_order({name.split(SEPARATOR)[1] for name in modes}):
        names = [input_name('modes', member, f'pressure_{i}') for i in range(len(values))]
        nodes = [modes.get(name) for name in names]
        members[member] = [None if node is None else modes_of(node) for node in nodes]
    try:
        table = member_table(members, values, settings, calibration(committee))
    except ValueError as error:
        return ExitCode(401, str(error))
    units = {'frequency': '1/cm', 'pressure': 'GPa', 'volume': 'angstrom^3'}
    return orm.Dict({**table, 'units': units})


def _by_member(kind: str, nodes: Mapping[str, InsSpectrumData]) -> dict[str, InsSpectrumData]:
    """Return the nodes of a kind by member."""
    found = {
        name.removeprefix(kind + SEPARATOR): node
        for name, node in nodes.items()
        if name.startswith(kind + SEPARATOR)
    }
    return {name: found[name] for name in in_order(found)}


def _curve(node: InsSpectrumData) -> Curve:
    return node.energy_bins, node.total()


def _node(
    band: Band, members: Mapping[str, InsSpectrumData], calibration: Calibration | None
) -> orm.ArrayData:
    """Return the node of a band, which says what it is of."""
    node = orm.ArrayData()
    node.set_array('energy_bins', band.edges)
    arrays = {name: getattr(band, name) for name in ('mean', 'spread', 'lower', 'upper')}
    if calibration is not None and calibration.force is not None:
        arrays['calibrated_spread'] = calibration.force * band.spread
    for name, values in arrays.items():
        node.set_array(name, values)
    node.base.attributes.set_many(
        {
            'members': list(members),
            'pressure_gpa': next(iter(members.values())).pressure_gpa,
            'spread_share': band.share,
            'calibration': None if calibration is None else asdict(calibration),
            'units': {'energy_bins': '1/cm', **dict.fromkeys(arrays, ins.UNITS)},
        }
    )
    return node
