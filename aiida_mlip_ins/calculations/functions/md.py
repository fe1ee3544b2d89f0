"""Calcfunctions around molecular dynamics: the supercell before, the verdict after."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction
from ase.build import make_supercell

from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.data.trajectory import from_node, to_node
from aiida_mlip_ins.science.md_settings import MdSettings, StabilitySettings
from aiida_mlip_ins.science.sampling import multiples_of
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.stability import Conditions, Findings, analyse, judge
from aiida_mlip_ins.science.trajectory import join


@calcfunction
def supercell(structure: orm.StructureData, supercell_matrix: orm.List) -> orm.StructureData:
    """Return the supercell (angstrom) of three multiples or a 3 x 3 matrix of integers."""
    matrix = multiples_of(supercell_matrix.get_list())
    return to_structure(make_supercell(to_atoms(structure), matrix))


@calcfunction
def each(pressures: orm.List, temperatures: orm.List) -> dict[str, orm.Float]:
    """Return the numbers of the lists: ``pressure_i`` (GPa) and ``temperature_j`` (K)."""
    lists = {'pressure': pressures.get_list(), 'temperature': temperatures.get_list()}
    return {
        f'{name}_{index}': orm.Float(value)
        for name, values in lists.items()
        for index, value in enumerate(values)
    }


@calcfunction
def judge_trajectory(
    structure: orm.StructureData,
    temperature: orm.Float,
    pressure: orm.Float,
    parameters: orm.Dict,
    criteria: orm.Dict,
    **nodes: orm.Data,
) -> dict[str, orm.Data]:
    """Return ``verdict`` and ``analysis`` of a run, and ``trajectory`` if it came in pieces.

    :param structure: the supercell that the run started from.
    :param temperature: K.
    :param pressure: GPa.
    :param parameters: settings of the run.
    :param criteria: settings of the verdict.
    :param nodes: ``trajectory_0``, ``trajectory_1``, ...: the frames of the jobs in their order;
        ``results`` of the last job, if it left any.
    """
    names = [name for name in nodes if name.startswith('trajectory_')]
    pieces = [from_node(nodes[f'trajectory_{index}']) for index in range(len(names))]
    trajectory = join(pieces)
    conditions = Conditions(
        temperature.value, pressure.value, build(MdSettings, parameters.get_dict(), 'parameters')
    )
    settings = build(StabilitySettings, criteria.get_dict(), 'criteria')
    findings = analyse(trajectory, to_atoms(structure), conditions, settings)
    ended = nodes['results']['ended'] if 'results' in nodes else None
    word, reasons = judge(findings.numbers, conditions, settings, ended)
    outputs: dict[str, orm.Data] = {
        'verdict': orm.Dict(
            {
                'verdict': word,
                'reasons': reasons,
                'ensemble': conditions.settings.ensemble,
                'temperature_asked_k': conditions.temperature,
                'pressure_asked_gpa': conditions.pressure,
                'ended': ended,
                'notes': findings.notes,
                'numbers': findings.numbers,
            }
        ),
        'analysis': _arrays(findings),
    }
    if len(pieces) > 1:
        outputs['trajectory'] = to_node(trajectory)
    return outputs


@calcfunction
def collect_verdicts(missing: orm.List, **verdicts: orm.Dict) -> orm.Dict:
    """Return the verdict on all runs: ``stable`` if every one is, ``unstable`` if any one is.

    :param missing: what became of each run that left nothing to judge; with such a run, the
        others cannot say more than ``undecided``.
    :return: ``verdict``, ``reasons`` with the conditions that they hold at, and ``runs``: each
        run's own verdict under its key.
    """
    runs: dict[str, dict[str, Any]] = {key: node.get_dict() for key, node in verdicts.items()}
    words = {run['verdict'] for run in runs.values()} | ({'undecided'} if missing else set())
    word = next(word for word in ('unstable', 'undecided', 'stable') if word in words)
    reasons = [
        f'{run["temperature_asked_k"]:g} K, {run["pressure_asked_gpa"]:g} GPa: {reason}'
        for run in runs.values()
        if run['verdict'] == word
        for reason in run['reasons']
    ]
    if word == 'undecided':
        reasons += missing.get_list()
    return orm.Dict({'verdict': word, 'reasons': reasons, 'runs': runs})


def _arrays(findings: Findings) -> orm.ArrayData:
    node = orm.ArrayData()
    for name, values in findings.arrays.items():
        node.set_array(name, values)
    units = {
        'time': 'ps', 'temperature': 'K', 'volume': 'angstrom^3', 'pressure': 'GPa',
        'energy': 'meV/atom, from the first frame', 'rmsd': 'angstrom',
        'rdf_edges': 'angstrom', 'dos_energy': '1/cm', 'dos': 'states per 1/cm',
    }  # fmt: skip
    node.base.attributes.set('units', units)
    return node
