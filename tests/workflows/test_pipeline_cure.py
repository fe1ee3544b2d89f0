"""The whole chain with a cure of imaginary modes: its inputs, what it takes over, what it says."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from aiida import orm
from phonon_nodes import PARAMETERS, spring_force_constants
from pw_mocks import Submissions, finished, instantiate
from spectra_nodes import simulated_node

from aiida_mlip_ins.calculations.functions.phonons import analyse_modes
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.workflows.compare_inputs import inputs_of_chain
from aiida_mlip_ins.workflows.cure import CureWorkChain
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain
from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain
from aiida_mlip_ins.workflows.pipeline_checks import input_problems

CURE = {'imaginary_policy': 'cure'}
SENTENCE = 'relaxed further, to forces of 1e-05 eV/angstrom: lowest frequency 12.0 1/cm'


def model() -> MaceModelData:
    content = b'not opened'
    description = {
        'elements': ['H', 'Mg', 'O'], 'r_max': 5.0, 'dtype': 'float64', 'heads': ['Default'],
        'num_parameters': 1, 'sha256': hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    return MaceModelData.from_file(io.BytesIO(content), description, 'given').store()


@pytest.fixture
def made(brucite_structure, engine_code):
    """Return a function that makes a builder which starts from a potential."""

    def make(**overrides: Any) -> Any:
        return HighPressureInsWorkChain.get_builder_from_protocol(
            brucite_structure, [0.0, 1.5], engine_code, protocol='fast', model=model(),
            check=False, overrides=overrides,
        )  # fmt: skip

    return make


def phonon_outputs(stable: bool) -> dict[str, orm.Data]:
    constants = spring_force_constants(1.0 if stable else -1.0)
    return {'force_constants': constants, **analyse_modes(constants, orm.Dict(PARAMETERS))}


def cured(structure: orm.StructureData, status: int = 0) -> orm.WorkChainNode:
    report = {'cured': not status, 'steps': [], 'sentences': ['as given: soft', SENTENCE]}
    outputs = {**phonon_outputs(not status), 'report': orm.Dict(report), 'structure': structure}
    if not status:
        outputs['spectrum'] = simulated_node(pressure=1.5)
        outputs['intensities'] = simulated_node(pressure=1.5)
    return finished(CureWorkChain, outputs, status)


def at_the_phonons(builder: Any) -> tuple[Any, Submissions]:
    """Return the chain where it has phonons: good ones at 0 GPa, imaginary ones at 1.5 GPa."""
    process = instantiate(builder)
    submissions = Submissions(process)
    process.setup()
    structures = {f'structures.pressure_{i}': builder.structure.clone() for i in range(2)}
    process.ctx.mace_scan = finished(MacePressureScanWorkChain, structures)
    process.ctx.relaxed = [0, 1]
    process.ctx.phonons = [
        finished(MacePhononsWorkChain, phonon_outputs(stable)) for stable in (True, False)
    ]
    process.inspect_mace_phonons()
    return process, submissions


def messages(process: Any) -> str:
    logs = orm.Log.collection.get_logs_for(process.node)
    return '\n'.join(entry.message for entry in logs)


def test_the_default_leaves_it_to_the_spectrum(made):
    builder = made()
    assert 'cure' not in builder._inputs(prune=True)
    process, submissions = at_the_phonons(builder)
    assert not process.has_unstable()
    assert set(process.outputs['mace']['phonons']) == {'pressure_0', 'pressure_1'}
    process.run_ins()
    assert [job for job, _ in submissions.calls] == [InsWorkChain, InsWorkChain]
    assert '1.5 GPa: imaginary modes, down to -' in messages(process)
    assert 'the policy of the spectrum is what meets them' in messages(process)


def test_the_cure_has_its_own_numbers_and_those_of_the_links(made):
    builder = made(**CURE, cure={'cure': {'max_follows': 2}, 'relax': {'parameters': {}}})
    inputs = builder._inputs(prune=True)
    assert set(inputs['cure']) == {'settings', 'relax'}
    assert inputs['cure']['settings']['max_follows'] == 2
    assert input_problems(inputs, None) is None


def test_what_a_cure_cannot_take_is_refused(made):
    with pytest.raises(ValueError, match="unknown policy 'leave_out'"):
        made(imaginary_policy='leave_out')
    with pytest.raises(ValueError, match=r'cure: cure\.tighter: 2\.0 is above'):
        made(**CURE, cure={'cure': {'tighter': 2.0}})
    with pytest.raises(ValueError, match=r"cure: .*unknown key 'phonons'"):
        made(**CURE, cure={'phonons': {}})
    builder = made(**CURE, ins={'parameters': {'isotopes': {'0': '24Mg'}}})
    assert 'cure: ins.ins.parameters.isotopes' in input_problems(builder._inputs(prune=True), None)


def test_only_the_unstable_crystal_is_cured(made):
    process, submissions = at_the_phonons(made(**CURE))
    assert set(process.outputs['mace']['phonons']) == {'pressure_0'}
    assert process.has_unstable()
    process.run_cure()
    ((job, inputs),) = submissions.calls
    assert job is CureWorkChain
    assert inputs['metadata']['call_link_label'] == 'cure_pressure_1'
    assert inputs['pressure'].value == 1.5
    scan = process.ctx.mace_scan.outputs.structures
    assert inputs['structure'].uuid == scan.pressure_1.uuid
    assert inputs['phonons']['parameters'].uuid == process.inputs.mace_phonons.parameters.uuid
    assert inputs['ins']['resolution'].uuid == process.inputs.ins.resolution.uuid
    crystal = process.inputs.structure.clone()
    process.ctx.cures = [cured(crystal)]
    process.inspect_cure()
    outputs = process.outputs
    assert outputs['cure']['structures']['pressure_1'].uuid == crystal.uuid
    assert outputs['cure']['reports']['pressure_1']['cured']
    assert not outputs['mace']['phonons']['pressure_1']['imaginary']
    assert set(outputs['spectra']) == set(outputs['intensities']) == {'pressure_1'}
    process.run_ins()
    assert submissions.calls[-1][0] is InsWorkChain
    assert submissions.calls[-1][1]['metadata']['call_link_label'] == 'ins_pressure_0'
    assert len(submissions.calls) == 2
    assert process.results() is None
    said = messages(process)
    assert 'down to -' in said
    assert f'1.5 GPa: {SENTENCE}' in said
    assert f'1.5 GPa: cured; force constants and spectrum are of the crystal <{crystal.pk}>' in said


def test_modes_have_the_nuclides_of_the_spectrum(made):
    builder = made(**CURE, ins={'parameters': {'isotopes': {'H': 'D'}}})
    process, submissions = at_the_phonons(builder)
    process.ctx.model = builder.model
    process.run_mace_phonons()
    process.run_ins()
    (first, one), (second, two), (_, three) = submissions.calls
    assert first is second is MacePhononsWorkChain
    for inputs in (one, two):
        assert inputs['isotopes'].get_dict() == {'H': 'D'}
    assert three['ins']['parameters']['isotopes'] == {'H': 'D'}
    plain, submissions = at_the_phonons(made())
    plain.ctx.model = builder.model
    plain.run_mace_phonons()
    assert 'isotopes' not in submissions.calls[0][1]


def test_nuclides_that_the_crystal_cannot_have_are_refused_at_the_door(made):
    with pytest.raises(ValueError, match=r'ins\.ins\.parameters\.isotopes\.C: no such element'):
        made(ins={'parameters': {'isotopes': {'C': '13C'}}})
    with pytest.raises(ValueError, match='no mass of 7H is known'):
        made(ins={'parameters': {'isotopes': {'H': '7H'}}})
    inputs = made(ins={'parameters': {'isotopes': {'0': '24Mg'}}})._inputs(prune=True)
    assert input_problems(inputs, None) is None
    inputs['pw_phonons'] = {'parameters': orm.Dict({**PARAMETERS, 'primitive_cell': 'auto'})}
    assert 'elements instead of 0' in input_problems(inputs, None)


def test_what_is_not_cured_is_said_and_the_rest_goes_on(made):
    process, submissions = at_the_phonons(made(**CURE))
    process.run_cure()
    process.ctx.cures = [cured(process.inputs.structure.clone(), 410)]
    process.inspect_cure()
    assert process.outputs['mace']['phonons']['pressure_1']['imaginary']
    assert 'structures' not in process.outputs['cure']
    assert 'spectra' not in process.outputs
    process.run_ins()
    assert [job for job, _ in submissions.calls] == [CureWorkChain, InsWorkChain]
    found = process.results()
    assert found.status == 405
    assert 'the cure of the imaginary modes at 1.5 GPa' in found.message
    assert '1.5 GPa: as given: soft' in messages(process)


def test_a_cure_that_broke_down_is_missing_too(made):
    process, _ = at_the_phonons(made(**CURE))
    process.run_cure()
    process.ctx.cures = [finished(CureWorkChain, status=402)]
    process.inspect_cure()
    assert 'force_constants' in process.outputs['mace']
    assert 'it failed' in process.results().message


def test_a_larger_cell_is_left_out_of_the_comparison(made):
    process, _ = at_the_phonons(made(**CURE))
    process.run_cure()
    larger = orm.StructureData(ase=process.inputs.structure.get_ase().repeat((2, 1, 1)))
    process.ctx.cures = [cured(larger)]
    process.inspect_cure()
    assert 'has 10 atoms and not 5' in messages(process)
    same = process.inputs.structure.clone()
    scan = {f'pressure_{i}': process.inputs.structure.clone() for i in range(2)}
    mace = {'structures': scan, 'modes': {'pressure_0': 0, 'pressure_1': 1}}
    outputs = {'mace': mace, 'cure': {'structures': {'pressure_1': larger}}}
    found = inputs_of_chain(process.inputs.pressures, outputs)['mace']
    assert set(found['structures']) == set(found['modes']) == {'pressure_0'}
    outputs['cure']['structures']['pressure_1'] = same
    found = inputs_of_chain(process.inputs.pressures, outputs)['mace']
    assert found['structures']['pressure_1'] is same
    assert set(found['modes']) == {'pressure_0', 'pressure_1'}
