"""Relaxation by single points: the rounds, and what is kept when one of them fails."""

import numpy as np
import pw_mocks
import pytest
from aiida import orm
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.workflows.pw_quadratic_scan import PwQuadraticScanWorkChain
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain

pytestmark = pytest.mark.usefixtures('aiida_profile')
OVERRIDES = {'reference': {'pseudo_family': 'fake/copper'}}
PRESSURES = [0.0, 4.0]


@pytest.fixture
def copper() -> Atoms:
    """Copper in hexagonal close packing, a symmetric cell of two coordinates, not relaxed."""
    return bulk('Cu', 'hcp', a=2.5, c=4.3)


@pytest.fixture
def builder(copper):
    pw_mocks.family('fake/copper', 'Cu')
    return PwQuadraticScanWorkChain.get_builder_from_protocol(
        pw_mocks.code(), to_structure(copper), PRESSURES, 'balanced', OVERRIDES
    )


def labelled(frames):
    """Return the frames with the labels of ASE's effective-medium potential of copper."""
    atoms = []
    for frame in frames.get_frames():
        frame.calc = EMT()
        frame.info['REF_energy'] = frame.get_potential_energy()
        frame.info['REF_stress'] = frame.get_stress()
        frame.arrays['REF_forces'] = frame.get_forces()
        frame.calc = None
        atoms.append(frame)
    return DatasetData.from_frames(atoms, 'EMT')


def one_round(process, submitted):
    """Let a round of the workchain be labelled; return what it ended with."""
    process.run_reference()
    outputs = {'dataset': labelled(submitted.calls[-1][1]['frames'])}
    process.ctx.reference = pw_mocks.finished(ReferenceWorkChain, outputs)
    return process.inspect_reference()


def test_all_refusals_at_once(copper):
    with pytest.raises(ValueError, match='ascending') as caught:
        PwQuadraticScanWorkChain.get_builder_from_protocol(
            'absent', to_structure(copper), [1.0, -1.0], 'fast', OVERRIDES
        )
    assert 'negative' in str(caught.value)


def test_settings_are_checked_at_the_port(builder):
    inputs = builder._inputs(prune=True)
    inputs['relaxation'] = orm.Dict({**inputs['relaxation'].get_dict(), 'max_round': 3})
    with pytest.raises(ValueError, match="did you mean 'max_rounds'"):
        pw_mocks.instantiate(PwQuadraticScanWorkChain, **inputs)


def test_rounds_end_with_relaxed_crystals(builder):
    process = pw_mocks.instantiate(builder)
    submitted = pw_mocks.Submissions(process)
    process.setup()
    while process.has_frames():
        assert one_round(process, submitted) is None
    assert process.results() is None
    assert 1 < len(submitted.calls) <= 1 + builder.relaxation['max_rounds']
    for number, (_, inputs) in enumerate(submitted.calls):
        assert inputs['metadata'] == {'call_link_label': f'round_{number}'}
        assert inputs['crystal'].uuid == builder.structure.uuid
        assert inputs['allowed_failure_fraction'].value == 0.0
    rows = process.outputs['results']['pressures']
    assert [row['pressure_gpa'] for row in rows] == PRESSURES
    assert all(row['converged'] for row in rows)
    for index, pressure in enumerate(PRESSURES):
        relaxed = to_atoms(process.outputs['structures'][f'pressure_{index}'])
        relaxed.calc = EMT()
        stress = relaxed.get_stress() / GPa
        assert stress == pytest.approx([-pressure] * 3 + [0.0] * 3, abs=0.021)
    labels = sum(inputs['frames'].n_frames for _, inputs in submitted.calls)
    assert process.outputs['dataset'].n_frames == labels


def test_rounds_are_limited_and_the_last_cells_kept(builder):
    builder.relaxation = orm.Dict({**builder.relaxation.get_dict(), 'max_rounds': 1})
    process = pw_mocks.instantiate(builder)
    submitted = pw_mocks.Submissions(process)
    process.setup()
    while process.has_frames():
        one_round(process, submitted)
    code = process.results()
    assert code.status == 403
    assert '4 GPa' in code.message
    assert len(submitted.calls) == 2
    assert sorted(process.outputs['structures']) == ['pressure_0', 'pressure_1']


def test_a_failed_round_ends_it_and_keeps_the_rounds_before(builder):
    process = pw_mocks.instantiate(builder)
    submitted = pw_mocks.Submissions(process)
    process.setup()
    one_round(process, submitted)
    process.run_reference()
    process.ctx.reference = pw_mocks.finished(ReferenceWorkChain, status=401)
    code = process.inspect_reference()
    assert code.status == 401
    assert 'it failed' in code.message
    assert process.outputs['dataset'].n_frames == submitted.calls[0][1]['frames'].n_frames


def test_a_cell_in_which_atoms_overlap_is_an_end_with_a_reason(builder):
    process = pw_mocks.instantiate(builder)
    submitted = pw_mocks.Submissions(process)
    process.setup()
    one_round(process, submitted)
    crushed = to_atoms(builder.structure)
    crushed.set_cell(0.3 * np.asarray(crushed.cell), scale_atoms=True)
    crushed.info['source'] = 'relax'
    process.ctx.frames = type(process.ctx.frames).from_frames([crushed])
    code = process.run_reference()
    assert code.status == 404
    assert 'angstrom' in code.message
    assert len(submitted.calls) == 1
    assert 'dataset' in process.outputs
