"""What nodes of intensity against energy transfer have in common."""

from __future__ import annotations

import numpy as np
from aiida import orm
from aiida.common.exceptions import ValidationError


class BinnedData(orm.ArrayData):
    """Arrays on bins of energy transfer: ``energy_bins`` (n + 1, 1/cm), edges, ascending."""

    def _problems(self) -> list[str]:
        """Return what does not fit together; each class says what it checks."""
        raise NotImplementedError

    def _validate(self) -> bool:
        """Refuse to store what does not fit together."""
        problems = self._problems()
        if problems:
            raise ValidationError('; '.join(problems))
        return bool(super()._validate())

    @property
    def energy_bins(self) -> np.ndarray:
        """Edges of the bins (n + 1,), 1/cm."""
        return np.asarray(self.get_array('energy_bins'))

    @property
    def energy(self) -> np.ndarray:
        """Centres of the bins (n,), 1/cm."""
        edges = self.energy_bins
        return np.asarray((edges[1:] + edges[:-1]) / 2)
