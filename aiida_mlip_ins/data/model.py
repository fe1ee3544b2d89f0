"""Node for a MACE model: the file, and what an engine job found in it.

A model file is a pickle: opening it runs code of whoever made it. On this side it is never opened;
elements, cutoff and the rest come from the JSON of an engine job (``mlip_ins.mace_inspect``).
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Self

from aiida import orm
from aiida.common.exceptions import ValidationError

DESCRIPTION = ('elements', 'r_max', 'dtype', 'heads', 'num_parameters', 'sha256')
ORIGINS = ('given', 'trained')


class MaceModelData(orm.SinglefileData):
    """A MACE model file with its elements, cutoff, floating point type and heads."""

    FILENAME = 'model.model'

    @classmethod
    def from_file(
        cls, file: str | Path | IO[bytes], description: Mapping[str, Any], origin: str
    ) -> Self:
        """Return an unstored node.

        :param file: the model file, as a path or opened.
        :param description: ``elements``, ``r_max`` (angstrom), ``dtype``, ``heads``,
            ``num_parameters``, ``sha256``, as the engine job found them; other keys are ignored.
        :param origin: ``given`` (made elsewhere) or ``trained`` (made by a process of ours).
        :raises ValueError: if the description lacks a key, the origin is unknown, or the file is
            not the one that was described.
        """
        missing = [key for key in DESCRIPTION if key not in description]
        if missing:
            raise ValueError(f'the description of the model lacks {missing}')
        if origin not in ORIGINS:
            raise ValueError(f"the origin of the model is '{origin}', none of {ORIGINS}")
        content = Path(file).read_bytes() if isinstance(file, str | Path) else file.read()
        if hashlib.sha256(content).hexdigest() != description['sha256']:
            raise ValueError('the model file is not the one that the description was made from')
        node = cls(io.BytesIO(content), filename=cls.FILENAME)
        node.base.attributes.set_many({key: description[key] for key in DESCRIPTION})
        node.base.attributes.set('origin', origin)
        return node

    def _validate(self) -> bool:
        """Refuse to store a model that no engine job has described."""
        super()._validate()
        missing = [key for key in (*DESCRIPTION, 'origin') if key not in self.base.attributes.all]
        if missing:
            raise ValidationError(
                f'the model lacks {missing}: make the node with an inspection job '
                '(mlip_ins.mace_inspect) or MaceModelData.from_file'
            )
        return True

    @property
    def elements(self) -> list[str]:
        """Chemical symbols that the model knows, in alphabetical order."""
        return list(self.base.attributes.get('elements'))

    @property
    def r_max(self) -> float:
        """Cutoff radius in angstrom."""
        return float(self.base.attributes.get('r_max'))

    @property
    def dtype(self) -> str:
        """Floating point type of the weights, ``float32`` or ``float64``."""
        return str(self.base.attributes.get('dtype'))

    @property
    def heads(self) -> list[str]:
        """Names of the heads."""
        return list(self.base.attributes.get('heads'))

    @property
    def num_parameters(self) -> int:
        """Number of weights."""
        return int(self.base.attributes.get('num_parameters'))

    @property
    def sha256(self) -> str:
        """Checksum of the file."""
        return str(self.base.attributes.get('sha256'))

    @property
    def origin(self) -> str:
        """``given`` or ``trained``."""
        return str(self.base.attributes.get('origin'))


def model_problems(
    model: MaceModelData, elements: Iterable[str], where: str = 'structure'
) -> list[str]:
    """Return what keeps a model from being used on a crystal of these elements.

    :param elements: chemical symbols.
    :param where: what has the elements, put before the message.
    """
    missing = sorted(set(elements) - set(model.elements))
    if not missing:
        return []
    names = ', '.join(missing)
    return [
        f'{where}: {names} not in the model, which knows {", ".join(model.elements)}; '
        f'train one on frames with {names}, or take another'
    ]


def model_file_problem(path: str | Path) -> str | None:
    """Return why a file cannot be a MACE model, ``None`` if it may be one.

    Only the list of names in the container is read; nothing is unpickled.
    """
    path = Path(path)
    if not path.is_file():
        return f'{path}: there is no such file'
    if path.stat().st_size == 0:
        return f'{path}: the file is empty'
    if not zipfile.is_zipfile(path):
        return f'{path}: not a file of torch (no zip container), so no MACE model'
    with zipfile.ZipFile(path) as archive:
        names = [name.partition('/')[2] for name in archive.namelist()]
    if 'data.pkl' not in names:
        return f'{path}: a zip file, but not one of torch (it has no data.pkl)'
    if 'constants.pkl' in names:
        return f'{path}: a compiled (TorchScript) model; give the plain .model file beside it'
    return None


def looks_like_model(path: str | Path) -> bool:
    """Return whether a file may be a MACE model, see :func:`model_file_problem`."""
    return model_file_problem(path) is None
