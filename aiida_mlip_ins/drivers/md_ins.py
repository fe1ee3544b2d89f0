"""Driver: a trajectory to INS intensities per site of the crystal, quantum order and detector bank.

:mod:`aiida_mlip_ins.science.anharmonic` makes quanta of the motion. Files in: ``crystal.npz`` (the
cell whose sites are told apart: ``cell``, ``positions`` in angstrom, ``symbols``) and
``trajectory.npz`` (``symbols``, ``steps``, ``times`` in ps, ``velocities`` in angstrom/ps, and of
the first frame ``positions`` and ``cell`` in angstrom); out: ``intensities.npz`` (see
``ins_output``).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

from aiida_mlip_ins.drivers import ins_modes, ins_output
from aiida_mlip_ins.drivers.common import DriverError, Job, main
from aiida_mlip_ins.science import anharmonic
from aiida_mlip_ins.science.ins import energy_bins
from aiida_mlip_ins.science.multiquantum import Grid

CRYSTAL = 'crystal.npz'
TRAJECTORY = 'trajectory.npz'
LOST = 0.01
"""Share of the states that may be left out without a word."""
UNEVEN = 0.1
"""Relative difference of an element's kinetic energy from equipartition likewise."""


def run(job: Job) -> dict[str, Any]:
    """Simulate one spectrum."""
    settings = ins_output.read_settings(job, anharmonic.MdInsSettings)
    edges = energy_bins(settings)
    with job.timed('states'):
        crystal = read_crystal(job)
        try:
            states = anharmonic.states_of(read_run(job, crystal), Grid.covering(edges), settings)
        except ValueError as error:
            raise DriverError('UNFIT_TRAJECTORY', str(error)) from error
    job.progress('states', 1, 2)
    symbols = crystal.get_chemical_symbols()
    nuclides = ins_modes.choose_nuclides(symbols, states.masses, {}, settings.cross_section)
    with job.timed('intensities'):
        scatterer = anharmonic.prepare(
            states, edges, settings.temperature, settings.max_order, settings.frequency_min
        )
        sections = ins_modes.cross_sections(nuclides, settings.cross_section)
        intensity = ins_output.in_banks(scatterer, sections, settings)
    ins_output.write(job, {'energy_bins': edges, 'intensity': intensity})
    job.progress('intensities', 2, 2)
    numbers, remarks = report(states, symbols, settings.frequency_min)
    return {
        **ins_output.describe(symbols, settings),
        'nuclides': [
            ins_modes.describe(nuclide, mass)
            for nuclide, mass in zip(nuclides, states.masses, strict=True)
        ],
        'remarks': remarks,
        **numbers,
    }


def report(
    states: anharmonic.States, symbols: list[str], frequency_min: float
) -> tuple[dict[str, Any], list[str]]:
    """Return numbers of the run, and sentences that belong to the spectrum."""
    shares = states.tensors[..., :3].sum(axis=-1)
    slow = float(shares[:, states.energies <= frequency_min].sum() / states.expected.sum())
    fast = float(1 - shares.sum() / states.expected.sum())
    even = {
        symbol: float(states.equipartition[[s == symbol for s in symbols]].mean())
        for symbol in sorted(set(symbols))
    }
    remarks = [f'from the motion of atoms at {states.temperature:.0f} K']
    if slow > LOST:
        remarks.append(
            f'{100 * slow:.2g} % of the motion is slower than {frequency_min:g} 1/cm and left out'
        )
    if fast > LOST:
        remarks.append(f'{100 * fast:.2g} % of the motion is beyond the end of the spectrum')
    off = [f'{el} {100 * (e - 1):+.0f} %' for el, e in even.items() if abs(e - 1) > UNEVEN]
    if off:
        remarks.append(f'the kinetic energy is not that of equipartition: {", ".join(off)}')
    return {
        'temperature_md_k': states.temperature,
        'share_too_slow': slow,
        'share_too_fast': fast,
        'equipartition': even,
    }, remarks


def read_crystal(job: Job) -> Atoms:
    """Return the cell whose sites are told apart."""
    with np.load(job.folder / CRYSTAL, allow_pickle=False) as file:
        symbols = [str(symbol) for symbol in file['symbols']]
        return Atoms(symbols, positions=file['positions'], cell=file['cell'], pbc=True)


def read_run(job: Job, crystal: Atoms) -> anharmonic.Run:
    """Return what of the trajectory is needed.

    :raises ValueError: if it is not one of a supercell of the crystal.
    """
    with np.load(job.folder / TRAJECTORY, allow_pickle=False) as file:
        symbols = [str(symbol) for symbol in file['symbols']]
        sites = anharmonic.find_sites(symbols, file['positions'], file['cell'], crystal)
        times, steps = file['times'], file['steps']
        return anharmonic.Run(
            times=times,
            timestep=float((times[-1] - times[0]) / (steps[-1] - steps[0])),
            velocities=file['velocities'],
            masses=atomic_masses[[atomic_numbers[symbol] for symbol in symbols]],
            sites=sites,
        )


if __name__ == '__main__':
    sys.exit(main(run, ('euphonic', 'ase', 'numpy', 'scipy')))
