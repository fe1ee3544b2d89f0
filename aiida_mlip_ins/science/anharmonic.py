r"""Neutron scattering of a run of molecular dynamics, with the quanta of a harmonic crystal.

The power spectrum of an atom's velocities takes the place of its modes. In a classical harmonic
crystal every mode has the kinetic energy ``k_B T / 2`` (equipartition), so that the spectrum of
``m v_\alpha v_\beta / k_B T`` is the density of states weighted by the eigenvectors, whatever the
temperature of the run,

.. math:: g_{\alpha\beta}(\omega) = \sum_j e_{j\alpha} e^*_{j\beta} \delta(\omega - \omega_j),

and ``hbar (n + 1) / (2 m w) g dw`` is the tensor B of one quantum. This is the harmonic quantum
correction (P. H. Berens, D. H. J. Mackay, G. M. White, K. R. Wilson, J. Chem. Phys. 79, 2375, 1983;
R. Ramirez, T. Lopez-Ciudad, P. Kumar, D. Marx, J. Chem. Phys. 121, 3973, 2004): frequencies and
shapes of lines are those of classical motion at the temperature of the run, amplitudes and the
Debye-Waller factor are those of quanta at the temperature of the spectrum. What zero-point motion
alone sees of the anharmonicity is missing.

Orders are those of :mod:`aiida_mlip_ins.science.multiquantum`, from the density as it is there from
modes: one quantum at each energy, then ``Q^4 (tr B tr B' + 2 B:B') / 15`` of all pairs, each once,
which is a convolution of the density with itself, then further convolutions. Overtones are
harmonic, as a density does not tell modes apart, and pairs are of all q-points with all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from scipy.fft import irfft, next_fast_len, rfft

from aiida_mlip_ins.science import velocity_dos
from aiida_mlip_ins.science.ins import ScatteringSettings, energy_bins
from aiida_mlip_ins.science.multiquantum import NOISE, Grid, Scatterer, convolved
from aiida_mlip_ins.science.settings import setting
from aiida_mlip_ins.science.trajectory import (
    ASE_PER_ANGSTROM_PER_PS,
    FloatArray,
    temperatures,
    without_drift,
)
from aiida_mlip_ins.science.units import PER_CM_PER_THZ
from aiida_mlip_ins.science.vibrations import amplitude, contraction, quotient, trace

_COUNTS = np.array([1, 1, 1, 2, 2, 2.0])
SKEW = 0.2
"""Largest difference from whole numbers of the cell of a run in units of the crystal's."""
UNEVEN = 1e-6
"""Largest relative difference between the times from frame to frame."""


@dataclass(frozen=True, kw_only=True)
class MdInsSettings(ScatteringSettings):
    """What decides the intensities of a run of molecular dynamics."""

    equilibration_ps: float = setting('Beginning that is left out.', 'ps', minimum=0.0)
    line_width: float = setting(
        'Standard deviation of the Gaussian that a line of the run becomes; the resolution adds '
        'what it is wider. A narrow one needs a long run.',
        '1/cm',
        minimum=0.5,
    )
    verlet: bool = setting(
        'Whether the shift of frequencies by the time step of the Verlet integrator is taken off.'
    )


@dataclass(frozen=True)
class Run:
    """What of a trajectory is needed here."""

    times: FloatArray
    """(n_frames,), ps."""
    timestep: float
    """Of the integrator, ps."""
    velocities: FloatArray
    """(n_frames, n_atoms, 3), angstrom/ps."""
    masses: FloatArray
    """(n_atoms,), u."""
    sites: np.ndarray
    """(n_atoms,), which site of the crystal's cell each atom is on."""


@dataclass(frozen=True)
class States:
    """Density of vibrational states of each site of a crystal."""

    energies: FloatArray
    """(n,), 1/cm, in the middle of steps."""
    tensors: FloatArray
    """(n_sites, n, 6), states in a step; the trace adds up to at most three."""
    masses: FloatArray
    """(n_sites,), u."""
    expected: FloatArray
    """(n_sites,), states at all energies: three, less those of the motion of the whole."""
    equipartition: FloatArray
    """(n_sites,), kinetic energy as a share of what the temperature of the run gives."""
    temperature: float
    """Of the run, K."""


