"""Calcfunctions of the cure of imaginary modes: which mode, how far along it, what was done."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction
from aiida_phonopy.data import ForceConstantsData

from aiida_mlip_ins.calculations.functions.phonons import phonopy_of
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.science import cure
from aiida_mlip_ins.science.phonons import PhononSettings
from aiida_mlip_ins.science.settings import build


@calcfunction
def soft_mode(
    force_constants: ForceConstantsData, parameters: orm.Dict, settings: orm.Dict
) -> dict[str, orm.Data] | ExitCode:
    """Find the softest mode of a small supercell, and the frames along it.

    :param parameters: ``PhononSettings``, for what counts as imaginary.
    :param settings: ``CureSettings``.
    :return: ``mode`` with ``q``, ``multiples``, ``band``, ``frequency_per_cm``; ``frames``.
    """
    phonon = phonopy_of(force_constants)
    chosen = _settings(settings)
    tolerance = build(PhononSettings, parameters.get_dict(), 'parameters').imaginary_tolerance
    mode = cure.softest_mode(phonon, chosen.max_multiple, tolerance)
    if mode is None:
        return ExitCode(
            401,
            f'no mode that is periodic in {chosen.max_multiple} cells along each axis is '
            'imaginary; raise max_multiple, or the supercell of the phonons is too small',
        )
    values = dataclasses.asdict(mode)
    values['frequency_per_cm'] = values.pop('frequency')
    frames = cure.along(phonon, mode, chosen.amplitudes)
    return {'mode': orm.Dict(values), 'frames': FramesData.from_frames(frames)}


@calcfunction
def lowest_along(dataset: DatasetData, settings: orm.Dict) -> dict[str, orm.Data] | ExitCode:
    """Return the structure with the lowest energy along a mode.

    :param dataset: energies of the frames of :func:`soft_mode`.
    :param settings: ``CureSettings``.
    :return: ``structure``; ``well`` with ``amplitudes_angstrom`` and ``energies_ev`` of the line,
        ``amplitude_angstrom`` and ``depth_mev_per_atom`` of its lowest point.
    """
    frames = dataset.get_frames()
    amplitudes = np.array([float(frame.info['amplitude']) for frame in frames])
    energies = np.array([float(frame.info['REF_energy']) for frame in frames])
    place, depth = cure.well(amplitudes, energies)
    found = 1000 * depth / len(frames[0])
    least = _settings(settings).min_depth
    if found <= least or place == 0:
        return ExitCode(
            402,
            f'along the mode the energy falls by {found:.2g} meV/atom, not by more than {least:g}: '
            'the mode is noise of the forces, or the crystal is not relaxed',
        )
    first, last = frames[amplitudes.argmin()], frames[amplitudes.argmax()]
    share = (place - amplitudes.min()) / np.ptp(amplitudes)
    chosen = first.copy()
    chosen.positions += share * (last.positions - first.positions)
    values = {
        'amplitudes_angstrom': amplitudes.tolist(),
        'energies_ev': energies.tolist(),
        'amplitude_angstrom': place,
        'depth_mev_per_atom': found,
    }
    return {'structure': to_structure(chosen), 'well': orm.Dict(values)}


@calcfunction
def report_cure(remedies: orm.List, failure: orm.Str, **nodes: orm.Dict) -> orm.Dict:
    """Return what was done against imaginary modes, and what it led to.

    :param remedies: what was done in the end, ``given`` first.
    :param failure: why nothing more could be done; empty if there was no need.
    :param nodes: for the number i of each: ``summary_i`` of its phonons, ``relaxed_i`` of its
        relaxation, ``mode_i`` and ``well_i`` of the mode that was followed.
    :return: ``cured``; ``steps`` with the numbers of each; ``sentences``.
    """
    steps: list[dict[str, Any]] = []
    for index, remedy in enumerate(remedies.get_list()):
        step: dict[str, Any] = {'remedy': remedy}
        for kind, keys in TAKEN.items():
            if f'{kind}_{index}' in nodes:
                step |= _taken(nodes[f'{kind}_{index}'].get_dict(), keys)
        if f'relaxed_{index}' in nodes:
            row = nodes[f'relaxed_{index}']['pressures'][0]
            step |= {name: row[name] for name in RELAXED}
        step['n_atoms'] = step['n_modes'] // 3
        steps.append(step)
    sentences = [cure.describe(step) for step in steps]
    if failure.value:
        sentences.append(failure.value)
    return orm.Dict({'cured': not steps[-1]['imaginary'], 'steps': steps, 'sentences': sentences})


TAKEN = {
    'summary': (
        'min_frequency_per_cm', 'min_frequency_q', 'imaginary', 'imaginary_share',
        'supercell_matrix', 'n_modes',
    ),
    'mode': ('q', 'multiples', 'frequency_per_cm'),
    'well': ('amplitude_angstrom', 'depth_mev_per_atom'),
}  # fmt: skip
RELAXED = (
    'spacegroup', 'enthalpy_ev', 'volume_angstrom3', 'max_force_ev_per_angstrom',
    'stress_residual_gpa',
)  # fmt: skip


def _taken(values: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: values[key] for key in keys}


def _settings(settings: orm.Dict) -> cure.CureSettings:
    return build(cure.CureSettings, settings.get_dict(), 'settings')
