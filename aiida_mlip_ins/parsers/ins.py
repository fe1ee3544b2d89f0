"""Parser of the INS simulations, from phonons or from molecular dynamics."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from aiida_mlip_ins.data.ins_map import InsMapData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.drivers.ins_output import INTENSITIES
from aiida_mlip_ins.parsers.base import EngineParser


class InsParser(EngineParser):
    """Turns the intensities into a spectrum node with the conditions they stand for."""

    def parse_results(self, results: dict[str, Any], temporary: Path) -> None:
        """Attach the spectrum.

        :raises ValueError: for arrays that are cut off, pickled or do not fit together.
        """
        try:
            with np.load(temporary / INTENSITIES, allow_pickle=False) as file:
                arrays = dict(file)
        except zipfile.BadZipFile as error:
            raise ValueError(f'{INTENSITIES}: {error}') from error
        settings = self.node.inputs.parameters.get_dict()
        pressure = self.node.inputs.pressure.value if 'pressure' in self.node.inputs else None
        rows = results.pop('rows')
        conditions = {
            'temperature_k': settings['temperature'],
            'instrument': settings['instrument'],
            'pressure_gpa': pressure,
            'remarks': results.get('remarks', []),
        }
        self.out(
            'intensities',
            InsSpectrumData.from_arrays(
                arrays['energy_bins'],
                arrays['intensity'],
                rows,
                'intensities',
                line_width=settings.get('line_width'),
                **conditions,
            ),
        )
        if 'map_q' in arrays:
            self.out(
                'map',
                InsMapData.from_arrays(
                    arrays['map_q'],
                    arrays['energy_bins'],
                    arrays['map_intensity'],
                    arrays['map_reachable'],
                    sorted({row['element'] for row in rows}),
                    incident_energy_mev=settings['incident_energy'],
                    **conditions,
                ),
            )
