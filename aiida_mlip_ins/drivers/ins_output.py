"""What the drivers of INS simulations share: settings in, intensities out.

``intensities.npz`` has ``energy_bins`` (n + 1, 1/cm) and ``intensity`` (n_rows, n), and if a map is
asked for ``map_q`` (n_q, 1/angstrom), ``map_intensity`` (n_elements, n_q, n) and ``map_reachable``
(n_q, n).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from aiida_mlip_ins.drivers.common import DriverError, Job
from aiida_mlip_ins.science import ins
from aiida_mlip_ins.science.instruments import INSTRUMENTS, path_of
from aiida_mlip_ins.science.multiquantum import Scatterer
from aiida_mlip_ins.science.settings import build

INTENSITIES = 'intensities.npz'

T = TypeVar('T', bound=ins.ScatteringSettings)


def read_settings(job: Job, kind: type[T]) -> T:
    """Return the settings of a job.

    :raises DriverError: listing what is wrong with them.
    """
    try:
        settings = build(kind, job.inputs['parameters'], 'parameters')
    except ValueError as error:
        raise DriverError('BAD_INPUT', str(error)) from error
    found = ins.combination_problems(settings, 'parameters')
    if found:
        raise DriverError('BAD_INPUT', '\n'.join(found))
    return settings


def in_banks(
    scatterer: Scatterer, cross_sections: np.ndarray, settings: ins.ScatteringSettings
) -> np.ndarray:
    """Return the intensities (n_rows, n_bins), rows as :func:`ins.describe_rows` has them.

    :param cross_sections: (n_atoms,) barn.
    """
    instrument = INSTRUMENTS[settings.instrument]
    found = []
    for bank, weight in ins.banks_of(settings).items():
        law = scatterer.law(path_of(instrument, bank, ins.incident_per_cm(settings)))
        law *= weight * cross_sections[:, None]
        found.append(law.reshape(-1, law.shape[-1]))
    return np.concatenate(found)


def write(job: Job, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays of a simulation.

    :raises DriverError: if one holds what is no finite number.
    """
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise DriverError(
            'NOT_FINITE',
            'the intensities hold numbers that are not finite',
            'Look for vibrations with a frequency near zero.',
        )
    np.savez_compressed(job.folder / INTENSITIES, **arrays)


def describe(symbols: list[str], settings: ins.ScatteringSettings) -> dict[str, Any]:
    """Return what the results say of rows and instrument."""
    instrument = INSTRUMENTS[settings.instrument]
    banks = ins.banks_of(settings)
    return {
        'rows': ins.describe_rows(symbols, range(1, settings.max_order + 1), list(banks)),
        'units': ins.UNITS,
        'instrument': {
            'name': settings.instrument,
            'final_energy_per_cm': instrument.final_energy,
            'incident_energy_per_cm': ins.incident_per_cm(settings),
            'banks_degrees': {name: list(instrument.banks[name].angles) for name in banks},
            'bank_weights': banks,
            'source': instrument.source,
        },
    }
