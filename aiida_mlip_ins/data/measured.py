"""Node of measured spectra."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_mlip_ins.data import export
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.measured import MeasuredSpectrum, spectrum_problems

ATTRIBUTES = ('kind', 'density', 'labels', 'title', 'source_format', 'units', 'metadata')


class MeasuredSpectrumData(orm.ArrayData):
    """One or several measured spectra (banks, detectors) against energy transfer.

    Arrays: ``energy`` in 1/cm, points (n) or edges of bins (n + 1); ``intensity`` (n_spectra, n);
    ``errors`` likewise, one standard deviation, where they were measured; ``mask`` (n), true where
    the spectrum is not to be used, if anywhere. Attributes: ``kind`` (``points`` or ``histogram``),
    ``density`` (whether intensity is per energy or counted in each bin), ``labels`` of the spectra,
    ``title``, ``source_format``, ``units`` and ``metadata``, what the file and operations say.
    """

    @classmethod
    def from_spectrum(cls, spectrum: MeasuredSpectrum) -> Self:
        """Return an unstored node.

        :raises ValueError: listing what does not fit together.
        """
        problems = spectrum_problems(spectrum)
        if problems:
            raise ValueError('\n'.join(f'measured spectrum: {problem}' for problem in problems))
        node = cls()
        for name in ('energy', 'intensity', 'errors', 'mask'):
            values = getattr(spectrum, name)
            if values is not None:
                node.set_array(name, np.asarray(values))
        metadata = dict(spectrum.metadata)
        node.base.attributes.set_many(
            {
                'kind': spectrum.kind,
                'density': spectrum.density,
                'labels': list(spectrum.labels),
                'title': spectrum.title,
                'source_format': metadata.pop('format', ''),
                'units': {'energy': '1/cm', 'intensity': spectrum.intensity_unit},
                'metadata': metadata,
            }
        )
        return node

    def to_spectrum(self) -> MeasuredSpectrum:
        """Return the spectrum for the functions of ``science``."""
        names = set(self.get_arraynames())
        get = self.base.attributes.get
        return MeasuredSpectrum(
            energy=self.get_array('energy'),
            intensity=self.get_array('intensity'),
            errors=self.get_array('errors') if 'errors' in names else None,
            mask=self.get_array('mask') if 'mask' in names else None,
            kind=get('kind'),
            density=get('density'),
            labels=tuple(get('labels')),
            title=get('title'),
            intensity_unit=get('units')['intensity'],
            metadata={'format': get('source_format'), **get('metadata')},
        )

    def _validate(self) -> bool:
        """Refuse to store what does not fit together, naming every problem."""
        arrays, attributes = set(self.get_arraynames()), self.base.attributes.all
        problems = [f'array {name} is missing' for name in ('energy', 'intensity')
                    if name not in arrays]  # fmt: skip
        problems += [f'attribute {name} is missing' for name in ATTRIBUTES
                     if name not in attributes]  # fmt: skip
        problems = problems or spectrum_problems(self.to_spectrum())
        if problems:
            raise ValidationError('; '.join(f'measured spectrum: {item}' for item in problems))
        return bool(super()._validate())

    @property
    def title(self) -> str:
        """What the file calls it."""
        return str(self.base.attributes.get('title'))

    @property
    def labels(self) -> list[str]:
        """Name of each spectrum."""
        return list(self.base.attributes.get('labels'))

    @property
    def units(self) -> dict[str, str]:
        """Unit of each array; errors have that of the intensity."""
        return dict(self.base.attributes.get('units'))

    def to_csv(self) -> str:
        """Return the spectra as text: what they are, then energy (1/cm), intensities, errors."""
        return export.measured_csv(self._conditions(), self.to_spectrum())

    def _conditions(self) -> dict[str, Any]:
        """Return the attributes that say what the arrays are, with the node they came from."""
        return {'uuid': self.uuid} | {n: self.base.attributes.get(n) for n in ATTRIBUTES}

    def _prepare_csv(self, main_file_name: str = '') -> tuple[bytes, dict[str, Any]]:
        """Export as CSV, for ``verdi data export`` and the REST API."""
        return self.to_csv().encode(), {}

    def _prepare_json(
        self, main_file_name: str = '', comments: bool = True
    ) -> tuple[bytes, dict[str, Any]]:
        """Export as JSON: the arrays, units and conditions."""
        arrays = dict(self.get_iterarrays())
        return export.arrays_json(self._conditions(), arrays).encode(), {}


def as_spectrum(node: MeasuredSpectrumData | InsSpectrumData) -> MeasuredSpectrum:
    """Return what a node holds in the form in which spectra are compared: of a simulation the sum
    over atoms, orders and banks, without errors.

    :raises ValueError: if the node has lost its arrays.
    """
    if not node.base.repository.list_object_names():
        raise ValueError(
            f'spectrum <{node.pk}> has no numbers: the archive that it came from left them out'
        )
    if isinstance(node, MeasuredSpectrumData):
        return node.to_spectrum()
    return MeasuredSpectrum(
        energy=node.energy_bins,
        intensity=node.total()[None, :],
        kind='histogram',
        labels=('total',),
        title=node.label or f'{node.instrument}, {node.stage}',
        intensity_unit=node.units['intensity'],
    )
