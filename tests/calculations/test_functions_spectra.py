import numpy as np
import pytest
from aiida import orm
from aiida.manage.caching import enable_caching

from aiida_mlip_ins.calculations.functions.spectra import broaden_spectrum, group_intensities
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science import ins

TOSCA = {'instrument': 'TOSCA', 'model': 'AbINS', 'arguments': {}}


@pytest.fixture
def intensities(aiida_profile):
    rows = ins.describe_rows(['O', 'H'], [1, 2], ['forward', 'backward'])
    return InsSpectrumData.from_arrays(
        np.arange(0.0, 501.0),
        np.random.default_rng(6).random((8, 500)),
        rows,
        'intensities',
        temperature_k=10.0,
        instrument='TOSCA',
        pressure_gpa=0.0,
    ).store()


def test_grouping_and_broadening_keep_the_area(intensities):
    grouped = group_intensities(intensities, orm.List(['element', 'order', 'bank']))
    spectrum = broaden_spectrum(grouped, orm.Dict(TOSCA))
    assert (grouped.stage, spectrum.stage) == ('grouped', 'broadened')
    assert grouped.total() == pytest.approx(intensities.total())
    assert spectrum.total().sum() == pytest.approx(intensities.total().sum())
    assert spectrum.resolution['sigma_per_cm'][0] == pytest.approx(2.5025, abs=1e-4)
    assert spectrum.resolution['citation']
    assert spectrum.pressure_gpa == 0.0


def test_a_new_resolution_takes_the_grouping_from_the_cache(intensities):
    keys = orm.List(['element'])
    with enable_caching():
        first = group_intensities(intensities, keys)
        again = group_intensities(intensities, orm.List(['element']))
        broaden_spectrum(first, orm.Dict(TOSCA))
        sharper = {'instrument': 'IDEAL', 'model': 'gaussian', 'arguments': {'sigma': 0.1}}
        other = broaden_spectrum(again, orm.Dict(sharper))
        same = broaden_spectrum(again, orm.Dict(TOSCA))
    assert again.creator.base.caching.is_created_from_cache
    assert not other.creator.base.caching.is_created_from_cache
    assert same.creator.base.caching.is_created_from_cache


def test_a_width_that_is_not_positive_is_an_exit_code(intensities):
    copper = {
        'instrument': 'Lagrange', 'model': 'AbINS', 'arguments': {'monochromator': 'Cu(331)'}
    }  # fmt: skip
    wide = InsSpectrumData.from_arrays(
        np.array([0.0, 20000.0, 40000.0]), np.ones((1, 2)), [{}], 'grouped', 10.0, 'Lagrange'
    )
    _, node = broaden_spectrum.run_get_node(wide, orm.Dict(copper))
    assert node.exit_status == 401
    assert 'Lagrange' in node.exit_message
