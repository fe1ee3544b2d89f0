"""Parser of the description of frames by a model's features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida import orm

from aiida_mlip_ins.parsers.base import EngineParser
from aiida_mlip_ins.science.descriptors import ARRAYS, FILE, by_frame
from aiida_mlip_ins.science.trajectory import read_arrays


class MaceDescribeParser(EngineParser):
    """Makes the features an array node that says which model they are of."""

    def parse_results(self, results: dict[str, Any], temporary: Path) -> None:
        """Make the node, once it is sure that it has all atoms of the frames."""
        arrays = read_arrays(temporary / FILE)
        by_frame(arrays, self.node.inputs.frames.get_frames())
        node = orm.ArrayData({name: arrays[name] for name in ARRAYS})
        node.base.attributes.set('model_sha256', results['model_sha256'])
        self.out('descriptors', node)
