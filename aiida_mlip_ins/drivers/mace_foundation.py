"""The foundation model that a fine-tuning starts from: one head, with new reference energies."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from mace.tools.scripts_utils import remove_pt_head

from aiida_mlip_ins.drivers import mace_model
from aiida_mlip_ins.science.training import TrainSettings


class Base:
    """What the foundation model says before any fine-tuning."""

    def __init__(self, model: torch.nn.Module, settings: TrainSettings) -> None:
        values = model.atomic_energies_fn.atomic_energies.detach().cpu().reshape(-1).tolist()
        symbols = [chemical_symbols[int(z)] for z in model.atomic_numbers]
        self.energies: dict[str, float] = dict(zip(symbols, values, strict=True))
        """Energy (eV) of each isolated atom."""
        self._model = model
        self._settings = settings

    def totals(self, frames: Sequence[Atoms]) -> np.ndarray:
        """Return the total energies (eV) of frames."""
        labels = mace_model.evaluate(
            self._model, frames, self._settings.valid_batch_size, self._settings.device,
            compute_stress=False,
        )  # fmt: skip
        return np.array([label.energy for label in labels])


def load_start(path: Path, settings: TrainSettings) -> torch.nn.Module:
    """Return the foundation model with the one head that training starts from.

    :raises DriverError: ``MODEL_UNREADABLE`` or, for a head that is not there, ``BAD_INPUT``.
    """
    model = mace_model.load_model(path, settings.dtype, settings.device)
    head = mace_model.choose_head(model, settings.foundation_head)
    if len(mace_model.heads(model)) > 1:
        model = remove_pt_head(model, head).to(getattr(torch, settings.dtype))
    return model.to(settings.device)


def save_start(
    model: torch.nn.Module, energies: Mapping[str, float], path: Path, keep_energies: bool
) -> None:
    """Write the model for mace to start from, and give ``model`` the new reference energies.

    :param energies: eV per element; elements that are not named keep theirs.
    :param keep_energies: whether the written copy keeps the old ones, as a replay needs for its
        own frames.
    """
    written = copy.deepcopy(model)
    table = model.atomic_energies_fn.atomic_energies
    symbols = {atomic_numbers[name]: value for name, value in energies.items()}
    for index, z in enumerate(model.atomic_numbers):
        if int(z) in symbols:
            table.view(-1)[index] = symbols[int(z)]
    torch.save(written if keep_energies else model, path)
