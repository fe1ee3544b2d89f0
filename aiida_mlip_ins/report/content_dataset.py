"""What a report says of the frames that a potential was trained on."""

from __future__ import annotations

from typing import Any

from aiida_mlip_ins.calculations.functions.dataset_checks import checked
from aiida_mlip_ins.query.run import Run
from aiida_mlip_ins.workflows.protocols import load_protocol


def dataset_checks(run: Run) -> list[dict[str, Any]]:
    """Return the run's checks of its dataset, or those by the default protocol if it made none."""
    made: list[dict[str, Any]] | None = run.content('dataset_checks').get('checks')
    if made is not None:
        return made
    if run.dataset is None:
        return []
    settings = load_protocol('dataset_checks')
    checks: list[dict[str, Any]] = checked([run.dataset], settings, run.pressures, run.structure)[
        'checks'
    ]
    return checks
