"""Calcfunctions that compare a potential with DFT, and each of them between the pressures."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction
from aiida_phonopy.data import ForceConstantsData
from ase.geometry import find_mic

from aiida_mlip_ins.calculations.functions.phonons import phonopy_of
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.data.structure import to_atoms
from aiida_mlip_ins.science import comparison, mode_forces, shift_table, zone_comparison
from aiida_mlip_ins.science.curvature import ALIKE
from aiida_mlip_ins.science.dataset import FORCES
from aiida_mlip_ins.science.modes import Modes
from aiida_mlip_ins.science.observed import assign_peaks
from aiida_mlip_ins.science.settings import build

SEPARATOR = '__'
"""Between engine, kind and pressure in the names of the calcfunction's inputs."""


def modes_of(node: orm.ArrayData) -> Modes:
    """Return the modes at Gamma in a node that the phonon workchains make."""
    return Modes(
        frequencies=node.get_array('frequencies'),
        eigenvectors=node.get_array('eigenvectors'),
        symbols=tuple(node.base.attributes.get('symbols')),
        masses=node.get_array('masses'),
        cell=node.get_array('cell'),
        positions=node.get_array('positions'),
    )


def input_name(engine: str, kind: str, key: str) -> str:
    """Return the name of an input, such as ``mace__modes__pressure_0``."""
    return SEPARATOR.join((engine, kind, key))


@calcfunction
def compare_pressures(
    pressures: orm.List, parameters: orm.Dict, **nodes: orm.Data
) -> dict[str, orm.Dict] | ExitCode:
    """Compare everything there is at each pressure.

    :param pressures: GPa.
    :param parameters: ``CompareSettings``.
    :param nodes: named as :func:`input_name` has it: ``modes`` (ArrayData), ``structures``,
        ``spectra`` (InsSpectrumData), ``phonons`` (Dict, the summaries) of ``mace`` and ``pw``;
        ``peaks`` (List, see ``observed.ObservedPeak``) of ``experiment``;
        and ``errors`` (Dict), the training's, passed on.
    :return: ``metrics`` and ``table``, or an exit code where crystals are not alike.
    """
    try:
        metrics, table = _compare(pressures, parameters, nodes)
    except ValueError as error:
        return ExitCode(401, str(error))
    return {'metrics': orm.Dict(metrics), 'table': orm.Dict(table)}


def has_supercell(node: ForceConstantsData) -> bool:
    """Whether force constants are of more than one primitive cell."""
    cells = np.linalg.det(node.supercell_matrix) / np.linalg.det(node.primitive_matrix)
    return round(abs(cells)) > 1


@calcfunction
def compare_on_supercell(
    parameters: orm.Dict, mace: ForceConstantsData, dft: ForceConstantsData
) -> orm.Dict | ExitCode:
    """Compare frequencies (1/cm) at the q-points that the supercell of DFT has exactly.

    :param parameters: ``CompareSettings``.
    :return: see :func:`zone_comparison.errors_on_supercell`; an exit code where crystals are not
        alike.
    """
    settings = build(comparison.CompareSettings, parameters.get_dict(), 'parameters')
    try:
        found = zone_comparison.errors_on_supercell(phonopy_of(mace), phonopy_of(dft), settings)
    except ValueError as error:
        return ExitCode(401, str(error))
    return orm.Dict(found)


@calcfunction
def compare_moving_modes(
    windows: orm.List,
    force_constants: ForceConstantsData,
    labelled: DatasetData,
    predicted: DatasetData,
) -> orm.Dict | ExitCode:
    """Return by how much the labels of frames in motion would shift a potential's modes at Gamma.

    :param windows: pairs of energies, 1/cm.
    :param force_constants: the potential's, of the cell that the frames move about; frames with
        another cell are left out.
    :param predicted: the same frames with the potential's forces.
    :return: ``n_frames``, ``modes`` (see ``mode_forces.mode_shifts``) and ``windows`` (one row
        each, see ``mode_forces.shifts_by_window``).
    """
    rest = to_atoms(force_constants.get_unitcell())
    pairs = [
        (one, two)
        for one, two in zip(labelled.get_frames(), predicted.get_frames(), strict=True)
        if one.numbers.tolist() == rest.numbers.tolist()
        and np.allclose(one.cell.array, rest.cell.array, atol=ALIKE)
    ]
    if not pairs:
        return ExitCode(401, 'no frame of the dataset moves about this cell')
    moved = [find_mic(one.positions - rest.positions, rest.cell)[0] for one, _ in pairs]
    differences = [one.arrays[FORCES] - two.arrays[FORCES] for one, two in pairs]
    try:
        found = mode_forces.mode_shifts(
            phonopy_of(force_constants), np.array(moved), np.array(differences)
        )
    except ValueError as error:
        return ExitCode(401, str(error))
    return orm.Dict(
        {
            'n_frames': len(pairs),
            'modes': {name: values.tolist() for name, values in found.items()},
            'windows': mode_forces.shifts_by_window(found, windows.get_list()),
        }
    )


def _compare(
    pressures: orm.List, parameters: orm.Dict, nodes: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the content of ``metrics`` and ``table``.

    :raises ValueError: if modes belong to different crystals.
    """
    settings = build(comparison.CompareSettings, parameters.get_dict(), 'parameters')
    values = [float(pressure) for pressure in pressures.get_list()]
    keys = [f'pressure_{index}' for index in range(len(values))]

    def found(engine: str, kind: str) -> list[Any]:
        """Return the nodes of one kind, ``None`` where there is none."""
        return [nodes.get(input_name(engine, kind, key)) for key in keys]

    modes = {
        engine: [None if n is None else modes_of(n) for n in found(engine, 'modes')]
        for engine in ('mace', 'pw')
    }
    rows = []
    columns = zip(
        values, modes['mace'], modes['pw'], found('mace', 'structures'), found('pw', 'structures'),
        found('mace', 'phonons'), strict=True,
    )  # fmt: skip
    for pressure, mace, dft, structure, reference, summary in columns:
        row: dict[str, Any] = {'pressure_gpa': pressure}
        if structure is not None:
            cell = None if reference is None else np.array(reference.cell)
            row |= comparison.lattice_against_dft(np.array(structure.cell), cell)
        if mace is not None and dft is not None:
            row |= comparison.frequencies_against_dft(mace, dft, settings)
        if summary is not None:
            row |= {
                name: summary.get(name)
                for name in (
                    'min_frequency_per_cm', 'min_frequency_q', 'imaginary_share', 'imaginary',
                    'imaginary_points',
                )
            }  # fmt: skip
        rows.append(row)
    table = shift_table.shift_table(modes['mace'], modes['pw'], values, settings)
    peaks = [None if n is None else n.get_list() for n in found('experiment', 'peaks')]
    measured: dict[str, Any] = {}
    if any(peaks):
        volumes = shift_table.volumes_of(modes['mace'])
        table, measured['experiment'] = assign_peaks(table, peaks, values, volumes, settings)
    spectra = [
        (engine, pressure, node.energy_bins, node.total())
        for engine in ('mace', 'pw')
        for pressure, node in zip(values, found(engine, 'spectra'), strict=True)
        if isinstance(node, InsSpectrumData)
    ]
    metrics = {
        'pressures': rows,
        'spectra': comparison.spectra_alike(spectra),
        'shift_directions': comparison.direction_agreement(table),
        'anomalous': shift_table.anomalies(table),
        'force_errors': nodes['errors'].get_dict() if 'errors' in nodes else None,
    }
    return metrics, {'pressures_gpa': values, 'units': '1/cm', 'rows': table, **measured}
