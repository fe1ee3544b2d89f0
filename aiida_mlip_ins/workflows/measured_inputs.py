"""Measured spectra as inputs of the chain: by pressure, with settings of the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida_mlip_ins.data.measured import MeasuredSpectrumData
from aiida_mlip_ins.science.agreement import AgreementSettings
from aiida_mlip_ins.science.measured import window_problems
from aiida_mlip_ins.science.settings import problems
from aiida_mlip_ins.science.spectra_set import SAME_GPA
from aiida_mlip_ins.science.spectra_verdict import SpectraSettings
from aiida_mlip_ins.science.spectrum_peaks import common_window, range_problems
from aiida_mlip_ins.workflows.pressures import gpa, pressure_key
from aiida_mlip_ins.workflows.protocols import load_protocol, merge, override_problems

PORT = 'compare_spectra'
"""Namespace of the chain's inputs with what `CompareSpectraWorkChain` needs beside the spectra."""
SETTINGS = {'settings': AgreementSettings, 'parameters': SpectraSettings}
"""What is in it, and of which class."""


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


def comparison_numbers(
    spectra: Sequence[MeasuredSpectrumData],
    simulation: Mapping[str, Any],
    protocol: str | None,
    overrides: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Return the settings by port: ``settings`` and ``parameters`` of `CompareSpectraWorkChain`.

    :param spectra: measured ones.
    :param simulation: settings of the simulated ones. What all spectra cover is the window unless
        the overrides have ``windows``.
    :param protocol: of ``protocols/compare_spectra.yaml``.
    :param overrides: values on top, and ``windows`` (1/cm).
    :raises ValueError: listing unknown keys, or if the spectra do not overlap.
    """
    base = {**load_protocol('compare_spectra', protocol), 'windows': None}
    found = override_problems(base, overrides, 'overrides')
    if found:
        raise ValueError('\n'.join(found))
    numbers = merge(base, overrides)
    windows = numbers.pop('windows')
    if windows is None:
        low, high = common_window([node.to_spectrum() for node in spectra])
        low = max(low, float(simulation['energy_min']))
        high = min(high, float(simulation['energy_max']))
        if not low < high:
            raise ValueError(
                'windows: what is measured and what is simulated do not overlap: the simulation '
                f'goes from {simulation["energy_min"]:g} to {simulation["energy_max"]:g} 1/cm'
            )
        windows = [[low, high]]
    return {
        'settings': {**numbers['settings'], 'windows': windows},
        'parameters': numbers['parameters'],
    }


def measured_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return what keeps the measured spectra of the chain's inputs from being compared."""
    measured = inputs.get('measured') or {}
    if not measured:
        return []
    keys = [pressure_key(index) for index in range(len(inputs['pressures'].get_list()))]
    unknown = sorted(set(measured) - set(keys))
    found = []
    if unknown:
        found.append(f'measured: no such pressure: {", ".join(unknown)} (valid: {", ".join(keys)})')
    given = inputs.get(PORT) or {}
    missing = [f'{PORT}.{name}' for name in SETTINGS if name not in given]
    if missing:
        return [*found, f'{", ".join(missing)}: needed, as there are measured spectra']
    wrong = []
    for name, kind in SETTINGS.items():
        wrong += problems(kind, given[name].get_dict(), f'{PORT}.{name}')
    windows = given['settings'].get_dict().get('windows')
    wrong = wrong or window_problems(windows, f'{PORT}.settings.windows')
    if wrong:
        return found + wrong
    for key, node in measured.items():
        found += range_problems(f'measured.{key}', node.to_spectrum(), windows)
    return found + _beyond(windows, inputs)


def _beyond(windows: Sequence[Sequence[float]], inputs: Mapping[str, Any]) -> list[str]:
    """Return the windows (1/cm) that the simulation of the chain does not cover."""
    simulation = inputs['ins']['ins']['parameters']
    low, high = simulation['energy_min'], simulation['energy_max']
    return [
        f'{PORT}.settings.windows: the window from {window[0]:g} to {window[1]:g} 1/cm is not '
        f'within the simulation, which goes from {low:g} to {high:g} 1/cm '
        '(`ins.parameters.energy_min`, `energy_max`)'
        for window in windows
        if window[0] < low or window[1] > high
    ]
