"""Calcfunctions on measured spectra: read a file, reduce, compare with a simulation.

Each takes its settings as a ``Dict`` of the class named in its docstring; what is wrong with them
or with the data is an exit code whose message lists every problem.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_mlip_ins.data.measured import MeasuredSpectrumData, as_spectrum
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science import agreement, reduction
from aiida_mlip_ins.science.measured import MeasuredSpectrum
from aiida_mlip_ins.science.readers import ReadSettings, read_spectrum
from aiida_mlip_ins.science.rebinning import rebin
from aiida_mlip_ins.science.settings import build

UNREADABLE, UNDEFINED = 301, 401
"""Exit codes: of a file that is no spectrum, of an operation that cannot be carried out."""


def _node(status: int, function: Callable[..., MeasuredSpectrum], *arguments: Any) -> Any:
    """Return what the function makes as a node, or an exit code if it raises a ``ValueError``."""
    try:
        return MeasuredSpectrumData.from_spectrum(function(*arguments))
    except ValueError as error:
        return ExitCode(status, str(error))


@calcfunction
def read_measured_spectrum(
    file: orm.SinglefileData, settings: orm.Dict
) -> MeasuredSpectrumData | ExitCode:
    """Read a file of any of the formats (``ReadSettings``: what it does not say itself)."""

    def read() -> MeasuredSpectrum:
        chosen = build(ReadSettings, settings.get_dict(), 'settings')
        return read_spectrum(file.get_content(mode='rb'), file.filename, chosen)

    return _node(UNREADABLE, read)


@calcfunction
def crop_spectrum(
    spectrum: MeasuredSpectrumData, settings: orm.Dict
) -> MeasuredSpectrumData | ExitCode:
    """Keep a range of energies (``CropSettings``)."""

    def crop() -> MeasuredSpectrum:
        chosen = build(reduction.CropSettings, settings.get_dict(), 'settings')
        return reduction.crop(spectrum.to_spectrum(), chosen.energy_min, chosen.energy_max)

    return _node(UNDEFINED, crop)


@calcfunction
def rebin_spectrum(
    spectrum: MeasuredSpectrumData, settings: orm.Dict
) -> MeasuredSpectrumData | ExitCode:
    """Bring a spectrum onto bins of one width (``RebinSettings``)."""

    def onto_bins() -> MeasuredSpectrum:
        chosen = build(reduction.RebinSettings, settings.get_dict(), 'settings')
        return rebin(spectrum.to_spectrum(), chosen.edges)

    return _node(UNDEFINED, onto_bins)


@calcfunction
def subtract_spectrum(
    spectrum: MeasuredSpectrumData, background: MeasuredSpectrumData, settings: orm.Dict
) -> MeasuredSpectrumData | ExitCode:
    """Take off an empty can or clamp cell, its scale fixed or fitted (``SubtractSettings``)."""

    def subtract() -> MeasuredSpectrum:
        chosen = build(reduction.SubtractSettings, settings.get_dict(), 'settings')
        return reduction.subtract(
            spectrum.to_spectrum(), background.to_spectrum(), chosen.scale, chosen.fit_regions
        )

    return _node(UNDEFINED, subtract)


@calcfunction
def mask_spectrum(
    spectrum: MeasuredSpectrumData, settings: orm.Dict
) -> MeasuredSpectrumData | ExitCode:
    """Mark regions as not to be used (``MaskSettings``)."""

    def mask() -> MeasuredSpectrum:
        chosen = build(reduction.MaskSettings, settings.get_dict(), 'settings')
        return reduction.mask(spectrum.to_spectrum(), chosen.regions)

    return _node(UNDEFINED, mask)


@calcfunction
def sum_measured_spectra(
    settings: orm.Dict, **spectra: MeasuredSpectrumData
) -> MeasuredSpectrumData | ExitCode:
    """Add all spectra of one or several nodes, such as banks, as one (``SumSettings``).

    :param spectra: under any names, whose alphabetical order is that of the weights.
    """

    def add() -> MeasuredSpectrum:
        chosen = build(reduction.SumSettings, settings.get_dict(), 'settings')
        if not spectra:
            raise ValueError('sum: there are no spectra')
        parts = [spectra[name].to_spectrum() for name in sorted(spectra)]
        return reduction.sum_spectra(parts, chosen.weights)

    return _node(UNDEFINED, add)


@calcfunction
def compare_with_measurement(
    measured: MeasuredSpectrumData,
    simulated: InsSpectrumData | MeasuredSpectrumData,
    settings: orm.Dict,
) -> dict[str, orm.Data] | ExitCode:
    """Compare a measurement with a simulation, window by window (``AgreementSettings``).

    :return: ``metrics`` (Dict: the list ``windows``, see ``agreement.compare``) and ``overlay``
        (ArrayData: for window ``i`` the arrays ``window_i_edges`` in 1/cm, ``_measured``,
        ``_errors``, ``_model``, ``_background`` in the measurement's unit, and ``_mask``).
    """
    try:
        chosen = build(agreement.AgreementSettings, settings.get_dict(), 'settings')
        rows, overlays = agreement.compare(as_spectrum(measured), as_spectrum(simulated), chosen)
    except ValueError as error:
        return ExitCode(UNDEFINED, str(error))
    arrays = orm.ArrayData()
    for index, overlay in enumerate(overlays):
        for name, values in dataclasses.asdict(overlay).items():
            if values is not None:
                arrays.set_array(f'window_{index}_{name}', np.asarray(values))
    return {'metrics': orm.Dict({'windows': rows, 'units': '1/cm'}), 'overlay': arrays}
