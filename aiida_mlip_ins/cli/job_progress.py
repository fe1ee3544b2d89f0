"""What a job that runs has written of itself: engine jobs line by line, pw.x in its output."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from aiida import orm
from ase.units import Bohr, Ry

from aiida_mlip_ins.calculations import PW_PLUGIN
from aiida_mlip_ins.drivers.common import PROGRESS

LOCAL = 'core.local'
FORCE = re.compile(r'Total force =\s+(\d+\.\d+)')
PRESSURE = re.compile(r'\(kbar\)\s+P=\s*(-?\d+\.\d+)')
EV_PER_ANGSTROM = Ry / Bohr
"""In one Ry/bohr, as pw.x has forces."""
WORDS = {
    'force_mae_mev_per_angstrom': ('force MAE', 'meV/angstrom'),
    'frequency_mae_per_cm': ('frequency MAE', '1/cm'),
    'pressure_gpa': ('at', 'GPa'),
    'temperature_k': ('at', 'K'),
}
"""Numbers in the lines of a driver that are shown: what they are called, and their unit."""


def progress_of(node: orm.CalcJobNode, now: float) -> tuple[str, float | None]:
    """Return what a running job last said of itself, and the time left (s) of its stage."""
    plugin = (node.process_type or '').partition(':')[2]
    if plugin == PW_PLUGIN and node.computer.transport_type == LOCAL:
        # Elsewhere the whole of its output would travel, each time that somebody looks.
        return pw_words(_remote_text(node, node.get_option('output_filename'))), None
    if not plugin.startswith('mlip_ins.'):
        return '', None
    lines = read_progress(node)
    if not lines:
        return '', None
    last = lines[-1]
    stage = [line for line in lines if line['stage'] == last['stage']]
    words = [f'{last["stage"]} {last["done"]}/{last["total"]}']
    for key, (name, unit) in WORDS.items():
        if isinstance(last.get(key), int | float):
            words.append(f'{name} {last[key]:.3g} {unit}')
    left = None
    # Epochs of a training are not all alike.
    to_do, at_first = (
        line.get('passes_left', line['total'] - line['done']) for line in (last, stage[0])
    )
    if at_first > to_do:
        pace = (last['time'] - stage[0]['time']) / (at_first - to_do)
        left = max(0.0, pace * to_do - (now - last['time']))
    return ', '.join(words), left


def pw_words(output: str) -> str:
    """Return how far pw.x is, by its output: the step of a relaxation, what the last one left."""
    if 'BFGS Geometry Optimization' not in output or 'End of BFGS' in output:
        return ''
    forces = FORCE.findall(output)
    words = [
        f'step {len(forces) + 1}',
        f'force {float(forces[-1]) * EV_PER_ANGSTROM:.3g} eV/angstrom',
    ]
    if pressures := PRESSURE.findall(output):
        words.append(f'{0.1 * float(pressures[-1]):.2f} GPa')
    return ', '.join(words)


def read_progress(node: orm.CalcJobNode) -> list[dict[str, Any]]:
    """Return the lines of a job's progress file, from the folder where it runs; empty if none."""
    lines = []
    for line in _remote_text(node, PROGRESS).splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:  # the last line may be half written
            break
    return lines


def _remote_text(node: orm.CalcJobNode, name: str) -> str:
    """Return a file of the folder where a job runs, empty if it is not there yet."""
    if 'remote_folder' not in node.outputs:
        return ''
    remote = node.outputs.remote_folder
    try:
        if node.computer.transport_type == LOCAL:
            return Path(remote.get_remote_path(), name).read_text()
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, name)
            remote.getfile(name, str(target))
            return target.read_text()
    except OSError:
        return ''