def time_problems(times: FloatArray, timestep: float, settings: MdInsSettings) -> list[str]:
    """Return why frames at these times give no spectrum.

    :param times: (n_frames,), ps.
    :param timestep: of the integrator, ps.
    """
    kept = times[_settled(times, settings.equilibration_ps)]
    if len(kept) < 2:
        return [
            f'trajectory: of {len(times)} frames {len(kept)} are left after '
            f'{settings.equilibration_ps:g} ps'
        ]
    gaps = np.diff(kept)
    spacing = float(np.median(gaps))
    if not (np.abs(gaps - spacing) < UNEVEN * spacing).all():
        return ['trajectory: the frames are not evenly spaced in time']
    highest = _middles(Grid.covering(energy_bins(settings)))[-1:]
    if settings.verlet and highest[0] >= PER_CM_PER_THZ / (np.pi * timestep):
        return [
            f'trajectory: no vibration of {highest[0]:.0f} 1/cm can be integrated with a time step '
            f'of {1000 * timestep:g} fs'
        ]
    if settings.verlet:
        highest = integrated(highest, timestep)[0]
    found = velocity_dos.run_problems(len(kept), spacing, float(highest[0]), settings.line_width)
    return [f'trajectory: {problem}' for problem in found]


def find_sites(
    symbols: Sequence[str], positions: FloatArray, cell: FloatArray, crystal: Atoms
) -> np.ndarray:
    """Return the index (n_atoms,) of the site of the crystal that each atom of a run is on.

    :param positions: (n_atoms, 3), angstrom, of a frame in which atoms are near their sites.
    :param cell: (3, 3), angstrom, of that frame.
    :param crystal: the cell that the run's is a supercell of.
    :raises ValueError: if it is not.
    """
    ratio = cell @ np.linalg.inv(crystal.cell.array)
    multiples = np.rint(ratio)
    if np.abs(ratio - multiples).max() > SKEW or abs(np.linalg.det(multiples)) < 0.5:
        raise ValueError(
            f'structure: the cell of the run is no multiple of that of the crystal, but '
            f'{np.round(ratio, 2).tolist()} times it'
        )
    copies = round(abs(np.linalg.det(multiples)))
    if len(symbols) != copies * len(crystal):
        raise ValueError(
            f'structure: the run has {len(symbols)} atoms, {copies} cells of the crystal have '
            f'{copies * len(crystal)}'
        )
    places = positions @ np.linalg.inv(cell) @ multiples
    away = places[:, None] - crystal.get_scaled_positions()[None]
    away -= np.rint(away)
    distances = np.linalg.norm(away @ crystal.cell.array, axis=-1)
    other = np.array(symbols)[:, None] != np.array(crystal.get_chemical_symbols())[None]
    found = np.where(other, np.inf, distances).argmin(axis=1)
    counts = np.bincount(found, minlength=len(crystal))
    wrong = np.flatnonzero(counts != copies)
    if len(wrong) or other[np.arange(len(found)), found].any():
        raise ValueError(
            'structure: the atoms of the run are not on the sites of the crystal; sites '
            f'{wrong.tolist()} have {counts[wrong].tolist()} atoms instead of {copies}'
        )
    return found


def states_of(run: Run, grid: Grid, settings: MdInsSettings) -> States:
    """Return the density of states of each site, the mean over the cells of the run.

    Each atom is given the states that belong to it, three less its share ``3 m / M`` of the motion
    of the whole, as a short run has not shared its energy out evenly.

    :raises ValueError: listing why the run gives none.
    """
    found = time_problems(run.times, run.timestep, settings)
    if found:
        raise ValueError('\n'.join(found))
    kept = _settled(run.times, settings.equilibration_ps)
    spacing = float(np.diff(run.times[kept]).mean())
    velocities = without_drift(run.velocities[kept], run.masses)
    energies = _middles(grid)
    seen, slope = energies, np.ones_like(energies)
    if settings.verlet:
        seen, slope = integrated(energies, run.timestep)
    count = int(run.sites.max()) + 1
    power = np.zeros((count, len(energies), 6))
    squares, masses, total = np.zeros(count), np.zeros(count), float(run.masses.sum())
    for atom, site in enumerate(run.sites):
        one = velocities[:, atom : atom + 1]
        power[site] += velocity_dos.power_spectrum(one, spacing, seen, settings.line_width)[0]
        squares[site] += (one**2).sum(axis=-1).mean()
        masses[site] = run.masses[atom]
    copies = len(run.sites) / count
    expected = 3 * (1 - masses / total)
    density = power * (slope * grid.step)[:, None]
    temperature = float(temperatures(velocities, run.masses).mean())
    thermal = expected * units.kB * temperature / (masses * ASE_PER_ANGSTROM_PER_PS**2)
    return States(
        energies,
        density * quotient(expected, squares)[:, None, None],
        masses,
        expected,
        quotient(squares / copies, thermal),
        temperature,
    )


