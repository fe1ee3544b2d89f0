"""The last epochs of a training: L-BFGS over all frames at once.

One crystal's potential learns from tens of frames, so their whole gradient costs no more than an
epoch of steps over batches. With it a quasi-Newton method (Nocedal and Wright, Numerical
Optimization, section 7.2) goes on where steps along gradients of batches hardly move any more.
Adam's own mean squares of the gradients scale the weights. mace's step over an epoch is used.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiida_mlip_ins.science.training import TrainSettings

PLAN = 'lbfgs.json'
"""When L-BFGS begins and its numbers, see :class:`Plan`. Without this file there is none."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What of the settings is about L-BFGS, see ``TrainSettings``."""

    start: int
    iterations: int
    history: int


def tell(folder: Path, settings: TrainSettings) -> None:
    """Write the plan into a job's folder, if the settings ask for L-BFGS."""
    if settings.lbfgs_start is not None:
        plan = Plan(settings.lbfgs_start, settings.lbfgs_iterations, settings.lbfgs_history)
        (folder / PLAN).write_text(json.dumps(dataclasses.asdict(plan)))


def told(folder: Path) -> Plan | None:
    """Return the plan in a job's folder."""
    path = folder / PLAN
    return Plan(**json.loads(path.read_text())) if path.is_file() else None


def arguments(parts: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Return the arguments of mace's function ``train`` for these epochs, each of them validated.

    The weights are no longer averaged, and the gradient is not clipped: the line search wants the
    gradient of the loss itself.

    :param parts: its arguments for the epochs before.
    """
    import torch

    from aiida_mlip_ins.drivers.scaled_lbfgs import ScaledLBFGS

    loader, before = parts['train_loader'], parts['optimizer']
    # What mace leaves as it is, such as the layers frozen in a fine-tuning, stays so here.
    weights = [
        weight
        for group in before.param_groups
        for weight in group['params']
        if weight.requires_grad and group.get('initial_lr', group['lr']) > 0
    ]
    return {
        **parts,
        'start_epoch': max(parts['start_epoch'], plan.start),
        'eval_interval': 1,
        'ema': None,
        'max_grad_norm': None,
        'optimizer': ScaledLBFGS(
            weights,
            [
                before.state[weight].get('exp_avg_sq', torch.zeros_like(weight))
                for weight in weights
            ],
            max_iter=plan.iterations,
            history_size=plan.history,
            line_search_fn='strong_wolfe',
        ),
        # No frame is left out, and their order is always the same: so is the loss.
        'train_loader': type(loader)(
            dataset=loader.dataset,
            batch_size=loader.batch_size,
            num_workers=loader.num_workers,
            pin_memory=loader.pin_memory,
        ),
    }
