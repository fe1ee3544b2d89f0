"""Calcfunction that makes the table of a benchmark."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_mlip_ins.science.benchmark import Cell, pressure_label, table

SEPARATOR = '__'
"""Between kind, crystal, model and what else there is in the names of the inputs."""


def input_name(kind: str, crystal: str, model: str, *rest: str) -> str:
    """Return the name of an input, such as ``spectra__hexane__ours__pressure_0``."""
    return SEPARATOR.join((kind, crystal, model, *rest))


@calcfunction
def benchmark_table(about: orm.Dict, **nodes: orm.Data) -> orm.Dict:
    """Put together what the runs of a benchmark have left.

    :param about: ``pressures_gpa``, ``crystals`` and ``models`` (names), ``unfit`` (crystal ->
        model -> why the model cannot be used), ``failures`` (crystal -> model -> what -> why, see
        ``science.benchmark.Cell``).
    :param nodes: named as :func:`input_name` has it: ``crystals__CRYSTAL`` (StructureData, as
        given), ``relaxation`` (Dict), and with ``pressure_i`` in the end ``phonons`` (Dict) and
        ``spectra`` (InsSpectrumData); ``jobs`` with the label of a link and ``job_n`` (Dict, the
        results of an engine job); ``agreement`` with a role (Dict).
    :return: ``rows``, see ``science.benchmark.table``, ``pressures_gpa`` and ``units``.
    """
    said = about.get_dict()
    pressures = said['pressures_gpa']
    volumes = {
        name: nodes[f'crystals{SEPARATOR}{name}'].get_cell_volume() for name in said['crystals']
    }
    cells = [
        _cell(crystal, model, said, nodes, len(pressures))
        for crystal in said['crystals']
        for model in said['models']
    ]
    return orm.Dict(
        {
            'pressures_gpa': pressures,
            'units': {'energy': '1/cm', 'pressure': 'GPa', 'volume': 'angstrom^3', 'cost': 's'},
            'rows': table(cells, pressures, volumes),
        }
    )


def _cell(
    crystal: str, model: str, said: dict[str, Any], nodes: dict[str, Any], count: int
) -> Cell:
    """Return what there is of one crystal with one model."""

    def found(kind: str) -> dict[str, Any]:
        """Return the nodes of a kind by the rest of their names."""
        prefix = input_name(kind, crystal, model, '')
        return {
            name.removeprefix(prefix): node
            for name, node in nodes.items()
            if name.startswith(prefix)
        }

    labels = {pressure_label(index): index for index in range(count)}
    seconds: dict[str, float] = {}
    for name, results in sorted(found('jobs').items()):
        link = name.partition(SEPARATOR)[0]
        seconds[link] = seconds.get(link, 0.0) + results.get('timing', {}).get('total', 0.0)
    relaxation = nodes.get(input_name('relaxation', crystal, model))
    return Cell(
        crystal=crystal,
        model=model,
        relaxation=relaxation.get_dict() if relaxation is not None else {},
        phonons={labels[name]: node.get_dict() for name, node in found('phonons').items()},
        spectra={labels[name] for name in found('spectra')},
        seconds=seconds,
        agreement={role: node.get_dict() for role, node in sorted(found('agreement').items())},
        failures=said['failures'].get(crystal, {}).get(model, {}),
        unfit=said['unfit'].get(crystal, {}).get(model),
    )
