"""Node of a map: intensity of each element against momentum and energy transfer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from aiida_mlip_ins.data.binned import BinnedData
from aiida_mlip_ins.science import ins


class InsMapData(BinnedData):
    """Intensities of inelastic neutron scattering against Q and energy transfer.

    Arrays: ``q`` (n_q, 1/angstrom), ``energy_bins`` (n + 1, 1/cm), ``intensity`` (n_elements, n_q,
    n), ``sigma S(Q, w)`` in barn/(1/cm) for one primitive cell, and ``reachable`` (n_q, n), whether
    the instrument sees a point; where it does not, the intensity is zero. Attributes:
    ``elements`` (n_elements,), ``incident_energy_mev``, ``temperature_k``, ``instrument``,
    ``pressure_gpa``, ``resolution``, ``remarks``, ``units``.
    """

    @classmethod
    def from_arrays(
        cls,
        q: np.ndarray,
        energy_bins: np.ndarray,
        intensity: np.ndarray,
        reachable: np.ndarray,
        elements: Sequence[str],
        *,
        incident_energy_mev: float,
        temperature_k: float,
        instrument: str,
        pressure_gpa: float | None = None,
        resolution: dict[str, Any] | None = None,
        remarks: Sequence[str] = (),
    ) -> Self:
        """Return an unstored node; see the class for shapes and units.

        :raises ValueError: listing what does not fit together.
        """
        node = cls()
        node.set_array('q', np.asarray(q, dtype=float))
        node.set_array('energy_bins', np.asarray(energy_bins, dtype=float))
        node.set_array('intensity', np.asarray(intensity, dtype=float))
        node.set_array('reachable', np.asarray(reachable, dtype=bool))
        node.base.attributes.set_many(
            {
                'elements': list(elements),
                'incident_energy_mev': float(incident_energy_mev),
                'temperature_k': float(temperature_k),
                'instrument': instrument,
                'pressure_gpa': None if pressure_gpa is None else float(pressure_gpa),
                'resolution': resolution,
                'remarks': list(remarks),
                'units': {'q': '1/angstrom', 'energy_bins': '1/cm', 'intensity': ins.UNITS},
            }
        )
        problems = node._problems()
        if problems:
            raise ValueError('\n'.join(problems))
        return node

    def derive(self, intensity: np.ndarray, resolution: dict[str, Any]) -> Self:
        """Return an unstored node with another intensity under the same conditions."""
        return type(self).from_arrays(
            self.q,
            self.energy_bins,
            intensity,
            self.reachable,
            self.elements,
            incident_energy_mev=self.base.attributes.get('incident_energy_mev'),
            temperature_k=self.base.attributes.get('temperature_k'),
            instrument=self.base.attributes.get('instrument'),
            pressure_gpa=self.base.attributes.get('pressure_gpa'),
            resolution=resolution,
            remarks=self.base.attributes.get('remarks'),
        )

    def _problems(self) -> list[str]:
        """Return what does not fit together."""
        missing = {'q', 'energy_bins', 'intensity', 'reachable'} - set(self.get_arraynames())
        if missing:
            return [f'map: array {name} is missing' for name in sorted(missing)]
        shape = (len(self.elements), len(self.q), len(self.energy_bins) - 1)
        found = []
        for name in ('q', 'energy_bins'):
            if not (np.diff(self.get_array(name)) > 0).all():
                found.append(f'map: {name} must be ascending')
        if self.intensity.shape != shape:
            found.append(
                f'map: intensity has the shape {self.intensity.shape}, expected {shape} for its '
                'elements, Q and bins'
            )
        if self.reachable.shape != shape[1:]:
            found.append(
                f'map: reachable has the shape {self.reachable.shape}, expected {shape[1:]}'
            )
        if not np.isfinite(self.intensity).all():
            found.append('map: intensities are not all finite')
        return found

    @property
    def q(self) -> np.ndarray:
        """Momentum transfers (n_q,), 1/angstrom."""
        return np.asarray(self.get_array('q'))

    @property
    def intensity(self) -> np.ndarray:
        """Intensity (n_elements, n_q, n), barn/(1/cm) for one primitive cell."""
        return np.asarray(self.get_array('intensity'))

    @property
    def reachable(self) -> np.ndarray:
        """Whether the instrument sees a point (n_q, n)."""
        return np.asarray(self.get_array('reachable'))

    @property
    def elements(self) -> list[str]:
        """Elements of the rows, in alphabetical order."""
        return list(self.base.attributes.get('elements'))

    def along_energy(self, low: float, high: float) -> np.ndarray:
        """Return the mean (n_elements, n) over Q from ``low`` to ``high`` (1/angstrom).

        :raises ValueError: if no Q of the map is there.
        """
        return ins.cut(self.q, self.intensity, self.reachable, low, high)

    def along_q(self, low: float, high: float) -> np.ndarray:
        """Return the mean (n_elements, n_q) over energies from ``low`` to ``high`` (1/cm).

        :raises ValueError: if no bin of the map is there.
        """
        turned = np.swapaxes(self.intensity, -1, -2)
        return ins.cut(self.energy, turned, self.reachable.T, low, high)
