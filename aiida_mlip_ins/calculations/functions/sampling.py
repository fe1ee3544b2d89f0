"""Calcfunctions that make frames beside the targeted set: lone atoms, thermal motion, trajectories.

Each refuses frames whose atoms are too close, with an exit code that says which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiida import orm
from aiida.engine import ExitCode, calcfunction
from aiida_phonopy.data import ForceConstantsData
from ase import Atoms

from aiida_mlip_ins.calculations.functions.phonons import phonopy_of
from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.data.trajectory import from_node
from aiida_mlip_ins.science import sampling
from aiida_mlip_ins.science.settings import build


@calcfunction
def isolated_atom_frames(elements: orm.List, box: orm.Float) -> FramesData | ExitCode:
    """Return one atom of each element in a cube of `box` angstrom, for the energies E0.

    They are labelled like other frames; the method has to allow the spin of an open shell.
    """
    return _frames(lambda: sampling.isolated_atoms(elements.get_list(), box.value))


@calcfunction
def thermal_frames(
    force_constants: ForceConstantsData, settings: orm.Dict, seed: orm.Int
) -> FramesData | ExitCode:
    """Return supercells with the displacements that their atoms have at a temperature.

    :param settings: ``ThermalSettings``.
    """

    def make() -> list[Atoms]:
        chosen = build(sampling.ThermalSettings, settings.get_dict(), 'settings')
        return sampling.thermal_rattles(phonopy_of(force_constants), chosen, seed.value)

    return _frames(make, 'lower the temperature, or raise `lowest` to still soft modes')


@calcfunction
def frames_from_trajectory(
    trajectory: orm.TrajectoryData, apart: orm.Float, after: orm.Float
) -> FramesData | ExitCode:
    """Return frames of molecular dynamics at least `apart` ps from one another.

    :param trajectory: of ``MaceMdCalculation`` or ``MdStabilityWorkChain``.
    :param after: the first one is at this time (ps) or later.
    """
    return _frames(
        lambda: sampling.snapshots(from_node(trajectory), apart.value, after.value),
        'the potential did not hold there, take frames of a run that does',
    )


@calcfunction
def frames_from_relaxation(
    steps: FramesData | orm.TrajectoryData, apart: orm.Float
) -> FramesData | ExitCode:
    """Return steps of a relaxation, each at least `apart` angstrom from the one kept before.

    :param steps: ``trajectory`` of ``MaceRelaxCalculation``, or ``output_trajectory`` of pw.x.
    """
    return _frames(
        lambda: sampling.along_relaxation(_steps(steps), apart.value),
        'the relaxation went astray, take its first steps alone',
    )


@calcfunction
def pool_frames(**sets: FramesData) -> FramesData:
    """Return the frames of several sets as one, in the order of their names, each frame once."""
    frames = [frame for name in sorted(sets) for frame in sets[name].get_frames()]
    return FramesData.from_frames(sampling.without_duplicates(frames))


@calcfunction
def with_splits(frames: FramesData, splits: orm.Dict, seed: orm.Int) -> FramesData | ExitCode:
    """Return the frames, those without a split in one.

    :param splits: share of each split other than ``train``, for example ``{'valid': 0.1}``.
    """
    made = frames.get_frames()
    new = [frame for frame in made if 'split' not in frame.info]
    try:
        names = sampling.assign_splits(new, splits.get_dict(), seed.value)
    except ValueError as error:
        return ExitCode(400, f'splits: {error}')
    for frame, name in zip(new, names, strict=True):
        frame.info['split'] = name
    return FramesData.from_frames(made)


def _frames(
    make: Callable[[], Sequence[Atoms]], advice: str = 'use smaller amplitudes'
) -> FramesData | ExitCode:
    """Return the node of what a generator makes, or an exit code with why it does not."""
    try:
        frames = make()
        sampling.refuse_overlaps(frames, advice=advice)
    except ValueError as error:
        return ExitCode(400, str(error))
    return FramesData.from_frames(frames)


def _steps(node: FramesData | orm.TrajectoryData) -> list[Atoms]:
    """Return the steps of a relaxation (angstrom)."""
    if isinstance(node, FramesData):
        return node.get_frames()
    positions, cells = node.get_positions(), node.get_cells()
    if cells is None:
        raise ValueError('steps: the trajectory has no cells')
    return [
        Atoms(list(node.symbols), positions=places, cell=cell, pbc=True)
        for places, cell in zip(positions, cells, strict=True)
    ]
