"""Parser of the relaxation at several pressures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida.engine import ExitCode

from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.parsers.base import EngineParser
from aiida_mlip_ins.science.dataset import read_frames


class MaceRelaxParser(EngineParser):
    """Makes each relaxed crystal a structure, keyed by the index of its pressure."""

    def parse_results(self, results: dict[str, Any], temporary: Path) -> ExitCode | None:
        """Make the structure and trajectory nodes."""
        failure = results.pop('failure')
        if any(not row['diverged'] for row in results['pressures']):
            for atoms in read_frames(temporary / 'relaxed.xyz'):
                key = f'pressure_{atoms.info["pressure_index"]}'
                self.out(f'structures.{key}', to_structure(atoms))
        self.out('trajectory', FramesData(temporary / 'trajectory.xyz'))
        if failure is None:
            return None
        return self._failed(failure)
