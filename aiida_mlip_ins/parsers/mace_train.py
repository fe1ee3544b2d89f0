"""Parser of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import ExitCode

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.parsers.base import EngineParser
from aiida_mlip_ins.science.training_report import (
    CURVE_UNITS,
    learning_curve,
    parse_log,
    validations,
)

HEAD = 'Default'


class MaceTrainParser(EngineParser):
    """Makes model, learning curve, errors and predictions nodes, as far as a failure left them."""

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Parse the retrieved files; of a job that left nothing, the scheduler may know why."""
        seen = self.node.exit_status
        code = super().parse(**kwargs)
        if seen and code is not None and code.status == self.exit_codes.ERROR_OUTPUT_MISSING.status:
            return None
        return code

    def parse_results(self, results: dict[str, Any], temporary: Path) -> ExitCode | None:
        """Make the nodes and return the exit code of what went wrong."""
        failure = results.pop('failure')
        description = results.get('model')
        log = temporary / 'training.jsonl'
        entries = parse_log(log.read_text()) if failure is None or log.is_file() else []
        if failure is None or validations(entries, HEAD):
            self._learning_curve(entries, results['stage_two_start'], results.get('lbfgs_start'))
        if description is not None:
            self.out(
                'model',
                MaceModelData.from_file(temporary / 'model.model', description, 'trained'),
            )
            self.out('errors', orm.Dict(results.pop('errors')))
            method = f'mace sha256:{description["sha256"][:12]}'
            self.out('predictions', DatasetData(temporary / 'predictions.xyz', method=method))
        if failure is None:
            return None
        return self._failed(failure)

    def _learning_curve(self, entries: list[dict[str, Any]], *starts: int | None) -> None:
        node = orm.ArrayData()
        for name, values in learning_curve(entries, HEAD, *starts).items():
            node.set_array(name, values)
        node.base.attributes.set('units', CURVE_UNITS)
        self.out('learning_curve', node)
