"""The mathematics of many quanta against what is known on paper."""

import math

import numpy as np
import pytest

from aiida_mlip_ins.science import multiquantum
from aiida_mlip_ins.science.instruments import INSTRUMENTS, ConstantQ, path_of
from aiida_mlip_ins.science.multiquantum import prepare
from aiida_mlip_ins.science.vibrations import Vibrations

HBAR = 1.054571817e-34
U = 1.66053906660e-27
C_PER_CM = 2.99792458e10
K_PER_CM = 0.6950348004861
EDGES = np.arange(0.0, 4001.0)


def mean_square(frequency: float, mass: float) -> float:
    """Return <u^2> along one axis (angstrom^2) of an oscillator (1/cm, u) at rest."""
    return HBAR / (2 * mass * U * 2 * np.pi * C_PER_CM * frequency) * 1e20


def oscillator(frequency: float, mass: float = 1.008, temperature: float = 0.0) -> Vibrations:
    """Return an atom on three equal springs of its own."""
    return Vibrations(
        np.full((1, 3), frequency), np.eye(3).reshape(1, 3, 1, 3), np.ones(1), np.array([mass]),
        temperature, np.zeros((1, 3), dtype=bool),
    )  # fmt: skip


def random_crystal(n_q: int = 5, n_atoms: int = 3, seed: int = 1, temperature: float = 50.0):
    """Return modes with complete, complex, orthonormal eigenvectors, none degenerate."""
    rng = np.random.default_rng(seed)
    size = 3 * n_atoms
    vectors = rng.normal(size=(n_q, size, size)) + 1j * rng.normal(size=(n_q, size, size))
    vectors = np.linalg.qr(vectors)[0]
    frequencies = np.sort(rng.uniform(50, 900, size=(n_q, size)), axis=1)
    return Vibrations(
        frequencies, vectors.reshape(n_q, size, n_atoms, 3), np.full(n_q, 1 / n_q),
        rng.uniform(1, 16, n_atoms), temperature, np.zeros((n_q, size), dtype=bool),
    )  # fmt: skip


@pytest.mark.parametrize('bank', ['forward', 'backward'])
@pytest.mark.parametrize('frequency', [300.4, 333.33, 95.7])
def test_an_isotropic_oscillator_is_a_poisson_series_in_ten_orders(bank, frequency):
    path = path_of(INSTRUMENTS['TOSCA'], bank, None)
    law = prepare(oscillator(frequency), EDGES, 10, 'harmonic').law(path)[:, 0]
    for order in range(1, 11):
        squared = path.squared(np.array([order * frequency]))[0, 0]
        x = squared * mean_square(frequency, 1.008)
        expected = np.exp(-x) * x**order / math.factorial(order)
        assert law[order - 1].sum() == pytest.approx(expected, rel=1e-3)
        centre = law[order - 1] @ (EDGES[:-1] + 0.5) / law[order - 1].sum()
        # Orders one and two are in whole bins; from three on the mean energy is kept.
        assert centre == pytest.approx(order * frequency, abs=0.5 if order < 3 else 0.05)


def test_abins_gives_seven_tenths_of_it_from_order_two_on():
    path = ConstantQ(3.0)
    ours, theirs = (
        prepare(oscillator(200.3), EDGES, 6, kind).law(path)[:, 0].sum(axis=1)
        for kind in ('harmonic', 'abins')
    )
    assert theirs[0] == pytest.approx(ours[0])
    assert theirs[1:] / ours[1:] == pytest.approx(np.full(5, 0.7), rel=1e-9)


