import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.plugins import ParserFactory
from phonon_nodes import dft_force_constants
from pw_mocks import code

FIXTURE = Path(__file__).parent / 'fixtures' / 'ins' / 'default'


@pytest.fixture
def parse(aiida_profile, tmp_path):
    """Return a function that parses the real outputs of a run, changed by a function of theirs."""

    def run(change=lambda folder: None, pressure: float | None = 1.5, parameters=None):
        folder = tmp_path / 'job'
        shutil.copytree(FIXTURE, folder)
        change(folder)
        engine = code(plugin='mlip_ins.mace_train')
        node = orm.CalcJobNode(
            computer=engine.computer, process_type='aiida.calculations:mlip_ins.ins'
        )
        inputs = {
            'code': engine,
            'force_constants': dft_force_constants('0.0').store(),
            'parameters': orm.Dict(
                json.loads((FIXTURE / 'inputs.json').read_text())['parameters'] | (parameters or {})
            ),
        }
        if pressure is not None:
            inputs['pressure'] = orm.Float(pressure)
        for name, value in inputs.items():
            value.store()
            node.base.links.add_incoming(value, LinkType.INPUT_CALC, name)
        node.store()
        retrieved = orm.FolderData()
        for path in folder.iterdir():
            if path.suffix in ('.json', '.jsonl', '.err'):
                retrieved.base.repository.put_object_from_file(str(path), path.name)
        retrieved.base.links.add_incoming(node, LinkType.CREATE, 'retrieved')
        retrieved.store()
        parser = ParserFactory('mlip_ins.ins')
        return parser.parse_from_node(
            node, store_provenance=False, retrieved_temporary_folder=str(folder)
        )

    return run


def test_a_real_run(parse):
    results, node = parse()
    assert node.exit_status == 0
    spectrum = results['intensities']
    assert spectrum.stage == 'intensities'
    assert (spectrum.pressure_gpa, spectrum.temperature_k) == (1.5, 10.0)
    assert spectrum.instrument == 'TOSCA'
    assert spectrum.intensity.shape == (20, 400)
    assert spectrum.rows[3] == {'atom': 3, 'element': 'H', 'order': 1, 'bank': 'forward'}
    peak = spectrum.energy[spectrum.select(order=1).argmax()]
    assert peak == pytest.approx(415.0)
    numbers = results['results'].get_dict()
    assert 'rows' not in numbers
    assert spectrum.remarks == []
    assert 'map' not in results
    assert numbers['n_modes_excluded'] == 3
    assert numbers['versions']['phonopy']


def test_pressure_may_be_unknown(parse):
    assert parse(pressure=None)[0]['intensities'].pressure_gpa is None


def error(kind: str, message: str):
    def write(folder: Path) -> None:
        (folder / 'results.json').unlink()
        content = {'kind': kind, 'message': message, 'hint': 'Do something.'}
        (folder / 'error.json').write_text(json.dumps(content))

    return write


def no_arrays(folder: Path) -> None:
    (folder / 'intensities.npz').unlink()


def half_an_array(folder: Path) -> None:
    content = (folder / 'intensities.npz').read_bytes()
    (folder / 'intensities.npz').write_bytes(content[: len(content) // 2])


def pickled(folder: Path) -> None:
    array = np.array([{'no': 'pickle'}], dtype=object)
    np.savez(folder / 'intensities.npz', energy_bins=array, intensity=array)


def wrong_shape(folder: Path) -> None:
    np.savez(folder / 'intensities.npz', energy_bins=np.arange(4.0), intensity=np.ones((2, 3)))


def with_map(folder: Path) -> None:
    """Add a map and a remark to a real run, as direct geometry and left out modes would."""
    with np.load(folder / 'intensities.npz') as file:
        arrays = dict(file)
    n_bins = len(arrays['energy_bins']) - 1
    arrays |= {
        'map_q': np.array([1.0, 2.0]),
        'map_intensity': np.ones((3, 2, n_bins)),
        'map_reachable': np.ones((2, n_bins), dtype=bool),
    }
    np.savez(folder / 'intensities.npz', **arrays)
    results = json.loads((folder / 'results.json').read_text())
    (folder / 'results.json').write_text(json.dumps({**results, 'remarks': ['two left out']}))


def test_a_map_and_remarks_come_out(parse):
    results, node = parse(with_map, parameters={'incident_energy': 600.0})
    assert node.exit_status == 0
    assert results['map'].elements == ['H', 'Mg', 'O']
    assert results['map'].intensity.shape == (3, 2, 400)
    assert results['map'].base.attributes.get('incident_energy_mev') == 600.0
    assert results['intensities'].remarks == ['two left out']


def nothing(folder: Path) -> None:
    (folder / 'results.json').unlink()


@pytest.mark.parametrize(
    ('change', 'status', 'message'),
    [
        (error('IMAGINARY_MODES', 'lowest -20.0 1/cm'), 401, 'lowest -20.0 1/cm. Do something.'),
        (error('NOT_FINITE', 'NaN'), 402, 'NaN'),
        (error('BAD_INPUT', 'no'), 312, 'no'),
        (no_arrays, 302, 'intensities.npz'),
        (half_an_array, 302, 'not a zip file'),
        (pickled, 302, 'pickle'),
        (wrong_shape, 302, 'has the shape'),
        (nothing, 301, 'neither results nor an error'),
    ],
)
def test_what_can_go_wrong_has_an_exit_code(parse, change, status, message):
    results, node = parse(change)
    assert node.exit_status == status
    assert message in node.exit_message
    assert 'intensities' not in results
