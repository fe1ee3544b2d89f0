"""What `benchmark` reads, refuses and accepts before anything is stored."""

import ase.io
import numpy as np
import pytest
import yaml
from aiida import orm
from click.testing import CliRunner
from mace_nodes import FIXTURES, toy_model
from spectra_nodes import measured_spectrum, simulated_node

from aiida_mlip_ins.cli.main import main
from aiida_mlip_ins.cli.options import as_name

MODEL = FIXTURES / 'train' / 'model.model'


@pytest.fixture
def files(tmp_path, brucite):
    """Return a folder with a crystal, a measured spectrum and the file of a model."""
    ase.io.write(tmp_path / 'brucite.cif', brucite)
    spectrum = measured_spectrum()
    table = np.column_stack([spectrum.energy, spectrum.intensity[0], spectrum.errors[0]])
    np.savetxt(tmp_path / 'run.dat', table, header='Title\nC (CM-1) COUNTS ERROR', comments='')
    (tmp_path / 'mp.model').write_bytes(MODEL.read_bytes())
    return tmp_path


def invoke(*words):
    before = orm.QueryBuilder().append(orm.Node).count()
    result = CliRunner().invoke(main, ['benchmark', *map(str, words)])
    assert 'Traceback' not in result.output
    assert orm.QueryBuilder().append(orm.Node).count() == before
    return result


def test_options_are_checked_and_nothing_is_stored(files, engine_code):
    words = ['-c', files / 'brucite.cif', '-m', f'mp={files / "mp.model"}', '--pressures', '0,1.5']
    words += ['--measured', f'brucite@0={files / "run.dat"}', '-w', '50:800', '--check']
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    assert 'The inputs of BenchmarkWorkChain are valid' in result.output


def test_a_file_says_the_same(files, engine_code):
    dft = simulated_node(pressure=1.5).store()
    content = {
        'crystals': {
            'brucite': {
                'structure': 'brucite.cif', 'measured': {0: 'run.dat'}, 'dft': {1.5: dft.pk},
                'windows': [[50, 400], [400, 800]],
            }
        },
        'models': {'mp': 'mp.model'},
        'pressures': [0, 1.5],
        'protocol': 'fast',
        'overrides': {'max_concurrent': 2, 'ins': {'parameters': {'temperature': 20.0}}},
    }  # fmt: skip
    path = files / 'models.yaml'
    path.write_text(yaml.safe_dump(content))
    result = invoke(path, '--check')
    assert result.exit_code == 0, result.output
    content['overrides']['ins'] = {'parameters': {'temprature': 20.0}}
    content['crystals']['brucite']['windows'] = [[50, 4000]]
    path.write_text(yaml.safe_dump(content))
    result = invoke(path, '--check')
    assert result.exit_code == 2
    assert "did you mean 'temperature'" in result.output


def test_all_problems_at_once(files, engine_code):
    other = toy_model().store()
    result = invoke(
        '-c', 'brucite=missing.cif', '-m', f'a={files / "run.dat"}', '-m', f'b={other.pk}',
        '-m', 'b=nothing', '--pressures', '1,0', '--measured', f'brucite={files / "none.dat"}',
        '--engine-code', 'nope@localhost', '--protocol', 'fst',
    )  # fmt: skip
    assert result.exit_code == 2
    for words in (
        "structure: 'missing.cif' is neither a file nor",
        'model a: ',
        'no zip container',
        "model: the name 'b' is given twice",
        "model b: 'nothing' is neither a file nor",
        'ascending order',
        'measured of brucite: ',
        "there is no code 'nope@localhost'",
        "unknown protocol 'fst' (did you mean 'fast'?)",
    ):
        assert words in result.output
    assert 'is no crystal and spectrum, such as hexane@1.5=run.dat' in (
        invoke('--measured', 'brucite').output
    )


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('a: [', 'not YAML'),
        ('- 1', 'no keys at its top level'),
        ('crystal: {}', "unknown key 'crystal' (did you mean 'crystals'?)"),
        ('pressures: [much]', 'pressures: expected a list of numbers in GPa'),
        ('models: [1]', 'models: expected a mapping of names'),
        ('crystals: {a: {measured: run.dat}}', 'crystals.a.measured: expected a file or node for'),
        ('crystals: {a: {mesured: {}}}', "unknown key 'mesured' (did you mean 'measured'?)"),
        ('crystals: {a: {measured: {0: run.dat}}}', "crystals.a: 'structure' is missing"),
    ],
)
def test_bad_files(files, engine_code, content, words):
    path = files / 'models.yaml'
    path.write_text(content)
    result = invoke(path)
    assert result.exit_code == 2
    assert words in result.output


def test_names_are_made_of_what_files_are_called():
    assert as_name('some/n-hexane (1).cif') == 'n_hexane_1'
    assert as_name('1234') == 'node_1234'
    assert as_name('a.b.model') == 'a_b'
