"""Calcfunctions on spectra: grouping and broadening, each cheap and cached on its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_mlip_ins.data.ins_map import InsMapData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science import broadening, ins
from aiida_mlip_ins.science.settings import build


@calcfunction
def group_intensities(intensities: InsSpectrumData, keys: orm.List) -> InsSpectrumData:
    """Sum intensities by ``keys`` (of ``atom``, ``element``, ``order``, ``bank``).

    There is a row for each combination, and one for each sum over some of the keys.
    """
    rows, sums = ins.group(intensities.rows, intensities.intensity, keys.get_list())
    return intensities.derive('grouped', sums, rows)


@calcfunction
def broaden_spectrum(spectrum: InsSpectrumData, resolution: orm.Dict) -> InsSpectrumData | ExitCode:
    """Broaden each row with the resolution of an instrument (``ResolutionSettings``).

    Lines that have a width already are broadened by what the resolution is wider.
    """
    try:
        widths, described = _widths(spectrum, resolution)
    except ValueError as error:
        return ExitCode(401, str(error))
    edges, intensity, line_width = spectrum.energy_bins, spectrum.intensity, spectrum.line_width
    if line_width is None:
        broadened = broadening.broaden(edges, intensity, widths)
    else:
        broadened = broadening.broaden_lines(edges, spectrum.rows, intensity, widths, line_width)
        described['share_of_bins_with_wider_lines'] = float((widths < line_width).mean())
    return spectrum.derive('broadened', broadened, resolution=described)


@calcfunction
def broaden_alike(
    spectrum: InsSpectrumData, resolution: orm.Dict, motion: InsSpectrumData
) -> InsSpectrumData | ExitCode:
    """Broaden a harmonic spectrum so that its lines are as wide as those of molecular dynamics.

    :param resolution: of the instrument (``ResolutionSettings``).
    :param motion: a spectrum of molecular dynamics, whose lines are nowhere sharper than its
        ``line_width``.
    """
    try:
        widths, described = _widths(spectrum, resolution)
    except ValueError as error:
        return ExitCode(401, str(error))
    if motion.line_width is None:
        return ExitCode(401, 'motion: its lines have no width, it is not of molecular dynamics')
    broadened = broadening.broaden_alike(
        spectrum.energy_bins, spectrum.rows, spectrum.intensity, widths, motion.line_width
    )
    described['least_line_width_per_cm'] = motion.line_width
    return spectrum.derive('broadened', broadened, resolution=described)


@calcfunction
def broaden_map(intensities: InsMapData, resolution: orm.Dict) -> InsMapData | ExitCode:
    """Broaden a map along its energies, as :func:`broaden_spectrum` does with a spectrum.

    What is broadened over the border of what the instrument reaches is cut off there.
    """
    try:
        widths, described = _widths(intensities, resolution)
    except ValueError as error:
        return ExitCode(401, str(error))
    values = intensities.intensity
    flat = values.reshape(-1, values.shape[-1])
    broadened = broadening.broaden(intensities.energy_bins, flat, widths).reshape(values.shape)
    return intensities.derive(broadened * intensities.reachable, described)


@calcfunction
def spectrum_change(coarse: InsSpectrumData, fine: InsSpectrumData) -> orm.Float:
    """Return how much the totals of two spectra differ, in the bins of the first one.

    See :func:`ins.change`. The bins of the second one are the same, or parts of them.
    """
    total = ins.in_wider_bins(fine.energy_bins, fine.total(), coarse.energy_bins)
    return orm.Float(ins.change(coarse.total(), total))


def _widths(
    node: InsSpectrumData | InsMapData, resolution: orm.Dict
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the width (1/cm) of the resolution at each energy of a node, and what is said of it.

    :raises ValueError: if the instrument has no such resolution.
    """
    settings = build(broadening.ResolutionSettings, resolution.get_dict(), 'resolution')
    try:
        widths = broadening.sigma(settings, node.energy)
    except ValueError as error:
        raise ValueError(f'resolution of {settings.instrument}: {error}') from error
    return widths, {
        **resolution.get_dict(),
        'citation': broadening.citation(settings),
        'sigma_per_cm': [float(widths[0]), float(np.median(widths)), float(widths[-1])],
    }
