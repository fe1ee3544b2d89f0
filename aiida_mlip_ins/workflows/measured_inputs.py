"""Measured spectra as inputs of the chain: by pressure, with settings of the search for peaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from aiida_mlip_ins.data.measured import MeasuredSpectrumData
from aiida_mlip_ins.science.measured import window_problems
from aiida_mlip_ins.science.settings import problems
from aiida_mlip_ins.science.spectra_set import SAME_GPA
from aiida_mlip_ins.science.spectrum_peaks import PeakSettings, common_window, range_problems
from aiida_mlip_ins.workflows.pressures import gpa, pressure_key
from aiida_mlip_ins.workflows.protocols import load_protocol, merge, override_problems


def by_key(
    measured: Mapping[float, MeasuredSpectrumData], pressures: Sequence[float]
) -> tuple[dict[str, MeasuredSpectrumData], list[str]]:
    """Return spectra that were given by pressure (GPa) by its key, and what belongs to none."""
    keyed, found = {}, []
    for pressure, node in measured.items():
        places = [i for i, p in enumerate(pressures) if abs(p - pressure) < SAME_GPA]
        if places:
            keyed[pressure_key(places[0])] = node
        else:
            found.append(
                f'measured: {pressure:g} GPa is none of the pressures of the chain '
                f'({gpa(list(pressures))})'
            )
    return keyed, found


def peak_search(
    spectra: Sequence[MeasuredSpectrumData],
    protocol: str | None,
    overrides: Mapping[str, Any],
) -> dict[str, Any]:
    """Return ``PeakSettings`` with the numbers of the comparison with a measurement.

    :param spectra: whose common range is the window, unless the overrides have ``windows``.
    :param protocol: of ``protocols/agreement.yaml``.
    :param overrides: values on top.
    :raises ValueError: listing unknown keys, or if the spectra do not overlap.
    """
    numbers = load_protocol('agreement', protocol)['settings']
    names = [field.name for field in dataclasses.fields(PeakSettings)]
    base: dict[str, Any] = {name: numbers.get(name) for name in names}
    found = override_problems(base, overrides, 'overrides.peak_search')
    if found:
        raise ValueError('\n'.join(found))
    if 'windows' not in overrides:
        base['windows'] = [common_window([node.to_spectrum() for node in spectra])]
    return merge(base, overrides)


def measured_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return what keeps the measured spectra of the chain's inputs from being used."""
    measured = inputs.get('measured') or {}
    if not measured:
        return []
    keys = [pressure_key(index) for index in range(len(inputs['pressures'].get_list()))]
    unknown = sorted(set(measured) - set(keys))
    found = []
    if unknown:
        found.append(f'measured: no such pressure: {", ".join(unknown)} (valid: {", ".join(keys)})')
    if 'peak_search' not in inputs:
        return [*found, 'peak_search: needed, as there are measured spectra']
    settings = inputs['peak_search'].get_dict()
    wrong = problems(PeakSettings, settings, 'peak_search')
    wrong = wrong or window_problems(settings['windows'], 'peak_search.windows')
    windows = [] if wrong else settings['windows']
    for key, node in measured.items():
        wrong += range_problems(f'measured.{key}', node.to_spectrum(), windows)
    return found + wrong
