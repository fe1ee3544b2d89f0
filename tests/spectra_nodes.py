"""Nodes of spectra with a few Gaussian peaks, measured and simulated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aiida_mlip_ins.data.measured import MeasuredSpectrumData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.measured import MeasuredSpectrum

PEAKS = (200.0, 400.0, 650.0)


def shape(energy: np.ndarray, places: Sequence[float] = PEAKS, width: float = 10.0) -> np.ndarray:
    """Return peaks of height one."""
    return sum(np.exp(-0.5 * ((energy - place) / width) ** 2) for place in places)


def measured_spectrum(
    places: Sequence[float] = PEAKS,
    scale: float = 3.0,
    background: float = 1.0,
    noise: float = 0.01,
    seed: int = 1,
) -> MeasuredSpectrum:
    """Return points from 20 to 900 1/cm every 2 1/cm with noise and its errors."""
    energy = np.arange(20.0, 901.0, 2.0)
    rng = np.random.default_rng(seed)
    values = background + scale * shape(energy, places) + noise * rng.normal(size=len(energy))
    return MeasuredSpectrum(
        energy, values[None], np.full((1, len(energy)), noise), labels=('sum',), title='made up'
    )


def measured_node(**options: object) -> MeasuredSpectrumData:
    """Return the same as a node."""
    return MeasuredSpectrumData.from_spectrum(measured_spectrum(**options))


def simulated_node(
    places: Sequence[float] = PEAKS, pressure: float | None = 0.0, end: float = 1000.0
) -> InsSpectrumData:
    """Return a simulation on bins of 1 1/cm from zero."""
    edges = np.arange(0.0, end + 1.0)
    line = shape(edges[:-1] + 0.5, places)[None]
    return InsSpectrumData.from_arrays(edges, line, [{}], 'broadened', 10.0, 'TOSCA', pressure)
