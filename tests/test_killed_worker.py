"""The daemon's worker is killed, without a last word, while a training runs in its job."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from aiida_mlip_ins.workflows.protocols import load_protocol

DATASET = Path(__file__).parent / 'fixtures' / 'mace' / 'dataset.xyz'
EPOCHS = 101
"""The last of them is validated, as each fifth one is."""
PARAMETERS = {
    **load_protocol('train', 'fast')['parameters'],
    'r_max': 3.5, 'num_channels': 4, 'max_ell': 2, 'correlation': 2, 'num_radial_basis': 4,
    'radial_MLP': [8, 8], 'minimum_frames': 4, 'stage_two_start': None, 'lbfgs_start': None,
    'learning_rate': 0.03, 'max_epochs': EPOCHS,
}  # fmt: skip

SUBMIT = """
import json, sys
from aiida import orm
from aiida.engine import submit
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain

python, dataset, parameters = sys.argv[1:]
code = orm.InstalledCode(
    computer=orm.load_computer('localhost'), filepath_executable=python, label='engines',
    default_calc_job_plugin='mlip_ins.mace_train', with_mpi=False,
).store()
builder = MaceTrainWorkChain.get_builder_from_protocol(code, DatasetData(dataset, method='EMT'))
builder.train.parameters = orm.Dict(json.loads(parameters))
print(submit(builder).pk)
"""

RESULT = """
import json, sys
from aiida import orm

node = orm.load_node(int(sys.argv[1]))
print(json.dumps({
    'state': node.process_state.value,
    'exit_status': node.exit_status,
    'attempts': node.outputs.history['attempts'],
    'interrupted': node.outputs.results['interrupted'],
    'force_mae': node.outputs.errors['valid']['force_mae'],
    'before': float(node.outputs.learning_curve.get_array('force_mae')[0]),
    'epochs': node.outputs.learning_curve.get_array('epoch').tolist(),
}))
"""


def workers(folder: Path) -> list[psutil.Process]:
    """Return the workers of the daemon whose files are in a folder."""
    (pid,) = [int(path.read_text()) for path in folder.glob('aiida/.aiida/daemon/circus-*.pid')]
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # such as one that was killed just now
            if 'worker' in child.cmdline():
                found.append(child)
    return found


def epochs_in(folder: Path) -> int:
    """Return the epoch of the newest state that a training in a folder has left, 0 if none."""
    return max((int(path.stem[6:]) for path in folder.rglob('states/epoch-*.pt')), default=0)


def wait_until(condition: Callable[[], bool], timeout: float = 120.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def script(presto: Any, folder: Path, text: str, *words: str) -> str:
    """Run a script in the profile and return what it prints last."""
    path = folder / 'script.py'
    path.write_text(text)
    done = presto('verdi', 'run', str(path), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout.strip().splitlines()[-1])


@pytest.mark.engines
@pytest.mark.slow
def test_another_worker_finishes_the_training(
    presto: Any, tmp_path: Path, engines_python: Path
) -> None:
    """The job knows nothing of it: one job, all its epochs, and the workchain ends well."""
    assert presto('verdi', 'daemon', 'start', '1').returncode == 0
    words = (str(engines_python), str(DATASET), json.dumps(PARAMETERS))
    pk = script(presto, tmp_path, SUBMIT, *words)
    work = tmp_path / 'aiida'
    wait_until(lambda: epochs_in(work) > 0)
    (killed,) = workers(tmp_path)
    killed.send_signal(signal.SIGKILL)
    assert epochs_in(work) < EPOCHS - 1
    wait_until(lambda: any(each.pid != killed.pid for each in workers(tmp_path)))
    followed = presto('aiida-mlip-ins', 'status', pk, '--follow', timeout=240)
    assert followed.returncode == 0, followed.stderr
    found = json.loads(script(presto, tmp_path, RESULT, pk))
    assert (found['state'], found['exit_status']) == ('finished', 0)
    assert [attempt['epochs'] for attempt in found['attempts']] == [[0, EPOCHS]]
    assert found['epochs'] == sorted({0, *range(1, EPOCHS + 1, PARAMETERS['eval_interval'])})
    assert found['interrupted'] is False
    assert 0 < found['force_mae'] < found['before']
