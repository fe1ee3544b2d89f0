"""Inputs of a benchmark: names, references and windows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_mlip_ins.calculations.functions.spectra_set import Spectrum, entries_of
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.settings import nearest, unknown_keys
from aiida_mlip_ins.science.spectra_set import Entry
from aiida_mlip_ins.workflows.protocols import load_protocol

MACE_LINKS = ('mace_pressure_scan', 'mace_phonons', 'ins')
"""Links of the chain that a benchmark runs."""
LINKS = (*MACE_LINKS, 'compare_spectra')
"""What a benchmark composes, whose own protocols can be overridden under these names."""
NAME = re.compile(r'[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*')
"""Names become parts of links between nodes, where two underscores have a meaning."""


@dataclass(frozen=True)
class Reference:
    """A spectrum that the models are judged by."""

    crystal: str
    role: str
    """``experiment``, ``dft``, or another name."""
    spectrum: Spectrum
    pressure_gpa: float | None = None
    """Needed if the node has none."""


def name_problems(kind: str, names: Sequence[str]) -> list[str]:
    """Return the names that cannot be parts of links."""
    found = [] if names else [f'{kind}: give at least one']
    return found + [
        f"{kind}: '{name}' is no name: a letter, then letters and digits, with single underscores "
        'between them'
        for name in names
        if not NAME.fullmatch(name)
    ]


def entries_by_crystal(
    references: Mapping[str, Spectrum], about: Mapping[str, Any], crystals: Sequence[str]
) -> tuple[dict[str, list[Entry]], list[str]]:
    """Return the references of each crystal, and everything that is wrong with what is said.

    :param references: by label.
    :param about: the input of that name.
    :param crystals: their names.
    """
    said = about.get('references', {})
    found = unknown_keys(about, ('references', 'windows'), 'about')
    found += unknown_keys(said, references, 'about.references')
    by_crystal: dict[str, list[Entry]] = {name: [] for name in crystals}
    for label, node in sorted(references.items()):
        own = dict(said.get(label, {}))
        crystal = own.pop('crystal', None)
        entries, wrong = entries_of({label: node}, {'spectra': {label: own}})
        found += [line.replace('about.spectra', 'about.references') for line in wrong]
        if crystal not in by_crystal:
            found.append(
                f"about.references.{label}: there is no crystal '{crystal}'"
                f'{nearest(str(crystal), crystals)}'
            )
        else:
            by_crystal[crystal] += entries
    return by_crystal, found


def beside(
    entries: Sequence[Entry],
    spectra: Mapping[str, InsSpectrumData],
    protocol: str | None,
    overrides: Mapping[str, Any] | None,
) -> dict[str, list[Entry]]:
    """Return by role the references that have a simulated spectrum at their pressure.

    :param spectra: simulated ones.
    :param protocol: of the comparison, whose tolerance decides what the same pressure is.
    :param overrides: on top of it.
    """
    numbers = load_protocol('compare_spectra', protocol, overrides)
    tolerance = numbers['parameters']['pressure_tolerance']
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        away = [abs(node.pressure_gpa - entry.pressure_gpa) for node in spectra.values()]
        if min(away, default=np.inf) <= tolerance:
            found.setdefault(entry.role, []).append(entry)
    return found


def simulated_range(protocol: str | None, overrides: Mapping[str, Any]) -> tuple[float, float]:
    """Return the lower and upper end (1/cm) of the spectra that the chain simulates.

    :raises ValueError: for an unknown protocol, or listing unknown keys.
    """
    numbers = load_protocol('ins', protocol, overrides.get('ins'))['parameters']
    return float(numbers['energy_min']), float(numbers['energy_max'])


def default_windows(entries: Sequence[Entry], simulated: tuple[float, float]) -> list[list[float]]:
    """Return the one window (1/cm) that all references and the simulation cover, if there is one.

    Bins of the simulation begin at its lower end, so an elastic line there is cut off with it.
    """
    low, high = simulated
    for entry in entries:
        low = max(low, float(entry.spectrum.energy[0]))
        high = min(high, float(entry.spectrum.energy[-1]))
    return [[low, high]] if low < high else []
