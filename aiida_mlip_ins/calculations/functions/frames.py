"""Calcfunctions that make frames out of structures and structures out of frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction
from ase import Atoms

from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.science.sampling import assign_splits, targeted_set
from aiida_mlip_ins.science.scheduling import kpoint_meshes


def frame_key(index: int) -> str:
    """Return the key under which everything about one frame is kept."""
    return f'frame_{index:04d}'


@calcfunction
def targeted_configurations(
    settings: orm.Dict, seed: orm.Int, pressures: orm.List, **structures: orm.StructureData
) -> FramesData | ExitCode:
    """Compose the frames to be labelled from structures relaxed at each pressure.

    :param settings: the sections of ``science.sampling.SETTINGS``, and ``splits``: share of each
        split other than ``train``, for example ``{'valid': 0.1, 'test': 0.15}``, of the frames
        whose section does not name theirs.
    :param seed: of all random numbers.
    :param pressures: in GPa.
    :param structures: ``pressure_i`` relaxed at the i-th pressure.
    :return: the frames, ``info['split']`` naming the split of each; an exit code with the reason if
        atoms come too close.
    """
    cells = {
        float(pressure): to_atoms(structures[f'pressure_{index}'])
        for index, pressure in enumerate(pressures.get_list())
    }
    try:
        frames = composed(cells, settings.get_dict(), seed.value)
    except ValueError as error:
        return ExitCode(400, str(error))
    return FramesData.from_frames(frames)


def composed(cells: Mapping[float, Atoms], settings: Mapping[str, Any], seed: int) -> list[Atoms]:
    """Return the frames of :func:`targeted_configurations`, without nodes.

    :param cells: relaxed at each pressure (GPa).
    :raises ValueError: if atoms come too close, or listing all problems of the settings.
    """
    sections = {name: value for name, value in settings.items() if name != 'splits'}
    frames = targeted_set(cells, sections, seed)
    splits = assign_splits(frames, settings.get('splits', {}), seed)
    for frame, split in zip(frames, splits, strict=True):
        frame.info.setdefault('split', split)
    return frames


@calcfunction
def structures_from_frames(frames: FramesData) -> dict[str, orm.StructureData]:
    """Return a structure (angstrom) for each frame, under ``frame_0000``, ``frame_0001``, ..."""
    return {frame_key(i): to_structure(frame) for i, frame in enumerate(frames.get_frames())}


@calcfunction
def frames_from_structures(**structures: orm.StructureData) -> FramesData:
    """Return the structures as frames, in the order of their names.

    The name, without a number at its end, becomes the ``source`` of the frame.
    """
    frames = []
    for name in sorted(structures):
        frame = to_atoms(structures[name])
        frame.info['source'] = name.rstrip('0123456789').rstrip('_') or name
        frames.append(frame)
    return FramesData.from_frames(frames)


@calcfunction
def kpoints_for_frames(
    frames: FramesData, distance: orm.Float, crystal: orm.StructureData | None = None
) -> dict[str, orm.KpointsData]:
    """Return the k-point meshes that the frames need, each once, under ``mesh_3_3_2`` and so on.

    :param distance: largest distance between k-points in 1/angstrom (with the factor 2 pi).
    :param crystal: whose mesh strained copies and supercells of it share.
    """
    cell = None if crystal is None else to_atoms(crystal)
    meshes = sorted(set(kpoint_meshes(frames.get_frames(), distance.value, cell)))
    return {mesh_key(mesh): _kpoints(mesh) for mesh in meshes}


@calcfunction
def kpoints_for_structure(structure: orm.StructureData, distance: orm.Float) -> orm.KpointsData:
    """Return the k-point mesh of a structure by the rule of :func:`kpoints_for_frames`."""
    atoms: Atoms = to_atoms(structure)
    return _kpoints(kpoint_meshes([atoms], distance.value)[0])


def mesh_key(mesh: tuple[int, int, int]) -> str:
    """Return the key of a k-point mesh."""
    return 'mesh_' + '_'.join(str(number) for number in mesh)


def _kpoints(mesh: tuple[int, int, int]) -> orm.KpointsData:
    """Return an unstored mesh that contains Gamma."""
    kpoints: Any = orm.KpointsData()
    kpoints.set_kpoints_mesh(list(mesh))
    return kpoints
