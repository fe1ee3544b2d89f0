"""Parser of the evaluation of frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.parsers.base import EngineParser


class MaceEvaluateParser(EngineParser):
    """Makes the labelled frames a dataset."""

    def parse_results(self, results: dict[str, Any], temporary: Path) -> None:
        """Make the dataset node."""
        method = f'mace sha256:{results["model_sha256"][:12]}'
        dataset = DatasetData(temporary / 'labelled.xyz', method=method)
        given = self.node.inputs.frames.n_frames
        if dataset.n_frames != given:
            raise ValueError(f'labelled.xyz has {dataset.n_frames} frames, {given} were given')
        self.out('dataset', dataset)
