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
    force_constants: ForceConstantsData,
    parameters: orm.Dict,
    summary: orm.Dict,
    settings: orm.Dict,
    before: orm.Dict | None = None,
) -> dict[str, orm.Data]:
    """Find the softest imaginary mode of a small supercell, and the frames along it.

    Points that the supercell of the force constants has exactly come first; if none of them is
    soft, but there are imaginary modes, the others are looked at too.

    :param parameters: ``PhononSettings``, for what counts as imaginary.
    :param summary: of the phonons.
    :param settings: ``CureSettings``.
    :param before: ``mode`` of a smaller supercell, at whose q-point this one is looked at as well,
        interpolated or not: that it is not among the exact ones any more is no cure.
    :return: ``mode`` with ``q``, ``multiples``, ``band``, ``frequency_per_cm``; ``frames``; nothing
        if there is no such mode.
    """
    phonon = phonopy_of(force_constants)
    chosen = _settings(settings)
    tolerance = build(PhononSettings, parameters.get_dict(), 'parameters').imaginary_tolerance
    mode = cure.softest_mode(phonon, chosen.max_multiple, tolerance, exact=True)
    if mode is None and summary['imaginary']:
        mode = cure.softest_mode(phonon, chosen.max_multiple, tolerance, exact=False)
    if mode is None and before is not None:
        mode = cure.mode_at(phonon, before['q'], before['multiples'], tolerance)
    if mode is None:
        return {}
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
    :param nodes: for the number i of each: ``summary_i`` of its phonons, ``mode_i`` for the soft
        mode of these, if there is one, ``well_i`` of the mode before that was followed,
        ``relaxed_i`` of its relaxation.
    :return: ``cured``; ``steps`` with the numbers of each; ``sentences``.
    """
    found = {name: node.get_dict() for name, node in nodes.items()}
    steps: list[dict[str, Any]] = []
    for index, remedy in enumerate(remedies.get_list()):
        summary = found[f'summary_{index}']
        step: dict[str, Any] = {'remedy': remedy, 'n_atoms': summary['n_modes'] // 3}
        step |= {key: summary[key] for key in SUMMARY}
        soft = found.get(f'mode_{index}')
        if soft is not None:
            step['imaginary'] = True
            if soft['frequency_per_cm'] < step['min_frequency_per_cm']:
                step['min_frequency_per_cm'] = soft['frequency_per_cm']
                step['min_frequency_q'] = soft['q']
        if f'well_{index}' in found:
            before = found[f'mode_{index - 1}']
            step |= {key: before[key] for key in MODE}
            step |= {key: found[f'well_{index}'][key] for key in WELL}
        if f'relaxed_{index}' in found:
            step |= {key: found[f'relaxed_{index}']['pressures'][0][key] for key in RELAXED}
        steps.append(step)
    sentences = [cure.describe(step) for step in steps]
    if failure.value:
        sentences.append(failure.value)
    return orm.Dict({'cured': not steps[-1]['imaginary'], 'steps': steps, 'sentences': sentences})


SUMMARY = (
    'min_frequency_per_cm', 'min_frequency_q', 'imaginary', 'imaginary_share', 'supercell_matrix'
)  # fmt: skip
MODE = ('q', 'multiples', 'frequency_per_cm')
WELL = ('amplitude_angstrom', 'depth_mev_per_atom')
RELAXED = (
    'spacegroup', 'enthalpy_ev', 'volume_angstrom3', 'max_force_ev_per_angstrom',
    'stress_residual_gpa',
)  # fmt: skip
"""What the report takes over of each node."""


def _settings(settings: orm.Dict) -> cure.CureSettings:
    return build(cure.CureSettings, settings.get_dict(), 'settings')
