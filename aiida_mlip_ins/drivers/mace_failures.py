"""What went wrong in a run of mace_run_train.

mace ends with exit status 0 after many a failure; :func:`log_failures` knows them by their traces.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiida_mlip_ins.science.training_report import first_not_finite

OUTPUT = 'trainer.out'
OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|Unable to allocate|MemoryError|bad_alloc", re.IGNORECASE
)
"""How torch, numpy and Python say that there is no more memory."""
KILLED = (-signal.SIGTERM, -signal.SIGKILL)


def oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory, 0 if it does not say."""
    try:
        text = Path('/proc/vmstat').read_text()
    except OSError:
        return 0
    found = re.search(r'^oom_kill (\d+)$', text, re.MULTILINE)
    return int(found[1]) if found else 0


def log_failures(
    output: str,
    entries: Sequence[Mapping[str, Any]],
    status: int,
    replay: bool,
    oom_killed: bool = False,
) -> Iterator[tuple[str, str, str]]:
    """Yield kind, message and hint of all that went wrong in a training, the worst first.

    :param output: what mace printed.
    :param entries: the entries of its training log.
    :param status: the exit status, which is 0 for most failures.
    :param replay: whether frames of the foundation model were to be replayed.
    :param oom_killed: whether the kernel has killed it for want of memory.
    """
    if (where := first_not_finite(entries)) is not None:
        yield (
            'NAN_LOSS',
            f'the training became NaN: {where}',
            'Lower learning_rate or clip_grad, or look for a wrong frame in the dataset.',
        )
    last = ([''] + [line for line in output.splitlines() if line.strip()])[-1]
    if status != 0 and (oom_killed or OUT_OF_MEMORY.search(output)):
        yield (
            'OUT_OF_MEMORY',
            f'mace_run_train ran out of memory: {last}',
            'Lower batch_size (in L-BFGS lbfgs_history), or give the job more memory.',
        )
    elif status in KILLED:
        yield (
            'INTERRUPTED',
            f'mace_run_train was ended by {signal.Signals(-status).name}',
            'Someone killed it, or it ran out of memory.',
        )
    elif status != 0 or not re.search(r'INFO: Done\s*$', output):
        yield (
            'TRAINING_FAILED',
            f'mace_run_train stopped with exit status {status} before it was done: {last}',
            f'The whole output is in {OUTPUT}.',
        )
    checked = [entry for entry in entries if entry['mode'] == 'eval']
    if 'No forces found with key' in output or not all('mae_f' in entry for entry in checked):
        yield (
            'NO_FORCES_SEEN',
            'mace found no forces in the frames and trained on energies alone',
            "The dataset needs the array 'REF_forces' on its frames.",
        )
    if replay and 'Using multiheads finetuning mode==' not in output:
        yield (
            'REPLAY_IGNORED',
            'mace turned the multihead replay into naive fine-tuning',
            'It does so when it is given no frames to replay.',
        )
