"""Widths of TFXA and TOSCA-1 against neutrons followed one by one, and what is published."""

import dataclasses

import numpy as np
import pytest

from aiida_mlip_ins.science.time_focusing import Spectrometer, energy_width

PER_MEV = 8.065543937
H, MASS, MEV = 6.62607015e-34, 1.67492749804e-27, 1.602176634e-22
SPACING = 3.348e-10
"""Of the graphite's planes (m); h^2 / 8 m d^2 sin^2 is the energy that it reflects."""

TOSCA = Spectrometer(
    17.0, 0.0021, 44.0, 2.0, (0.002, 0.002, 0.0025), (0.04, 0.012), 47.73, 0.6279, 3.32
)
"""As the book has it, in resins 0.1.0; the detector is wider there by ten, which no tube is."""


def bragg(tangent: np.ndarray) -> np.ndarray:
    """Return the energy (meV) that is reflected at an angle."""
    sine = tangent / np.sqrt(1 + tangent**2)
    return H**2 / (8 * MASS * SPACING**2 * sine**2) / MEV


def speed(energy: np.ndarray) -> np.ndarray:
    """Return the speed (m/s) of neutrons (meV)."""
    return np.sqrt(2 * energy * MEV / MASS)


def traced(one: Spectrometer, transfer: float, count: int = 400_000) -> float:
    """Return the spread (meV) of what neutrons with one energy transfer are taken for."""
    rng = np.random.default_rng(3)
    angle = np.radians(one.angle)
    normal, along = one.analyser_path * np.sin(angle), one.analyser_path * np.cos(angle)
    sample, graphite, detector = (rng.normal(0, size, count) for size in one.thicknesses)
    deep = normal + sample + 2 * graphite + detector
    far = along + sum(rng.normal(0, size, count) for size in one.widths)
    final = bragg(deep / far)
    incident = transfer + final
    wave_vector = 2 * np.pi * MASS * speed(incident) / H * 1e-10
    late = rng.normal(0, 1e-6 * np.hypot(one.pulse / wave_vector, one.channel))
    way = one.distance + rng.normal(0, one.distance_spread, count)
    time = late + way / speed(incident) + np.hypot(deep, far) / speed(final)
    expected = bragg(normal / along)
    rest = time - one.analyser_path / speed(expected)
    taken = MASS / 2 * (one.distance / rest) ** 2 / MEV - expected
    return float(taken.std())


@pytest.mark.parametrize('transfer', [0.0, 10.0, 60.0, 200.0, 450.0])
@pytest.mark.parametrize('name', ['TFXA', 'TOSCA1'])
def test_widths_are_those_of_neutrons_followed_one_by_one(name, transfer):
    one = Spectrometer.from_resins(name)
    found = energy_width(one, np.array([transfer]))[0]
    assert found == pytest.approx(traced(one, transfer), rel=0.02)


@pytest.mark.parametrize('left', ['pulse', 'distance_spread', 'thicknesses', 'widths'])
def test_each_contribution_by_itself(left):
    """Small, so that neutrons see the same straight line as the formula."""
    nothing = {
        'pulse': 0.0, 'channel': 0.0, 'distance_spread': 0.0, 'thicknesses': (0.0,) * 3,
        'widths': (0.0, 0.0),
    }  # fmt: skip
    whole = Spectrometer.from_resins('TFXA')
    own = np.array(getattr(whole, left)) / 10
    given = {**nothing, left: tuple(own) if own.ndim else float(own)}
    one = dataclasses.replace(whole, **given)
    found = energy_width(one, np.array([20.0, 300.0]))
    assert found == pytest.approx([traced(one, 20.0), traced(one, 300.0)], rel=5e-3)


def test_the_figures_of_resins_belong_together():
    """The final energy is the one that graphite reflects at the angle."""
    for name in ('TFXA', 'TOSCA1'):
        one = Spectrometer.from_resins(name)
        assert bragg(np.tan(np.radians(one.angle))) == pytest.approx(one.final_energy, rel=0.01)


def test_tosca_so_made_is_about_as_wide_as_abins_has_it():
    energy = np.arange(0.0, 2001.0, 50.0)
    published = 2.5 + 0.005 * energy + 1e-7 * energy**2
    ratio = energy_width(TOSCA, energy / PER_MEV) * PER_MEV / published
    assert ratio.min() > 0.7
    assert ratio.max() < 1.3


def test_the_longer_spectrometer_is_the_sharper_one():
    energy = np.linspace(60.0, 480.0, 8)
    widths = [energy_width(Spectrometer.from_resins(n), energy) for n in ('TFXA', 'TOSCA1')]
    assert (widths[0] > widths[1]).all()
    assert (widths[1] > energy_width(TOSCA, energy)).all()
