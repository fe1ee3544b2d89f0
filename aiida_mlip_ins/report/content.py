"""From a run to what its report shows: the data of the figures and the rows of the tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms
from matplotlib.figure import Figure

from aiida_mlip_ins.calculations.functions.measured import parts_of
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.query.run import Run
from aiida_mlip_ins.query.stages import History
from aiida_mlip_ins.report import content_modes, figures, figures_model, figures_modes
from aiida_mlip_ins.report.figures_measured import agreement
from aiida_mlip_ins.report.style import gpa
from aiida_mlip_ins.report.verdicts import limit_of
from aiida_mlip_ins.science.agreement import Overlay, shift_sentence
from aiida_mlip_ins.science.eos import birch_murnaghan_pressure
from aiida_mlip_ins.science.units import GPA_PER_EV_PER_ANGSTROM3

LOW_ENERGY = 1200.0
"""End (1/cm) of the closer view of the spectra, where lattice and bending modes are."""

CURVES = {
    'force_mae': 'validation force MAE (meV/Å)',
    'energy_mae': 'validation energy MAE (meV/atom)',
    'stress_mae': 'validation stress MAE (GPa)',
    'frequency_mae': 'frequencies of displaced frames, MAE (1/cm)',
}


def curves(run: Run) -> list[figures.Curve]:
    """Return the spectra of a run with their parts, in the order of the pressures."""
    return [
        _curve(point.spectrum, point.pressure_gpa, _ticks(run, point.index))
        for point in run.points
        if point.spectrum is not None
    ]


def _ticks(run: Run, index: int) -> dict[str, np.ndarray]:
    """Return the frequencies (1/cm) at Gamma by method."""
    found = {
        name: run.points[index].frequencies(engine)
        for name, engine in (('MACE', 'mace'), ('DFT', 'pw'))
    }
    return {name: values[values > 1.0] for name, values in found.items() if values is not None}


def _curve(node: InsSpectrumData, pressure: float, modes: dict[str, np.ndarray]) -> figures.Curve:
    """Return one spectrum; parts that its rows do not tell apart are left out."""
    parts: dict[str, dict[Any, np.ndarray]] = {'element': {}, 'order': {}}
    for key, found in parts.items():
        for value in sorted({row[key] for row in node.rows if key in row}):
            with contextlib.suppress(KeyError):
                found[value] = node.select(**{key: value})
    return figures.Curve(
        pressure_gpa=pressure,
        energy=node.energy,
        intensity=node.total(),
        units=node.units['intensity'],
        elements=parts['element'],
        orders=parts['order'],
        modes=modes,
    )


def shifts(run: Run) -> list[figures.Shift]:
    """Return how each mode moves from the first to the last pressure; degenerate ones are one."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in run.shifts:
        if row['mace_per_cm'][0] is not None:
            key = (row['description'], round(row['mace_per_cm'][0]))
            groups.setdefault(key, []).append(row)
    return [
        figures.Shift(
            label=f'{rows[0]["description"]}  {rows[0]["mace_per_cm"][0]:.0f}'
            + (f' (\u00d7{len(rows)})' if len(rows) > 1 else ''),
            frequency=rows[0]['mace_per_cm'][0],
            mace=_mean(rows, 'mace_shift_per_cm'),
            dft=_mean(rows, 'dft_shift_per_cm'),
        )
        for rows in groups.values()
    ]


def _mean(rows: list[dict[str, Any]], key: str) -> float | None:
    values = [row[key][-1] for row in rows if row.get(key) and row[key][-1] is not None]
    return float(np.mean(values)) if values else None


def gamma_pairs(run: Run) -> dict[float, tuple[np.ndarray, np.ndarray]]:
    """Return the matched frequencies (MACE, DFT; 1/cm) at Gamma by pressure."""
    found = {}
    for point in run.points:
        pairs = run.comparison(point.index).get('gamma_pairs', [])
        if pairs:
            found[point.pressure_gpa] = (
                np.array([pair['mace_per_cm'] for pair in pairs]),
                np.array([pair['dft_per_cm'] for pair in pairs]),
            )
    return found


