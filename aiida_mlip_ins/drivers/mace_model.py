"""A MACE model as the drivers see it: opened, described, run on batches of frames.

Opening a model file unpickles it, which runs code of whoever made it; it happens only here, in an
engine job.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes
from mace import data
from mace.tools import torch_geometric, utils

from aiida_mlip_ins.drivers.common import DriverError
from aiida_mlip_ins.science import dataset

PACKAGES = ('mace-torch', 'torch', 'e3nn', 'ase', 'numpy')


@dataclasses.dataclass(frozen=True)
class Labels:
    """What a model says of one frame."""

    energy: float
    """eV."""
    forces: np.ndarray
    """(n_atoms, 3), eV/angstrom."""
    stress: np.ndarray | None
    """(6,) xx yy zz yz xz xy, eV/angstrom^3, tension positive; ``None`` if not asked for."""

    def as_dict(self) -> dict[str, Any]:
        """Return the labels as the mapping that the error statistics take."""
        return {'energy': self.energy, 'forces': self.forces, 'stress': self.stress}


def set_up(dtype: str, device: str, num_threads: int) -> None:
    """Set torch's type and threads, quieten the engines' logs, and make sure of the device."""
    logging.getLogger().setLevel(logging.WARNING)
    torch.set_default_dtype(getattr(torch, dtype))
    torch.set_num_threads(num_threads)
    available = {
        'cpu': True,
        'cuda': torch.cuda.is_available(),
        'mps': torch.backends.mps.is_available(),
        'xpu': hasattr(torch, 'xpu') and torch.xpu.is_available(),
    }
    if not available[device]:
        raise DriverError(
            'BAD_INPUT',
            f"the computer has no device '{device}' that torch can use",
            f'Use one of: {", ".join(name for name, there in available.items() if there)}.',
        )


def load_model(path: Path, dtype: str | None = None, device: str = 'cpu') -> torch.nn.Module:
    """Return the model in a file.

    :param dtype: type to convert it to; as it is in the file if not given.
    :raises DriverError: ``MODEL_UNREADABLE`` if the file is no MACE model.
    """
    hint = 'Give the .model file that mace_run_train wrote, not a checkpoint or a compiled model.'
    try:
        model = torch.load(path, map_location=device, weights_only=False)
    except ModuleNotFoundError as error:
        raise DriverError(
            'MODEL_UNREADABLE', f'{path.name} needs a package that is not here: {error}', hint
        ) from error
    except Exception as error:
        message = f'{path.name} is no torch file: {type(error).__name__}: {error}'
        raise DriverError('MODEL_UNREADABLE', message.splitlines()[0], hint) from error
    if isinstance(model, torch.jit.ScriptModule):
        raise DriverError(
            'MODEL_UNREADABLE', f'{path.name} is a compiled (TorchScript) model', hint
        )
    missing = [name for name in ('atomic_numbers', 'r_max') if not hasattr(model, name)]
    if not isinstance(model, torch.nn.Module) or missing:
        raise DriverError(
            'MODEL_UNREADABLE',
            f'{path.name} holds a {type(model).__name__}, not a MACE model',
            hint,
        )
    return model.to(getattr(torch, dtype)) if dtype else model


def describe(model: torch.nn.Module, path: Path) -> dict[str, Any]:
    """Return what is to be known of a model without opening it again."""
    return {
        'elements': sorted(ase.data.chemical_symbols[int(z)] for z in model.atomic_numbers),
        'r_max': float(model.r_max),
        'dtype': str(next(model.parameters()).dtype).removeprefix('torch.'),
        'heads': [str(head) for head in heads(model)],
        'num_parameters': int(sum(parameter.numel() for parameter in model.parameters())),
        'sha256': hashlib.sha256(path.read_bytes()).hexdigest(),
        'model_class': type(model).__name__,
        'finite': weights_are_finite(model),
    }


def heads(model: torch.nn.Module) -> list[str]:
    """Return the names of the heads; models from before mace had heads have one, ``Default``."""
    return list(getattr(model, 'heads', None) or ['Default'])


def choose_head(model: torch.nn.Module, head: str | None) -> str:
    """Return the head to use: the one asked for, the only one, or the one called Default.

    :raises DriverError: ``BAD_INPUT`` if there is no such head or the choice is not clear.
    """
    names = heads(model)
    if head is not None and head not in names:
        raise DriverError('BAD_INPUT', f"the model has no head '{head}', it has {names}")
    if head is not None:
        return head
    if len(names) == 1:
        return names[0]
    defaults = [name for name in names if name.lower() == 'default']
    if not defaults:
        raise DriverError('BAD_INPUT', f'the model has the heads {names}', "Set 'head' to one.")
    return defaults[0]


def weights_are_finite(model: torch.nn.Module) -> bool:
    """Return whether no weight and no buffer of the model is NaN or infinite."""
    tensors = [*model.parameters(), *model.buffers()]
    return all(
        bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor.is_floating_point()
    )


def check_elements(model: torch.nn.Module, frames: Sequence[ase.Atoms], what: str) -> None:
    """Refuse frames with elements that the model does not know."""
    known = {int(z) for z in model.atomic_numbers}
    missing = sorted({int(z) for frame in frames for z in frame.numbers} - known)
    if missing:
        symbols = [ase.data.chemical_symbols[z] for z in missing]
        raise DriverError(
            'BAD_INPUT',
            f'{what} has {symbols}, which the model does not know',
            f'It knows {sorted(ase.data.chemical_symbols[z] for z in known)}.',
        )


def evaluate(
    model: torch.nn.Module,
    frames: Sequence[ase.Atoms],
    batch_size: int,
    device: str,
    head: str | None = None,
    compute_stress: bool = True,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Labels]:
    """Return the model's labels of the frames, in their order.

    Neighbours are searched and energies differentiated in batches, without ASE calculators.

    :param batch_size: frames that go through the model at once.
    :param on_progress: called with the number of frames done after each batch.
    """
    check_elements(model, frames, 'a frame')
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    table = utils.AtomicNumberTable([int(z) for z in model.atomic_numbers])
    names, chosen = heads(model), choose_head(model, head)
    labels: list[Labels] = []
    for batch in _batches(frames, batch_size):
        graphs = [
            data.AtomicData.from_config(
                data.config_from_atoms(_bare(frame), head_name=chosen),
                z_table=table,
                cutoff=float(model.r_max),
                heads=names,
            )
            for frame in batch
        ]
        loader = torch_geometric.dataloader.DataLoader(graphs, batch_size=len(graphs))
        inputs = next(iter(loader)).to(device)
        output = model(inputs.to_dict(), compute_stress=compute_stress)
        labels.extend(_split(output, inputs.ptr, compute_stress))
        on_progress(len(labels))
    return labels


def labelled(frames: Sequence[ase.Atoms], labels: Sequence[Labels]) -> list[ase.Atoms]:
    """Return copies of the frames with the labels in place of any that they had.

    ``info['index']`` is the position of the frame in the input.
    """
    pairs = enumerate(zip(frames, labels, strict=True))
    return [
        dataset.labelled(frame, label.energy, label.forces, label.stress, index)
        for index, (frame, label) in pairs
    ]


class ModelCalculator(Calculator):
    """The model as an ASE calculator (eV, angstrom; stress tension positive).

    mace's own does the same, but importing it costs two seconds more.
    """

    implemented_properties = ['energy', 'free_energy', 'forces', 'stress']

    def __init__(self, model: torch.nn.Module, device: str, head: str | None = None) -> None:
        super().__init__()
        self._model = model
        self._device = device
        self._head = choose_head(model, head)

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ('energy',),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Run the model; all properties come out of one pass."""
        super().calculate(atoms, properties, system_changes)
        (label,) = evaluate(self._model, [self.atoms], 1, self._device, self._head)
        self.results = {
            'energy': label.energy,
            'free_energy': label.energy,
            'forces': label.forces,
            'stress': label.stress,
        }


def _batches(frames: Sequence[ase.Atoms], size: int) -> Iterator[Sequence[ase.Atoms]]:
    for start in range(0, len(frames), size):
        yield frames[start : start + size]


def _bare(frame: ase.Atoms) -> ase.Atoms:
    """Return only what makes the graph: labels in the frame must not reach the model."""
    return ase.Atoms(
        numbers=frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc
    )


def _split(output: dict[str, Any], pointers: torch.Tensor, with_stress: bool) -> Iterator[Labels]:
    """Yield the labels of each frame of a batch."""
    energies = output['energy'].detach().cpu().numpy()
    forces = output['forces'].detach().cpu().numpy()
    stresses = output['stress'].detach().cpu().numpy() if with_stress else None
    bounds = pointers.cpu().numpy()
    for index, energy in enumerate(energies):
        stress = None
        if stresses is not None:
            stress = dataset.voigt(stresses[index])
        own = forces[bounds[index] : bounds[index + 1]].astype(float)
        yield Labels(float(energy), own, stress)
