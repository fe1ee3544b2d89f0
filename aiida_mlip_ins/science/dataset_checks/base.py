"""What a check is, and from where on its number matters."""

from __future__ import annotations

from dataclasses import dataclass

from aiida_mlip_ins.science.settings import setting

PASS, WARN, FAIL, UNKNOWN = 'pass', 'warn', 'fail', 'unknown'
VERDICTS = (FAIL, WARN, PASS, UNKNOWN)
"""The worst one first; what the frames cannot tell is no verdict."""


@dataclass(frozen=True)
class DatasetCheckSettings:
    """From where on a number is worth a warning, or an error."""

    max_energy_outlier: float = setting(
        'Energies per atom may be this many robust widths from the median of their composition.',
        above=1.0,
    )
    max_force: float = setting('Forces above this are outliers.', 'eV/angstrom', above=0.0)
    slope_tolerance: float = setting(
        'How far forces and stresses may be from the slopes of the energy, as a fraction.',
        above=0.0,
        maximum=0.5,
    )
    max_pressure_offset: float = setting(
        'Pressure that the energies may have and the stresses lack.', 'GPa', above=0.0
    )
    pressure_margin: float = setting(
        'Nearer than this to the end of what was sampled, an asked pressure is at its edge.',
        'GPa',
        minimum=0.0,
    )
    same_distance: float = setting(
        'Frames nearer to each other than this are one.', 'angstrom', above=0.0
    )


@dataclass(frozen=True)
class Check:
    """One check: ``pass``, ``warn``, ``fail``, or ``unknown`` where the frames cannot tell."""

    name: str
    value: float | None
    unit: str
    verdict: str
    sentence: str
