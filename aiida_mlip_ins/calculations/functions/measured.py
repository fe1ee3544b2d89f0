"""Calcfunctions on measured spectra: read a file, reduce, find peaks, compare with a simulation.

Each takes its settings as a ``Dict`` of the class named in its docstring; what is wrong with them
or with the data is an exit code whose message lists every problem.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

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
from aiida_mlip_ins.science.spectrum_peaks import peaks_of

UNREADABLE, UNDEFINED = 301, 401
"""Exit codes: of a file that is no spectrum, of an operation that cannot be carried out."""

T = TypeVar('T')


def _node(
    status: int, kind: type, settings: orm.Dict, function: Callable[[Any], MeasuredSpectrum]
) -> Any:
    """Return what the function makes of settings as a node, or an exit code with all problems.

    :param kind: class of the settings.
    """
    try:
        chosen = build(kind, settings.get_dict(), 'settings')
        return MeasuredSpectrumData.from_spectrum(function(chosen))
    except ValueError as error:
        return ExitCode(status, str(error))


@calcfunction
def read_measured_spectrum(
    file: orm.SinglefileData, settings: orm.Dict
) -> MeasuredSpectrumData | ExitCode:
    """Read a file of any of the formats (``ReadSettings``: what it does not say itself)."""

    def read(chosen: ReadSettings) -> MeasuredSpectrum:
        return read_spectrum(file.get_content(mode='rb'), file.filename, chosen)

    return _node(UNREADABLE, ReadSettings, settings, read)


@calcfunction
def crop_spectrum(
    spectrum: MeasuredSpectrumData, settings: orm.Dict
) -> MeasuredSpectrumData | ExitCode:
    """Keep a range of energies (``CropSettings``)."""

    def crop(chosen: reduction.CropSettings) -> MeasuredSpectrum:
        return reduction.crop(spectrum.to_spectrum(), chosen.energy_min, chosen.energy_max)

    return _node(UNDEFINED, reduction.CropSettings, settings, crop)


@calcfunction
def rebin_spectrum(
    spectrum: MeasuredSpectrumData, settings: orm.Dict
) -> MeasuredSpectrumData | ExitCode:
    """Bring a spectrum onto bins of one width (``RebinSettings``)."""

    def onto_bins(chosen: reduction.RebinSettings) -> MeasuredSpectrum:
        return rebin(spectrum.to_spectrum(), chosen.edges)

    return _node(UNDEFINED, reduction.RebinSettings, settings, onto_bins)


@calcfunction
def subtract_spectrum(
    spectrum: MeasuredSpectrumData, background: MeasuredSpectrumData, settings: orm.Dict
) -> MeasuredSpectrumData | ExitCode:
    """Take off an empty can or clamp cell, its scale fixed or fitted (``SubtractSettings``)."""

    def subtract(chosen: reduction.SubtractSettings) -> MeasuredSpectrum:
        return reduction.subtract(
            spectrum.to_spectrum(), background.to_spectrum(), chosen.scale, chosen.fit_regions
        )

    return _node(UNDEFINED, reduction.SubtractSettings, settings, subtract)


@calcfunction
def mask_spectrum(
    spectrum: MeasuredSpectrumData, settings: orm.Dict
) -> MeasuredSpectrumData | ExitCode:
    """Mark regions as not to be used (``MaskSettings``)."""

    def mask(chosen: reduction.MaskSettings) -> MeasuredSpectrum:
        return reduction.mask(spectrum.to_spectrum(), chosen.regions)

    return _node(UNDEFINED, reduction.MaskSettings, settings, mask)


@calcfunction
def sum_measured_spectra(
    settings: orm.Dict, **spectra: MeasuredSpectrumData
) -> MeasuredSpectrumData | ExitCode:
    """Add all spectra of one or several nodes, such as banks, as one (``SumSettings``).

    :param spectra: under any names, whose alphabetical order is that of the weights.
    """

    def add(chosen: reduction.SumSettings) -> MeasuredSpectrum:
        if not spectra:
            raise ValueError('sum: there are no spectra')
        parts = [spectra[name].to_spectrum() for name in sorted(spectra)]
        return reduction.sum_spectra(parts, chosen.weights)

    return _node(UNDEFINED, reduction.SumSettings, settings, add)


@calcfunction
def measured_peaks(spectrum: MeasuredSpectrumData, settings: orm.Dict) -> orm.List | ExitCode:
    """Find the peaks of a measurement, for `CompareWorkChain`'s ``experiment.peaks``.

    :param settings: ``AgreementSettings``, of which those of ``PeakSettings`` are used.
    :return: a list of mappings with the fields of ``observed.ObservedPeak``.
    """
    try:
        chosen = build(agreement.AgreementSettings, settings.get_dict(), 'settings')
        peaks = peaks_of(spectrum.to_spectrum(), chosen)
    except ValueError as error:
        return ExitCode(UNDEFINED, str(error))
    return orm.List(
        [{k: v for k, v in dataclasses.asdict(peak).items() if v is not None} for peak in peaks]
    )


@calcfunction
def compare_with_measurement(
    measured: MeasuredSpectrumData | InsSpectrumData,
    simulated: InsSpectrumData | MeasuredSpectrumData,
    settings: orm.Dict,
) -> dict[str, orm.Data] | ExitCode:
    """Compare a measurement with a simulation, window by window (``AgreementSettings``).

    :param measured: the reference; a simulation such as DFT's may stand for it.
    :return: ``metrics`` (Dict: the list ``windows``, see ``agreement.compare``) and ``overlay``
        (ArrayData: for window ``i`` the arrays ``window_i_edges`` in 1/cm, ``_measured``,
        ``_errors``, ``_model``, ``_background`` in the measurement's unit, and ``_mask``).
    """
    try:
        chosen = build(agreement.AgreementSettings, settings.get_dict(), 'settings')
        rows, overlays = agreement.compare(as_spectrum(measured), as_spectrum(simulated), chosen)
    except ValueError as error:
        return ExitCode(UNDEFINED, str(error))
    return {
        'metrics': orm.Dict({'windows': rows, 'units': '1/cm'}),
        'overlay': arrays_of(overlays),
    }


def arrays_of(parts: Sequence[Any]) -> orm.ArrayData:
    """Return the fields of dataclasses, one for each window, as arrays ``window_i_NAME``."""
    node = orm.ArrayData()
    for index, part in enumerate(parts):
        for name, values in dataclasses.asdict(part).items():
            if values is not None:
                node.set_array(f'window_{index}_{name}', np.asarray(values))
    return node


def parts_of(node: orm.ArrayData, kind: type[T]) -> list[T]:
    """Return what :func:`arrays_of` made a node of, one for each window."""
    names = set(node.get_arraynames())
    parts = []
    while f'window_{len(parts)}_edges' in names:
        found = {
            field.name: f'window_{len(parts)}_{field.name}' for field in dataclasses.fields(kind)
        }
        parts.append(
            kind(**{k: node.get_array(n) if n in names else None for k, n in found.items()})
        )
    return parts
