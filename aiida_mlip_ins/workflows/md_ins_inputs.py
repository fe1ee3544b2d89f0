"""Inputs of INS from molecular dynamics: the run, its settings, the harmonic spectrum beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiida import orm

from aiida_mlip_ins.calculations.ins import InsCalculation, settings_problems
from aiida_mlip_ins.data.measured import as_spectrum
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.agreement import AgreementSettings
from aiida_mlip_ins.science.anharmonic import MdInsSettings
from aiida_mlip_ins.science.ins import KEYS, ScatteringSettings
from aiida_mlip_ins.science.measured import window_problems
from aiida_mlip_ins.science.settings import problems, unknown_keys
from aiida_mlip_ins.science.spectra_set import SAME_GPA
from aiida_mlip_ins.science.spectrum_peaks import range_problems
from aiida_mlip_ins.workflows.ins_inputs import energy_problems, resolution_setting_problems
from aiida_mlip_ins.workflows.protocols import load_protocol, merge, override_problems

SOURCES = {'broadened': ('spectrum', 'resolution'), 'grouped': ('intensities', 'keys')}
"""By stage of a spectrum, inputs of what made it: the spectrum of the stage before, settings."""
SHARED = {field.name for field in dataclasses.fields(ScatteringSettings)}
"""Settings that simulations from modes and from motion have in common."""
SAME_K = 0.1
"""Temperatures (K) closer than this are the same."""


@dataclass(frozen=True)
class Harmonic:
    """What a harmonic spectrum is made of, as the graph has it."""

    intensities: InsSpectrumData
    parameters: dict[str, Any]
    """Of the simulation."""
    structure: orm.StructureData
    """Cell that the intensities are of."""
    numbers: dict[str, Any]
    """``resolution`` and ``group_by``, as far as the spectrum has them."""


def harmonic_of(node: InsSpectrumData) -> Harmonic:
    """Return what a spectrum of `InsWorkChain`, at any stage, was made of.

    :raises ValueError: if the graph does not say it, or no trajectory could be put beside it.
    """
    intensities, numbers = node, {}
    while intensities.stage in SOURCES and intensities.creator is not None:
        source, settings = SOURCES[intensities.stage]
        made = intensities.creator.inputs
        if source not in made or settings not in made:
            break
        content = made[settings]
        if intensities.stage == 'broadened':
            numbers['resolution'] = content.get_dict()
        else:
            numbers['group_by'] = content.get_list()
        intensities = made[source]
    job = intensities.creator
    if job is None or job.process_type != InsCalculation.build_process_type():
        raise ValueError(
            f'harmonic: <{node.pk}> was not made from force constants by InsWorkChain, or the '
            'nodes that say how are not in this profile'
        )
    parameters = job.inputs.parameters.get_dict()
    if parameters.get('isotopes'):
        raise ValueError(
            f'harmonic: <{node.pk}> is of a crystal with isotopes ({parameters["isotopes"]}), and '
            'molecular dynamics has the masses of natural elements'
        )
    structure = job.inputs.force_constants.get_primitive_cell()
    return Harmonic(intensities, parameters, structure, numbers)


def trajectory_of(
    process: orm.ProcessNode, pressure: float | None = None, temperature: float | None = None
) -> orm.TrajectoryData:
    """Return the frames of a `MaceMdCalculation`, or of a run of an `MdStabilityWorkChain`.

    :param pressure: GPa, and ``temperature`` in K: which run, where there are several.
    :raises ValueError: if there is none, or not a single one.
    """
    if 'trajectory' in process.outputs:
        return process.outputs.trajectory
    if 'verdict' not in process.outputs or 'trajectories' not in process.outputs:
        raise ValueError(f'trajectory: <{process.pk}> ({process.process_label}) has no trajectory')
    runs = process.outputs.verdict['runs']
    fitting = [
        key
        for key, run in runs.items()
        if (pressure is None or abs(run['pressure_asked_gpa'] - pressure) < SAME_GPA)
        and (temperature is None or abs(run['temperature_asked_k'] - temperature) < SAME_K)
    ]
    if len(fitting) == 1:
        return process.outputs.trajectories[fitting[0]]
    listed = ', '.join(
        f'{run["temperature_asked_k"]:g} K at {run["pressure_asked_gpa"]:g} GPa'
        for run in runs.values()
    )
    raise ValueError(
        f'trajectory: {len(fitting)} runs of <{process.pk}> have the pressure and temperature '
        f'asked for; say which one, of {listed}'
    )


def md_ins_numbers(
    protocol: str | None, overrides: Mapping[str, Any] | None, harmonic: Harmonic | None = None
) -> dict[str, Any]:
    """Return the numbers of a spectrum of molecular dynamics.

    What it has in common with a harmonic one is that one's, or else that of ``ins.yaml``.

    :raises ValueError: for an unknown protocol, or listing all unknown keys of the overrides.
    """
    own, numbers = load_protocol('md_ins', protocol), load_protocol('ins', protocol)
    parameters = numbers['parameters'] if harmonic is None else harmonic.parameters
    numbers = {name: numbers[name] for name in ('group_by', 'resolution')}
    numbers |= {} if harmonic is None else harmonic.numbers
    shared = {name: value for name, value in parameters.items() if name in SHARED}
    numbers['parameters'] = shared | own['parameters']
    numbers['comparison'] = load_protocol('agreement', protocol)['settings'] | own['comparison']
    found = override_problems(numbers, overrides or {}, 'overrides')
    if found:
        raise ValueError('\n'.join(found))
    return merge(numbers, overrides or {})


def md_ins_problems(numbers: Mapping[str, Any]) -> list[str]:
    """Return every problem of the settings of a spectrum of molecular dynamics."""
    found = settings_problems(numbers['parameters'], 'parameters', MdInsSettings)
    found += resolution_setting_problems(numbers['resolution'], 'resolution')
    found += unknown_keys(numbers['group_by'], KEYS, 'group_by')
    return found + energy_problems(numbers['parameters'], numbers['resolution'])


def whole_range(parameters: Mapping[str, Any], harmonic: InsSpectrumData) -> list[float]:
    """Return the window (1/cm) in which both spectra have what they can have."""
    low, high = (float(harmonic.energy_bins[end]) for end in (0, -1))
    low = max(low, parameters['energy_min'], parameters['frequency_min'])
    return [low, min(high, parameters['energy_max'])]


def harmonic_problems(
    harmonic: InsSpectrumData,
    structure: orm.StructureData,
    parameters: Mapping[str, Any],
    comparison: orm.Dict | None,
) -> list[str]:
    """Return why a spectrum of molecular dynamics cannot be held against a harmonic one.

    :param parameters: valid ones of :class:`MdInsSettings`.
    :param comparison: ``AgreementSettings``.
    """
    if harmonic.stage != 'intensities' or harmonic.line_width is not None:
        return [
            'harmonic: give the intensities of `InsWorkChain`, which have no width yet, so that '
            'both can be broadened alike'
        ]
    found = [
        f'harmonic: its {name} is {own}, that of the run {other}'
        for name, own, other in (
            ('instrument', harmonic.instrument, parameters['instrument']),
            ('temperature (K)', harmonic.temperature_k, parameters['temperature']),
        )
        if own != other
    ]
    atoms = len({row['atom'] for row in harmonic.rows if 'atom' in row})
    if atoms != len(structure.sites):
        found.append(
            f'harmonic: it is of a cell of {atoms} atoms, `structure` has {len(structure.sites)}'
        )
    if comparison is None:
        return [*found, 'comparison: needed, as there is a harmonic spectrum']
    settings = comparison.get_dict()
    wrong = problems(AgreementSettings, settings, 'comparison')
    wrong = wrong or window_problems(settings['windows'], 'comparison.windows')
    windows = [] if wrong else settings['windows']
    found += wrong + range_problems('harmonic', as_spectrum(harmonic), windows)
    low, high = parameters['energy_min'], parameters['energy_max']
    return found + [
        f'comparison.windows: that from {window[0]:g} to {window[1]:g} 1/cm is not within the '
        f'spectrum of the run, from {low:g} to {high:g} 1/cm'
        for window in windows
        if window[0] < low or window[1] > high
    ]
