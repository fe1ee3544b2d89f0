"""Node of an INS spectrum: rows of binned intensity with the conditions they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from aiida_mlip_ins.data import export
from aiida_mlip_ins.data.binned import BinnedData
from aiida_mlip_ins.science import ins

STAGES = ('intensities', 'grouped', 'broadened')


class InsSpectrumData(BinnedData):
    """Intensities of inelastic neutron scattering against energy transfer.

    Arrays: ``energy_bins`` (n + 1, 1/cm), edges of the bins; ``intensity`` (n_rows, n),
    ``sigma S(Q, w)`` in barn/(1/cm) for one primitive cell. What each row is of is in the attribute
    ``rows``: ``atom`` (index), ``element``, ``order`` (number of quanta), ``bank``; a row is summed
    over the keys that it lacks. Conditions are attributes as well: ``stage``, ``pressure_gpa``,
    ``temperature_k``, ``instrument``, ``units``, ``remarks``, from stage ``broadened`` on
    ``resolution``, and of molecular dynamics ``line_width_per_cm``.
    """

    @classmethod
    def from_arrays(
        cls,
        energy_bins: np.ndarray,
        intensity: np.ndarray,
        rows: Sequence[Mapping[str, Any]],
        stage: str,
        temperature_k: float,
        instrument: str,
        pressure_gpa: float | None = None,
        resolution: Mapping[str, Any] | None = None,
        remarks: Sequence[str] = (),
        line_width: float | None = None,
    ) -> Self:
        """Return an unstored node.

        :param energy_bins: (n + 1,) edges, ascending, 1/cm.
        :param intensity: (n_rows, n), barn/(1/cm) for one primitive cell.
        :param rows: for each row its ``atom``, ``element``, ``order``, ``bank``, as far as given.
        :param stage: ``intensities``, ``grouped`` or ``broadened``.
        :param temperature_k: K.
        :param instrument: its name.
        :param pressure_gpa: GPa, ``None`` if unknown.
        :param resolution: what it was broadened with.
        :param remarks: sentences that whoever reads the spectrum has to know, such as what of the
            crystal is missing in it.
        :param line_width: standard deviation (1/cm) that its lines have without any resolution.
        :raises ValueError: listing what does not fit together.
        """
        node = cls()
        node.set_array('energy_bins', np.asarray(energy_bins, dtype=float))
        node.set_array('intensity', np.asarray(intensity, dtype=float))
        node.base.attributes.set_many(
            {
                'rows': [dict(row) for row in rows],
                'stage': stage,
                'pressure_gpa': None if pressure_gpa is None else float(pressure_gpa),
                'temperature_k': float(temperature_k),
                'instrument': instrument,
                'units': {'energy_bins': '1/cm', 'intensity': ins.UNITS},
                'resolution': dict(resolution) if resolution is not None else None,
                'remarks': list(remarks),
            }
        )
        if line_width is not None:
            node.base.attributes.set('line_width_per_cm', float(line_width))
        problems = node._problems()
        if problems:
            raise ValueError('\n'.join(problems))
        return node

    def derive(
        self,
        stage: str,
        intensity: np.ndarray,
        rows: Sequence[Mapping[str, Any]] | None = None,
        resolution: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return an unstored node of a later stage under the same conditions."""
        return type(self).from_arrays(
            self.energy_bins,
            intensity,
            self.rows if rows is None else rows,
            stage,
            self.temperature_k,
            self.instrument,
            self.pressure_gpa,
            resolution,
            self.remarks,
            self.line_width,
        )

    def _problems(self) -> list[str]:
        """Return what does not fit together."""
        names = set(self.get_arraynames())
        missing = {'energy_bins', 'intensity'} - names
        if missing:
            return [f'spectrum: array {name} is missing' for name in sorted(missing)]
        bins, intensity = self.energy_bins, self.intensity
        found = []
        if bins.ndim != 1 or len(bins) < 2 or not (np.diff(bins) > 0).all():
            found.append('spectrum: energy_bins must be at least two ascending edges')
        if intensity.shape != (len(self.rows), len(bins) - 1):
            found.append(
                f'spectrum: intensity has the shape {intensity.shape}, expected '
                f'({len(self.rows)}, {len(bins) - 1}) for its rows and bins'
            )
        if not np.isfinite(intensity).all():
            found.append('spectrum: intensities are not all finite')
        for index, row in enumerate(self.rows):
            unknown = set(row) - set(ins.KEYS)
            if unknown:
                found.append(f'spectrum: row {index} has unknown keys {sorted(unknown)}')
        stage = self.base.attributes.get('stage', None)
        if stage not in STAGES:
            found.append(f"spectrum: stage '{stage}' is none of {', '.join(STAGES)}")
        return found

    @property
    def intensity(self) -> np.ndarray:
        """Intensity (n_rows, n), barn/(1/cm) for one primitive cell."""
        return np.asarray(self.get_array('intensity'))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What each row is of."""
        return list(self.base.attributes.get('rows', []))

    @property
    def stage(self) -> str:
        """``intensities``, ``grouped`` or ``broadened``."""
        return str(self.base.attributes.get('stage'))

    @property
    def pressure_gpa(self) -> float | None:
        """Pressure in GPa, ``None`` if it was not given."""
        value = self.base.attributes.get('pressure_gpa')
        return None if value is None else float(value)

    @property
    def temperature_k(self) -> float:
        """Temperature in K."""
        return float(self.base.attributes.get('temperature_k'))

    @property
    def instrument(self) -> str:
        """Name of the instrument."""
        return str(self.base.attributes.get('instrument'))

    @property
    def units(self) -> dict[str, str]:
        """Unit of each array."""
        return dict(self.base.attributes.get('units'))

    @property
    def resolution(self) -> dict[str, Any] | None:
        """What it was broadened with, ``None`` before that."""
        value = self.base.attributes.get('resolution')
        return None if value is None else dict(value)

    @property
    def line_width(self) -> float | None:
        """Standard deviation (1/cm) of lines without any resolution, ``None`` for none."""
        value = self.base.attributes.get('line_width_per_cm', None)
        return None if value is None else float(value)

    @property
    def remarks(self) -> list[str]:
        """What has to be known of it, such as modes that were left out."""
        return list(self.base.attributes.get('remarks', []))

    @property
    def elements(self) -> list[str]:
        """Elements of the rows, in alphabetical order."""
        return sorted({row['element'] for row in self.rows if 'element' in row})

    def total(self) -> np.ndarray:
        """Return the sum (n,) over all atoms, orders and banks."""
        return self.select()

    def select(self, **keys: Any) -> np.ndarray:
        """Return the sum (n,) over everything with the given values, as in ``element='H'``.

        :raises KeyError: for a key that rows do not have, or values that none has.
        """
        return ins.select(self.rows, self.intensity, keys)

    def to_csv(self) -> str:
        """Return the spectrum as text: conditions, units, then energy (1/cm), total, each row."""
        return export.spectrum_csv(self._conditions(), self.energy, self.total(), self.intensity)

    def _conditions(self) -> dict[str, Any]:
        """Return the attributes that say what the arrays are, with the node they came from."""
        names = (
            'stage', 'pressure_gpa', 'temperature_k', 'instrument', 'units', 'resolution',
            'remarks', 'rows',
        )  # fmt: skip
        return {'uuid': self.uuid} | {name: self.base.attributes.get(name) for name in names}

    def _prepare_csv(self, main_file_name: str = '') -> tuple[bytes, dict[str, Any]]:
        """Export as CSV, for ``verdi data export`` and the REST API."""
        return self.to_csv().encode(), {}

    def _prepare_json(
        self, main_file_name: str = '', comments: bool = True
    ) -> tuple[bytes, dict[str, Any]]:
        """Export as JSON: the arrays and, unlike AiiDA's own, units, rows and conditions."""
        content = export.spectrum_json(
            self._conditions(), self.energy_bins, self.total(), self.intensity
        )
        return content.encode(), {}
