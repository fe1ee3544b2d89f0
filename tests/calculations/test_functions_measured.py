"""From a file to the comparison, every step in the graph."""

import io

import numpy as np
import pytest
from aiida import orm

from aiida_mlip_ins.calculations.functions import measured as functions
from aiida_mlip_ins.data.measured import MeasuredSpectrumData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.observed import peak_problems
from aiida_mlip_ins.workflows.protocols import PROTOCOLS, load_protocol

ENERGY = np.arange(20.0, 1000.0, 2.0)


def shape(energy: np.ndarray) -> np.ndarray:
    return np.exp(-(((energy - 300) / 20) ** 2)) + np.exp(-(((energy - 700) / 20) ** 2))


@pytest.fixture
def source(aiida_profile) -> orm.SinglefileData:
    lines = [f'{e} {1 + 3 * i} 0.01' for e, i in zip(ENERGY, shape(ENERGY), strict=True)]
    text = 'Title\nC (CM-1) COUNTS ERROR\n' + '\n'.join(lines)
    return orm.SinglefileData(io.BytesIO(text.encode()), filename='some.dat')


@pytest.fixture
def node(source) -> MeasuredSpectrumData:
    return functions.read_measured_spectrum(source, orm.Dict({}))


@pytest.fixture
def simulated(aiida_profile) -> InsSpectrumData:
    edges = np.arange(0.0, 1101.0)
    values = shape((edges[1:] + edges[:-1]) / 2)
    return InsSpectrumData.from_arrays(edges, values[None], [{}], 'broadened', 10.0, 'TOSCA')


def test_the_source_file_is_in_the_graph(node, source):
    assert node.creator.inputs.file.uuid == source.uuid
    assert node.title == 'Title'
    assert node.to_spectrum().intensity.shape == (1, len(ENERGY))


def test_a_broken_file_is_an_exit_code(aiida_profile):
    file = orm.SinglefileData(io.BytesIO(b'20 1\n20 nan\n'), filename='bad.dat')
    settings = orm.Dict({'units': '1/cm', 'columns': ['energy', 'intensity']})
    _, process = functions.read_measured_spectrum.run_get_node(file, settings)
    assert process.exit_status == 301
    assert 'bad.dat: energies are repeated' in process.exit_message
    assert 'not finite' in process.exit_message


def test_wrong_settings_are_an_exit_code(source):
    settings = orm.Dict({'unit': '1/cm', 'format': 'excel'})
    _, process = functions.read_measured_spectrum.run_get_node(source, settings)
    assert process.exit_status == 301
    assert "unknown key 'unit' (did you mean 'units'?)" in process.exit_message
    assert "'excel' is not allowed" in process.exit_message


def test_every_operation_leaves_its_settings_in_the_graph(node):
    cropped = functions.crop_spectrum(node, orm.Dict({'energy_min': 100.0, 'energy_max': 900.0}))
    bins = orm.Dict({'energy_min': 110.0, 'energy_max': 890.0, 'bin_width': 5.0})
    binned = functions.rebin_spectrum(cropped, bins)
    can = functions.rebin_spectrum(node, bins)
    rest = functions.subtract_spectrum(binned, can, orm.Dict({'scale': 0.25}))
    masked = functions.mask_spectrum(rest, orm.Dict({'regions': [[110.0, 120.0]]}))
    total = functions.sum_measured_spectra(orm.Dict({'weights': [2.0]}), a=masked, b=masked)
    found = total.to_spectrum()
    assert found.intensity == pytest.approx(4 * 0.75 * can.to_spectrum().intensity)
    assert found.masked.sum() == 2
    assert found.metadata['subtracted']['scale'] == [0.25]
    assert total.creator.inputs.a.creator.inputs.settings['regions'] == [[110.0, 120.0]]


@pytest.mark.parametrize(
    ('function', 'settings', 'words'),
    [
        (functions.crop_spectrum, {'energy_min': 1.0}, "'energy_max' is missing"),
        (functions.crop_spectrum, {'energy_min': 1.0, 'energy_max': 2.0}, 'there are 0 values'),
        (functions.rebin_spectrum, {'energy_min': 0.0, 'energy_max': 90.0, 'bin_width': 1.0},
         'reach beyond the spectrum'),
        (functions.mask_spectrum, {'regions': [[5.0]]}, 'a lower and a larger upper end'),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_an_exit_code(node, function, settings, words):
    _, process = function.run_get_node(node, orm.Dict(settings))
    assert process.exit_status == 401
    assert words in process.exit_message


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_comparison_with_a_simulation(node, simulated, protocol):
    settings = load_protocol('agreement', protocol)['settings']
    settings['windows'] = [[100.0, 900.0], [200.0, 400.0]]
    made = functions.compare_with_measurement(node, simulated, orm.Dict(settings))
    whole, part = made['metrics']['windows']
    assert whole['r_squared'] == pytest.approx(1.0, abs=1e-3)
    assert whole['scale'] == pytest.approx(3.0, rel=1e-2)
    assert whole['background_at_ends'] == pytest.approx([1.0, 1.0], abs=1e-2)
    assert len(whole['peaks']['matched']) == 2
    assert len(part['peaks']['matched']) == 1
    assert made['overlay'].get_array('window_1_model').shape == (200,)
    assert made['overlay'].get_array('window_0_mask').sum() == 0


def test_peaks_for_the_shift_table(node):
    settings = load_protocol('agreement')['settings'] | {
        'windows': [[100.0, 900.0], [250.0, 350.0]], 'peak_prominence': 0.1,
    }  # fmt: skip
    peaks = functions.measured_peaks(node, orm.Dict(settings)).get_list()
    assert [peak['position'] for peak in peaks] == pytest.approx([300, 700], abs=0.1)
    # of exp(-((E - 300) / 20)^2)
    assert peaks[0]['width'] == pytest.approx(20 * 2 * np.sqrt(np.log(2)), abs=0.5)
    assert peak_problems(peaks, 'peaks') == []
    wrong = orm.Dict({**settings, 'windows': [[1.0, 900.0]]})
    _, process = functions.measured_peaks.run_get_node(node, wrong)
    assert process.exit_status == 401
    assert 'is not within the spectrum' in process.exit_message


def test_a_window_beyond_the_spectra_is_an_exit_code(node, simulated):
    settings = load_protocol('agreement')['settings'] | {'windows': [[0.0, 2000.0]]}
    _, process = functions.compare_with_measurement.run_get_node(
        node, simulated, orm.Dict(settings)
    )
    assert process.exit_status == 401
    assert 'measured: the window' in process.exit_message
    assert 'simulated: the window' in process.exit_message
