"""The lines of the how-to, run with curl against a live server."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.manage import get_manager
from report.synthetic import build_run

PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'howto' / 'rest_api.md'
NAMES = ('RUN', 'SPECTRUM', 'MODEL', 'DATASET', 'FRAME', 'PSEUDO', 'FILE')


@pytest.fixture
def server(aiida_profile) -> Iterator[str]:
    """Start ``verdi restapi`` on the profile of the tests and return where it listens."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    verdi = Path(sys.executable).with_name('verdi')
    environment = dict(os.environ, AIIDA_PATH=str(get_manager().get_config().dirpath))
    process = subprocess.Popen(
        [verdi, '-p', aiida_profile.name, 'restapi', '--port', str(port)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    url = f'http://127.0.0.1:{port}/api/v4'
    try:
        wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(url: str, process: subprocess.Popen) -> None:
    """Return when the server answers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f'the server stopped:\n{process.stdout.read().decode()}')
        try:
            with urllib.request.urlopen(f'{url}/server', timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    pytest.fail('the server did not answer within two minutes')


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('curl'), reason='needs curl')
def test_page_runs_as_it_stands(server, tmp_path):
    run = build_run()
    blocks = re.findall(r'^```bash\n(.*?)^```', PAGE.read_text(), re.MULTILINE | re.DOTALL)
    script = '\n'.join(blocks).replace('http://127.0.0.1:5000/api/v4', server)
    assert server in script
    report = ' '.join(f'{name}=${name}' for name in NAMES)
    script = f'set -eo pipefail\n{script}\necho "{report}"\n'
    done = subprocess.run(
        ['bash', '-c', script], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = dict(word.split('=', 1) for word in done.stdout.splitlines()[-1].split())

    spectrum = run.outputs.spectra.pressure_0
    assert found['RUN'] == run.uuid
    assert found['SPECTRUM'] == spectrum.uuid
    assert found['MODEL'] == run.outputs.model.uuid
    assert found['DATASET'] == run.outputs.dataset.uuid

    downloaded = json.loads((tmp_path / 'spectrum.json').read_text())
    assert downloaded['units'] == spectrum.units
    assert downloaded['pressure_gpa'] == spectrum.pressure_gpa
    assert downloaded['rows'] == spectrum.rows
    np.testing.assert_array_equal(downloaded['arrays']['intensity'], spectrum.intensity)
    np.testing.assert_array_equal(downloaded['arrays']['energy_bins'], spectrum.energy_bins)
    np.testing.assert_array_equal(np.load(tmp_path / 'intensity.npy'), spectrum.intensity)
    lines = (tmp_path / 'spectrum.csv').read_text().splitlines()
    assert '# intensities: barn/(1/cm)/primitive cell' in lines
    table = list(csv.DictReader(line for line in lines if not line.startswith('#')))
    totals = [float(row['total']) for row in table]
    np.testing.assert_allclose(totals, spectrum.total(), rtol=1e-7)
    energies = [float(row['energy_per_cm']) for row in table]
    np.testing.assert_allclose(energies, spectrum.energy)

    frame = orm.load_node(found['FRAME'])
    assert frame.process_label == 'PwCalculation'
    assert found['PSEUDO'] in [upf.uuid for upf in frame.inputs.pseudos.values()]
    upf = orm.load_node(found['PSEUDO'])
    assert (tmp_path / found['FILE']).read_bytes() == upf.get_content(mode='rb')
    assert 'Lattice=' in (tmp_path / 'frames.xyz').read_text()
    assert '_atom_site' in (tmp_path / 'frame.cif').read_text()
