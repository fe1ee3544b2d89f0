"""Parser of the download of a foundation model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.drivers.mace_fetch import MODEL
from aiida_mlip_ins.parsers.base import EngineParser


class MaceFetchParser(EngineParser):
    """Puts the file that came and what was found in it into one node."""

    def parse_results(self, results: dict[str, Any], temporary: Path) -> None:
        """Make the model node."""
        node = MaceModelData.from_file(temporary / MODEL, results, 'given')
        node.label = results['name']
        self.out('model', node)
