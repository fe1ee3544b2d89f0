"""Calcfunctions on sets of spectra: changes under pressure, their comparison, the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_mlip_ins.calculations.functions.measured import UNDEFINED, arrays_of, parts_of
from aiida_mlip_ins.data.measured import MeasuredSpectrumData, as_spectrum
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science import spectra_difference
from aiida_mlip_ins.science.agreement import AgreementSettings
from aiida_mlip_ins.science.peak_shifts import peak_shifts
from aiida_mlip_ins.science.settings import build, problems, unknown_keys
from aiida_mlip_ins.science.spectra_set import (
    EXPERIMENT,
    SAME_GPA,
    AboutSpectrum,
    Entry,
    Plan,
    plan,
)
from aiida_mlip_ins.science.spectra_verdict import SpectraSettings, judge
from aiida_mlip_ins.science.spectrum_peaks import peaks_of

Spectrum = MeasuredSpectrumData | InsSpectrumData


def entries_of(
    spectra: Mapping[str, Spectrum], about: Mapping[str, Any]
) -> tuple[list[Entry], list[str]]:
    """Return the spectra with role and pressure, and everything that is wrong with what is said.

    A measurement has the role ``experiment`` unless another one is said; a simulation must be given
    one. The pressure is that of the node, or is said.

    :param spectra: by label.
    :param about: ``spectra`` (by label the fields of ``AboutSpectrum``) and ``reference``.
    """
    said = about.get('spectra', {})
    found = unknown_keys(about, ('spectra', 'reference'), 'about')
    if not isinstance(said, Mapping):
        return [], [*found, f'about.spectra: expected a mapping, got {said!r}']
    found += unknown_keys(said, spectra, 'about.spectra')
    entries = []
    # sorted, so that roles have the same order wherever a process goes on
    for label, node in sorted(spectra.items()):
        own, where = said.get(label, {}), f'about.spectra.{label}'
        if not isinstance(own, Mapping):
            found.append(f'{where}: expected a mapping, got {own!r}')
            continue
        wrong = problems(AboutSpectrum, own, where)
        found += wrong
        if wrong:
            continue
        role = own.get('role') or (EXPERIMENT if isinstance(node, MeasuredSpectrumData) else None)
        pressure = own.get('pressure_gpa')
        known = node.pressure_gpa if isinstance(node, InsSpectrumData) else None
        if role is None:
            found.append(f"{where}: 'role' is missing: say whose simulation it is, such as dft")
        if pressure is None and known is None:
            found.append(f"{where}: 'pressure_gpa' is missing, and the node has no pressure")
        elif None not in (pressure, known) and abs(pressure - known) > SAME_GPA:
            found.append(f'{where}: {pressure:g} GPa is said, but the node has {known:g} GPa')
        if role is not None and (pressure is not None or known is not None):
            value = known if pressure is None else pressure
            entries.append(Entry(label, role, float(value), as_spectrum(node)))
    return entries, found


@calcfunction
def difference_spectrum(
    low: MeasuredSpectrumData | InsSpectrumData,
    high: MeasuredSpectrumData | InsSpectrumData,
    settings: orm.Dict,
    parameters: orm.Dict,
) -> orm.ArrayData | ExitCode:
    """Subtract the spectrum ``low`` from ``high``, window by window.

    :param settings: ``AgreementSettings``, of which windows and bins are used.
    :param parameters: ``SpectraSettings``, of which the normalisation is used.
    :return: for window ``i`` the arrays ``window_i_edges`` (1/cm), ``_difference``, ``_errors``,
        ``_mask``, ``_n_measured`` (see ``spectra_difference.Difference``).
    """
    try:
        chosen = build(AgreementSettings, settings.get_dict(), 'settings')
        numbers = build(SpectraSettings, parameters.get_dict(), 'parameters')
        found = spectra_difference.difference(
            as_spectrum(low), as_spectrum(high), chosen.windows, chosen.bin_width,
            numbers.normalisation,
        )  # fmt: skip
    except ValueError as error:
        return ExitCode(UNDEFINED, str(error))
    return arrays_of(found)


@calcfunction
def compare_changes(
    reference: orm.ArrayData, other: orm.ArrayData, settings: orm.Dict
) -> dict[str, orm.Data] | ExitCode:
    """Compare two differences of :func:`difference_spectrum` (``AgreementSettings``).

    :return: ``metrics`` (Dict: the list ``windows``) and ``overlay`` (ArrayData, as that of
        `compare_with_measurement`; ``_measured`` is the reference's difference).
    """
    try:
        chosen = build(AgreementSettings, settings.get_dict(), 'settings')
        rows, overlays = spectra_difference.compare_differences(
            parts_of(reference, spectra_difference.Difference),
            parts_of(other, spectra_difference.Difference),
            chosen,
        )
    except ValueError as error:
        return ExitCode(UNDEFINED, str(error))
    return {
        'metrics': orm.Dict({'windows': rows, 'units': '1/cm'}),
        'overlay': arrays_of(overlays),
    }


@calcfunction
def judge_spectra(
    about: orm.Dict, settings: orm.Dict, parameters: orm.Dict, **nodes: orm.Data
) -> dict[str, orm.Dict] | ExitCode:
    """Collect the metrics of all comparisons, follow the peaks, and say what it amounts to.

    :param about: see :func:`entries_of`.
    :param settings: ``AgreementSettings``.
    :param parameters: ``SpectraSettings``.
    :param nodes: the spectra as ``spectrum__LABEL``; the metrics of the pairs as ``pair__LABEL``
        and of the changes as ``change__LABEL``, with the label of the spectrum (of a change: that
        at the higher pressure) that was compared with the reference.
    :return: ``metrics``, ``table``, ``verdict``.
    """
    spectra, pairs, changes = (
        {
            name.removeprefix(f'{kind}__'): node
            for name, node in nodes.items()
            if name.startswith(f'{kind}__')
        }
        for kind in ('spectrum', 'pair', 'change')
    )
    try:
        chosen = build(AgreementSettings, settings.get_dict(), 'settings')
        numbers = build(SpectraSettings, parameters.get_dict(), 'parameters')
        said = about.get_dict()
        entries, found = entries_of(spectra, said)
        if found:
            raise ValueError('\n'.join(found))
        made = plan(entries, said.get('reference'), numbers.pressure_tolerance)
        metrics = _metrics(made, pairs, changes)
        table, shifts = _table(made, chosen, numbers)
    except ValueError as error:
        return ExitCode(UNDEFINED, str(error))
    return {
        'metrics': orm.Dict(metrics),
        'table': orm.Dict(table | {'agreement': shifts}),
        'verdict': orm.Dict(judge(metrics, shifts, numbers)),
    }


def _metrics(
    made: Plan, pairs: Mapping[str, orm.Dict], changes: Mapping[str, orm.Dict]
) -> dict[str, Any]:
    """Return the metrics of all comparisons with what they are of."""
    return {
        'units': '1/cm',
        'reference': made.reference,
        'roles': made.roles,
        'pressures_gpa': made.pressures_gpa,
        'pairs': [
            {
                'role': pair.other.role,
                'pressure_gpa': pair.pressure_gpa,
                'label': pair.other.label,
                'reference_label': pair.reference.label,
                'windows': pairs[pair.other.label]['windows'],
            }
            for pair in made.pairs
        ],
        'differences': [
            {
                'role': change.high.role,
                'pressures_gpa': list(change.pressures_gpa),
                'label': change.high.label,
                'low_label': change.low.label,
            }
            for change in made.changes
        ],
        'changes': [
            {
                'role': other.high.role,
                'pressures_gpa': list(other.pressures_gpa),
                'label': other.high.label,
                'reference_label': own.high.label,
                'windows': changes[other.high.label]['windows'],
            }
            for own, other in made.change_pairs
        ],
        'left_out': made.left_out,
    }


def _table(
    made: Plan, settings: AgreementSettings, parameters: SpectraSettings
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the table of peaks and how far the others agree on their shifts."""
    peaks = {
        role: [None if entry is None else peaks_of(entry.spectrum, settings) for entry in row]
        for role, row in made.table.items()
    }
    rows, shifts = peak_shifts(
        peaks, made.reference, made.pressures_gpa, settings.peak_max_shift,
        parameters.shift_threshold, settings.assignments,
    )  # fmt: skip
    return {
        'units': '1/cm',
        'reference': made.reference,
        'roles': made.roles,
        'pressures_gpa': made.pressures_gpa,
        'rows': rows,
    }, shifts
