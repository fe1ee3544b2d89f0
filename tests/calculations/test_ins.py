import io
import json

import numpy as np
import pytest
from aiida import orm
from aiida.common.folders import SandboxFolder
from aiida_phonopy.data import ForceConstantsData
from ins_settings import SETTINGS
from phonon_nodes import dft_force_constants, spring_force_constants
from pw_mocks import code, instantiate

from aiida_mlip_ins.calculations.ins import (
    InsCalculation,
    pack_force_constants,
    settings_problems,
    validate_force_constants,
)
from aiida_mlip_ins.drivers.ins import FORCE_CONSTANTS
from aiida_mlip_ins.drivers.ins_output import INTENSITIES


def builder(**changes):
    made = InsCalculation.get_builder()
    made.code = code(plugin='mlip_ins.mace_train')
    made.force_constants = dft_force_constants('0.0')
    made.parameters = orm.Dict({**SETTINGS, **changes})
    return made


def test_the_job_takes_its_driver_and_no_pickle(aiida_profile):
    process = instantiate(builder())
    with SandboxFolder() as folder:
        info = process.prepare_for_submission(folder)
        names = folder.get_content_list()
        with folder.open('inputs.json') as handle:
            inputs = json.load(handle)
        with folder.open(FORCE_CONSTANTS, 'rb') as handle:
            arrays = dict(np.load(handle, allow_pickle=False))
    assert {FORCE_CONSTANTS, 'inputs.json', 'aiida_mlip_ins'} <= set(names)
    assert inputs['parameters'] == SETTINGS
    assert info.codes_info[0].cmdline_params == ['-m', 'aiida_mlip_ins.drivers.ins']
    assert INTENSITIES in info.retrieve_temporary_list
    assert INTENSITIES not in info.retrieve_list
    assert arrays['force_constants'].shape == (5, 5, 3, 3)
    assert arrays['symbols'].tolist() == ['Mg', 'O', 'O', 'H', 'H']


def test_packed_force_constants_keep_isotopes_and_borns(aiida_profile):
    structure = orm.StructureData(cell=np.eye(3) * 4)
    structure.append_atom(position=(0, 0, 0), symbols='H', name='D1', mass=2.014)
    structure.append_atom(position=(2, 2, 2), symbols='Li')
    node = ForceConstantsData(
        structure=structure, supercell_matrix=[1, 1, 1], primitive_matrix=np.eye(3).tolist()
    )
    node.set_force_constants(np.zeros((2, 2, 3, 3)))
    node.set_dielectric(np.eye(3) * 2)
    node.set_born_charges(np.array([np.eye(3), -np.eye(3)]))
    with np.load(io.BytesIO(pack_force_constants(node)), allow_pickle=False) as file:
        assert file['symbols'].tolist() == ['H', 'Li']
        assert file['masses'][0] == pytest.approx(2.014)
        assert file['born'].shape == (2, 3, 3)
        assert file['dielectric'][0, 0] == 2


@pytest.mark.parametrize(
    ('changes', 'messages'),
    [
        ({'energy_min': 500.0, 'energy_max': 400.0}, ['is empty']),
        ({'energy_max': 0.5, 'bin_width': 1.0}, ['wider than the whole range']),
        ({'temperature': -1.0}, ['temperature: -1.0 K is below']),
        ({'mesh': [4, 4]}, ['expected three numbers']),
        ({'mesh': [4, 0, 4]}, ['mesh[1]: 0 is below']),
        ({'max_order': 11, 'instrument': 'TOSKA'}, ['max_order', "did you mean 'TOSCA'"]),
        ({'q_step': 0.1, 'banks': {'up': 1.0}}, ['q_step', "unknown key 'up'"]),
        ({'binwidth': 1.0}, ["did you mean 'bin_width'"]),
    ],
)
def test_settings_are_refused_before_submission(aiida_profile, changes, messages):
    with pytest.raises(ValueError, match='parameters') as error:
        instantiate(builder(**changes))
    for message in messages:
        assert message in str(error.value)
    assert settings_problems(SETTINGS, 'parameters') == []


def test_isotopes_of_atoms_that_are_not_there_are_refused_before_submission(aiida_profile):
    with pytest.raises(ValueError, match=r'isotopes\.C: no such element') as error:
        instantiate(builder(isotopes={'C': '13C', '5': 'D'}))
    assert 'isotopes.5: the primitive cell has the atoms 0 to 4' in str(error.value)
    instantiate(builder(isotopes={'H': 'D', '3': 'natural'}))


def test_force_constants_that_were_never_set_are_refused(aiida_profile):
    structure = orm.StructureData(cell=np.eye(3) * 4)
    structure.append_atom(position=(0, 0, 0), symbols='H')
    node = ForceConstantsData(structure=structure)
    assert 'has no force constants' in validate_force_constants(node, None)
    assert validate_force_constants(spring_force_constants(), None) is None


def test_a_code_for_something_else_is_refused(aiida_profile):
    made = builder()
    other = code(plugin='quantumespresso.pw')
    with pytest.raises(ValueError, match=r'quantumespresso\.pw'):
        made.code = other


def test_what_any_job_refuses_is_still_refused(aiida_profile):
    made = builder()
    made.metadata.computer = orm.Computer(
        label='elsewhere', hostname='localhost', transport_type='core.local',
        scheduler_type='core.direct',
    ).store()  # fmt: skip
    with pytest.raises(ValueError, match='is different from'):
        instantiate(made)
