"""Driver: molecular dynamics of a crystal, written in batches of frames, to be continued.

A batch and the checkpoint after it are written each in one step. A job that finds a checkpoint in
its folder goes on from there, and gives the frames that it would have given without the stop.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from ase import Atoms, units

from aiida_mlip_ins.drivers.common import DriverError, Job, main, write_interruption
from aiida_mlip_ins.drivers.md_dynamics import Dynamics
from aiida_mlip_ins.science import dataset
from aiida_mlip_ins.science.md_settings import MdSettings
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.trajectory import (
    ASE_PER_ANGSTROM_PER_PS,
    CHECKPOINT,
    PATTERN,
    batch_name,
    displacements,
    read_arrays,
    temperatures,
    write_arrays,
)

STARTED = time.monotonic()
"""As early as the driver can tell: imports of the engine count towards the wall time."""


class Recorder:
    """Keeps frames, and writes them with a checkpoint."""

    def __init__(self, job: Job, dynamics: Dynamics) -> None:
        self.job = job
        self.dynamics = dynamics
        self.total = dynamics.settings.steps
        self.written = 0
        self._frames: list[dict[str, Any]] = []
        self._state = dynamics.state()

    def record(self) -> None:
        """Keep the present frame, and write a batch if it is full."""
        atoms, dynamics = self.dynamics.atoms, self.dynamics
        stress = atoms.get_stress(voigt=False, include_ideal_gas=True)
        self._frames.append(
            {
                'steps': dynamics.done,
                'times': dynamics.time,
                'positions': atoms.get_positions(),
                'velocities': atoms.get_velocities() / ASE_PER_ANGSTROM_PER_PS,
                'cells': atoms.cell.array.copy(),
                'potential_energy': atoms.get_potential_energy(),
                'conserved_energy': dynamics.conserved_energy(),
                'pressure': -np.trace(stress) / 3 / units.GPa,
            }
        )
        self._state = dynamics.state()
        if len(self._frames) >= dynamics.settings.batch_frames:
            self.flush()

    def flush(self) -> None:
        """Write what has been kept, and the state at its last frame."""
        if not self._frames:
            return
        frames = self._frames
        arrays = {name: np.array([frame[name] for frame in frames]) for name in frames[0]}
        write_arrays(self.job.folder / batch_name(frames[0]['steps']), arrays)
        write_arrays(self.job.folder / CHECKPOINT, self._state)
        self.written += len(frames)
        self._frames = []
        masses = self.dynamics.atoms.get_masses()
        last = temperatures(arrays['velocities'][-1:], masses)[0]
        self.job.progress(
            'md',
            frames[-1]['steps'],
            self.total,
            temperature_k=float(last),
            time_ps=frames[-1]['times'],
        )


def run(job: Job) -> dict[str, Any]:
    """Run to the end, or to what stops it, which is then under ``ended``."""
    settings = build(MdSettings, job.inputs['parameters'], 'parameters')
    temperature = float(job.inputs['temperature_k'])
    with job.timed('import'):
        from aiida_mlip_ins.drivers import mace_model
    mace_model.set_up(settings.dtype, settings.device, job.inputs['num_threads'])
    path = job.folder / job.inputs['model']
    model = mace_model.load_model(path, settings.dtype, settings.device)
    (sites,) = dataset.read_frames(job.folder / job.inputs['structure'])
    mace_model.check_elements(model, [sites], 'the structure')
    atoms = Atoms(sites.numbers, positions=sites.positions, cell=sites.cell, pbc=True)
    atoms.calc = mace_model.ModelCalculator(model, settings.device, settings.head)

    dynamics = Dynamics(atoms, settings, temperature, float(job.inputs['pressure_gpa']))
    first = resume(job, dynamics)
    recorder = Recorder(job, dynamics)
    job.progress('md', first, settings.steps)
    with job.timed('md'), asked_to_stop() as signals:
        ended = integrate(dynamics, recorder, sites, job.inputs.get('wallclock_s'), signals)
        recorder.flush()
    if ended and ended['kind'] == 'INTERRUPTED':
        write_interruption(job.folder, ended['message'])
    return {
        'ensemble': settings.ensemble,
        'temperature_k': temperature,
        'pressure_gpa': dynamics.pressure,
        'n_atoms': len(atoms),
        'first_step': first,
        'steps': dynamics.done,
        'total_steps': settings.steps,
        'n_frames': recorder.written,
        'seconds_per_step': job.timing['md'] / max(1, dynamics.done - first),
        'ended': ended,
        'head': mace_model.choose_head(model, settings.head),
        'model_sha256': mace_model.describe(model, path)['sha256'],
    }


def resume(job: Job, dynamics: Dynamics) -> int:
    """Go on from the checkpoint in the job's folder, if there is one; return the step.

    :raises DriverError: ``BAD_INPUT`` if it cannot be read or does not fit.
    """
    path = job.folder / CHECKPOINT
    if not path.is_file():
        return 0
    try:
        dynamics.restore(read_arrays(path))
    except (ValueError, KeyError) as error:
        raise DriverError('BAD_INPUT', f'the checkpoint is damaged: {error}') from error
    # A batch may have been written in the moment before the stop, and its checkpoint not.
    for batch in job.folder.glob(PATTERN):
        if batch.name >= batch_name(dynamics.done + 1):
            batch.unlink()
    return dynamics.done


def integrate(
    dynamics: Dynamics,
    recorder: Recorder,
    sites: Atoms,
    wallclock: float | None,
    signals: list[int],
) -> dict[str, str] | None:
    """Run until the end, or return what stopped it."""
    settings = dynamics.settings
    if dynamics.done == 0:
        if ended := trouble(dynamics, sites):
            return ended
        recorder.record()
    while dynamics.done < settings.steps:
        if signals:
            name = signal.Signals(signals[0]).name
            return end('INTERRUPTED', f'the job received {name} at {dynamics.time:.3f} ps')
        if wallclock and time.monotonic() - STARTED > settings.wallclock_share * wallclock:
            return end('OUT_OF_WALLTIME', f'the wall time ended at {dynamics.time:.3f} ps')
        try:
            dynamics.step()
        except np.linalg.LinAlgError as error:
            return end('NOT_FINITE', f'the cell became useless at {dynamics.time:.4f} ps ({error})')
        if ended := trouble(dynamics, sites):
            if ended['kind'] != 'NOT_FINITE':
                recorder.record()
            return ended
        if dynamics.done % settings.record_every == 0 or dynamics.done == settings.steps:
            recorder.record()
    return None


def trouble(dynamics: Dynamics, sites: Atoms) -> dict[str, str] | None:
    """Return why it makes no sense to go on from here, ``None`` if it does."""
    atoms, settings, when = dynamics.atoms, dynamics.settings, f'at {dynamics.time:.4f} ps'
    results = atoms.calc.get_property('forces', atoms), atoms.get_potential_energy()
    if not all(np.isfinite(value).all() for value in results):
        return end('NOT_FINITE', f'energy or forces of the model are not finite {when}')
    velocities = atoms.get_velocities()[None] / ASE_PER_ANGSTROM_PER_PS
    hot = float(temperatures(velocities, atoms.get_masses())[0])
    if not hot <= settings.max_temperature_factor * dynamics.temperature:
        return end('TOO_HOT', f'{hot:.0f} K instead of {dynamics.temperature:g} K {when}')
    change = atoms.get_volume() / sites.get_volume() - 1
    if not abs(change) <= settings.max_volume_change:
        return end('EVAPORATED', f'the volume had changed by {100 * change:+.0f} % {when}')
    moved = displacements(
        atoms.positions[None], atoms.cell.array[None], sites.positions, sites.cell.array,
        atoms.get_masses(), followed=True,
    )  # fmt: skip
    far = np.linalg.norm(moved[0], axis=1)
    index = int(far.argmax())
    if far[index] > settings.max_displacement:
        where = f'{atoms.symbols[index]}{index} was {far[index]:.1f} angstrom from its site'
        return end('EVAPORATED', f'{where} {when}')
    return None


def end(kind: str, message: str) -> dict[str, str]:
    """Return what stopped a run."""
    return {'kind': kind, 'message': message}


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """Yield a list that SIGTERM is put into: the step that is going on is then finished first."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == '__main__':
    sys.exit(main(run, ('mace-torch', 'torch', 'e3nn', 'ase', 'numpy')))
