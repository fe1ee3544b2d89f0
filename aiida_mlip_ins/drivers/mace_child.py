"""mace_run_train as it is, but one that may be stopped at any moment and then goes on from there.

    python -m aiida_mlip_ins.drivers.mace_child ARGUMENTS OF mace_run_train

Which epoch is the best, when there has not been a better one for too long, and what the state is to
go on from is the keeper's. Nothing of mace's arithmetic is changed, but for the last epochs, which
may be of L-BFGS.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from aiida_mlip_ins.drivers import mace_lbfgs
from aiida_mlip_ins.drivers.mace_keeper import PLAN, STALLED, WATCH, Keeper, Stalled, Watch

RESTART = '--restart_latest'


def train(original: Callable[..., None], **parts: Any) -> None:
    """Train as mace does, keeping the state; takes the place of ``mace.tools.train``."""
    # mace.tools has a function of the name of this module.
    module = importlib.import_module(original.__module__)
    watch = json.loads(Path(WATCH).read_text()) if Path(WATCH).is_file() else {}
    keeper = Keeper(dict(parts), Watch(**watch))
    if Path(PLAN).is_file():
        parts['start_epoch'] = keeper.resume(json.loads(Path(PLAN).read_text()))
    parts['logger'].log = keeper.log
    parts['checkpoint_handler'].save = keeper.save
    # So that it is asked after each validation, and not after those alone with the lowest loss.
    parts['save_all_checkpoints'] = True
    one_epoch = module.train_one_epoch

    def train_one_epoch(**given: Any) -> None:
        keeper.begin(given['epoch'])
        one_epoch(**given)

    module.train_one_epoch = train_one_epoch
    plan = mace_lbfgs.told(Path())
    steps = parts['max_num_epochs'] if plan is None else plan.start
    if parts['start_epoch'] < steps:
        keeper.lbfgs_state = None  # of settings with which it began earlier
        by_steps(original, keeper, {**parts, 'max_num_epochs': steps})
    if plan is not None:
        parts = mace_lbfgs.arguments(parts, plan)
        keeper.use_lbfgs(parts)
        stalls(original, keeper, parts)


def by_steps(original: Callable[..., None], keeper: Keeper, parts: dict[str, Any]) -> None:
    """Train step by step over batches, in one stage or two."""
    swa = parts['swa']
    if stalls(original, keeper, parts) and swa is not None and keeper.epoch < swa.start:
        # As if the first stage had come to its end: its learning rate is that of the second.
        swa.scheduler.step()
        keeper.first, keeper.stale = swa.start, 0
        stalls(original, keeper, {**parts, 'start_epoch': swa.start})


def stalls(original: Callable[..., None], keeper: Keeper, parts: Mapping[str, Any]) -> bool:
    """Train; say and return whether it ended early, for want of a better epoch."""
    try:
        original(**parts)
    except Stalled:
        print(f'{STALLED} {keeper.stale} epochs; {keeper.epoch} are done', flush=True)
        return True
    return False


def end_with(parent: int) -> None:
    """End this process as soon as the one that started it is gone, killed without a last word."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
