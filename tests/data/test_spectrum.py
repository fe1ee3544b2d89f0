import numpy as np
import pytest
from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science import ins

ROWS = ins.describe_rows(['O', 'H'], [1, 2], ['forward', 'backward'])


def make(**changes) -> InsSpectrumData:
    arguments = {
        'energy_bins': np.arange(0.0, 11.0),
        'intensity': np.random.default_rng(5).random((8, 10)),
        'rows': ROWS,
        'stage': 'intensities',
        'temperature_k': 10.0,
        'instrument': 'TOSCA',
        'pressure_gpa': 1.5,
        'remarks': ['two modes left out'],
        **changes,
    }
    return InsSpectrumData.from_arrays(**arguments)


def test_what_is_put_in_comes_out_of_the_database(aiida_profile):
    node = make().store()
    again = orm.load_node(node.pk)
    assert isinstance(again, InsSpectrumData)
    assert again.intensity == pytest.approx(node.intensity)
    assert again.energy.tolist() == [0.5 + i for i in range(10)]
    assert (again.pressure_gpa, again.temperature_k, again.instrument) == (1.5, 10.0, 'TOSCA')
    assert again.units == {'energy_bins': '1/cm', 'intensity': 'barn/(1/cm)/primitive cell'}
    assert again.rows == ROWS
    assert again.elements == ['H', 'O']
    assert again.resolution is None
    assert again.remarks == again.derive('grouped', again.intensity).remarks
    assert again.remarks == ['two modes left out']


def test_a_spectrum_can_be_found_by_its_conditions(aiida_profile):
    node = make(pressure_gpa=7.25).store()
    query = orm.QueryBuilder()
    query.append(InsSpectrumData, filters={'attributes.pressure_gpa': 7.25})
    assert [n.pk for n in query.all(flat=True)] == [node.pk]


def test_select_and_total(aiida_profile):
    node = make()
    assert node.total() == pytest.approx(node.intensity.sum(axis=0))
    hydrogen = [i for i, row in enumerate(ROWS) if row['element'] == 'H']
    assert node.select(element='H') == pytest.approx(node.intensity[hydrogen].sum(axis=0))
    with pytest.raises(KeyError):
        node.select(element='C')


def test_later_stages_keep_the_conditions(aiida_profile):
    node = make()
    rows, sums = ins.group(node.rows, node.intensity, ['element'])
    grouped = node.derive('grouped', sums, rows)
    assert grouped.stage == 'grouped'
    assert grouped.pressure_gpa == 1.5
    assert grouped.total() == pytest.approx(node.total())
    broadened = grouped.derive('broadened', sums, resolution={'model': 'x'})
    assert broadened.resolution == {'model': 'x'}
    assert broadened.rows == rows


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'intensity': np.ones((7, 10))}, 'has the shape'),
        ({'intensity': np.full((8, 10), np.nan)}, 'not all finite'),
        ({'energy_bins': np.arange(10.0, -1.0, -1.0)}, 'ascending'),
        ({'rows': [{**row, 'colour': 'red'} for row in ROWS]}, 'unknown keys'),
        ({'stage': 'smeared'}, "stage 'smeared' is none of"),
    ],
)
def test_what_does_not_fit_together_is_refused(aiida_profile, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_an_empty_node_cannot_be_stored(aiida_profile):
    with pytest.raises(ValidationError, match='energy_bins'):
        InsSpectrumData().store()
