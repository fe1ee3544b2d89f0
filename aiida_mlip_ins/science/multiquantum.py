"""One and more quanta of a harmonic crystal on a powder: tensors, pairs, convolution, Q.

Incoherent approximation with almost isotropic powder averages, as CLIMAX, Abins and abinslib have
it (Mitchell, Parker, Ramirez-Cuesta, Tomkinson, *Vibrational Spectroscopy with Neutrons*, World
Scientific 2005, chapter 2; Dymkowski, Parker, Fernandez-Alonso, Mukhopadhyay, Physica B 551, 443
(2018)). With ``B = hbar (n + 1) / (2 m w) Re(e e*)`` for an atom and a mode, ``A`` the sum of
``B (2 n + 1) / (n + 1)`` over the modes, and ``:`` the double contraction:

- order 1: ``Q^2 tr B / 3 exp(-Q^2 (tr A + 2 B:A / tr B) / 5)``, for each mode with its own Q,
- order 2: ``Q^4 (tr B tr B' + 2 B:B') / 15 exp(-Q^2 tr A / 3)`` for each pair of modes at one
  q-point, with Q at the centre of the bin. A mode with itself counts half of that (``harmonic``:
  expand the exponential of an oscillator) or a quarter (``abins``: what Abins and abinslib do,
  which then also depends on the choice of eigenvectors of degenerate modes),
- order n > 2: ``S_n = (S_(n-1) * S_1) / n`` at Q = 1/angstrom without Debye-Waller factor, then
  ``Q^(2 n) exp(-Q^2 tr A / 3)``. The average over directions is a product of averages here, which
  is exact for isotropic tensors and too small for flat or elongated ones.

For an isotropic oscillator ``harmonic`` makes order n the n-th term ``x^n exp(-x) / n!`` of a
Poisson series in ``x = Q^2 <u^2>``; with ``abins`` orders from 2 on are 0.7 of it. Quanta are
created only: no energy gain of the neutron, no difference bands.

Energies add exactly in convolution: a quantum is put on the grid of multiples of one step, shared
between the two nearest ones so that its mean stays where it is. (Convolving bins would move each
order by half a bin.) The widths that this adds, at most half a step times the root of the order,
are below any resolution.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.sparse import csc_array

from aiida_mlip_ins.science.vibrations import Vibrations, contraction, quotient, trace

NOISE = 1e-13
"""What a Fourier transform leaves of the largest value where there is nothing."""

_ROOT = np.linalg.cholesky(
    np.diag([2.0, 2.0, 2.0, 4.0, 4.0, 4.0]) + np.outer([1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0])
)


class Path(Protocol):
    """What a bank of detectors sees: one or more curves through Q and energy."""

    shares: np.ndarray
    """(n_curves,) weight of each."""

    def squared(self, energy: np.ndarray) -> np.ndarray:
        """Return Q^2 in 1/angstrom^2 (n_curves, *shape) at energies in 1/cm; 0: out of reach."""


@dataclass(frozen=True)
class Scatterer:
    """A crystal's quanta, ready to be looked at with any Q; see :func:`prepare`."""

    edges: np.ndarray
    """(n_bins + 1,) 1/cm."""
    grid: Grid
    energies: np.ndarray
    """(n_quanta,) 1/cm of all modes at all q-points; negative: excluded."""
    strengths: np.ndarray
    """(n_quanta, n_atoms) ``tr B / 3`` with the weight of the q-point, angstrom^2."""
    decays: np.ndarray
    """(n_quanta, n_atoms), Debye-Waller exponent over Q^2 of each mode, angstrom^2."""
    mean_squares: np.ndarray
    """(n_atoms,) ``tr A / 3``, mean square displacement along one axis, angstrom^2."""
    higher: list[np.ndarray]
    """For orders from two on: (n_atoms, n_bins), then (n_atoms, n_points), at Q = 1/angstrom."""

    def law(self, path: Path) -> np.ndarray:
        """Return the scattering law (n_orders, n_atoms, n_bins) in 1/(1/cm) along a path."""
        factors = np.zeros_like(self.strengths)
        for squared, share in zip(path.squared(np.abs(self.energies)), path.shares, strict=True):
            factors += share * squared[:, None] * np.exp(-squared[:, None] * self.decays)
        bins, inside = bin_index(self.edges, self.energies)
        matrix = _scatter(bins, inside.astype(float), len(self.edges) - 1)
        found = [(matrix @ (factors * self.strengths)).T]
        if self.higher:
            centres = (self.edges[1:] + self.edges[:-1]) / 2
            factor = next(_q_factors(path, centres, self.mean_squares, 2))
            found.append(self.higher[0] * factor)
        if len(self.higher) > 1:
            rebin = self.grid.into(self.edges)
            factors_of_order = _q_factors(path, self.grid.points, self.mean_squares, 3)
            for line, factor in zip(self.higher[1:], factors_of_order, strict=False):
                found.append((rebin @ (line * factor).T).T)
        return np.array(found) / (self.edges[1] - self.edges[0])


