"""``import-spectrum`` and ``compare-spectra`` as typed."""

import json

import numpy as np
import pytest
from aiida import orm
from click.testing import CliRunner

from aiida_mlip_ins.cli.main import main
from aiida_mlip_ins.data.measured import MeasuredSpectrumData
from aiida_mlip_ins.data.spectrum import InsSpectrumData

ENERGY = np.arange(20.0, 1000.0, 2.0)


def shape(energy: np.ndarray) -> np.ndarray:
    return np.exp(-(((energy - 300) / 20) ** 2)) + np.exp(-(((energy - 700) / 20) ** 2))


@pytest.fixture
def measured(tmp_path):
    path = tmp_path / 'measured.dat'
    table = np.column_stack([ENERGY, 1 + 3 * shape(ENERGY), np.full_like(ENERGY, 0.01)])
    np.savetxt(path, table, header='Title\nC (CM-1) COUNTS ERROR', comments='')
    return str(path)


@pytest.fixture
def simulated(tmp_path):
    path = tmp_path / 'simulated.csv'
    table = np.column_stack([ENERGY, shape(ENERGY - 5)])
    np.savetxt(path, table, delimiter=',', header='energy_per_cm,intensity', comments='')
    return str(path)


def run(*words: object, status: int = 0) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == status, result.output
    assert 'Traceback' not in result.output
    return result.output


def test_a_file_becomes_a_node_with_its_source(aiida_profile, measured, monkeypatch):
    monkeypatch.setattr('aiida_mlip_ins.cli.profile.load', lambda name: None)
    said = run('import-spectrum', measured, '--label', 'mine')
    node = orm.load_node(int(said.split('<')[1].split('>')[0]))
    assert isinstance(node, MeasuredSpectrumData)
    assert node.label == 'mine'
    assert node.creator.inputs.file.filename == 'measured.dat'
    assert f'{len(ENERGY)} points from 20.0 to 998.0 1/cm, with errors' in said


def test_nothing_is_stored_if_one_file_is_broken(aiida_profile, measured, tmp_path):
    before = orm.QueryBuilder().append(orm.Node).count()
    bad = tmp_path / 'bad.txt'
    bad.write_text('1 2\n')
    said = run('import-spectrum', measured, bad, tmp_path / 'none', '--spectra', '1', status=2)
    assert 'nothing was stored' in said
    assert "`spectra` has no meaning for the format 'isis'" in said
    assert 'nothing says what the 2 columns are' in said
    assert 'none: cannot be read' in said
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_check_needs_no_profile(measured):
    assert 'format isis' in run('import-spectrum', '--check', measured)
    said = run('import-spectrum', '--check', measured, '--units', 'cm', status=2)
    assert "'cm' is not allowed" in said


def test_two_files_are_compared(measured, simulated, tmp_path):
    output = tmp_path / 'out'
    said = run(
        'compare-spectra', measured, simulated, '-w', '100:900', '-w', '200:400', '-o', output
    )
    assert '100-900: 2 peaks matched, off by 5.0 1/cm on average' in said
    content = json.loads((output / 'comparison.json').read_text())
    assert content['windows'][1]['wasserstein_per_cm'] == pytest.approx(5.0, abs=0.2)
    assert (output / 'comparison.png').read_bytes().startswith(b'\x89PNG')
    table = np.genfromtxt(output / 'comparison_100-900.csv', delimiter=',', names=True)
    assert table.dtype.names == ('energy_per_cm', 'measured', 'error', 'model', 'background')
    assert len(table) == 800
    assert table['background'] == pytest.approx(np.full(800, table['background'][0]))


def test_the_default_window_is_what_both_cover(measured, simulated, tmp_path):
    run('compare-spectra', measured, simulated, '-o', tmp_path)
    window = json.loads((tmp_path / 'comparison.json').read_text())['windows'][0]['window_per_cm']
    assert window == [20.0, 998.0]


def test_two_nodes_are_compared_and_kept(aiida_profile, measured, monkeypatch, tmp_path):
    monkeypatch.setattr('aiida_mlip_ins.cli.profile.load', lambda name: None)
    first = run('import-spectrum', measured).split('<')[1].split('>')[0]
    edges = np.arange(0.0, 1101.0)
    values = shape((edges[1:] + edges[:-1]) / 2)[None]
    node = InsSpectrumData.from_arrays(edges, values, [{}], 'broadened', 10.0, 'TOSCA').store()
    said = run('compare-spectra', first, node.pk, '-w', '100:900', '--store', '-o', tmp_path)
    stored = orm.load_node(int(said.split('metrics <')[1].split('>')[0]))
    assert stored['windows'][0]['r_squared'] == pytest.approx(1.0, abs=1e-3)
    assert stored.creator.inputs.simulated.uuid == node.uuid


def test_everything_that_is_wrong_is_told(aiida_profile, measured, monkeypatch, tmp_path):
    monkeypatch.setattr('aiida_mlip_ins.cli.profile.load', lambda name: None)
    other = orm.Dict({}).store()
    said = run('compare-spectra', measured, other.pk, '--store', '--units', 'meV', status=2)
    assert 'is a file; `aiida-mlip-ins import-spectrum' in said
    assert 'are in 1/cm, but meV is declared' in said
    assert 'an ArrayData is needed' in said or 'a ArrayData is needed' in said
    overrides = tmp_path / 'o.yaml'
    overrides.write_text('settings: {bin_widht: 2}')
    said = run('compare-spectra', measured, measured, '--overrides', overrides, status=2)
    assert "did you mean 'bin_width'?" in said
    said = run(
        'compare-spectra', measured, measured, '-w', '10:50', '--protocol', 'quick', status=2
    )
    assert "unknown protocol 'quick'" in said
    said = run('compare-spectra', measured, measured, '-w', '10:50', status=2)
    assert 'the window from 10 to 50 1/cm is not within' in said
    assert 'is no range such as 60:1600' in run(
        'compare-spectra', measured, measured, '-w', '60-1600', status=2
    )
