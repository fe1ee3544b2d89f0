"""Settings and file of the job that describes what a potential sees around each atom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from aiida_mlip_ins.science.settings import setting
from aiida_mlip_ins.science.training import DEVICES, DTYPES

FILE = 'descriptors.npz'
ARRAYS = ('descriptors', 'numbers', 'atoms_per_frame')
"""In the file: (n_atoms, n_features) of all frames one after the other, atomic numbers (n_atoms,),
and how many of them each frame has (n_frames,)."""


@dataclass(frozen=True)
class DescribeSettings:
    """How the frames go through the model."""

    batch_size: int = setting('Frames that go through the model at once.', minimum=1)
    dtype: str = setting('Floating point type the model is run in.', choices=DTYPES)
    device: str = setting('Device of torch.', choices=DEVICES)
    head: str | None = setting(
        'Head of the model; `Default` or the only one if not given.', optional=True
    )


def joined(features: Sequence[np.ndarray], frames: Sequence[Atoms]) -> dict[str, np.ndarray]:
    """Return the arrays of features that come in pieces, (n_some_atoms, n_features) each."""
    return {
        'descriptors': np.concatenate(features),
        'numbers': np.concatenate([frame.numbers for frame in frames]),
        'atoms_per_frame': np.array([len(frame) for frame in frames]),
    }


def by_frame(arrays: Mapping[str, np.ndarray], frames: Sequence[Atoms]) -> list[np.ndarray]:
    """Return the features (n_atoms, n_features) of each frame.

    :raises ValueError: if the arrays are not those of these frames.
    """
    missing = sorted(set(ARRAYS) - set(arrays))
    if missing:
        raise ValueError(f'descriptors: no {", ".join(missing)}; make them with mace_describe')
    counts = arrays['atoms_per_frame']
    numbers = np.concatenate([frame.numbers for frame in frames])
    if (
        counts.tolist() != [len(frame) for frame in frames]
        or not np.array_equal(arrays['numbers'], numbers)
        or len(arrays['descriptors']) != len(numbers)
    ):
        raise ValueError('descriptors: their atoms are not those of the frames')
    return np.split(arrays['descriptors'], np.cumsum(counts)[:-1])
