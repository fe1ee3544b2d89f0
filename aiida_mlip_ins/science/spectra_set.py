"""A set of spectra by role and pressure: which are compared with which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiida_mlip_ins.science.measured import MeasuredSpectrum, window_problems
from aiida_mlip_ins.science.settings import nearest, setting
from aiida_mlip_ins.science.spectrum_peaks import range_problems

EXPERIMENT = 'experiment'
REFERENCES = (EXPERIMENT, 'dft')
"""Roles that the others are judged by, the first that there is."""


SAME_GPA = 1e-6
"""Two statements of one pressure differ by less than this (GPa)."""


@dataclass(frozen=True)
class AboutSpectrum:
    """What is said of one spectrum beside its node."""

    role: str = setting('Who made it: experiment, dft, name of a model.', optional=True)
    pressure_gpa: float = setting('Pressure, if the node has none.', 'GPa', optional=True)


@dataclass(frozen=True)
class Entry:
    """One spectrum of the set."""

    label: str
    role: str
    pressure_gpa: float
    spectrum: MeasuredSpectrum


@dataclass(frozen=True)
class Pair:
    """Two spectra at one pressure."""

    reference: Entry
    other: Entry
    pressure_gpa: float


@dataclass(frozen=True)
class Change:
    """Two spectra of one role; the first is that at the lowest pressure."""

    low: Entry
    high: Entry
    pressures_gpa: tuple[float, float]


@dataclass(frozen=True)
class Plan:
    """What is compared with what."""

    reference: str
    roles: list[str]
    """The reference first."""
    pressures_gpa: list[float]
    """Ascending, GPa."""
    table: dict[str, list[Entry | None]]
    """By role, over the pressures."""
    pairs: list[Pair]
    changes: list[Change]
    change_pairs: list[tuple[Change, Change]]
    """Change of the reference and of another role between the same pressures."""
    left_out: list[str]
    """Sentences on what has no counterpart."""


def reference_of(entries: Sequence[Entry], wanted: str | None) -> str | None:
    """Return the role that the others are judged by, ``None`` if nothing says which it is."""
    roles = list(dict.fromkeys(entry.role for entry in entries))
    if wanted is not None:
        return wanted if wanted in roles else None
    if len(roles) == 1:
        return roles[0]
    return next((role for role in REFERENCES if role in roles), None)


def set_problems(
    entries: Sequence[Entry],
    wanted: str | None,
    windows: list[list[float]],
    tolerance: float,
) -> list[str]:
    """Return everything that keeps a set from being compared, an empty list if nothing does.

    :param wanted: role of the reference, ``None`` for the first of :data:`REFERENCES`.
    :param windows: 1/cm.
    :param tolerance: pressures this close (GPa) are the same.
    """
    found = window_problems(windows, 'settings.windows')
    usable = [] if found else windows
    for entry in entries:
        found += range_problems(f'spectra.{entry.label}', entry.spectrum, usable)
    if not entries:
        return found
    reference = reference_of(entries, wanted)
    roles = sorted({entry.role for entry in entries})
    if reference is None and wanted is not None:
        found.append(
            f"about.reference: no spectrum has the role '{wanted}'{nearest(wanted, roles)}"
        )
    elif reference is None:
        found.append(
            'about.reference: say which role the others are compared with, one of '
            f'{", ".join(roles)}'
        )
    found += _duplicates(entries, tolerance)
    if not found:
        made = plan(entries, wanted, tolerance)
        if not made.pairs and not made.changes:
            found.append(
                f"spectra: there is nothing to compare: neither has '{made.reference}' a spectrum "
                'at the pressure of another role, nor any role spectra at two pressures'
            )
    return found


def plan(entries: Sequence[Entry], wanted: str | None, tolerance: float) -> Plan:
    """Return the pairs at each pressure, and the changes from the lowest pressure of each role.

    Pressures within ``tolerance`` (GPa) of the lowest of a group are one; it is called by the
    reference's value. Changes of two roles are compared where they are between the same pressures.

    :raises ValueError: if nothing says which role is the reference.
    """
    reference = reference_of(entries, wanted)
    if reference is None:
        raise ValueError('there is no reference to compare with')
    groups = _groups(entries, tolerance)
    names = [
        next((e.pressure_gpa for e in group if e.role == reference), group[0].pressure_gpa)
        for group in groups
    ]
    others = list(dict.fromkeys(e.role for e in entries if e.role != reference))
    table = {
        role: [next((e for e in group if e.role == role), None) for group in groups]
        for role in (reference, *others)
    }
    pairs, left_out = [], []
    for name, own, *rest in zip(names, *table.values(), strict=True):
        for other in rest:
            if own is not None and other is not None:
                pairs.append(Pair(own, other, name))
            elif other is not None:
                left_out.append(
                    f'{other.role} at {name:g} GPa has no spectrum of {reference} beside it.'
                )
    changes = {role: _changes(row, names) for role, row in table.items()}
    return Plan(
        reference=reference,
        roles=[reference, *others],
        pressures_gpa=names,
        table=table,
        pairs=pairs,
        changes=[change for role in changes.values() for change in role],
        change_pairs=[
            (own, change)
            for role in others
            for change in changes[role]
            for own in changes[reference]
            if own.pressures_gpa == change.pressures_gpa
        ],
        left_out=left_out,
    )


def _groups(entries: Sequence[Entry], tolerance: float) -> list[list[Entry]]:
    """Return the entries by pressure, ascending."""
    groups: list[list[Entry]] = []
    for entry in sorted(entries, key=lambda e: e.pressure_gpa):
        if groups and entry.pressure_gpa - groups[-1][0].pressure_gpa <= tolerance:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _duplicates(entries: Sequence[Entry], tolerance: float) -> list[str]:
    """Return one problem for each role that is there twice at one pressure."""
    found = []
    for group in _groups(entries, tolerance):
        for role in dict.fromkeys(entry.role for entry in group):
            same = [entry for entry in group if entry.role == role]
            if len(same) > 1:
                listed = ', '.join(f'{e.label} ({e.pressure_gpa:g} GPa)' for e in same)
                found.append(
                    f"spectra: the role '{role}' is there {len(same)} times at one pressure: "
                    f'{listed}; give them different roles (pressures within {tolerance:g} GPa are '
                    'taken as one)'
                )
    return found


def _changes(row: Sequence[Entry | None], names: Sequence[float]) -> list[Change]:
    """Return the changes of a role from its lowest pressure."""
    known = [(name, entry) for name, entry in zip(names, row, strict=True) if entry is not None]
    return [Change(known[0][1], entry, (known[0][0], name)) for name, entry in known[1:]]
