"""The whole chain for real, as a newcomer runs it: pw.x, mace and abinslib, through the daemon.

Lithium hydride has two atoms and four electrons, so that all its DFT takes seconds.
"""

import json
import re

import ase.io
import pytest
import yaml
from ase.build import bulk

OVERRIDES = {
    'dft_relaxation': 'quadratic',
    # Labels of a toy's cutoff and k-points do fail: stresses are no slopes of such energies.
    'check_dataset': False,
    'reference': {
        'cutoffs': {'ecutwfc': 50.0, 'ecutrho': 200.0},
        'kpoints_distance': 1.6,
        'parameters_pw': {'ELECTRONS': {'conv_thr': 1.0e-8}},
    },
    'pw_scan': {'relaxation': {'max_force': 0.05, 'max_stress': 0.5}},
    'sampling': {
        'path': {'pressures': [-3.0, 1.0, 5.0]},
        'symmetric': {'count': 1, 'pressures': [-1.0, 2.5]},
        'separate': {'count': 1},
        'strain': {'count': 1},
        'rattle': {'count': 4},
        'supercell': {'count': 1, 'matrices': [[[1, 0, 0], [0, 1, 0], [0, 0, 2]]]},
    },
    'train': {
        'parameters': {
            'max_epochs': 34,
            'stage_two_start': 20,
            'lbfgs_start': 30,
            'num_channels': 8,
            'r_max': 4.0,
            'minimum_frames': 4,
        }
    },
    'mace_phonons': {'mace': {'supercell_min_length': 5.0}, 'q_spacing': 1.0},
    # Seconds of training make no stable crystal; what imaginary modes there are is left out.
    'ins': {'q_spacing': 1.0, 'parameters': {'imaginary': 'leave_out'}},
}
PRESSURES = [0.0, 2.0]


@pytest.fixture
def chain(presto, tmp_path, engines_python, pw_executable):
    """Return a function that launches the chain, follows it, and returns its PK and summary."""
    upf = engines_python.parents[2] / 'pseudos/upf'
    if not upf.is_dir():
        pytest.skip('no pseudopotentials: run `make`')
    ready = presto(
        'aiida-mlip-ins', 'setup', '--caching', '--engines-python', str(engines_python),
        '--pw', str(pw_executable), '--pseudos', str(upf),
    )  # fmt: skip
    assert ready.returncode == 0, ready.stdout + ready.stderr
    assert presto('verdi', 'daemon', 'start', '1').returncode == 0
    ase.io.write(tmp_path / 'lih.cif', bulk('LiH', 'rocksalt', a=4.0))
    (tmp_path / 'overrides.yaml').write_text(yaml.safe_dump(OVERRIDES))

    def launch(folder):
        submitted = presto(
            'aiida-mlip-ins', 'launch', 'chain', 'lih.cif', '--protocol', 'fast', '--daemon',
            '--pressures', ','.join(map(str, PRESSURES)), '--overrides', 'overrides.yaml',
        )  # fmt: skip
        assert submitted.returncode == 0, submitted.stdout + submitted.stderr
        pk = re.search(r'<(\d+)>', submitted.stdout).group(1)
        followed = presto('aiida-mlip-ins', 'status', pk, '--follow')
        assert 'Traceback' not in followed.stderr, followed.stderr
        reported = presto('aiida-mlip-ins', 'report', pk, '--output', folder)
        assert reported.returncode == 0, reported.stdout + reported.stderr
        summary = json.loads((tmp_path / folder / 'summary.json').read_text())
        assert summary['exit_status'] == 0, followed.stdout
        return pk, summary

    return launch


@pytest.mark.engines
@pytest.mark.pw
@pytest.mark.slow
def test_the_whole_chain(chain, presto, tmp_path):
    pk, summary = chain('first')
    assert summary['cached_jobs'] == 0
    assert summary['n_frames'] >= 9
    assert 0 < summary['force_mae_mev_per_angstrom'] < 500
    assert [point['pressure_gpa'] for point in summary['pressures']] == PRESSURES
    free, pressed = summary['pressures']
    for key in ('volume_angstrom3', 'volume_dft_angstrom3'):
        assert 12 < pressed[key] < free[key] < 20
    for point in summary['pressures']:
        assert point['gamma_mae_per_cm'] is not None
        assert point['min_frequency_per_cm'] is not None
    page = (tmp_path / 'first/report.html').read_text()
    assert 'LiH' in page or 'HLi' in page
    assert list((tmp_path / 'first').glob('*.png'))

    status = presto('aiida-mlip-ins', 'status', pk)
    assert 'training' in status.stdout

    again = chain('again')[1]
    assert again['jobs'] == again['cached_jobs'] == summary['jobs']
