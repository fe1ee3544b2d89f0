"""Conversion factors between the units of the engines and ours.

Ours: eV, angstrom, eV/angstrom, eV/angstrom^3 (stress, tension positive), GPa (pressure), K, 1/cm.
Values follow CODATA 2018 (the set that scipy.constants and phonopy use).
"""

from __future__ import annotations

GPA_PER_EV_PER_ANGSTROM3 = 160.21766208
"""1 eV/angstrom^3 in GPa (elementary charge / 1e-30 m^3 / 1e9)."""

PER_CM_PER_THZ = 33.35640951981521
"""1 THz in 1/cm (1e12 / (100 c))."""

PER_CM_PER_MEV = 8.065543937349212
"""1 meV in 1/cm."""

KELVIN_TO_PER_CM = 0.695034800
"""Boltzmann constant in 1/cm per K."""
