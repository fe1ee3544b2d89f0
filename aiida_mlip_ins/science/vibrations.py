"""The modes of a crystal as displacement tensors of its atoms, hot or cold.

Symmetric tensors are kept as six numbers: xx, yy, zz, yz, xz, xy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from aiida_mlip_ins.science.units import KELVIN_TO_PER_CM

SPREAD = 16.85762916808777
"""hbar^2 / 2 m E for a mass of 1 u and an energy of 1 1/cm, angstrom^2; CODATA 2018."""

CHUNK = 2_000_000
"""Numbers in the largest array of a step over q-points; bounds the memory."""

_FIRST, _SECOND = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)


@dataclass(frozen=True)
class Vibrations:
    """The modes of a crystal at q-points."""

    frequencies: np.ndarray
    """(n_q, n_modes), 1/cm."""
    vectors: np.ndarray
    """(n_q, n_modes, n_atoms, 3), eigenvectors of the dynamical matrix, normalised."""
    weights: np.ndarray
    """(n_q,), adding up to one."""
    masses: np.ndarray
    """(n_atoms,), u."""
    temperature: float
    """K."""
    excluded: np.ndarray
    """(n_q, n_modes), whether a mode counts for nothing."""

    def amplitudes(self, both_ways: bool) -> np.ndarray:
        """Return ``hbar/(2 w)`` times ``n + 1``, or ``2 n + 1``: (n_q, n_modes), angstrom^2 u."""
        safe = np.where(self.excluded, 1.0, self.frequencies)
        return np.where(self.excluded, 0.0, amplitude(safe, self.temperature, both_ways))

    def thermal(self) -> np.ndarray:
        """Return the mean square displacements A (n_atoms, 6; angstrom^2): xx yy zz yz xz xy."""
        found = np.zeros((len(self.masses), 6))
        for part in self.parts():
            tensors = self.tensors(part, both_ways=True)
            found += np.tensordot(self.weights[part], tensors.sum(axis=1), axes=1)
        return found

    def tensors(self, part: slice, both_ways: bool = False) -> np.ndarray:
        """Return B (n_part, n_modes, n_atoms, 6; angstrom^2), for some of the q-points."""
        vectors = self.vectors[part]
        scale = self.amplitudes(both_ways)[part][..., None] / self.masses
        products = [
            vectors[..., i].real * vectors[..., j].real
            + vectors[..., i].imag * vectors[..., j].imag
            for i, j in zip(_FIRST, _SECOND, strict=True)
        ]
        return scale[..., None] * np.stack(products, axis=-1)

    def parts(self) -> Iterator[slice]:
        """Yield slices of the q-points that keep arrays over pairs of modes below ``CHUNK``."""
        count, modes = self.frequencies.shape
        size = max(1, CHUNK // (modes * (modes + 1) // 2 * len(self.masses)))
        for start in range(0, count, size):
            yield slice(start, start + size)


def amplitude(frequencies: np.ndarray, temperature: float, both_ways: bool) -> np.ndarray:
    """Return ``hbar/(2 w)`` times ``n + 1``, or ``2 n + 1``: (...), angstrom^2 u.

    :param frequencies: (...), 1/cm, above zero.
    :param temperature: K.
    """
    coth = np.ones_like(frequencies)
    if temperature > 0:
        coth = 1 / np.tanh(frequencies / (2 * KELVIN_TO_PER_CM * temperature))
    found: np.ndarray = SPREAD / frequencies * (coth if both_ways else (coth + 1) / 2)
    return found


def trace(tensors: np.ndarray) -> np.ndarray:
    """Return the trace (...) of symmetric tensors (..., 6)."""
    found: np.ndarray = tensors[..., :3].sum(axis=-1)
    return found


def contraction(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the double contraction (...) of symmetric tensors (..., 6) and (..., 6)."""
    return np.einsum('...i,...i,i->...', first, second, np.array([1, 1, 1, 2, 2, 2.0]))


def quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return a quotient that is zero where the denominator is."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)