@pytest.mark.parametrize('temperature', [0.0, 150.0])
def test_all_orders_add_up_to_what_the_elastic_line_leaves(temperature):
    """At rest: sum over n > 0 of x^n e^-x / n! is 1 - e^-x; warm: x (n + 1) in the powers."""
    frequency, q = 251.3, 4.0
    law = prepare(oscillator(frequency, 1.008, temperature), EDGES, 10, 'harmonic')
    found = law.law(ConstantQ(q)).sum()
    occupation = 1 / np.expm1(frequency / (K_PER_CM * temperature)) if temperature else 0.0
    x = q**2 * mean_square(frequency, 1.008)
    expected = np.exp(-x * (2 * occupation + 1)) * (np.exp(x * (occupation + 1)) - 1)
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_first_moment_is_the_recoil():
    """Placzek: the integral of w S(Q, w) is hbar Q^2 / 2 m, whatever the spring, at rest."""
    frequency, q, mass = 230.7, 5.0, 2.014
    law = prepare(oscillator(frequency, mass), EDGES, 10, 'harmonic').law(ConstantQ(q))
    moment = (law.sum(axis=(0, 1)) * (EDGES[:-1] + 0.5)).sum()
    recoil = HBAR * (q * 1e10) ** 2 / (2 * mass * U) / (2 * np.pi * C_PER_CM)
    assert moment == pytest.approx(recoil, rel=1e-3)


def test_one_quantum_of_a_crystal_obeys_the_sum_rule_per_atom():
    """sum over modes of tr B w / 3 is hbar / 2 m for each atom, as eigenvectors are complete."""
    modes = random_crystal(temperature=0.0)
    scatterer = prepare(modes, EDGES, 1, 'harmonic')
    moment = scatterer.energies @ scatterer.strengths
    assert moment * modes.masses == pytest.approx(np.full(3, 16.85762917), rel=1e-8)


def test_deuteration_lowers_a_free_oscillator_by_the_root_of_the_mass():
    """The same spring, twice the mass: w and <u^2> both go down by sqrt(m)."""
    light = prepare(oscillator(1000.5, 1.0), EDGES, 3, 'harmonic').law(ConstantQ(2.0))
    heavy = prepare(oscillator(1000.5 / np.sqrt(2), 2.0), EDGES, 3, 'harmonic').law(ConstantQ(2.0))
    centres = EDGES[:-1] + 0.5
    for order in (0, 1, 2):
        places = [law[order, 0] @ centres / law[order, 0].sum() for law in (light, heavy)]
        assert places[0] / places[1] == pytest.approx(np.sqrt(2), rel=1e-3)
    x = 4.0 * mean_square(1000.5, 1.0)
    assert light[0].sum() == pytest.approx(x * np.exp(-x), rel=1e-6)
    assert heavy[0].sum() == pytest.approx(x / np.sqrt(2) * np.exp(-x / np.sqrt(2)), rel=1e-6)


def test_a_cold_crystal_goes_over_into_one_at_rest():
    path = path_of(INSTRUMENTS['TOSCA'], 'backward', None)
    rest, cold, warm = (
        prepare(random_crystal(temperature=t), EDGES, 4, 'harmonic').law(path)
        for t in (0.0, 0.5, 100.0)
    )
    assert np.array_equal(rest, cold)
    assert not np.allclose(rest, warm, rtol=1e-2)


def test_pairs_agree_with_traces_and_contractions_written_out():
    modes = random_crystal(n_q=2, n_atoms=2)
    tensors = modes.tensors(slice(None))
    full = np.zeros((*tensors.shape[:-1], 3, 3))
    for place, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        full[..., i, j] = full[..., j, i] = tensors[..., place]
    expected_b = np.einsum('qmai,qmaj->qmaij', modes.vectors, modes.vectors.conj()).real
    expected_b *= modes.amplitudes(False)[..., None, None, None]
    expected_b /= modes.masses[:, None, None]
    assert full == pytest.approx(expected_b)
    for kind, own in (('harmonic', 2), ('abins', 4)):
        energies, strengths = multiquantum.pairs(modes.frequencies, tensors, modes.weights, kind)
        index = 0
        for q in range(2):
            for first in range(6):
                for second in range(first, 6):
                    one, two = full[q, first], full[q, second]
                    value = np.einsum('aii,ajj->a', one, two) + 2 * np.einsum(
                        'aij,aij->a', one, two
                    )
                    value *= modes.weights[q] / 15 / (own if first == second else 1)
                    assert strengths[index] == pytest.approx(value)
                    sums = modes.frequencies[q, first] + modes.frequencies[q, second]
                    assert energies[index] == pytest.approx(sums)
                    index += 1
        assert index == len(energies)


