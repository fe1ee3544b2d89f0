"""Inputs of the comparison: what can be compared, what the chain gives, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida_phonopy.data import ForceConstantsData

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.comparison import CompareSettings
from aiida_mlip_ins.science.observed import peak_problems
from aiida_mlip_ins.science.reach import ReachSettings
from aiida_mlip_ins.science.settings import problems

FORCE_CONSTANTS = 'force_constants'
KINDS = {
    'modes': (orm.ArrayData, 'Modes at Gamma (1/cm) of a phonon workchain'),
    'structures': (orm.StructureData, 'Relaxed structure (angstrom)'),
    'phonons': (orm.Dict, 'Summary of a phonon workchain (1/cm)'),
    'spectra': (InsSpectrumData, 'Spectrum (1/cm, barn/(1/cm)/primitive cell)'),
    FORCE_CONSTANTS: (
        ForceConstantsData,
        'Force constants (eV/angstrom^2), compared where those of DFT are of a supercell,',
    ),
}
ENGINES = {'mace': 'the potential', 'pw': 'DFT'}
PLACES = [
    *((engine, kind) for engine in ENGINES for kind in KINDS),
    ('experiment', 'peaks'),
]
"""Namespaces whose nodes are keyed by pressure."""


def inputs_of_chain(
    pressures: orm.List, outputs: Mapping[str, Any], dataset: DatasetData | None = None
) -> dict[str, Any]:
    """Return the inputs that compare what the whole chain has made so far.

    :param pressures: GPa.
    :param outputs: of `HighPressureInsWorkChain`, nested. A crystal that was cured of imaginary
        modes stands in the place of the relaxed one, unless its cell is a larger one: then it and
        its modes have nothing to be compared with, and only its spectrum takes part.
    :param dataset: the frames of the potential, if they are known.
    """
    structures = dict(outputs['mace']['structures'])
    modes = dict(outputs['mace'].get('modes', {}))
    constants = dict(outputs['mace'].get(FORCE_CONSTANTS, {}))
    for key, cured in outputs.get('cure', {}).get('structures', {}).items():
        if len(cured.sites) == len(structures[key].sites):
            structures[key] = cured
        else:
            del structures[key]
            modes.pop(key, None)
            constants.pop(key, None)
    inputs: dict[str, Any] = {
        'pressures': pressures,
        'mace': {
            'modes': modes,
            'structures': structures,
            'phonons': outputs['mace'].get('phonons', {}),
            'spectra': outputs.get('spectra', {}),
            FORCE_CONSTANTS: constants,
        },
    }
    if 'pw' in outputs:
        inputs['pw'] = {
            'modes': outputs['pw'].get('modes', {}),
            'structures': outputs['pw']['structures'],
            FORCE_CONSTANTS: outputs['pw'].get(FORCE_CONSTANTS, {}),
        }
    if 'training' in outputs:
        inputs['errors'] = outputs['training']['errors']
    if 'peaks' in outputs:
        inputs['experiment'] = {'peaks': outputs['peaks']}
    if dataset is not None:
        inputs['dataset'] = dataset
    return inputs


def validate_parameters(value: orm.Dict, _: Any) -> str | None:
    """Refuse settings that are unknown, missing or out of range, all at once."""
    return '\n'.join(problems(CompareSettings, value.get_dict(), 'parameters')) or None


def validate_reach(value: orm.Dict, _: Any) -> str | None:
    """Refuse margins that are unknown, missing or out of range, all at once."""
    return '\n'.join(problems(ReachSettings, value.get_dict(), 'reach')) or None


def validate_pressures(value: orm.List, _: Any) -> str | None:
    """Refuse an empty list and what is no number."""
    pressures = value.get_list()
    if not pressures:
        return 'pressures: give at least one, in GPa'
    wrong = [p for p in pressures if not isinstance(p, int | float) or isinstance(p, bool)]
    return f'pressures: not a number: {wrong}' if wrong else None


def validate_inputs(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse keys that are none of a pressure, and a comparison of nothing."""
    if 'pressures' not in value:
        return None
    keys = [f'pressure_{index}' for index in range(len(value['pressures'].get_list()))]
    found, count = [], 0
    for engine, kind in PLACES:
        given = value.get(engine, {}).get(kind, {})
        count += len(given) if engine in ENGINES else 0
        unknown = sorted(set(given) - set(keys))
        if unknown:
            found.append(
                f'{engine}.{kind}: no such pressure: {", ".join(unknown)} (valid: '
                f'{", ".join(keys)})'
            )
        if kind == 'peaks':
            for key, node in given.items():
                found.extend(peak_problems(node.get_list(), f'{engine}.{kind}.{key}'))
    if not count:
        found.append('mace: give modes, structures or spectra to compare')
    return '\n'.join(found) or None
