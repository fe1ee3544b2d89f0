"""Driver: force constants to INS intensities per atom, quantum order and detector bank.

Phonopy gives frequencies and eigenvectors, :mod:`aiida_mlip_ins.science.multiquantum` the
scattering law. Files in: ``force_constants.npz``; out: ``intensities.npz`` with ``energy_bins``
(n + 1, 1/cm) and ``intensity`` (n_rows, n), and if a map is asked for ``map_q`` (n_q, 1/angstrom),
``map_intensity`` (n_elements, n_q, n) and ``map_reachable`` (n_q, n).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from aiida_mlip_ins.drivers.common import DriverError, Job, main
from aiida_mlip_ins.drivers.ins_modes import Crystal, crystal_of, read_force_constants
from aiida_mlip_ins.science import ins, multiquantum
from aiida_mlip_ins.science.instruments import INSTRUMENTS, ConstantQ, limits_of, path_of
from aiida_mlip_ins.science.settings import build

FORCE_CONSTANTS = 'force_constants.npz'
INTENSITIES = 'intensities.npz'


def run(job: Job) -> dict[str, Any]:
    """Simulate one spectrum."""
    try:
        settings = build(ins.InsSettings, job.inputs['parameters'], 'parameters')
    except ValueError as error:
        raise DriverError('BAD_INPUT', str(error)) from error
    found = ins.combination_problems(settings, 'parameters')
    if found:
        raise DriverError('BAD_INPUT', '\n'.join(found))
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
        intensity = in_banks(scatterer, crystal, settings)
        arrays = {'energy_bins': bins, 'intensity': intensity}
    if settings.q_step is not None:
        with job.timed('map'):
            arrays |= on_map(scatterer, crystal, settings)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise DriverError(
            'NOT_FINITE',
            'the intensities hold numbers that are not finite',
            'Look for modes with a frequency near zero in the phonons.',
        )
    np.savez_compressed(job.folder / INTENSITIES, **arrays)
    job.progress('intensities', 2, 2)
    instrument = INSTRUMENTS[settings.instrument]
    banks = ins.banks_of(settings)
    frequencies = crystal.vibrations.frequencies[~crystal.vibrations.excluded]
    return {
        'rows': ins.describe_rows(crystal.symbols, range(1, settings.max_order + 1), list(banks)),
        'units': ins.UNITS,
        'remarks': crystal.remarks,
        'instrument': {
            'name': settings.instrument,
            'final_energy_per_cm': instrument.final_energy,
            'incident_energy_per_cm': ins.incident_per_cm(settings),
            'banks_degrees': {name: list(instrument.banks[name].angles) for name in banks},
            'bank_weights': banks,
            'source': instrument.source,
        },
        'n_modes_out_of_range': int(((frequencies < bins[0]) | (frequencies > bins[-1])).sum()),
        **crystal.report,
    }


def in_banks(
    scatterer: multiquantum.Scatterer, crystal: Crystal, settings: ins.InsSettings
) -> np.ndarray:
    """Return the intensities (n_rows, n_bins), rows as :func:`ins.describe_rows` has them."""
    instrument = INSTRUMENTS[settings.instrument]
    found = []
    for bank, weight in ins.banks_of(settings).items():
        law = scatterer.law(path_of(instrument, bank, ins.incident_per_cm(settings)))
        law *= weight * crystal.cross_sections[:, None]
        found.append(law.reshape(-1, law.shape[-1]))
    return np.concatenate(found)


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
