"""Driver: force constants to INS intensities per atom, quantum order and detector bank.

Phonopy gives frequencies and eigenvectors, :mod:`aiida_mlip_ins.science.multiquantum` the
scattering law. Files in: ``force_constants.npz``; out: ``intensities.npz`` (see ``ins_output``).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from aiida_mlip_ins.drivers import ins_output
from aiida_mlip_ins.drivers.common import Job, main
from aiida_mlip_ins.drivers.ins_modes import Crystal, crystal_of, read_force_constants
from aiida_mlip_ins.science import ins, multiquantum
from aiida_mlip_ins.science.instruments import INSTRUMENTS, ConstantQ, limits_of

FORCE_CONSTANTS = 'force_constants.npz'


def run(job: Job) -> dict[str, Any]:
    """Simulate one spectrum."""
    settings = ins_output.read_settings(job, ins.InsSettings)
    with job.timed('import'):
        import phonopy  # noqa: F401

    with job.timed('modes'):
        phonon = read_force_constants(job.folder / FORCE_CONSTANTS)
        crystal = crystal_of(phonon, settings)
    job.progress('modes', 1, 2)
    bins = ins.energy_bins(settings)
    with job.timed('intensities'):
        scatterer = multiquantum.prepare(
            crystal.vibrations, bins, settings.max_order, settings.overtones
        )
        intensity = ins_output.in_banks(scatterer, crystal.cross_sections, settings)
        arrays = {'energy_bins': bins, 'intensity': intensity}
    if settings.q_step is not None:
        with job.timed('map'):
            arrays |= on_map(scatterer, crystal, settings)
    ins_output.write(job, arrays)
    job.progress('intensities', 2, 2)
    frequencies = crystal.vibrations.frequencies[~crystal.vibrations.excluded]
    return {
        **ins_output.describe(crystal.symbols, settings),
        'remarks': crystal.remarks,
        'n_modes_out_of_range': int(((frequencies < bins[0]) | (frequencies > bins[-1])).sum()),
        **crystal.report,
    }


def on_map(
    scatterer: multiquantum.Scatterer, crystal: Crystal, settings: ins.InsSettings
) -> dict[str, np.ndarray]:
    """Return the intensity of each element at each Q and energy, all orders summed.

    Elements are in alphabetical order. What the instrument does not reach is zero and marked.
    """
    limits = limits_of(INSTRUMENTS[settings.instrument], ins.incident_per_cm(settings))
    elements = sorted(set(crystal.symbols))
    members = np.array([[s == element for s in crystal.symbols] for element in elements])
    shares = members * crystal.cross_sections
    centres = (scatterer.edges[1:] + scatterer.edges[:-1]) / 2
    reachable, intensity = [], []
    points = ins.map_q(settings)
    for q in points:
        seen = ConstantQ(float(q), limits).squared(centres)[0] > 0
        law = scatterer.law(ConstantQ(float(q))).sum(axis=0)
        intensity.append(np.where(seen, shares @ law, 0.0))
        reachable.append(seen)
    return {
        'map_q': points,
        'map_intensity': np.swapaxes(np.array(intensity), 0, 1),
        'map_reachable': np.array(reachable),
    }


if __name__ == '__main__':
    sys.exit(main(run, ('euphonic', 'phonopy', 'numpy', 'scipy')))