def integrated(energies: FloatArray, timestep: float) -> tuple[FloatArray, FloatArray]:
    r"""Return at which energies (n,; 1/cm) the Verlet integrator shows oscillators, and the slope.

    From ``x(t + d) - 2 x(t) + x(t - d) = -w^2 d^2 x(t)`` follows
    ``sin(w' d / 2) = w d / 2`` for the frequency ``w'`` of the integrated motion.

    :param energies: (n,), 1/cm, of the oscillators.
    :param timestep: d, ps.
    :return: energies in the run, and ``d w' / d w``.
    """
    half = np.pi * timestep / PER_CM_PER_THZ
    sines = half * energies
    return np.arcsin(sines) / half, 1 / np.sqrt(1 - sines**2)


def prepare(
    states: States, edges: np.ndarray, temperature: float, max_order: int, frequency_min: float
) -> Scatterer:
    """Return the quanta of a density of states, ready to be looked at with any Q.

    :param edges: (n_bins + 1,) of bins of one width, 1/cm, which the states' grid was made for.
    :param temperature: of the spectrum, K.
    :param max_order: largest number of quanta.
    :param frequency_min: states at or below this (1/cm) are left out.
    """
    grid = Grid.covering(edges)
    kept = states.energies > frequency_min
    weights = states.tensors * kept[:, None] / states.masses[:, None, None]
    tensors = weights * amplitude(states.energies, temperature, both_ways=False)[:, None]
    moved = weights * amplitude(states.energies, temperature, both_ways=True)[:, None]
    thermal = moved.sum(axis=1)
    traces = trace(tensors)
    shapes = quotient(contraction(tensors, thermal[:, None, :]), traces)
    decays = (trace(thermal)[:, None] + 2 * shapes) / 5
    strengths = (traces / 3).T
    higher = []
    if max_order > 1:
        second = _pairs(tensors)
        fundamentals = (grid.share(states.energies) @ strengths).T
        higher = [(grid.into(edges) @ second.T).T, *convolved(fundamentals, second, max_order)]
    return Scatterer(edges, grid, states.energies, strengths, decays.T, trace(thermal) / 3, higher)


def _pairs(tensors: np.ndarray) -> np.ndarray:
    """Return two quanta (n_sites, n) at Q = 1/angstrom on multiples of the step from zero on.

    :param tensors: B (n_sites, n, 6) in the middle of steps, angstrom^2.
    """
    count = tensors.shape[1]
    length = next_fast_len(2 * count - 1, real=True)
    waves = rfft(tensors, length, axis=1)
    products = waves[..., :3].sum(axis=-1) ** 2 + 2 * (waves**2 @ _COUNTS)
    # All pairs are there twice, as (a, b) and (b, a).
    sums = irfft(products, length, axis=1)[:, :count] / 30
    sums[sums < NOISE * sums.max(axis=1, keepdims=True)] = 0.0
    # The middles of the first steps add up to one whole step.
    return np.concatenate([np.zeros((len(sums), 1)), sums[:, :-1]], axis=1)


def _middles(grid: Grid) -> FloatArray:
    """Return the energies (n,; 1/cm) in the middle of the steps of a grid."""
    return np.asarray(grid.step * (np.arange(grid.size) + 0.5), dtype=np.float64)


def _settled(times: FloatArray, equilibration: float) -> np.ndarray:
    """Return which frames (n_frames,) count: those after the beginning, on the beat of the run."""
    kept: np.ndarray = times >= times[0] + equilibration - 1e-9
    gaps = np.diff(times)
    # The last frame of a run may be off the beat of the others.
    if len(gaps) > 1 and abs(gaps[-1] - gaps[0]) > UNEVEN * gaps[0]:
        kept[-1] = False
    return kept
