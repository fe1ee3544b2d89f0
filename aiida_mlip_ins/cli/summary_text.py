"""The numbers of a run as text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_mlip_ins.cli.follow import duration
from aiida_mlip_ins.query.tables import cell, format_table

HEADINGS = {
    'n_frames': 'DFT frames',
    'n_held_out': 'held-out frames',
    'force_mae_mev_per_angstrom': 'force MAE on them (meV/angstrom)',
    'energy_mae_mev_per_atom': 'energy MAE on them (meV/atom)',
    'stress_mae_gpa': 'stress MAE on them (GPa)',
    'peak_memory_gb': 'peak memory (GB)',
}
PRESSURE_COLUMNS = {
    'pressure_gpa': 'p (GPa)',
    'volume_angstrom3': 'V (A^3)',
    'volume_dft_angstrom3': 'V of DFT (A^3)',
    'gamma_mae_per_cm': 'Gamma MAE (1/cm)',
    'supercell_mae_per_cm': 'supercell MAE (1/cm)',
    'trained_on': 'trained on',
    'min_frequency_per_cm': 'lowest mode (1/cm)',
}


def summary_text(numbers: Mapping[str, Any]) -> str:
    """Return the summary of a run (see :func:`aiida_mlip_ins.query.summary.summary`) as text."""
    rows = [(heading, cell(numbers.get(key))) for key, heading in HEADINGS.items()]
    width = max(len(heading) for heading, _ in rows)
    lines = [f'{heading:{width}}  {value}' for heading, value in rows]
    jobs = f'{numbers["jobs"]} jobs, {numbers["cached_jobs"]} of them from the cache'
    lines.append(f'{"wall clock":{width}}  {duration(numbers["wall_s"])} ({jobs})')
    lines += ['', format_table(numbers['pressures'], PRESSURE_COLUMNS, 'no pressure done')]
    if numbers.get('verdict'):
        lines += ['', *numbers['verdict']['sentences']]
    stages = [
        {'stage': name, 'time': duration(seconds)} for name, seconds in numbers['stages'].items()
    ]
    split = [
        {'part': name, 'time': duration(seconds)} for name, seconds in numbers['time_split'].items()
    ]
    lines += ['', format_table(stages), '', 'Where the wall clock went:', format_table(split)]
    return '\n'.join(lines)