def test_convolution_is_the_direct_one():
    rng = np.random.default_rng(2)
    first, second = rng.random((2, 3, 40))
    third, fourth = multiquantum.convolved(first, second, 4)
    for atom in range(3):
        direct = np.convolve(first[atom], second[atom])[:40] / 3
        assert third[atom] == pytest.approx(direct, rel=1e-10)
        assert fourth[atom] == pytest.approx(np.convolve(first[atom], direct)[:40] / 4, rel=1e-10)


@pytest.mark.parametrize('width', [0.5, 1.0, 3.7, 10.0])
def test_energies_add_exactly_for_any_width_of_bins(width):
    edges = 20.0 + width * np.arange(int(3000 / width))
    frequency = 171.37
    law = prepare(oscillator(frequency), edges, 10, 'harmonic').law(ConstantQ(4.0))[:, 0]
    centres = (edges[1:] + edges[:-1]) / 2
    x = 16.0 * mean_square(frequency, 1.008)
    for order in range(3, 11):
        line = law[order - 1]
        assert line @ centres / line.sum() == pytest.approx(order * frequency, abs=1e-6)
        expected = np.exp(-x) * x**order / math.factorial(order)
        assert line.sum() * width == pytest.approx(expected, rel=1e-7)


def test_a_start_above_the_fundamentals_does_not_change_higher_orders():
    path = path_of(INSTRUMENTS['TOSCA'], 'forward', None)
    modes = random_crystal()
    whole = prepare(modes, EDGES, 5, 'abins').law(path)
    part = prepare(modes, EDGES[1000:], 5, 'abins').law(path)
    assert part == pytest.approx(whole[:, :, 1000:], rel=1e-9, abs=1e-12 * whole.max())


def test_the_order_of_atoms_only_moves_their_rows():
    path = path_of(INSTRUMENTS['TOSCA'], 'forward', None)
    modes = random_crystal()
    order = [2, 0, 1]
    moved = Vibrations(
        modes.frequencies, modes.vectors[:, :, order], modes.weights, modes.masses[order],
        modes.temperature, modes.excluded,
    )  # fmt: skip
    expected = prepare(modes, EDGES, 4, 'abins').law(path)[:, order]
    found = prepare(moved, EDGES, 4, 'abins').law(path)
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-12 * expected.max())


def test_degenerate_modes_may_be_mixed_as_long_as_overtones_are_harmonic():
    angle = 0.7
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0]])
    turned = oscillator(200.3)
    turned.vectors[0, :2, 0] = turn
    path = ConstantQ(3.0)
    laws = [prepare(m, EDGES, 4, 'harmonic').law(path) for m in (oscillator(200.3), turned)]
    assert laws[0] == pytest.approx(laws[1], rel=1e-9)


def test_excluded_modes_count_for_nothing_and_may_be_imaginary():
    modes = random_crystal()
    modes.frequencies[1, 0] = -30.0
    modes.excluded[1, 0] = True
    law = prepare(modes, EDGES, 4, 'harmonic').law(ConstantQ(3.0))
    assert np.isfinite(law).all()
    kept = random_crystal()
    kept.vectors[1, 0] = 0.0
    expected = prepare(kept, EDGES, 4, 'harmonic').law(ConstantQ(3.0))
    assert law == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_chunks_of_q_points_do_not_matter(monkeypatch):
    from aiida_mlip_ins.science import vibrations

    expected = prepare(random_crystal(), EDGES, 4, 'abins').law(ConstantQ(3.0))
    monkeypatch.setattr(vibrations, 'CHUNK', 1)
    found = prepare(random_crystal(), EDGES, 4, 'abins').law(ConstantQ(3.0))
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-12 * expected.max())