def prepare(vibrations: Vibrations, edges: np.ndarray, max_order: int, overtones: str) -> Scatterer:
    """Return what does not depend on Q of all orders: sums over pairs, convolutions.

    :param edges: (n_bins + 1,) of bins of one width, 1/cm.
    :param max_order: largest number of quanta.
    :param overtones: ``harmonic`` or ``abins``.
    """
    grid = Grid.covering(edges)
    thermal = vibrations.thermal()
    energies = np.where(vibrations.excluded, -1.0, vibrations.frequencies)
    strengths = np.empty((*energies.shape, len(vibrations.masses)))
    decays = np.empty_like(strengths)
    split = len(edges) - 1
    second = np.zeros((split + grid.size, len(vibrations.masses)))
    for part in vibrations.parts():
        tensors = vibrations.tensors(part)
        traces = trace(tensors)
        strengths[part] = vibrations.weights[part][:, None, None] * traces / 3
        decays[part] = (trace(thermal) + 2 * quotient(contraction(tensors, thermal), traces)) / 5
        if max_order > 1:
            sums, products = pairs(energies[part], tensors, vibrations.weights[part], overtones)
            matrix = _targets(edges, grid, sums, max_order > 2)
            second[: matrix.shape[0]] += matrix @ products
    energies, strengths = energies.ravel(), strengths.reshape(energies.size, -1)
    higher = []
    if max_order > 1:
        fundamentals = (grid.share(energies) @ strengths).T if max_order > 2 else None
        higher = [second[:split].T]
        if fundamentals is not None:
            higher += convolved(fundamentals, second[split:].T, max_order)
    return Scatterer(
        edges, grid, energies, strengths, decays.reshape(strengths.shape), trace(thermal) / 3,
        higher,
    )  # fmt: skip


def _q_factors(
    path: Path, energy: np.ndarray, decay: np.ndarray, start: int
) -> Iterator[np.ndarray]:
    """Yield ``Q^(2 n) exp(-Q^2 decay)`` (n_atoms, n_energies), mean over curves, n from start on.

    :param energy: (n_energies,) 1/cm.
    :param decay: (n_atoms,) mean square displacement along one axis, angstrom^2.
    """
    squared = path.squared(energy)[:, None]
    factors = np.exp(-decay[:, None] * squared) * path.shares[:, None, None] * squared**start
    while True:
        yield factors.sum(axis=0)
        factors *= squared


