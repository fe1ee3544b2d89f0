import json

import numpy as np
import pytest
from aiida import orm
from aiida.common.folders import SandboxFolder
from ins_settings import MD_SETTINGS
from moving import heavy_cell, rattling
from pw_mocks import code, instantiate

from aiida_mlip_ins.calculations.md_ins import MdInsCalculation
from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.data.trajectory import to_node
from aiida_mlip_ins.drivers.ins_output import INTENSITIES
from aiida_mlip_ins.drivers.md_ins import CRYSTAL, TRAJECTORY

pytestmark = pytest.mark.usefixtures('aiida_profile')


def builder(trajectory=None, structure=None, **changes):
    made = MdInsCalculation.get_builder()
    made.code = code(plugin='mlip_ins.mace_train')
    made.trajectory = to_node(trajectory or rattling(400.0))
    made.structure = structure or to_structure(heavy_cell())
    made.parameters = orm.Dict({**MD_SETTINGS, **changes})
    return made


def test_the_job_takes_what_it_needs_of_the_trajectory():
    process = instantiate(builder())
    with SandboxFolder() as folder:
        info = process.prepare_for_submission(folder)
        with folder.open('inputs.json') as handle:
            inputs = json.load(handle)
        arrays = {}
        for name in (CRYSTAL, TRAJECTORY):
            with folder.open(name, 'rb') as handle:
                arrays[name] = dict(np.load(handle, allow_pickle=False))
        shipped = folder.get_subfolder('aiida_mlip_ins/drivers').get_content_list()
    assert {'md_ins.py', 'ins_output.py', 'ins_modes.py'} <= set(shipped)
    assert inputs['parameters'] == MD_SETTINGS
    assert arrays[CRYSTAL]['symbols'].tolist() == ['H', 'Pb']
    assert arrays[TRAJECTORY]['velocities'].shape == (2000, 16, 3)
    assert arrays[TRAJECTORY]['positions'].shape == (16, 3)
    assert info.retrieve_temporary_list == [INTENSITIES]


@pytest.mark.parametrize(
    ('changes', 'messages'),
    [
        ({'mesh': [1, 1, 1]}, ["unknown key 'mesh'"]),
        ({'temperature': -1.0, 'line_width': 0.1}, ['temperature', 'line_width: 0.1 1/cm']),
        ({'line_width': 2.0}, ['a resolution of 2 1/cm needs 13.15 ps, the run has 8.00 ps']),
        ({'instrument': 'MARI'}, ["'incident_energy' (meV) is missing"]),
    ],
)
def test_settings_are_refused_before_submission(changes, messages):
    with pytest.raises(ValueError, match=r'\w') as error:
        instantiate(builder(**changes))
    for message in messages:
        assert message in str(error.value)


def test_another_crystal_is_refused_before_submission():
    other = heavy_cell()
    other.set_cell([3.0, 3.0, 4.0])
    with pytest.raises(ValueError, match='no multiple of that of the crystal'):
        instantiate(builder(structure=to_structure(other)))
    plain = orm.TrajectoryData()
    plain.set_trajectory(symbols=['H'], positions=np.zeros((1, 1, 3)))
    made = builder()
    made.trajectory = plain
    with pytest.raises(ValueError, match='it lacks cells'):
        instantiate(made)
