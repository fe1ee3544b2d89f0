"""Settings of the targeted set: which keys each section has, and what their values may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiida_mlip_ins.science.sampling.supercells import SHORT_AXES, matrix_problem
from aiida_mlip_ins.science.settings import setting, unknown_keys, value_problems

_RATTLE = frozenset({'count', 'pressures', 'strain', 'heavy', 'tilt', 'stretch', 'scales'})
#: Keys of the settings of ``targeted_set``, by section.
SETTINGS: dict[str, frozenset[str]] = {
    'path': frozenset({'pressures'}),
    'symmetric': _RATTLE - {'tilt'},
    'rattle': _RATTLE | {'matrices'},
    'strain': _RATTLE,
    'supercell': _RATTLE | {'matrices'},
    'displaced': frozenset({'pressures', 'distance', 'matrices', 'split'}),
    'separate': _RATTLE | {'swing', 'matrices'},
    # A section's random numbers follow from its place here: new ones go to the end.
    'molecules': frozenset(
        {'count', 'pressures', 'strain', 'translation', 'rotation', 'scales', 'matrices'}
    ),
    'warm': _RATTLE | {'matrices'},
}
#: Amplitudes of which a frame of the section ``separate`` has one.
KINDS = ('heavy', 'tilt', 'swing', 'stretch')
#: Keys that may be left out: tilts and swings default to 0, scales to [1], the weight to 1; the
#: split is then a matter of chance, or `train`.
OPTIONAL = frozenset({'scales', 'tilt', 'swing', 'weight', 'split'})
#: Sections in which ``matrices`` may be left out, for the cell itself.
OF_THE_CELL = frozenset({'displaced', 'molecules', 'rattle', 'separate', 'warm'})


@dataclass(frozen=True)
class SectionSettings:
    """Values that the keys of a section may have."""

    count: int = setting('Number of frames.', minimum=0)
    pressures: list[float] = setting('A range, or in `path` and `displaced` each one.', 'GPa')
    strain: float = setting('Width of strains.', minimum=0.0, maximum=0.5)
    heavy: float = setting('Width of moves of all but hydrogen.', 'angstrom', minimum=0.0)
    tilt: float = setting('Width of the turns of X-H bonds.', 'angstrom', minimum=0.0)
    swing: float = setting('Width of the turns of all X-H of an atom.', 'angstrom', minimum=0.0)
    stretch: float = setting('Width of the stretch of X-H bonds.', 'angstrom', minimum=0.0)
    translation: float = setting('Width of shifts of molecules.', 'angstrom', minimum=0.0)
    rotation: float = setting('Width of turns of molecules.', 'degrees', minimum=0.0)
    distance: float = setting('Displacement of a single atom.', 'angstrom', above=0.0)
    scales: list[float] = setting('Factors of the widths, in turn.', above=0.0)
    matrices: list[Any] = setting('Supercells, in turn.')
    split: str = setting('Where all frames go.', choices=('train', 'valid', 'test'))
    weight: float = setting('What the frames count in the training.', minimum=0.0)


def sampling_problems(settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return every problem of the settings of ``targeted_set``: keys and values."""
    problems = unknown_keys(settings, SETTINGS, 'sampling')
    for section, keys in SETTINGS.items():
        if section not in settings:
            continue
        options, where = settings[section], f'sampling.{section}'
        if not isinstance(options, Mapping):
            problems.append(f'{where}: expected a mapping, got {options!r}')
            continue
        allowed = keys | {'weight'}
        problems += unknown_keys(options, allowed, where)
        optional = OPTIONAL | ({'matrices'} if section in OF_THE_CELL else set())
        problems += [f"{where}: '{key}' is missing" for key in sorted(keys - optional - {*options})]
        given = {key: value for key, value in options.items() if key in allowed}
        if given.get('matrices', 0) in (None, SHORT_AXES):
            given.pop('matrices')
        for key, value in given.items():
            wrong = value_problems(SectionSettings, {key: value}, where)
            problems += wrong or _list_problems(section, key, value, where)
        if section == 'supercell' and options.get('count') and options.get('matrices', 0) == []:
            problems.append(f'{where}.matrices: empty, give supercells or set `count` to 0')
    return problems


def _list_problems(section: str, key: str, value: Any, where: str) -> list[str]:
    """Return the problems of a value of the right type, if it is a list."""
    if key == 'pressures' and 'count' in SETTINGS[section]:
        if len(value) != 2 or value[0] > value[1]:
            return [f'{where}.{key}: expected [lowest, highest], got {value}']
    elif key in ('pressures', 'scales') and not value:
        return [f'{where}.{key}: empty, give at least one']
    if key != 'matrices':
        return []
    return [
        f'{where}.{key}[{index}]: {problem}'
        for index, matrix in enumerate(value)
        if (problem := matrix_problem(matrix))
    ]