def pairs(
    energies: np.ndarray, tensors: np.ndarray, weights: np.ndarray, overtones: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return energies (n_pairs,) and strengths (n_pairs, n_atoms) of two quanta at each q, Q = 1.

    :param energies: (n_q, n_modes) 1/cm; negative: excluded.
    :param tensors: B (n_q, n_modes, n_atoms, 6), angstrom^2.
    :param weights: (n_q,).
    """
    rows, columns = np.triu_indices(energies.shape[1])
    share = np.where(rows == columns, {'harmonic': 1 / 2, 'abins': 1 / 4}[overtones], 1.0) / 15
    sums = energies[:, rows] + energies[:, columns]
    sums[(energies[:, rows] < 0) | (energies[:, columns] < 0)] = -1.0
    strengths = np.empty((len(energies), len(rows), tensors.shape[2]))
    # tr B tr B' + 2 B:B' is a product of six-vectors: one matrix product for all pairs of an atom.
    vectors = np.moveaxis(tensors @ _ROOT, 2, 1)
    places = rows * energies.shape[1] + columns
    for index, (weight, of_atoms) in enumerate(zip(weights, vectors, strict=True)):
        products = of_atoms @ np.swapaxes(of_atoms, 1, 2)
        np.multiply(
            products.reshape(len(products), -1).T[places],
            (weight * share)[:, None],
            out=strengths[index],
        )
    return sums.ravel(), strengths.reshape(-1, tensors.shape[2])


def convolved(first: np.ndarray, second: np.ndarray, max_order: int) -> list[np.ndarray]:
    """Return orders 3 to ``max_order``, each (n_atoms, n_points), at Q = 1.

    ``S_n = (S_(n-1) * S_1) / n``, so that ``1 / n!`` is in them. What leaves the grid at its upper
    end can never come back, as quanta only add energy: each order is cut there.

    :param first: (n_atoms, n_points), ``tr B / 3`` on multiples of one step from zero on.
    :param second: (n_atoms, n_points), two quanta, likewise.
    """
    found: list[np.ndarray] = []
    if max_order < 3:
        return found
    count = first.shape[-1]
    length = next_fast_len(2 * count - 1, real=True)
    kernel = rfft(first, length)
    order = second
    for quanta in range(3, max_order + 1):
        order = irfft(rfft(order, length) * kernel, length)[:, :count] / quanta
        order[order < NOISE * order.max(axis=1, keepdims=True)] = 0.0
        found.append(order)
    return found


@dataclass(frozen=True)
class Grid:
    """Multiples of one step from zero on, on which energies add."""

    step: float
    size: int

    @classmethod
    def covering(cls, edges: np.ndarray) -> Grid:
        """Return the grid for bins with these edges: a step divides a bin and is at most 1 1/cm."""
        width = edges[1] - edges[0]
        step = width / max(1, math.ceil(width - 1e-9))
        return cls(step, math.ceil(edges[-1] / step - 1e-9) + 2)

    @property
    def points(self) -> np.ndarray:
        """Energies (size,), 1/cm."""
        return self.step * np.arange(self.size)

    def share(self, energies: np.ndarray) -> csc_array:
        """Return the matrix (size, n) that shares energies between their two nearest points."""
        return _interpolation(energies / self.step, self.size)

    def into(self, edges: np.ndarray) -> csc_array:
        """Return the matrix (n_bins, size) that shares the points between the nearest bins."""
        width = edges[1] - edges[0]
        return _interpolation((self.points - edges[0]) / width - 0.5, len(edges) - 1)


def bin_index(edges: np.ndarray, energies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bins (n,) of energies (n,) and whether they are in any; the last edge counts."""
    index = np.searchsorted(edges, energies, side='right') - 1
    index = np.where(energies == edges[-1], len(edges) - 2, index)
    inside = (index >= 0) & (index < len(edges) - 1)
    return np.where(inside, index, 0), inside


def _targets(edges: np.ndarray, grid: Grid, sums: np.ndarray, with_grid: bool) -> csc_array:
    """Return the matrix (n_bins [+ grid size], n_pairs) that puts energies where they belong."""
    bins, inside = bin_index(edges, sums)
    offset = len(edges) - 1
    if not with_grid:
        return _scatter(bins, inside.astype(float), offset)
    shared = grid.share(sums)
    places = np.column_stack([bins, shared.indices.reshape(-1, 2) + offset])
    values = np.column_stack([inside, shared.data.reshape(-1, 2)])
    return _scatter(places, values, offset + grid.size)


def _interpolation(places: np.ndarray, size: int) -> csc_array:
    """Return the matrix (size, n) with the two shares of each place on 0, 1, ..., size - 1.

    What lies below -1 or above the last point is left out.
    """
    lower = np.floor(places).astype(int)
    part = places - lower
    indices = np.column_stack([lower, lower + 1])
    inside = (indices >= 0) & (indices < size)
    values = np.where(inside, np.column_stack([1 - part, part]), 0.0)
    return _scatter(np.where(inside, indices, 0), values, size)


def _scatter(rows: np.ndarray, values: np.ndarray, size: int) -> csc_array:
    """Return the matrix (size, n) that has the values (n, k) in the rows (n, k)."""
    columns = (rows.size // len(rows)) * np.arange(len(rows) + 1)
    return csc_array((values.ravel(), rows.ravel(), columns), shape=(size, len(rows)))
