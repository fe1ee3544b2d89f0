"""Parser of the INS simulation."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.drivers.ins import INTENSITIES
from aiida_mlip_ins.parsers.base import EngineParser


class InsParser(EngineParser):
    """Turns the intensities into a spectrum node with the conditions they stand for."""

    def parse_results(self, results: dict[str, Any], temporary: Path) -> None:
        """Attach the spectrum.

        :raises ValueError: for arrays that are cut off, pickled or do not fit together.
        """
        try:
            with np.load(temporary / INTENSITIES, allow_pickle=False) as file:
                bins, intensity = file['energy_bins'], file['intensity']
        except zipfile.BadZipFile as error:
            raise ValueError(f'{INTENSITIES}: {error}') from error
        settings = self.node.inputs.parameters.get_dict()
        pressure = self.node.inputs.pressure.value if 'pressure' in self.node.inputs else None
        self.out(
            'intensities',
            InsSpectrumData.from_arrays(
                bins,
                intensity,
                results.pop('rows'),
                stage='intensities',
                temperature_k=settings['temperature'],
                instrument=settings['instrument'],
                pressure_gpa=pressure,
            ),
        )
