"""Driver: relax a crystal at one pressure after the other, each from the one before."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
import spglib
from ase import Atoms, units
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.spacegroup.symmetrize import refine_symmetry

from aiida_mlip_ins.drivers.common import DriverError, Job, main
from aiida_mlip_ins.science import dataset
from aiida_mlip_ins.science.settings import build
from aiida_mlip_ins.science.structure import spglib_cell
from aiida_mlip_ins.science.training import RelaxSettings

STRUCTURES = 'relaxed.xyz'
TRAJECTORY = 'trajectory.xyz'


@dataclasses.dataclass
class Outcome:
    """Where the relaxation at one pressure ended."""

    atoms: Atoms
    steps: int
    converged: bool
    diverged: str
    path: list[Atoms]


def run(job: Job) -> dict[str, Any]:
    """Relax at all pressures; one whose cell ran away is left out, and the rest goes on."""
    settings = build(RelaxSettings, job.inputs['parameters'], 'parameters')
    pressures = [float(pressure) for pressure in job.inputs['pressures']]
    with job.timed('import'):
        from aiida_mlip_ins.drivers import mace_model
    mace_model.set_up(settings.dtype, settings.device, job.inputs['num_threads'])
    path = job.folder / job.inputs['model']
    model = mace_model.load_model(path, settings.dtype, settings.device)
    (start,) = dataset.read_frames(job.folder / job.inputs['structure'])
    mace_model.check_elements(model, [start], 'the structure')
    if settings.keep_symmetry:
        refine_symmetry(start, settings.symprec)
    group = spacegroup(start, settings.symprec)
    kept = operations(start, settings.symprec)
    calculator = mace_model.ModelCalculator(model, settings.device, settings.head)

    rows: list[dict[str, Any]] = []
    relaxed: list[Atoms] = []
    trajectory: list[Atoms] = []
    for index, pressure in enumerate(pressures):
        with job.timed('relax'):
            outcome = relax(start, calculator, pressure, settings)
        rows.append(summary(outcome, pressure, settings, kept))
        trajectory.extend(mark(outcome.path, index, pressure))
        if not outcome.diverged:
            start = bare(outcome.atoms)
            relaxed.append(mark([start.copy()], index, pressure)[0])
        job.progress('relax', index + 1, len(pressures), pressure_gpa=pressure)
    for name, frames in ((STRUCTURES, relaxed), (TRAJECTORY, trajectory)):
        if frames:
            (job.folder / name).write_bytes(dataset.write_frames(frames))
    return {
        'pressures': rows,
        'spacegroup_before': group,
        'failure': failure(rows, group, settings),
        'head': mace_model.choose_head(model, settings.head),
        'model_sha256': mace_model.describe(model, path)['sha256'],
    }


def relax(start: Atoms, calculator: Any, pressure: float, settings: RelaxSettings) -> Outcome:
    """Relax cell and positions at a pressure (GPa, positive when compressed).

    Forces and stress are held against their own limits, before any symmetrisation: the filter's
    generalised forces mix them in units of its own. The cell moves through the exponential of a
    deformation, as :class:`ase.filters.FrechetCellFilter` does it.
    """
    atoms = bare(start)
    atoms.calc = calculator
    if settings.keep_symmetry:
        atoms.set_constraint(FixSymmetry(atoms, symprec=settings.symprec))
    target = FrechetCellFilter(atoms, scalar_pressure=pressure * units.GPa)
    optimizer = BFGS(target, logfile=None, maxstep=settings.max_step)
    first = atoms.get_volume()
    path: list[Atoms] = []
    for _ in optimizer.irun(fmax=0.0, steps=settings.max_steps):
        path.append(bare(atoms))
        change = atoms.get_volume() / first - 1
        if not np.isfinite(atoms.get_potential_energy()):
            return Outcome(atoms, optimizer.nsteps, False, 'its energy is not finite', path)
        if not abs(change) <= settings.max_volume_change:
            message = f'its volume changed by {100 * change:.0f} %'
            return Outcome(atoms, optimizer.nsteps, False, message, path)
        fmax, smax = residuals(atoms, pressure)
        if fmax <= settings.fmax and smax <= settings.smax:
            return Outcome(atoms, optimizer.nsteps, True, '', path)
    return Outcome(atoms, optimizer.nsteps, False, '', path)


def residuals(atoms: Atoms, pressure: float) -> tuple[float, float]:
    """Return the largest force (eV/angstrom) and the largest stress that is left (GPa)."""
    forces = atoms.get_forces(apply_constraint=False)
    stress = atoms.get_stress(voigt=False, apply_constraint=False) / units.GPa
    fmax = float(np.sqrt((forces**2).sum(axis=1).max()))
    return fmax, float(np.abs(stress + pressure * np.eye(3)).max())


def summary(
    outcome: Outcome, pressure: float, settings: RelaxSettings, kept: set[bytes]
) -> dict[str, Any]:
    """Return the numbers of one pressure.

    :param kept: the symmetry operations of the crystal at the start.
    """
    atoms = outcome.atoms
    row = {
        'pressure_gpa': pressure,
        'steps': outcome.steps,
        'converged': outcome.converged,
        'diverged': outcome.diverged,
    }
    if outcome.diverged:
        return row
    volume = float(atoms.get_volume())
    fmax, smax = residuals(atoms, pressure)
    energy = float(atoms.get_potential_energy())
    lengths_angles = atoms.cell.cellpar()
    row.update(
        energy_ev=energy,
        enthalpy_ev=energy + pressure * units.GPa * volume,
        volume_angstrom3=volume,
        cell_lengths_angstrom=lengths_angles[:3].tolist(),
        cell_angles_degree=lengths_angles[3:].tolist(),
        spacegroup=spacegroup(atoms, settings.symprec),
        symmetry_kept=kept <= operations(atoms, settings.symprec),
        max_force_ev_per_angstrom=fmax,
        stress_residual_gpa=smax,
    )
    return row


def failure(
    rows: list[dict[str, Any]], group: str, settings: RelaxSettings
) -> dict[str, str] | None:
    """Return the worst that happened at any pressure."""
    diverged = [row for row in rows if row['diverged']]
    if diverged:
        where = '; '.join(f'at {row["pressure_gpa"]} GPa {row["diverged"]}' for row in diverged)
        return {
            'kind': 'CELL_DIVERGED',
            'message': where,
            'hint': 'The model was not trained on such volumes: add frames of a volume scan and of '
            'relaxation paths at these pressures to its dataset.',
        }
    lost = [row for row in rows if settings.keep_symmetry and not row['symmetry_kept']]
    if lost:
        where = ', '.join(f'{row["spacegroup"]} at {row["pressure_gpa"]} GPa' for row in lost)
        return {'kind': 'SYMMETRY_LOST', 'message': f'{group} became {where}', 'hint': ''}
    open_ends = [row for row in rows if not row['converged']]
    if open_ends:
        where = '; '.join(
            f'at {row["pressure_gpa"]} GPa {row["max_force_ev_per_angstrom"]:.2g} eV/angstrom and '
            f'{row["stress_residual_gpa"]:.2g} GPa were left after {row["steps"]} steps'
            for row in open_ends
        )
        return {
            'kind': 'NOT_CONVERGED',
            'message': where,
            'hint': 'Raise max_steps, or loosen fmax and smax; float32 stops at about 1e-3.',
        }
    return None


def operations(atoms: Atoms, symprec: float) -> set[bytes]:
    """Return the rotations (in the axes of the cell) of the crystal's space group."""
    found = spglib.get_symmetry(spglib_cell(atoms), symprec=symprec)
    rotations = () if found is None else found['rotations']
    return {np.asarray(rotation, dtype=np.int8).tobytes() for rotation in rotations}


def spacegroup(atoms: Atoms, symprec: float) -> str:
    """Return the space group as international symbol and number.

    :raises DriverError: ``BAD_INPUT`` if spglib finds none.
    """
    found = spglib.get_spacegroup(spglib_cell(atoms), symprec=symprec)
    if found is None:
        raise DriverError(
            'BAD_INPUT',
            f'spglib finds no space group within {symprec} angstrom',
            'Do atoms lie on one another? Is symprec too large?',
        )
    return str(found)


def bare(atoms: Atoms) -> Atoms:
    """Return the crystal without calculator, constraints and labels."""
    return Atoms(
        numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell.copy(), pbc=atoms.pbc
    )


def mark(frames: list[Atoms], index: int, pressure: float) -> list[Atoms]:
    """Say on frames which pressure and which step they belong to."""
    for step, frame in enumerate(frames):
        frame.info.update(
            source='relaxation', pressure_index=index, pressure_gpa=pressure, step=step
        )
    return frames


if __name__ == '__main__':
    sys.exit(main(run, ('mace-torch', 'torch', 'e3nn', 'ase', 'numpy', 'spglib')))
