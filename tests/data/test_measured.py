import io
import json

import numpy as np
import pytest
from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_mlip_ins.data.measured import MeasuredSpectrumData, as_spectrum
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.measured import MeasuredSpectrum
from aiida_mlip_ins.science.readers import ReadSettings, read_spectrum


def make(**changes) -> MeasuredSpectrum:
    arguments = {
        'energy': np.array([10.0, 20.0, 40.0, 50.0]),
        'intensity': np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        'errors': np.full((2, 3), 0.1),
        'kind': 'histogram',
        'density': False,
        'mask': np.array([True, False, False]),
        'labels': ('forward', 'backward'),
        'title': 'hexane',
        'intensity_unit': 'Counts',
        'metadata': {'format': 'mantid', 'instrument': 'TOSCA'},
        **changes,
    }
    return MeasuredSpectrum(**arguments)


def test_what_is_put_in_comes_out_of_the_database(aiida_profile):
    node = MeasuredSpectrumData.from_spectrum(make()).store()
    again = orm.load_node(node.pk).get_array('energy'), node.to_spectrum()
    assert again[0].tolist() == [10, 20, 40, 50]
    one, other = make(), again[1]
    for name in ('energy', 'intensity', 'errors', 'mask'):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    for name in ('kind', 'density', 'labels', 'title', 'intensity_unit', 'metadata'):
        assert getattr(one, name) == getattr(other, name)
    assert node.units == {'energy': '1/cm', 'intensity': 'Counts'}
    assert node.base.attributes.get('source_format') == 'mantid'


def test_errors_and_mask_may_be_missing(aiida_profile):
    node = MeasuredSpectrumData.from_spectrum(make(errors=None, mask=None))
    assert sorted(node.get_arraynames()) == ['energy', 'intensity']
    assert node.to_spectrum().errors is None
    assert node.to_spectrum().mask is None


def test_all_problems_are_told_at_once(aiida_profile):
    intensity = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    with pytest.raises(ValueError, match='not finite') as caught:
        MeasuredSpectrumData.from_spectrum(make(intensity=intensity, errors=np.full((2, 3), -1)))
    assert 'negative' in str(caught.value)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'energy': np.arange(10.0, 13.0)}, '3 energies do not fit 3 values of histogram'),
        ({'kind': 'bars'}, "kind 'bars' is none of"),
        ({'kind': 'points', 'energy': np.arange(10.0, 13.0)}, 'points are a density'),
        ({'labels': ('one',)}, '1 labels for 2 spectra'),
        ({'errors': np.ones((1, 3))}, 'errors have the shape'),
        ({'mask': np.zeros(2, dtype=bool)}, 'the mask has the shape'),
        ({'intensity': np.ones(3)}, 'expected (number of spectra'),
    ],
)
def test_what_does_not_fit_together_is_refused(aiida_profile, changes, words):
    with pytest.raises(ValueError, match='measured spectrum') as caught:
        MeasuredSpectrumData.from_spectrum(make(**changes))
    assert words in str(caught.value)


def test_an_incomplete_node_cannot_be_stored(aiida_profile):
    with pytest.raises(ValidationError, match=r'array energy is missing.*attribute kind'):
        MeasuredSpectrumData().store()


def test_the_csv_is_read_by_our_own_reader(aiida_profile):
    node = MeasuredSpectrumData.from_spectrum(make())
    again = read_spectrum(node.to_csv().encode(), 'x.csv', ReadSettings())
    assert again.energy.tolist() == [30, 45]
    assert again.intensity.tolist() == [[2, 3], [5, 6]]
    assert again.errors == pytest.approx(np.full((2, 2), 0.1))
    assert node._prepare_csv()[0].decode() == node.to_csv()


def test_the_json_has_arrays_and_units(aiida_profile):
    node = MeasuredSpectrumData.from_spectrum(make())
    content = json.load(io.BytesIO(node._prepare_json()[0]))
    assert content['arrays']['errors'] == np.full((2, 3), 0.1).tolist()
    assert content['units'] == {'energy': '1/cm', 'intensity': 'Counts'}


def test_a_simulation_in_the_form_in_which_spectra_are_compared(aiida_profile):
    node = InsSpectrumData.from_arrays(
        np.arange(5.0), np.ones((2, 4)), [{'order': 1}, {'order': 2}], 'grouped', 10.0, 'TOSCA'
    )
    found = as_spectrum(node)
    assert found.intensity.tolist() == [[2, 2, 2, 2]]
    assert (found.kind, found.density, found.errors) == ('histogram', True, None)
    again = read_spectrum(node.to_csv().encode() + b'5000,1,1,1\n', 'x.csv', ReadSettings())
    assert again.intensity[0, :4].tolist() == [2, 2, 2, 2]


def test_a_spectrum_whose_arrays_an_archive_left_out_is_refused_by_name(aiida_profile):
    node = InsSpectrumData.from_arrays(
        np.arange(5.0), np.ones((1, 4)), [{'order': 1}], 'grouped', 10.0, 'TOSCA'
    )
    for name in node.base.repository.list_object_names():
        node.base.repository.delete_object(name)
    with pytest.raises(ValueError, match='has no numbers: the archive'):
        as_spectrum(node)