def parities(reference: DatasetData, predicted: DatasetData) -> list[figures_model.Parity]:
    """Return predictions against labels, for each quantity and split.

    :param reference: the dataset that the potential was trained on.
    :param predicted: the model's labels; ``info['index']`` is the position in the reference.
    """
    truth = reference.get_frames()
    means = _mean_energies(truth)
    series: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    for model in predicted.get_frames():
        frame = truth[int(model.info['index'])]
        split = str(frame.info.get('split', 'train'))
        for quantity, pair in _pairs(frame, model, means):
            series.setdefault((quantity, split), []).append(pair)
    return [
        figures_model.Parity(
            quantity, split, *(np.concatenate([p[side] for p in pairs]) for side in (0, 1))
        )
        for (quantity, split), pairs in series.items()
    ]


def _mean_energies(frames: list[Atoms]) -> dict[str, float]:
    """Return the mean energy (eV/atom) of the frames of each composition."""
    energies: dict[str, list[float]] = {}
    for frame in frames:
        formula = frame.get_chemical_formula(empirical=True)
        energies.setdefault(formula, []).append(frame.info['REF_energy'] / len(frame))
    return {formula: float(np.mean(values)) for formula, values in energies.items()}


def _pairs(
    frame: Atoms, model: Atoms, means: dict[str, float]
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Yield label and prediction of one frame: meV/atom from the mean, eV/angstrom, GPa."""
    mean = means[frame.get_chemical_formula(empirical=True)]
    yield (
        'energy',
        tuple(np.array([1e3 * (f.info['REF_energy'] / len(f) - mean)]) for f in (frame, model)),
    )
    yield 'force', tuple(f.arrays['REF_forces'].ravel() for f in (frame, model))
    if 'REF_stress' in frame.info and 'REF_stress' in model.info:
        yield (
            'stress',
            tuple(
                np.asarray(f.info['REF_stress']) * GPA_PER_EV_PER_ANGSTROM3 for f in (frame, model)
            ),
        )


def equation_of_state(run: Run) -> tuple[np.ndarray, np.ndarray] | None:
    """Return pressures (GPa) and volumes (angstrom^3) along the fitted equation of state."""
    fit = run.content('mace.equation_of_state')
    volumes = [p.mace['volume_angstrom3'] for p in run.points if p.mace]
    if not fit or len(volumes) < 2:
        return None
    along = np.linspace(min(volumes), max(volumes), 60)
    return birch_murnaghan_pressure(
        along, fit['volume_angstrom3'], fit['bulk_modulus_gpa'], fit['bulk_modulus_derivative']
    ), along


def bars(history: History) -> list[figures_model.Bar]:
    """Return the stages along the wall clock."""
    begin, _ = history.wall_clock
    return [
        figures_model.Bar(
            name=stage.name.replace('_', ' '),
            start=stage.start - begin,
            end=stage.end - begin,
            jobs=stage.jobs,
            cached=stage.cached,
        )
        for stage in history.stages
    ]


def all_figures(run: Run, history: History, title: str) -> Iterator[tuple[str, Figure]]:
    """Yield each figure that the run has the numbers for, under the name of its file."""
    lines = curves(run)
    if lines:
        end = float(max(line.energy[-1] for line in lines))
        yield 'spectra', figures.spectra(lines, (0.0, end), title)
        low = min(LOW_ENERGY, end)
        yield 'spectra_low', figures.spectra(lines, (0.0, low), f'{title}, to {low:.0f}')
        yield 'spectra_parts', figures.spectra_by_part(lines, (0.0, low))
    if 'overlay' in run.outputs:
        yield 'anharmonic', anharmonic(run)
    moves = shifts(run)
    if moves and len(run.pressures) > 1:
        yield 'mode_shifts', figures.mode_shifts(moves, run.pressures[0], run.pressures[-1])
    if len(set(run.pressures)) > 2 and run.shifts:
        lines_of_modes = content_modes.lines(run)
        yield 'mode_lines', figures_modes.mode_lines(lines_of_modes, run.pressures)
    pairs = gamma_pairs(run)
    if pairs:
        yield 'gamma', figures.gamma_frequencies(pairs, limit_of('gamma_mae'))
    volumes = [
        {p.pressure_gpa: row['volume_angstrom3'] for p, row in zip(run.points, rows, strict=True)
         if row}
        for rows in ([p.mace for p in run.points], [p.dft for p in run.points])
    ]  # fmt: skip
    if any(volumes):
        tolerance = limit_of('volume_error') / 100
        yield 'volumes', figures.volumes(*volumes, equation_of_state(run), tolerance)
    predictions = run.outputs.get('training.predictions')
    if predictions is not None and run.dataset is not None:
        yield 'parity', figures_model.parity(parities(run.dataset, predictions))
    learning = run.outputs.get('training.learning_curve')
    if learning is not None:
        arrays = {n: a for n, a in learning.get_iterarrays() if np.isfinite(a).any()}
        yield 'learning_curve', figures_model.learning_curve(arrays, CURVES)
    if cold_curve(run):
        yield 'cold_curve', figures_model.cold_curve(cold_curve(run))
    if rounds(run):
        yield 'rounds', figures_model.rounds(rounds(run))
    yield 'time', figures_model.time_spent(bars(history), history.time_split())


def anharmonic(run: Run) -> Figure:
    """Return the spectrum of molecular dynamics over the harmonic one."""
    units = run.outputs['harmonic'].units['intensity']
    return agreement(
        run.content('metrics')['windows'],
        parts_of(run.outputs['overlay'], Overlay),
        'Molecular dynamics beside the harmonic spectrum',
        ('harmonic', 'molecular dynamics'),
        f'intensity ({units})',
    )


def moved(run: Run) -> list[str]:
    """Return in words how peaks differ in motion from the harmonic ones, none for other runs."""
    rows = run.content('metrics').get('windows', []) if 'overlay' in run.outputs else []
    return [
        f'{shift_sentence(row, "harmonic", "in motion")}. The run is scaled by {row["scale"]:.3g}.'
        for row in rows
    ]


def rounds(run: Run) -> list[dict[str, Any]]:
    """Return the rows of an active learning, none for other runs."""
    rows: list[dict[str, Any]] = run.content('rounds').get('rounds', [])
    return rows


def cold_curve(run: Run) -> dict[str, Any]:
    """Return energies over volumes, of DFT and of the potential, empty if there are none."""
    return run.content('training.results').get('energy_volume') or {}


def error_rows(run: Run) -> list[dict[str, Any]]:
    """Return one row for each split, and below it one for each source of frames."""
    rows = []
    for split, errors in run.errors.items():
        rows.append({'split': split, 'source': 'all', **errors})
        for source, part in errors.get('sources', {}).items():
            rows.append({'split': '', 'source': source, **part})
    return rows


def remarks(run: Run) -> list[str]:
    """Return what whoever reads a spectrum has to know of it, such as modes that it lacks."""
    return [
        f'Spectrum at {gpa(point.pressure_gpa)}: {remark}.'
        for point in run.points
        if point.spectrum is not None
        for remark in point.spectrum.remarks
    ]


def missing(run: Run) -> list[str]:
    """Return in words what the whole chain would have and this run does not."""
    found = []
    wanted = {
        'dataset': 'the labelled dataset',
        'model': 'the potential',
        'training.errors': 'the errors of the potential on held-out frames',
        'pw.results': "DFT's own cells",
        'comparison.metrics': 'the comparison with DFT and between the pressures',
    }
    found += [words for name, words in wanted.items() if run.named(name) is None]
    for point in run.points:
        where = f'at {gpa(point.pressure_gpa)}'
        for name, words in (
            ('mace_structure', "MACE's cell"), ('mace_force_constants', 'force constants'),
            ('spectrum', 'the spectrum'), ('pw_modes', "DFT's modes"),
        ):  # fmt: skip
            if name not in point.nodes:
                found.append(f'{words} {where}')
    return found
