"""Whether a crystal is stable in molecular dynamics: numbers, and a verdict with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from aiida_mlip_ins.science import pairs, velocity_dos
from aiida_mlip_ins.science.md_settings import MdSettings, StabilitySettings
from aiida_mlip_ins.science.series import slope, standard_error
from aiida_mlip_ins.science.text import shortened
from aiida_mlip_ins.science.trajectory import (
    FloatArray,
    Trajectory,
    displacements,
    temperatures,
    without_drift,
)

ERRORS = 3.0
"""A mean is off where it is this many of its standard errors beyond what is allowed."""

STOPPED_UNSTABLE = ('NOT_FINITE', 'TOO_HOT', 'EVAPORATED')
"""Ends of a run that are the crystal's, or the potential's, fault."""


@dataclass(frozen=True)
class Conditions:
    """What a run was to be."""

    temperature: float
    """K."""
    pressure: float
    """GPa; of the start at constant volume."""
    settings: MdSettings


@dataclass(frozen=True)
class Findings:
    """What is known of a run."""

    numbers: dict[str, Any]
    arrays: dict[str, FloatArray]
    notes: list[str]
    """What could not be computed, and why."""


def analyse(
    trajectory: Trajectory, sites: Atoms, conditions: Conditions, settings: StabilitySettings
) -> Findings:
    """Return the numbers and the series of a run.

    :param sites: the crystal at the start; the sites that atoms are compared with.
    :return: numbers (names end in their units), and arrays: ``time`` (ps) with ``temperature`` (K),
        ``volume`` (angstrom^3), ``pressure`` (GPa), ``potential_energy`` and ``conserved_energy``
        (meV/atom, from the first frame), ``rmsd`` and ``rmsd_El`` (angstrom); ``rdf_edges``
        (angstrom) with ``rdf_A_B``; ``dos_energy`` (1/cm) with ``dos_El`` (states per 1/cm).
    """
    masses, count = trajectory.masses, len(sites)
    moved = displacements(
        trajectory.positions, trajectory.cells, sites.positions, sites.cell.array, masses
    )
    series = {
        'time': trajectory.times,
        'temperature': temperatures(trajectory.velocities, masses),
        'volume': trajectory.volumes,
        'pressure': trajectory.pressure,
        'potential_energy': _from_first(trajectory.potential_energy) * 1000 / count,
        'conserved_energy': _from_first(trajectory.conserved_energy) * 1000 / count,
        'rmsd': np.sqrt((moved**2).sum(axis=2).mean(axis=1)),
    }
    names = np.array(trajectory.symbols)
    for element in sorted(set(trajectory.symbols)):
        own = moved[:, names == element]
        series[f'rmsd_{element}'] = np.sqrt((own**2).sum(axis=2).mean(axis=1))
    numbers: dict[str, Any] = {
        'n_atoms': count,
        'n_frames': len(trajectory),
        'simulated_ps': float(trajectory.times[-1]),
        'planned_ps': conditions.settings.steps * conditions.settings.timestep_fs / 1000,
        'steps': int(trajectory.steps[-1]),
    }
    judged = trajectory.times >= settings.equilibration_ps - 1e-9
    settled = trajectory.select(judged)
    numbers['judged_frames'] = len(settled)
    if len(settled) >= 2:
        chosen = {name: values[judged] for name, values in series.items()}
        numbers.update(_thermodynamics(chosen, count))
        numbers.update(_cell(settled, sites))
    numbers['rmsd_angstrom'] = {
        name.removeprefix('rmsd_'): float(np.sqrt((values[judged] ** 2).mean()))
        for name, values in series.items()
        if name.startswith('rmsd_') and judged.any()
    }
    numbers['largest_displacement_angstrom'] = float(np.linalg.norm(moved, axis=2).max())
    bonds = pairs.find_bonds(sites, settings.bond_factor)
    numbers['n_bonds'] = len(bonds.lengths)
    numbers['broken_bonds'] = pairs.broken_bonds(
        bonds, sites, moved, trajectory.cells, trajectory.times, settings.break_factor
    )
    some = np.unique(np.linspace(0, len(trajectory) - 1, settings.pair_frames).round().astype(int))
    frames = [_frame(sites, trajectory.cells[index], moved[index]) for index in some]
    numbers['formed_bonds'] = pairs.formed_bonds(
        bonds, frames, trajectory.times[some], settings.form_factor
    )
    late = [frame for frame, index in zip(frames, some, strict=True) if judged[index]]
    if late:
        edges, found = pairs.radial_distributions(late, settings.rdf_max, settings.rdf_bin)
        series['rdf_edges'] = edges
        series.update({f'rdf_{name.replace("-", "_")}': values for name, values in found.items()})
    states, notes = _states(settled, settings)
    return Findings(numbers, {**series, **states}, notes)


def judge(
    numbers: Mapping[str, Any],
    conditions: Conditions,
    settings: StabilitySettings,
    ended: Mapping[str, str] | None,
) -> tuple[str, list[str]]:
    """Return ``stable``, ``unstable`` or ``undecided``, and why.

    :param numbers: of :func:`analyse`.
    :param ended: ``kind`` and ``message`` of what stopped the run before its end.
    """
    reasons = []
    if ended and ended['kind'] in STOPPED_UNSTABLE:
        reasons.append(ended['message'])
    reasons += [
        *_thermodynamic_reasons(numbers, conditions, settings),
        *_structural_reasons(numbers, settings),
    ]
    if reasons:
        return 'unstable', reasons
    missing = numbers['planned_ps'] - numbers['simulated_ps']
    if missing > conditions.settings.timestep_fs * conditions.settings.record_every / 1000:
        why = f'only {numbers["simulated_ps"]:.3g} of {numbers["planned_ps"]:.3g} ps were run'
        return 'undecided', [f'{why}: {ended["message"]}' if ended else why]
    if numbers['judged_frames'] < 2:
        return 'undecided', ['no frames are left after the equilibration']
    return 'stable', [summary(numbers, conditions)]


def summary(numbers: Mapping[str, Any], conditions: Conditions) -> str:
    """Return what a run was like, in one sentence."""
    rmsd = ', '.join(f'{el} {value:.2f}' for el, value in numbers['rmsd_angstrom'].items())
    drift = numbers['conserved_drift_mev_per_atom_ps']
    parts = [
        f'{numbers["simulated_ps"]:.3g} ps at {numbers["temperature_k"]:.0f} K '
        f'(asked: {conditions.temperature:g} K)',
        f'rms distance from the sites {rmsd} angstrom',
        f'all {numbers["n_bonds"]} bonds as they were'
        if not numbers['broken_bonds'] and not numbers['formed_bonds']
        else f'{len(numbers["broken_bonds"])} bonds broke, {len(numbers["formed_bonds"])} formed',
    ]
    if drift is not None:
        parts.append(f'energy drift {drift:.2g} meV/atom/ps')
    if conditions.settings.ensemble == 'npt':
        parts.append(f'volume {100 * numbers["volume_change"]:+.1f} %')
    return '; '.join(parts)


def _thermodynamics(series: Mapping[str, FloatArray], count: int) -> dict[str, Any]:
    """Return means, errors and trends of what a thermostat and a barostat hold."""
    temperature = series['temperature']
    mean = float(temperature.mean())
    found: dict[str, Any] = {
        'temperature_k': mean,
        'temperature_error_k': standard_error(temperature),
        'temperature_std_k': float(temperature.std()),
        # canonical: sigma(T) = T sqrt(2 / degrees of freedom)
        'temperature_std_canonical_k': mean * float(np.sqrt(2 / max(3 * count - 3, 1))),
        'pressure_gpa': float(series['pressure'].mean()),
        'pressure_error_gpa': standard_error(series['pressure']),
    }
    for name in ('conserved', 'potential'):
        values = series[f'{name}_energy']
        trend: tuple[float | None, float | None] = (None, None)
        if np.isfinite(values).all():
            trend = slope(series['time'], values)
        found[f'{name}_drift_mev_per_atom_ps'], found[f'{name}_drift_error'] = trend
    return found


def _cell(trajectory: Trajectory, sites: Atoms) -> dict[str, Any]:
    """Return the mean cell and how far it is from that of the start."""
    volumes = trajectory.volumes
    mean = Atoms(cell=trajectory.cells.mean(axis=0)).cell.cellpar()
    return {
        'volume_angstrom3': float(volumes.mean()),
        'volume_std_angstrom3': float(volumes.std()),
        'volume_change': float(volumes.mean() / sites.get_volume() - 1),
        'cell_lengths_angstrom': mean[:3].tolist(),
        'cell_angles_degree': mean[3:].tolist(),
    }


def _states(
    trajectory: Trajectory, settings: StabilitySettings
) -> tuple[dict[str, FloatArray], list[str]]:
    """Return the vibrational spectrum of each element, or why there is none."""
    if len(trajectory) < 2:
        return {}, ['no vibrational spectrum: too few frames']
    # The last frame of a run may be off the beat of the others.
    beat = int(np.median(np.diff(trajectory.steps)))
    trajectory = trajectory.select((trajectory.steps - trajectory.steps[0]) % beat == 0)
    masses = trajectory.masses
    energies = np.arange(0.0, settings.dos_max_energy + settings.dos_bin / 2, settings.dos_bin)
    try:
        states = velocity_dos.density_of_states(
            without_drift(trajectory.velocities, masses),
            float(np.diff(trajectory.times).mean()),
            masses,
            float(temperatures(trajectory.velocities, masses).mean()),
            energies,
            settings.dos_resolution,
        )
    except ValueError as error:
        return {}, [f'no vibrational spectrum: {error}']
    found = velocity_dos.by_element(states, trajectory.symbols)
    return {'dos_energy': energies, **{f'dos_{el}': g for el, g in found.items()}}, []


def _thermodynamic_reasons(
    numbers: Mapping[str, Any], conditions: Conditions, settings: StabilitySettings
) -> list[str]:
    """Return what is wrong with temperature, energy and volume."""
    if 'temperature_k' not in numbers:
        return []
    found = []
    mean, error = numbers['temperature_k'], numbers['temperature_error_k']
    allowed = settings.max_temperature_deviation * conditions.temperature
    if abs(mean - conditions.temperature) > allowed + ERRORS * error:
        found.append(
            f'the temperature is {mean:.0f} +- {error:.0f} K instead of '
            f'{conditions.temperature:g} K (allowed: {allowed:.0f} K)'
        )
    drift, error = numbers['conserved_drift_mev_per_atom_ps'], numbers['conserved_drift_error']
    if drift is not None and abs(drift) > settings.max_energy_drift + ERRORS * error:
        found.append(
            f'the conserved energy drifts by {drift:.3g} +- {error:.2g} meV/atom/ps '
            f'(allowed: {settings.max_energy_drift:g})'
        )
    change = numbers['volume_change']
    if conditions.settings.ensemble == 'npt' and abs(change) > settings.max_volume_change:
        found.append(
            f'the volume changed by {100 * change:+.1f} % '
            f'(allowed: {100 * settings.max_volume_change:g} %)'
        )
    return found


def _structural_reasons(numbers: Mapping[str, Any], settings: StabilitySettings) -> list[str]:
    """Return what is wrong with sites and bonds."""
    found = []
    for element, value in numbers['rmsd_angstrom'].items():
        limit = settings.max_rmsd_hydrogen if element == 'H' else settings.max_rmsd
        if value > limit:
            found.append(
                f'{element} is {value:.2f} angstrom (rms) from its sites (allowed: {limit:g})'
            )
    broken, formed = numbers['broken_bonds'], numbers['formed_bonds']
    if len(broken) + len(formed) > settings.max_changed_bonds:
        if broken:
            named = [f'{bond["atoms"]} at {bond["time_ps"]:.3f} ps' for bond in broken]
            found.append(f'{len(broken)} of {numbers["n_bonds"]} bonds broke: {shortened(named)}')
        if formed:
            named = [f'{bond["atoms"]} at {bond["time_ps"]:.3f} ps' for bond in formed]
            found.append(f'{len(formed)} bonds formed: {shortened(named)}')
    return found


def _from_first(values: FloatArray) -> FloatArray:
    """Return a series counted from its first value."""
    found: FloatArray = values - values[0]
    return found


def _frame(sites: Atoms, cell: FloatArray, moved: FloatArray) -> Atoms:
    """Return the crystal with its atoms where they have moved to."""
    frame = sites.copy()
    frame.set_cell(cell, scale_atoms=True)
    frame.positions += moved
    return frame
