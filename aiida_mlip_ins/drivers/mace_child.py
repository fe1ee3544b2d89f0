"""mace_run_train as it is, but one that may be stopped at any moment and then goes on from there.

    python -m aiida_mlip_ins.drivers.mace_child ARGUMENTS OF mace_run_train

mace alone keeps the averaged weights of its best epoch and no more: what comes after such a restart
is another training. Here the whole state is kept at the beginning of an epoch, in ``states``, so
that a training that was stopped gives the model that it would have given without the stop. Nothing
of mace's arithmetic is changed.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

STATES = 'states'
PLAN = 'resume.json'
"""What to go on from: ``file`` (a state, or a checkpoint of mace), ``epoch`` (the one to begin
with), ``learning_rate_factor``. Without this file a training begins at the beginning."""
RESTART = '--restart_latest'
INTERVAL = 1.0
"""Seconds between two states: epochs may be shorter than it takes to write one."""


def state_name(epoch: int) -> str:
    """Return the name of the file with the state at the beginning of an epoch."""
    return f'epoch-{epoch:08d}.pt'


class Keeper:
    """Keeps and restores what a training consists of."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        """Take the arguments of mace's function ``train``."""
        self.parts = parts
        self.first = int(parts['start_epoch'])
        self.loss = math.inf
        self.best: dict[int, float] = {}
        self._log = parts['logger'].log
        self._save = parts['checkpoint_handler'].save
        self._written = time.monotonic()

    def log(self, entry: dict[str, Any]) -> None:
        """Write an entry of mace's log, and remember the loss of the newest validation."""
        if entry['mode'] == 'eval' and entry['epoch'] is not None:
            self.loss = float(entry['loss'])
        self._log(entry)

    def save(self, state: Any, epochs: int, keep_last: bool = False) -> None:
        """Keep mace's checkpoint of an epoch if it is the best of its stage.

        mace takes any epoch for better after a NaN, and the first one after a restart.
        """
        swa = self.parts['swa']
        stage = 2 if swa is not None and epochs >= swa.start else 1
        better = self.loss < self.best.get(stage, math.inf)
        if not better and not (self.parts['save_all_checkpoints'] and math.isfinite(self.loss)):
            return
        if better:
            self.best[stage] = self.loss
        self._save(state=state, epochs=epochs, keep_last=keep_last)

    def begin(self, epoch: int) -> None:
        """Write the state before an epoch, if it is one to go on from."""
        import torch

        plateau = self.parts['lr_scheduler'].scheduler == 'ReduceLROnPlateau'
        if epoch == self.first or time.monotonic() - self._written < INTERVAL:
            return
        if plateau and epoch % self.parts['eval_interval']:
            return  # such a schedule goes by the loss of the last validation, which mace forgets
        if not all(torch.isfinite(p).all() for p in self.parts['model'].parameters()):
            return
        path = Path(STATES, state_name(epoch))
        path.parent.mkdir(exist_ok=True)
        partial_path = path.with_suffix('.partial')
        torch.save(self.state(), partial_path)
        os.replace(partial_path, path)
        for old in path.parent.glob('epoch-*.pt'):
            if old != path:
                old.unlink()
        self._written = time.monotonic()

    def state(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on."""
        import torch

        parts = self.parts
        newest = parts['checkpoint_handler'].io.old_path
        return {
            **{name: parts[name].state_dict() for name in ('model', 'optimizer', 'lr_scheduler')},
            'ema': None if parts['ema'] is None else parts['ema'].state_dict(),
            'swa': None if parts['swa'] is None else _numbers(parts['swa'].scheduler),
            'order': parts['train_loader'].generator.get_state(),
            'random': torch.get_rng_state(),
            'loss': self.loss,
            'best': self.best,
            'newest': newest and Path(newest).name,
        }

    def resume(self, plan: Mapping[str, Any]) -> int:
        """Restore a state, or what a checkpoint of mace has of it; return the epoch to begin with.

        :raises RuntimeError: if it is of another model.
        """
        import torch

        parts = self.parts
        saved = torch.load(plan['file'], map_location=parts['device'], weights_only=False)
        for name in ('model', 'optimizer', 'lr_scheduler'):
            parts[name].load_state_dict(saved[name])
        for group in parts['optimizer'].param_groups:
            for name in {'lr', 'initial_lr', 'swa_lr'} & set(group):
                group[name] *= plan['learning_rate_factor']
        if 'order' in saved:
            if parts['ema'] is not None:
                parts['ema'].load_state_dict(saved['ema'])
            if parts['swa'] is not None:
                vars(parts['swa'].scheduler).update(saved['swa'])
            parts['train_loader'].generator.set_state(saved['order'].cpu())
            torch.set_rng_state(saved['random'].cpu())
            self.loss, self.best = saved['loss'], saved['best']
            io = parts['checkpoint_handler'].io
            io.old_path = saved['newest'] and os.path.join(io.directory, saved['newest'])
        elif parts['ema'] is not None:
            parts['ema'].shadow_params = [p.clone().detach() for p in parts['model'].parameters()]
        self.first = int(plan['epoch'])
        print(f'Going on with epoch {self.first} from {plan["file"]}', flush=True)
        return self.first


def train(original: Callable[..., None], **parts: Any) -> None:
    """Train as mace does, keeping the state; takes the place of ``mace.tools.train``."""
    # mace.tools has a function of the name of this module.
    module = importlib.import_module(original.__module__)
    keeper = Keeper(parts)
    if Path(PLAN).is_file():
        parts['start_epoch'] = keeper.resume(json.loads(Path(PLAN).read_text()))
    parts['logger'].log = keeper.log
    parts['checkpoint_handler'].save = keeper.save
    one_epoch = module.train_one_epoch

    def train_one_epoch(**given: Any) -> None:
        keeper.begin(given['epoch'])
        one_epoch(**given)

    module.train_one_epoch = train_one_epoch
    original(**parts)


def end_with(parent: int) -> None:
    """End this process as soon as the one that started it is gone, killed without a last word."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _numbers(scheduler: Any) -> dict[str, Any]:
    """Return the numbers of a learning rate scheduler; it also holds functions."""
    return {k: v for k, v in vars(scheduler).items() if isinstance(v, int | float | list)}


def main() -> None:
    """Run mace_run_train with the words of the command line."""
    end_with(os.getppid())
    from mace import tools
    from mace.cli import run_train

    # A restart only exports the model of a checkpoint.
    if RESTART not in sys.argv:
        tools.train = partial(train, tools.train)
    run_train.main()


if __name__ == '__main__':
    main()
