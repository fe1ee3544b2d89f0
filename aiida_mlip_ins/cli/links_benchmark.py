"""The benchmark as a builder made from what the user typed and wrote in a file; see ``links``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.cli.inputs import Inputs
from aiida_mlip_ins.cli.links import build
from aiida_mlip_ins.science.settings import unknown_keys
from aiida_mlip_ins.workflows.benchmark_inputs import Reference
from aiida_mlip_ins.workflows.protocols import merge

KEYS = ('crystals', 'models', 'pressures', 'protocol', 'overrides')
CRYSTAL_KEYS = ('structure', 'measured', 'dft', 'windows')
ROLES = {'measured': 'experiment', 'dft': 'dft'}
"""Roles of the references, by what the user calls them."""

Spectra = Sequence[tuple[str, float | None, str]]


def benchmark(
    inputs: Inputs, file: Path | None, crystals: Sequence[tuple[str, str]],
    models: Sequence[tuple[str, str]], pressures: Sequence[Sequence[float]], measured: Spectra,
    dft: Spectra, windows: Sequence[list[float]], engine_code: str, protocol: str | None,
    overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the benchmark of what the file and the options ask for; options count more."""
    from aiida_mlip_ins.workflows.benchmark import BenchmarkWorkChain

    content = _read(inputs, file)
    written: dict[str, dict[str, Any]] = content.get('crystals', {})
    structures = {name: own['structure'] for name, own in written.items() if 'structure' in own}
    structures |= _once(inputs, 'crystal', crystals)
    inputs.problems += [
        f"crystals.{name}: 'structure' is missing (a file or node)"
        for name in written
        if name not in structures
    ]
    files = content.get('models', {}) | _once(inputs, 'model', models)
    asked = [
        (kind, crystal, pressure, text)
        for crystal, own in written.items()
        for kind in ROLES
        for pressure, text in own.get(kind, {}).items()
    ]
    asked += [
        (kind, *item) for kind, given in (('measured', measured), ('dft', dft)) for item in given
    ]
    chosen = {name: own['windows'] for name, own in written.items() if 'windows' in own}
    if windows:
        chosen = {crystal: list(windows) for _, crystal, _, _ in asked}
    references = [
        Reference(crystal, ROLES[kind], node, pressure)
        for kind, crystal, pressure, text in asked
        if (node := inputs.spectrum(f'{kind} of {crystal}', text, kind == 'dft')) is not None
    ]
    return build(
        inputs,
        BenchmarkWorkChain.get_builder_from_protocol,
        crystals={
            name: inputs.structure(text, require_hydrogen=True) for name, text in structures.items()
        },
        models={name: inputs.model_or_file(f'model {name}', text) for name, text in files.items()},
        pressures=inputs.pressures(pressures or [content.get('pressures', [])]),
        code=inputs.code('engine_code', engine_code),
        references=references,
        windows=chosen,
        protocol=protocol or content.get('protocol'),
        overrides=merge(content.get('overrides', {}), inputs.overrides(overrides) or {}),
    )


def _once(inputs: Inputs, what: str, given: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return files and nodes by name; a name that is there twice is a problem."""
    found: dict[str, str] = {}
    for name, text in given:
        if name in found:
            inputs.problems.append(
                f"{what}: the name '{name}' is given twice; NAME=FILE chooses another"
            )
        found[name] = text
    return found


def _read(inputs: Inputs, path: Path | None) -> dict[str, Any]:
    """Return the content of the file, in which paths are relative to its folder.

    A crystal may be a file or node alone, or a mapping with ``structure``, ``measured`` and ``dft``
    (pressure in GPa -> file or node) and ``windows``.
    """
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        inputs.problems.append(f'{path}: not YAML: {error}')
        return {}
    found = _shape_problems(content)
    if found:
        inputs.problems += [f'{path}: {line}' for line in found]
        return {}
    crystals = {}
    for name, given in content.get('crystals', {}).items():
        own = dict(given) if isinstance(given, Mapping) else {'structure': given}
        if 'structure' in own:
            own['structure'] = _located(path.parent, own['structure'])
        for kind in ROLES:
            own[kind] = {
                float(pressure): _located(path.parent, text)
                for pressure, text in own.get(kind, {}).items()
            }
        crystals[name] = own
    models = {name: _located(path.parent, text) for name, text in content.get('models', {}).items()}
    return {**content, 'crystals': crystals, 'models': models}


def _shape_problems(content: Any) -> list[str]:
    """Return what of a file's content is not what it should be, all at once."""
    if not isinstance(content, Mapping):
        return [f'no keys at its top level; expected {", ".join(KEYS)}']
    found = unknown_keys(content, KEYS, 'benchmark')
    found += [
        f'{key}: expected a mapping of names, got {content[key]!r}'
        for key in ('crystals', 'models', 'overrides')
        if not isinstance(content.get(key, {}), Mapping)
    ]
    pressures = content.get('pressures', [])
    if not isinstance(pressures, list) or not all(_is_number(value) for value in pressures):
        found.append(f'pressures: expected a list of numbers in GPa, got {pressures!r}')
    if found:
        return found
    for name, own in content.get('crystals', {}).items():
        if not isinstance(own, Mapping):
            continue
        where = f'crystals.{name}'
        found += unknown_keys(own, CRYSTAL_KEYS, where)
        for kind in ROLES:
            spectra = own.get(kind, {})
            if not isinstance(spectra, Mapping) or not all(map(_is_number, spectra)):
                found.append(
                    f'{where}.{kind}: expected a file or node for each pressure in GPa, such as '
                    f'`{{0: run.dat}}`, got {spectra!r}'
                )
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _located(folder: Path, given: Any) -> str:
    """Return the path of a file in the folder, or a node as it was given."""
    text = str(given)
    return str(folder / text) if (folder / text).is_file() else text
