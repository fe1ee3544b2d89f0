"""Make the fixture of the INS parser: a real run of the driver on brucite's DFT force constants.

``engines/bin/python tests/drivers/make_ins_fixture.py`` from the top of the checkout, with
``PYTHONPATH=.:tests``.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ins_settings import SETTINGS as INS_SETTINGS
from springs import brucite_dft, phonopy_arrays

TARGET = Path('tests/parsers/fixtures/ins/default')
SETTINGS = {**INS_SETTINGS, 'mesh': [1, 1, 1], 'gamma_centred': True, 'bin_width': 10.0}

atoms, constants, _ = brucite_dft('0.0')
TARGET.mkdir(parents=True, exist_ok=True)
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    np.savez(folder / 'force_constants.npz', **phonopy_arrays(atoms, [1, 1, 1], constants))
    (folder / 'inputs.json').write_text(json.dumps({'parameters': SETTINGS, 'num_threads': 1}))
    env = {**os.environ, 'PYTHONPATH': os.getcwd()}
    command = [sys.executable, '-m', 'aiida_mlip_ins.drivers.ins']
    subprocess.run(command, cwd=folder, env=env, check=True)
    for file in ('results.json', 'intensities.npz', 'inputs.json', 'progress.jsonl'):
        (TARGET / file).write_bytes((folder / file).read_bytes())
