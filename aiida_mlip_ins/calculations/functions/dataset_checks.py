"""Calcfunction that judges labelled frames before they are trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.science import dataset_checks
from aiida_mlip_ins.science.settings import build


@calcfunction
def check_dataset(
    settings: orm.Dict,
    pressures: orm.List | None = None,
    structure: orm.StructureData | None = None,
    **datasets: DatasetData,
) -> orm.Dict | ExitCode:
    """Return ``verdict`` and ``checks``, each with name, number, unit, verdict and a sentence.

    :param settings: ``DatasetCheckSettings``, see the protocol ``dataset_checks``.
    :param pressures: asked pressures in GPa.
    :param structure: the crystal, whose elements the frames need.
    :param datasets: the parts of the dataset, in the order of their names.
    """
    if not datasets:
        return ExitCode(400, 'datasets: give at least one')
    parts = [datasets[name] for name in sorted(datasets)]
    asked = [] if pressures is None else pressures.get_list()
    try:
        return orm.Dict(checked(parts, settings.get_dict(), asked, structure))
    except ValueError as error:
        return ExitCode(400, str(error))


def checked(
    datasets: Sequence[DatasetData],
    settings: Mapping[str, Any],
    pressures: Sequence[float],
    structure: orm.StructureData | None,
) -> dict[str, Any]:
    """Return what :func:`check_dataset` does, without a node.

    :raises ValueError: listing every problem of the settings.
    """
    checks = dataset_checks.check_dataset(
        [frame for part in datasets for frame in part.get_frames()],
        build(dataset_checks.DatasetCheckSettings, settings, 'settings'),
        methods=[part.method for part in datasets],
        pressures=pressures,
        elements=[] if structure is None else sorted(structure.get_symbols_set()),
    )
    return dataset_checks.report(checks)
