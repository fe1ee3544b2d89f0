"""A potential against DFT at each pressure, and each of them between the pressures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.geometry import cell_to_cellpar

from aiida_mlip_ins.science.metrics import frequency_errors, r_squared, wasserstein
from aiida_mlip_ins.science.modes import Match, Modes, match_modes
from aiida_mlip_ins.science.settings import setting

LATTICE = ('a', 'b', 'c', 'alpha', 'beta', 'gamma')


@dataclass(frozen=True)
class CompareSettings:
    """What decides which modes are the same and which shifts count."""

    degeneracy_tolerance: float = setting(
        'Modes closer than this are one degenerate subspace.', '1/cm', above=0.0
    )
    min_overlap: float = setting(
        'A pair of modes that overlap less is reported as ambiguous.', minimum=0.0, maximum=1.0
    )
    shift_threshold: float = setting('A smaller shift has no direction.', '1/cm', minimum=0.0)
    slope_errors: float = setting(
        'A shift per GPa within so many of its standard errors has no direction.', minimum=0.0
    )
    symprec: float = setting(
        'Tolerance of the symmetry search for irreducible representations.', 'angstrom', above=0.0
    )
    min_irrep_share: float = setting(
        'A mode with less of it in one irreducible representation has none.',
        above=0.5,
        maximum=1.0,
    )
    peak_max_shift: float = setting(
        'A measured peak further from a mode is not its peak.', '1/cm', above=0.0
    )


def pair_modes(
    first: Modes, second: Modes, settings: CompareSettings, at_gamma: bool = True
) -> list[Match]:
    """Return the matched modes, at Gamma without translations, in the order of the first's."""
    return match_modes(first, second, settings.degeneracy_tolerance, settings.min_overlap, at_gamma)


def frequencies_against_dft(mace: Modes, dft: Modes, settings: CompareSettings) -> dict[str, Any]:
    """Return the errors (1/cm) of the optical modes at Gamma, and the pairs they come from.

    ``gamma_mae_per_cm`` pairs modes by eigenvector, ``gamma_sorted_mae_per_cm`` by their order, and
    so hides modes that are swapped.
    """
    pairs = pair_modes(mace, dft, settings)
    a = np.array([mace.frequencies[pair.first] for pair in pairs])
    b = np.array([dft.frequencies[pair.second] for pair in pairs])
    matched, ordered = frequency_errors(a, b), frequency_errors(np.sort(a), np.sort(b))
    return {
        **{f'gamma_{name}': value for name, value in matched.items()},
        **{f'gamma_sorted_{name}': value for name, value in ordered.items()},
        'gamma_min_overlap': min(pair.overlap for pair in pairs),
        'gamma_n_ambiguous': sum(pair.ambiguous for pair in pairs),
        'gamma_pairs': [
            {
                'mace_per_cm': float(x),
                'dft_per_cm': float(y),
                'overlap': pair.overlap,
                'ambiguous': pair.ambiguous,
            }
            for x, y, pair in zip(a, b, pairs, strict=True)
        ],
    }


def lattice_against_dft(mace: np.ndarray, dft: np.ndarray | None) -> dict[str, Any]:
    """Return volume (angstrom^3), lengths (angstrom) and angles (degrees), with errors in percent.

    :param mace: (3, 3) lattice vectors as rows, angstrom; ``dft`` likewise, or ``None``.
    """
    found: dict[str, Any] = {
        'volume_angstrom3': float(abs(np.linalg.det(mace))),
        'lattice': dict(zip(LATTICE, cell_to_cellpar(mace).tolist(), strict=True)),
    }
    if dft is None:
        return found
    volume = float(abs(np.linalg.det(dft)))
    reference = dict(zip(LATTICE, cell_to_cellpar(dft).tolist(), strict=True))
    return found | {
        'volume_dft_angstrom3': volume,
        'volume_error_percent': 100 * (found['volume_angstrom3'] / volume - 1),
        'lattice_dft': reference,
        'lattice_error_percent': {
            name: 100 * (found['lattice'][name] / reference[name] - 1) for name in LATTICE
        },
    }


def direction(shift: float, threshold: float) -> str:
    """Return ``blue`` for a shift (1/cm) up, ``red`` for one down, ``none`` for a small one."""
    if abs(shift) < threshold:
        return 'none'
    return 'blue' if shift > 0 else 'red'


def direction_agreement(table: Sequence[Mapping[str, Any]]) -> dict[str, int] | None:
    """Count the modes that both methods shift the same way at the last pressure."""
    both = [
        pair
        for row in table
        if row.get('dft_direction')
        for pair in [(row['mace_direction'][-1], row['dft_direction'][-1])]
        if None not in pair
    ]
    if not both:
        return None
    return {'n_modes': len(both), 'n_same_direction': sum(a == b for a, b in both)}


def spectra_alike(
    spectra: Sequence[tuple[str, float, np.ndarray, np.ndarray]],
) -> list[dict[str, Any]]:
    """Compare spectra of one method at the first pressure with others, and methods at one pressure.

    :param spectra: (method, pressure in GPa, edges of bins in 1/cm (n + 1,), intensity (n,)).
    :return: for each pair ``wasserstein_per_cm`` and ``r_squared`` (scale fitted).
    """
    found = []
    for number, (method, pressure, edges, intensity) in enumerate(spectra):
        for method_b, pressure_b, edges_b, intensity_b in spectra[number + 1 :]:
            same_grid = edges.shape == edges_b.shape and np.allclose(edges, edges_b)
            related = (method == method_b) != (pressure == pressure_b)
            if not (same_grid and related):
                continue
            found.append(
                {
                    'first': {'method': method, 'pressure_gpa': pressure},
                    'second': {'method': method_b, 'pressure_gpa': pressure_b},
                    'wasserstein_per_cm': wasserstein(edges, intensity, intensity_b),
                    'r_squared': r_squared(intensity, intensity_b),
                }
            )
    return found
