"""What DFT needs of a set of frames: atoms apart, and k-points that belong together."""

from __future__ import annotations

from typing import Any

from aiida import orm

from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.data.structure import to_atoms
from aiida_mlip_ins.science.scheduling import kpoint_meshes
from aiida_mlip_ins.science.structure import contact_problems


def frame_contact_problems(frames: FramesData) -> list[str]:
    """Return which frames have atoms that overlap."""
    return [
        f'frames: {index} ({frame.info["source"]}): {problem}'
        for index, frame in enumerate(frames.get_frames())
        for problem in contact_problems(frame)
    ]


def meshes_of(
    frames: FramesData, distance: float, crystal: orm.StructureData | None
) -> list[tuple[int, int, int]]:
    """Return the k-point mesh of each frame, see :func:`kpoint_meshes`."""
    cell = None if crystal is None else to_atoms(crystal)
    return kpoint_meshes(frames.get_frames(), distance, cell)


def kpoint_problems(
    frames: FramesData, distance: float, crystal: orm.StructureData | None
) -> list[str]:
    """Return why the frames have no k-points in common, such as supercells that fold none."""
    try:
        meshes_of(frames, distance, crystal)
    except ValueError as error:
        return [f'frames: {error}']
    return []


def validate_frames(value: FramesData, _: Any) -> str | None:
    """Refuse frames with overlapping atoms."""
    return '\n'.join(frame_contact_problems(value)) or None
