"""What a training of mace is at the beginning of an epoch, and which of its epochs is the best.

mace alone keeps the averaged weights of its best epoch and no more: what comes after such a restart
is another training. Here the whole state is kept, in ``states``, so that a training that was
stopped gives the model that it would have given without the stop.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

STATES = 'states'
PLAN = 'resume.json'
"""What to go on from: ``file`` (a state, or a checkpoint of mace), ``epoch`` (the one to begin
with), ``learning_rate_factor``. Without this file a training begins at the beginning."""
WATCH = 'watch.json'
"""How epochs are judged, see :class:`Watch`. Without this file the lowest loss is the best."""
STALLED = 'No better epoch in'
"""How a line begins that says why a stage has ended."""
INTERVAL = 1.0
"""Seconds between two states: epochs may be shorter than it takes to write one."""


def state_name(epoch: int) -> str:
    """Return the name of the file with the state at the beginning of an epoch."""
    return f'epoch-{epoch:08d}.pt'


@dataclasses.dataclass(frozen=True)
class Watch:
    """How epochs are judged, as the driver asks for it."""

    patience: int | None = None
    """Epochs without a better one after which a stage ends."""
    displaced: str | None = None
    """File of frames whose force constants are known, see ``science.curvature``."""
    choose: bool = False
    """Whether the frequencies of these choose the best epoch beside the loss."""
    head: str = 'Default'
    """Head of the model that is judged."""
    batch_size: int = 1
    """Displaced frames that go through the model at once."""


class Stalled(Exception):
    """There has not been a better epoch for too long."""


class Keeper:
    """Judges epochs, and keeps and restores what a training consists of."""

    def __init__(self, parts: Mapping[str, Any], watch: Watch) -> None:
        """Take the arguments of mace's function ``train``."""
        self.parts = parts
        self.watch = watch
        self.first = int(parts['start_epoch'])
        self.epoch = self.first
        self.loss = math.inf
        self.frequency_error: float | None = None
        self.best: dict[int, float] = {}
        self.stale = 0
        self._lbfgs: Any = None
        self.lbfgs_state: dict[str, Any] | None = None
        """What :meth:`use_lbfgs` goes on from."""
        self._curvature = curvature(watch, parts['device'])
        self._log = parts['logger'].log
        self._save = parts['checkpoint_handler'].save
        self._written = time.monotonic()

    def log(self, entry: dict[str, Any]) -> None:
        """Write an entry of mace's log, and remember the errors of the newest validation.

        mace validates, and so logs, with the weights that it would keep: averaged, but for L-BFGS.
        """
        if entry['mode'] == 'eval':
            if self._curvature and entry.get('head', self.watch.head) == self.watch.head:
                self.frequency_error = self._curvature(self.parts['model'])
                entry['mae_frequency'] = self.frequency_error
            if entry['epoch'] is not None:
                self.loss = float(entry['loss'])
        self._log(entry)

    def score(self) -> float:
        """Return what the best epoch has least of: the loss, or what frequencies say beside it.

        The loss goes as the square of errors, so its root and an error of frequencies count alike.
        """
        if not self.watch.choose or self.frequency_error is None:
            return self.loss
        return self.frequency_error * math.sqrt(self.loss)

    def save(self, state: Any, epochs: int, keep_last: bool = False) -> None:
        """Keep mace's checkpoint of an epoch if it is the best of its stage.

        Called after each validation. mace itself takes any epoch for better after a NaN, and the
        first one after a restart. The best one of the first stage is kept in the second.
        """
        swa = self.parts['swa']
        stage = 2 if swa is not None and epochs >= swa.start else 1
        score = self.score()
        better = score < self.best.get(stage, math.inf)
        self.stale = 0 if better else self.stale + self.parts['eval_interval']
        every = self.parts['save_all_checkpoints']
        if not better and not (every and math.isfinite(self.loss)):
            return
        first = stage not in self.best
        if better:
            self.best[stage] = score
        if self._lbfgs is not None:
            # mace loads a checkpoint into the optimizer that it makes itself.
            state = dataclasses.replace(state, optimizer=self.parts['optimizer'])
        self._save(state=state, epochs=epochs, keep_last=every or first)

    def begin(self, epoch: int) -> None:
        """Write the state before an epoch, if it is one to go on from.

        :raises Stalled: if there is no need of this epoch.
        """
        import torch

        self.epoch = epoch
        if self.watch.patience is not None and self.stale >= self.watch.patience:
            raise Stalled
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

    def use_lbfgs(self, parts: Mapping[str, Any]) -> None:
        """Go over to L-BFGS, from the averaged weights, or from where it was stopped.

        :param parts: the arguments of mace's function ``train`` for its epochs.
        """
        if self.parts['ema'] is not None:
            self.parts['ema'].copy_to()
        self._lbfgs = parts['optimizer']
        if self.lbfgs_state is not None:
            self._lbfgs.load_state_dict(self.lbfgs_state)
        else:
            self.stale = 0
        self.parts = {**self.parts, **{name: parts[name] for name in ('ema', 'eval_interval')}}

    def state(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on."""
        import torch

        parts = self.parts
        newest = parts['checkpoint_handler'].io.old_path
        return {
            **{name: parts[name].state_dict() for name in ('model', 'optimizer', 'lr_scheduler')},
            'ema': None if parts['ema'] is None else parts['ema'].state_dict(),
            'lbfgs': self._lbfgs and self._lbfgs.state_dict(),
            'swa': None if parts['swa'] is None else _numbers(parts['swa'].scheduler),
            'order': parts['train_loader'].generator.get_state(),
            'random': torch.get_rng_state(),
            'loss': self.loss,
            'best': self.best,
            'stale': self.stale,
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
        if parts['ema'] is not None:
            if saved.get('ema') is not None:
                parts['ema'].load_state_dict(saved['ema'])
            else:
                weights = parts['model'].parameters()
                parts['ema'].shadow_params = [each.clone().detach() for each in weights]
        if 'order' in saved:
            if parts['swa'] is not None:
                vars(parts['swa'].scheduler).update(saved['swa'])
            parts['train_loader'].generator.set_state(saved['order'].cpu())
            torch.set_rng_state(saved['random'].cpu())
            self.loss, self.best, self.stale = saved['loss'], saved['best'], saved.get('stale', 0)
            self.lbfgs_state = saved.get('lbfgs')
            io = parts['checkpoint_handler'].io
            newest = saved['newest'] and os.path.join(io.directory, saved['newest'])
            # Gone if the training went on after this state, until it was killed, to a better epoch.
            io.old_path = newest if newest and os.path.isfile(newest) else None
        self.first = int(plan['epoch'])
        print(f'Going on with epoch {self.first} from {plan["file"]}', flush=True)
        return self.first


def curvature(watch: Watch, device: Any) -> Callable[[Any], float] | None:
    """Return what gives a model's error of frequencies (1/cm), ``None`` if nothing is known."""
    if watch.displaced is None:
        return None
    import torch

    from aiida_mlip_ins.drivers import mace_model
    from aiida_mlip_ins.science.curvature import curvature_errors, displaced_sets, frequency_mae
    from aiida_mlip_ins.science.dataset import read_frames

    frames = read_frames(watch.displaced)
    sets = displaced_sets(frames)

    def error(model: torch.nn.Module) -> float:
        trained = [(each, each.requires_grad) for each in model.parameters()]
        # Going through the frames draws a random number, which the training is not to miss.
        with torch.random.fork_rng(devices=[]):
            labels = mace_model.evaluate(
                model, frames, watch.batch_size, str(device), watch.head, compute_stress=False
            )
        for each, flag in trained:
            each.requires_grad_(flag)
        return frequency_mae(curvature_errors(sets, [label.forces for label in labels]))

    return error


def _numbers(scheduler: Any) -> dict[str, Any]:
    """Return the numbers of a learning rate scheduler; it also holds functions."""
    return {k: v for k, v in vars(scheduler).items() if isinstance(v, int | float | list)}
