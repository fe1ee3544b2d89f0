import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from aiida import orm

from aiida_mlip_ins.cli import demo, memory
from aiida_mlip_ins.cli.summary_text import summary_text


@pytest.fixture
def settings():
    return yaml.safe_load(Path(demo.__file__).with_name('demo.yaml').read_text())


def test_the_crystal_is_brucite(settings, brucite):
    structure = demo.crystal_of(settings['crystal'])
    assert structure.label == 'brucite'
    assert not structure.is_stored
    atoms = structure.get_ase()
    assert sorted(atoms.symbols) == sorted(brucite.symbols)
    np.testing.assert_allclose(atoms.cell.array, brucite.cell.array, atol=1e-9)
    np.testing.assert_allclose(
        atoms.get_scaled_positions(), brucite.get_scaled_positions(), atol=1e-9
    )


def test_the_builder_has_the_pressures_and_codes(settings, engine_code, pw_code, monkeypatch,
                                                 pseudo_family, tmp_path):  # fmt: skip
    overrides = tmp_path / 'overrides.yaml'
    overrides.write_text(f'reference: {{pseudo_family: {pseudo_family.label}}}\nseed: 11\n')
    builder = demo.make_builder(None, overrides)
    assert builder.pressures.get_list() == settings['pressures'] == [0.0, 1.5]
    assert builder.seed.value == 11
    assert builder.train.code.uuid == engine_code.uuid
    assert builder.reference.base.pw.code.uuid == pw_code.uuid


def test_only_a_demo_that_has_not_ended_is_gone_on_with(aiida_profile_clean):
    nodes = []
    for marked, state in ((False, 'waiting'), (True, 'finished'), (True, 'killed')):
        node = orm.WorkChainNode().store()
        node.set_process_state(state)
        if marked:
            node.base.extras.set(demo.EXTRA, True)
        nodes.append(node)
    assert demo.find_unfinished() is None
    for _ in range(2):
        node = orm.WorkChainNode().store()
        node.base.extras.set(demo.EXTRA, True)
        node.set_process_state('waiting')
    assert demo.find_unfinished() == node.pk


def test_how_to_go_on_names_the_profile_and_the_report(monkeypatch, tmp_path):
    monkeypatch.setenv('AIIDA_PATH', '/somewhere/.demo')
    node = orm.WorkChainNode().store()
    said = demo.how_to_go_on(node, tmp_path / 'report.html')
    assert 'export AIIDA_PATH=/somewhere/.demo' in said
    assert f'verdi process status {node.pk}' in said
    assert str(tmp_path / 'summary.json') in said


def test_memory_of_marked_processes_is_counted(tmp_path):
    with memory.MemoryWatch('a mark') as watch:
        before = watch.now_gb()
        program = 'import time; x = bytearray(200 * 1024**2); print(1, flush=True); time.sleep(30)'
        child = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE)
        try:
            child.stdout.readline()
            assert watch.now_gb() - before > 0.19
            assert memory.MemoryWatch('another mark').now_gb() < before + 0.1
            deadline = time.monotonic() + 10
            while watch.peak_gb < before + 0.19 and time.monotonic() < deadline:
                time.sleep(0.2)
        finally:
            child.kill()
            child.wait()
    assert watch.peak_gb > before + 0.19


def test_the_summary_has_every_number_that_there_is():
    numbers = {
        'n_frames': 44, 'n_held_out': 6, 'force_mae_mev_per_angstrom': 7.25,
        'energy_mae_mev_per_atom': None, 'stress_mae_gpa': 0.125, 'peak_memory_gb': 2.5,
        'wall_s': 1500.0, 'jobs': 60, 'cached_jobs': 3,
        'stages': {'reference': 900.0}, 'time_split': {'DFT': 880.0},
        'pressures': [{
            'pressure_gpa': 1.5, 'volume_angstrom3': 39.5, 'volume_dft_angstrom3': 39.6,
            'gamma_mae_per_cm': 4.5, 'min_frequency_per_cm': 55.5,
        }],
    }  # fmt: skip
    text = summary_text(numbers)
    for part in ('44', '7.25', '0.125', '25 min 0 s', '60 jobs, 3 of them', '39.5', '39.6', '4.5',
                 '55.5', '15 min 0 s', '14 min 40 s'):  # fmt: skip
        assert part in text
    row = next(line for line in text.splitlines() if line.startswith('energy MAE'))
    assert row.split()[-1] == '-'
