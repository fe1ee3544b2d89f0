import numpy as np
import pytest
from aiida import orm

from aiida_mlip_ins.calculations.functions.spectra import broaden_map
from aiida_mlip_ins.data.ins_map import InsMapData


def make(**changes) -> InsMapData:
    reachable = np.ones((2, 50), dtype=bool)
    reachable[0, 40:] = False
    arguments = {
        'q': np.array([1.0, 2.0]),
        'energy_bins': np.arange(0.0, 51.0),
        'intensity': np.random.default_rng(5).random((2, 2, 50)) * reachable,
        'reachable': reachable,
        'elements': ['H', 'O'],
        'incident_energy_mev': 20.0,
        'temperature_k': 10.0,
        'instrument': 'MARI',
        **changes,
    }
    return InsMapData.from_arrays(**arguments)


def test_cuts_are_means_of_what_is_reachable(aiida_profile):
    node = make()
    assert node.along_energy(0.5, 1.5) == pytest.approx(node.intensity[:, 0])
    both = node.along_energy(0.5, 2.5)
    assert both[:, :40] == pytest.approx(node.intensity[:, :, :40].mean(axis=1))
    assert both[:, 40:] == pytest.approx(node.intensity[:, 1, 40:])
    assert node.along_q(0.0, 10.0) == pytest.approx(node.intensity[:, :, :10].mean(axis=2))
    assert node.along_q(30.0, 50.0)[:, 0] == pytest.approx(node.intensity[:, 0, 30:40].mean(axis=1))
    with pytest.raises(ValueError, match='the axis runs from 1 to 2'):
        node.along_energy(5.0, 6.0)


def test_a_map_is_broadened_along_energy_within_its_reach(aiida_profile):
    # Stored nodes need the entry point of an installation; the function itself does not.
    node = make()
    settings = orm.Dict(
        {'instrument': 'MARI', 'model': 'polynomial', 'arguments': {'coefficients': [2.0]}}
    )
    found = broaden_map.__wrapped__(node, settings)
    assert found.intensity.shape == node.intensity.shape
    assert (found.intensity[:, 0, 40:] == 0).all()
    assert found.intensity[:, 1].sum(axis=1) == pytest.approx(node.intensity[:, 1].sum(axis=1))
    assert not np.allclose(found.intensity, node.intensity)
    assert found.base.attributes.get('resolution')['sigma_per_cm'] == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'intensity': np.ones((2, 3, 50))}, r'shape \(2, 3, 50\), expected \(2, 2, 50\)'),
        ({'reachable': np.ones((2, 5), dtype=bool)}, 'reachable has the shape'),
        ({'intensity': np.full((2, 2, 50), np.nan)}, 'not all finite'),
        ({'q': np.array([2.0, 1.0])}, 'q must be ascending'),
    ],
)
def test_what_does_not_fit_is_refused(aiida_profile, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
