"""The numbers of a run in one dict: what the demo writes to ``summary.json``."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida import orm

from aiida_mlip_ins.query.run import Point, Run
from aiida_mlip_ins.query.stages import History

MEMORY_OF_JOBS = 'of jobs side by side, pw.x by its own estimate; AiiDA not counted'
MEMORY_MEASURED = 'measured over all processes, AiiDA included'


def summary(
    node: orm.ProcessNode,
    measured_memory_gb: float | None = None,
    history: History | None = None,
) -> dict[str, Any]:
    """Return the numbers of a run; what it does not have (yet) is ``None``.

    :param node: `HighPressureInsWorkChain`, or a link of it that was run alone; finished or not.
    :param measured_memory_gb: peak memory (GB) that whoever started the run measured.
    :param history: of the node, if it has been read already.
    :return: ``wall_s``, ``stages`` (name -> s), ``time_split`` (s, adds up to ``wall_s``),
        ``peak_memory_gb`` and what it is, ``jobs`` and ``cached_jobs``, ``n_frames``,
        ``force_mae_mev_per_angstrom``, ``energy_mae_mev_per_atom``, ``stress_mae_gpa`` on held-out
        frames, ``pressures`` (one dict each), ``measured`` (metrics against measured spectra) and
        the ``verdict`` on them, ``pks`` and ``versions``.
    """
    run = Run(node)
    history = history or History(node)
    jobs = history.jobs
    begin, end = history.wall_clock
    held_out = run.errors.get(run.held_out or '', {})
    dataset = run.dataset
    structure = run.structure
    return {
        'process': node.process_label,
        'uuid': node.uuid,
        'state': node.process_state.value if node.process_state else None,
        'exit_status': node.exit_status,
        'exit_message': node.exit_message,
        'formula': structure.get_formula() if structure is not None else None,
        'wall_s': end - begin,
        'stages': {stage.name: stage.seconds for stage in history.stages},
        'time_split': history.time_split(),
        'peak_memory_gb': measured_memory_gb or history.peak_memory_gb(),
        'peak_memory_is': MEMORY_MEASURED if measured_memory_gb else MEMORY_OF_JOBS,
        'jobs': len(jobs),
        'cached_jobs': sum(job.cached for job in jobs),
        'failed_jobs': sum(bool(job.exit_status) for job in jobs),
        'n_frames': dataset.n_frames if dataset is not None else None,
        'method': dataset.method if dataset is not None else None,
        'held_out_split': run.held_out,
        'n_held_out': held_out.get('n_frames'),
        'force_mae_mev_per_angstrom': held_out.get('force_mae'),
        'energy_mae_mev_per_atom': held_out.get('energy_mae'),
        'stress_mae_gpa': held_out.get('stress_mae'),
        'pressures': [_point(run, point) for point in run.points],
        'measured': run.content('agreement.metrics') or None,
        'verdict': run.content('agreement.verdict') or None,
        'pks': {'run': node.pk, **{name: output.pk for name, output in sorted(_named(run))}},
        'versions': versions_of(history),
    }


def _point(run: Run, point: Point) -> dict[str, Any]:
    """Return the numbers at one pressure."""
    reach = run.reach(point.index)
    volume, reference = (row.get('volume_angstrom3') for row in (point.mace, point.dft))
    return {
        'pressure_gpa': point.pressure_gpa,
        'volume_angstrom3': volume,
        'volume_dft_angstrom3': reference,
        'volume_error_percent': 100 * (volume / reference - 1) if volume and reference else None,
        'gamma_mae_per_cm': gamma_mae(run, point),
        'supercell_mae_per_cm': run.on_supercell(point.index).get('mae_per_cm'),
        'trained_on': reach.get('verdict'),
        'trained_on_reason': reach.get('sentence'),
        'min_frequency_per_cm': point.phonons.get('min_frequency_per_cm'),
        'imaginary': point.phonons.get('imaginary'),
        'imaginary_points': point.phonons.get('imaginary_points'),
        'pks': {name: node.pk for name, node in sorted(point.nodes.items())},
    }


def gamma_mae(run: Run, point: Point) -> float | None:
    """Return the mean absolute error (1/cm) of MACE's optical modes at Gamma against DFT's."""
    return run.comparison(point.index).get('gamma_mae_per_cm')


def versions_of(history: History) -> dict[str, str]:
    """Return the versions that the processes of a run have recorded, by package."""
    found: dict[str, str] = {}
    recorded = history.node.base.attributes.get('version', {})
    for key, name in (('core', 'aiida-core'), ('plugin', 'aiida-mlip-ins')):
        if key in recorded:
            found[name] = str(recorded[key])
    for numbers in history.numbers.values():
        found.update({name: str(value) for name, value in numbers.get('versions', {}).items()})
        if 'creator_version' in numbers:
            found['pw.x'] = str(numbers['creator_version'])
    return dict(sorted(found.items()))


def _named(run: Run) -> list[tuple[str, orm.Node]]:
    """Return inputs that say what was run, and all outputs that belong to no single pressure."""
    named = {name: node for name, node in run.outputs.items() if '.pressure_' not in name}
    for name in ('structure', 'dataset', 'model', 'pressures'):
        if name in run.inputs:
            named.setdefault(name, run.inputs[name])
    return list(named.items())


def finite(content: Any) -> Any:
    """Return nested content as JSON types; what is not a finite number becomes ``None``."""
    if isinstance(content, dict):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, np.ndarray):
        return finite(content.tolist())
    if isinstance(content, float | np.floating):
        return float(content) if np.isfinite(content) else None
    if isinstance(content, np.integer):
        return int(content)
    return content
