"""Parser of the inspection of a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.parsers.base import EngineParser


class MaceInspectParser(EngineParser):
    """Puts the file that was given and what was found in it into one node."""

    def parse_results(self, results: dict[str, Any], temporary: Path) -> None:
        """Make the model node."""
        with self.node.inputs.file.open(mode='rb') as handle:
            self.out('model', MaceModelData.from_file(handle, results, 'given'))
