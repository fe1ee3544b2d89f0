"""Parser of molecular dynamics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import ExitCode

from aiida_mlip_ins.data.structure import to_atoms
from aiida_mlip_ins.data.trajectory import to_node
from aiida_mlip_ins.parsers.base import EngineParser
from aiida_mlip_ins.science.trajectory import CHECKPOINT, read_batches


class MaceMdParser(EngineParser):
    """Makes what was done a trajectory, and the state at its end a checkpoint."""

    def parse_results(self, results: dict[str, Any], temporary: Path) -> ExitCode | None:
        """Make the nodes, also of a run that was stopped."""
        self.parse_remains(temporary)
        if results['ended'] is None:
            return None
        return self._exit(results['ended']['kind'], results['ended']['message'])

    def parse_remains(self, temporary: Path) -> None:
        """Make the nodes of the frames that a job wrote, whatever became of it."""
        symbols = to_atoms(self.node.inputs.structure).get_chemical_symbols()
        trajectory = read_batches(temporary, symbols)
        if trajectory is None:
            return
        self.out('trajectory', to_node(trajectory))
        self.out('checkpoint', orm.SinglefileData(temporary / CHECKPOINT))
