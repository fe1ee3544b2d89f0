"""Nodes for sets of structures: frames to be labelled, and datasets of labelled frames."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self

from aiida import orm
from ase import Atoms

from aiida_mlip_ins.science import dataset


class FramesData(orm.SinglefileData):
    """Frames without labels, kept as one extended XYZ file (lengths in angstrom).

    Every frame has ``info['source']``, the kind of frame it is, and may have ``info['split']``
    (``train``, ``valid``, ``test``), ``info['config_weight']`` and numbers of its generator.
    """

    FILENAME = 'frames.xyz'

    def __init__(
        self, file: str | Path | IO[bytes] | None = None, filename: str | None = None, **kwargs: Any
    ) -> None:
        """Read and check a file.

        :param file: absolute path of an extended XYZ file, or its content opened as bytes.
        :param filename: ignored; the file in the node is always called ``frames.xyz``.
        :raises ValueError: listing every problem of the frames.
        """
        super().__init__(file, filename, **kwargs)

    @classmethod
    def from_frames(cls, frames: Sequence[Atoms]) -> Self:
        """Return an unstored node with the given frames.

        :raises ValueError: listing every problem of the frames.
        """
        return cls(io.BytesIO(dataset.write_frames(frames)))

    def set_file(self, file: str | Path | IO[bytes], filename: Any = None) -> None:
        """Put a file into the node once its frames have passed the checks."""
        content = Path(file).read_bytes() if isinstance(file, str | Path) else file.read()
        content = content.encode() if isinstance(content, str) else content
        frames = dataset.read_frames(content)
        problems = self._problems(frames)
        if problems:
            raise ValueError('\n'.join(problems))
        super().set_file(io.BytesIO(content), self.FILENAME)
        self.base.attributes.set_many(self._summary(frames))

    @staticmethod
    def _problems(frames: Sequence[Atoms]) -> list[str]:
        """Return what is wrong with the frames."""
        return dataset.frame_problems(frames)

    @staticmethod
    def _summary(frames: Sequence[Atoms]) -> dict[str, Any]:
        """Return the attributes that describe the frames."""
        return dataset.summary(frames)

    def get_frames(self, split: str | None = None) -> list[Atoms]:
        """Return the frames, or those of one split."""
        frames = dataset.read_frames(self.get_content(mode='rb'))
        return [f for f in frames if split is None or f.info.get('split') == split]

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.base.attributes.get('n_frames'))

    @property
    def elements(self) -> list[str]:
        """Chemical symbols, in alphabetical order."""
        return list(self.base.attributes.get('elements'))

    @property
    def formulas(self) -> dict[str, int]:
        """How many frames have each chemical formula."""
        return dict(self.base.attributes.get('formulas'))

    @property
    def sources(self) -> dict[str, int]:
        """How many frames there are of each kind (``info['source']``)."""
        return dict(self.base.attributes.get('sources'))


class DatasetData(FramesData):
    """Labelled frames, what a potential is trained on or tested with.

    Per frame: ``info['REF_energy']`` (eV, total), ``arrays['REF_forces']`` (n, 3; eV/angstrom) and,
    unless it is a set of forces only, ``info['REF_stress']`` (6; xx yy zz yz xz xy, eV/angstrom^3,
    tension positive). ``info['index']`` is the position among the frames that were to be labelled,
    so frames that failed can be told.
    """

    def __init__(
        self,
        file: str | Path | IO[bytes] | None = None,
        filename: str | None = None,
        method: str = 'unknown',
        **kwargs: Any,
    ) -> None:
        """Read and check a file.

        :param file: absolute path of an extended XYZ file, or its content opened as bytes.
        :param method: what the labels were computed with, such as ``pw.x PBE-D3(BJ) 80 Ry``.
        :raises ValueError: listing every problem of the frames and of their labels.
        """
        super().__init__(file, filename, **kwargs)
        self.base.attributes.set('method', method)

    @classmethod
    def from_frames(cls, frames: Sequence[Atoms], method: str = 'unknown') -> Self:
        """Return an unstored node with the given labelled frames.

        :raises ValueError: listing every problem of the frames and of their labels.
        """
        return cls(io.BytesIO(dataset.write_frames(frames)), method=method)

    @staticmethod
    def _problems(frames: Sequence[Atoms]) -> list[str]:
        """Return what is wrong with the frames and their labels."""
        return dataset.dataset_problems(frames)

    @staticmethod
    def _summary(frames: Sequence[Atoms]) -> dict[str, Any]:
        """Return the attributes that describe frames and labels."""
        return dataset.summary(frames) | dataset.label_summary(frames)

    @property
    def method(self) -> str:
        """What the labels were computed with."""
        return str(self.base.attributes.get('method'))

    @property
    def splits(self) -> dict[str, int]:
        """How many frames are in each split."""
        return dict(self.base.attributes.get('splits'))

    @property
    def labels(self) -> dict[str, int]:
        """How many frames have ``energy``, ``forces`` and ``stress``."""
        return dict(self.base.attributes.get('labels'))

    @property
    def units(self) -> dict[str, str]:
        """Units of the labels and lengths."""
        return dict(self.base.attributes.get('units'))
