"""The cure of imaginary modes: builder, refusals, each step on a row of atoms that folds in two."""

from __future__ import annotations

from typing import Any

import ase
import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida_phonopy.data import ForceConstantsData
from mace_nodes import toy_model, toy_structure
from pw_mocks import Submissions, code, finished, instantiate

from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
from aiida_mlip_ins.calculations.mace_relax import MaceRelaxCalculation
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.workflows.cure import CureWorkChain
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain
from aiida_mlip_ins.workflows.protocols import PROTOCOLS

pytestmark = pytest.mark.usefixtures('aiida_profile')

FALL, RISE = 2.0, 50.0
"""eV/angstrom^2 and eV/angstrom^4 of the double well along the mode."""


def builder(**keywords: Any) -> Any:
    given = {
        'structure': toy_structure(), 'model': toy_model(), 'pressure': 1.5,
        'code': code(plugin='mlip_ins.mace_train'), **keywords,
    }  # fmt: skip
    return CureWorkChain.get_builder_from_protocol(**given)


def row_of_nickel() -> orm.StructureData:
    return to_structure(ase.Atoms('Ni', cell=[2.5, 9.0, 9.0], pbc=True))


def constants(structure: orm.StructureData, multiples: list[int], stable: bool) -> Any:
    """Return force constants of atoms on springs, in a row soft where neighbours move apart."""
    count = int(np.prod(multiples)) * len(structure.sites)
    values = np.zeros((count, count, 3, 3))
    for atom in range(count):
        values[atom, atom] = np.diag([1.0, 5.0, 5.0])
        if not stable:
            values[atom, atom, 0, 0] -= 2.0
            for other in ((atom + 1) % count, (atom - 1) % count):
                values[atom, other, 0, 0] += 1.0
    node = ForceConstantsData(
        structure=structure, supercell_matrix=multiples, primitive_matrix=np.eye(3).tolist()
    )
    node.set_force_constants(values)
    return node


def phonons(process: Any, imaginary: bool) -> orm.WorkChainNode:
    """Return the end of the phonons of the crystal that there is now."""
    outputs = {
        'summary': orm.Dict(
            {
                'min_frequency_per_cm': -50.0 if imaginary else 20.0, 'imaginary': imaginary,
                'min_frequency_q': [0.5, 0, 0], 'imaginary_share': 0.1 * imaginary,
                'n_modes': 3 * len(process.ctx.structure.sites),
                'supercell_matrix': np.diag(process.ctx.supercell).tolist(),
            }
        ),
        'modes': orm.ArrayData(np.zeros(3)),
        'force_constants': constants(
            process.ctx.structure, process.ctx.supercell, not imaginary
        ),
    }  # fmt: skip
    return finished(MacePhononsWorkChain, outputs)


def line(frames: Any, fall: float = FALL) -> orm.WorkChainNode:
    """Return the end of the evaluation of a double well along the mode."""
    labelled = []
    for frame in frames.get_frames():
        x = frame.info['amplitude']
        frame.info['REF_energy'] = -100.0 - fall * x**2 + RISE * x**4
        frame.arrays['REF_forces'] = np.zeros((len(frame), 3))
        labelled.append(frame)
    return finished(MaceEvaluateCalculation, {'dataset': DatasetData.from_frames(labelled, 'toy')})


def relaxed(structure: orm.StructureData) -> orm.WorkChainNode:
    """Return the end of a relaxation that moved nothing."""
    row = {
        'spacegroup': 'Pmma (51)', 'enthalpy_ev': -5.0, 'volume_angstrom3': 405.0,
        'max_force_ev_per_angstrom': 1e-5, 'stress_residual_gpa': 1e-4,
    }  # fmt: skip
    outputs = {
        'structures.pressure_0': structure.clone(),
        'results': orm.Dict({'pressures': [row]}),
    }
    return finished(MaceRelaxCalculation, outputs)


def started(imaginary: bool = True, **cure: Any) -> tuple[Any, Submissions]:
    made = builder(
        structure=row_of_nickel(),
        overrides={
            'cure': cure, 'phonons': {'mace': {'supercell_min_length': 9.0}},
            'ins': {'parameters': {'isotopes': {}}},
        },
    )  # fmt: skip
    process = instantiate(made)
    submissions = Submissions(process)
    process.setup()
    process.run_phonons()
    process.ctx.phonons = phonons(process, imaginary)
    assert process.inspect_phonons() is None
    return process, submissions


def test_modes_have_the_nuclides_of_the_spectrum() -> None:
    made = builder(overrides={'ins': {'parameters': {'isotopes': {'Ni': '62Ni'}}}})
    process = instantiate(made)
    submissions = Submissions(process)
    process.setup()
    process.run_phonons()
    assert submissions.calls[0][1]['isotopes'].get_dict() == {'Ni': '62Ni'}


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_is_accepted(protocol: str) -> None:
    process = instantiate(builder(protocol=protocol))
    assert process.inputs.settings['remedies'][-1] == 'follow'
    assert process.inputs.phonons.parameters['primitive_cell'] == 'given'
    assert process.inputs.ins.resolution['instrument'] == 'TOSCA'
    assert 'ins' not in instantiate(builder(protocol=protocol, spectrum=False)).inputs


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(ValueError, match='cure') as error:
        builder(
            code=code(), pressure=-1.0,
            overrides={
                'cure': {'remedies': ['pray']}, 'relax': {'parameters': {'fmx': 1.0}},
                'ins': {'parameters': {'temperature': -1.0}},
            },
        )  # fmt: skip
    for message in (
        "'pray' is not allowed", "did you mean 'fmax'", 'temperature: -1.0 K',
        'quantumespresso.pw',
    ):  # fmt: skip
        assert message in str(error.value)
    with pytest.raises(ValueError, match='negative'):
        builder(pressure=-1.0)


def test_inputs_that_do_not_fit_are_refused() -> None:
    made = builder(overrides={'ins': {'parameters': {'isotopes': {'0': '58Ni'}}}})
    made.phonons.supercell_matrix = orm.List([[2, 0, 0], [0, 2, 0], [0, 0, 2]])
    with pytest.raises(ValueError, match='give three multiples') as error:
        instantiate(made)
    assert 'name elements instead of 0' in str(error.value)
    made = builder(overrides={'ins': {'parameters': {'isotopes': {'Ni': '99Ni'}}}})
    with pytest.raises(ValueError, match=r'isotopes\.Ni: no mass of 99Ni is known'):
        instantiate(made)


def test_a_stable_crystal_goes_straight_to_its_spectrum() -> None:
    process, submissions = started(imaginary=False)
    assert not process.has_remedy()
    process.report_steps()
    assert process.outputs['report']['cured']
    assert process.outputs['report']['sentences'] == ['as given: lowest frequency 20.0 1/cm']
    assert process.has_spectrum()
    process.run_ins()
    assert submissions.calls[-1][0] is InsWorkChain
    process.ctx.ins = finished(InsWorkChain)
    assert process.inspect_ins() is None
    assert process.results() is None


def test_first_a_tighter_relaxation_then_a_larger_supercell() -> None:
    process, submissions = started()
    given = process.inputs.relax.parameters.get_dict()
    assert process.has_remedy()
    process.choose()
    assert not process.follows()
    assert process.relaxes()
    process.run_relax()
    job, inputs = submissions.calls[-1]
    assert job is MaceRelaxCalculation
    assert inputs['parameters']['fmax'] == pytest.approx(0.1 * given['fmax'])
    assert inputs['parameters']['smax'] == pytest.approx(0.1 * given['smax'])
    assert inputs['parameters']['keep_symmetry'] is True
    assert inputs['pressures'].get_list() == [1.5]
    assert inputs['metadata']['call_link_label'] == 'relax_1'
    process.ctx.relax = relaxed(process.ctx.structure)
    assert process.inspect_relax() is None
    process.run_phonons()
    job, inputs = submissions.calls[-1]
    assert job is MacePhononsWorkChain
    assert inputs['structure'].uuid == process.ctx.structure.uuid
    before = inputs['supercell_matrix'].get_list()
    process.ctx.phonons = phonons(process, imaginary=True)
    process.inspect_phonons()
    process.choose()
    assert not process.relaxes()
    assert process.has_changed()
    process.run_phonons()
    job, inputs = submissions.calls[-1]
    assert inputs['supercell_matrix'].get_list() == [number + 1 for number in before]
    process.ctx.phonons = phonons(process, imaginary=False)
    process.inspect_phonons()
    assert not process.has_remedy()
    process.report_steps()
    report = process.outputs['report']
    assert [step['remedy'] for step in report['steps']] == ['given', 'relax', 'supercell']
    assert 'relaxed further, to forces of 1e-05 eV/angstrom' in report['sentences'][1]
    assert 'larger supercell of the phonons, 5 x 2 x 2: lowest' in report['sentences'][2]


def test_a_mode_is_followed_into_the_well() -> None:
    """Atoms go where paper has the minimum, in a cell of two, which needs half the multiples."""
    process, submissions = started(remedies=['follow'])
    mesh = process.inputs.phonons.parameters['mesh']
    process.choose()
    process.run_line()
    job, inputs = submissions.calls[-1]
    assert job is MaceEvaluateCalculation
    assert inputs['frames'].n_frames == 9
    process.ctx.line = line(inputs['frames'])
    assert process.inspect_line() is None
    cell = process.ctx.structure
    assert np.diag(cell.cell) == pytest.approx([5.0, 9.0, 9.0])
    places = np.sort([site.position[0] for site in cell.sites])
    moved = np.sqrt(FALL / (2 * RISE))
    assert abs(places[1] - places[0]) in (
        pytest.approx(2.5 - 2 * moved, abs=1e-6), pytest.approx(2.5 + 2 * moved, abs=1e-6)
    )  # fmt: skip
    assert process.relaxes()
    process.run_relax()
    _, inputs = submissions.calls[-1]
    assert inputs['parameters']['keep_symmetry'] is False
    process.ctx.relax = relaxed(cell)
    process.inspect_relax()
    process.run_phonons()
    _, inputs = submissions.calls[-1]
    assert inputs['supercell_matrix'].get_list() == [2, 1, 1]
    assert inputs['parameters']['mesh'] == [-(-mesh[0] // 2), *mesh[1:]]
    process.ctx.phonons = phonons(process, imaginary=False)
    process.inspect_phonons()
    assert not process.has_remedy()
    process.report_steps()
    step = process.outputs['report']['steps'][1]
    assert step['q'] == [0.5, 0.0, 0.0]
    assert step['amplitude_angstrom'] == pytest.approx(moved)
    assert step['depth_mev_per_atom'] == pytest.approx(1000 * FALL**2 / (4 * RISE) / 2)
    assert step['n_atoms'] == 2
    assert 'at q = (0.5, 0, 0) followed' in process.outputs['report']['sentences'][1]
    process.run_ins()
    _, inputs = submissions.calls[-1]
    given = process.inputs.ins.ins.parameters['mesh']
    assert inputs['ins']['parameters']['mesh'] == [-(-given[0] // 2), *given[1:]]
    assert process.results() is None


def test_a_soft_point_that_the_mesh_passes_by_is_seen() -> None:
    process, _ = started()
    node = phonons(process, imaginary=True)
    summary = {**node.outputs.summary.get_dict(), 'imaginary': False, 'imaginary_share': 0.0}
    summary['min_frequency_per_cm'] = 30.0
    outputs = {name: node.outputs[name] for name in ('force_constants', 'modes')}
    process.ctx.phonons = finished(MacePhononsWorkChain, {**outputs, 'summary': orm.Dict(summary)})
    process.inspect_phonons()
    assert process.has_remedy()
    process.report_steps()
    (step,) = process.outputs['report']['steps']
    assert step['imaginary']
    assert step['min_frequency_q'] == [0.5, 0.0, 0.0]
    (sentence,) = process.outputs['report']['sentences']
    assert 'at q = (0.5, 0, 0), which the mesh passes by' in sentence
    assert process.results().status == 410


def test_a_larger_supercell_that_lacks_the_soft_point_is_no_cure() -> None:
    """In three cells the border is not among the exact points; it is looked at all the same."""
    process, _ = started(remedies=['supercell'], added_multiples=3)
    assert process.ctx.supercell == [4, 1, 1]
    assert process.ctx.soft['mode']['q'] == [0.5, 0.0, 0.0]
    process.choose()
    assert process.ctx.supercell == [7, 4, 4]
    row = constants(process.ctx.structure, [7, 1, 1], stable=False)
    summary = phonons(process, imaginary=False).outputs.summary.clone()
    process.ctx.phonons = finished(
        MacePhononsWorkChain,
        {'force_constants': row, 'summary': summary, 'modes': orm.ArrayData(np.zeros(3))},
    )
    assert process.inspect_phonons() is None
    assert process.ctx.soft['mode']['q'] == [0.5, 0.0, 0.0]
    assert process.results().status == 410


def test_a_mode_without_a_well_is_not_followed() -> None:
    process, submissions = started(remedies=['follow'], max_follows=3)
    process.choose()
    process.run_line()
    _, inputs = submissions.calls[-1]
    process.ctx.line = line(inputs['frames'], fall=-1.0)
    assert process.inspect_line() is None
    assert not process.relaxes()
    assert not process.has_changed()
    assert not process.has_remedy()
    process.report_steps()
    assert not process.has_spectrum()
    found = process.results()
    assert found.status == 410
    assert 'down to -' in found.message
    assert 'not by more than 0.01' in found.message
    report = process.outputs['report']
    assert not report['cured']
    assert 'noise of the forces' in report['sentences'][-1]
    assert {'structure', 'force_constants', 'summary'} <= set(process.outputs)


def test_a_mode_of_a_longer_cell_is_not_looked_for() -> None:
    process, submissions = started(remedies=['follow'], max_multiple=1)
    count = len(submissions.calls)
    process.choose()
    assert process.run_line() is None
    assert process.inspect_line() is None
    assert len(submissions.calls) == count
    process.report_steps()
    assert 'raise max_multiple' in process.results().message


def test_remedies_are_bounded() -> None:
    process, _ = started(remedies=['relax'])
    process.choose()
    process.ctx.relax = relaxed(process.ctx.structure)
    process.inspect_relax()
    process.ctx.phonons = phonons(process, imaginary=True)
    process.inspect_phonons()
    assert not process.has_remedy()
    process.report_steps()
    assert 'nothing more is allowed after relax' in process.results().message


@pytest.mark.parametrize(
    ('step', 'key', 'status'),
    [
        ('inspect_phonons', 'phonons', 401), ('inspect_relax', 'relax', 402),
        ('inspect_line', 'line', 403), ('inspect_ins', 'ins', 404),
    ],
)  # fmt: skip
def test_a_link_that_failed_is_passed_on(step: str, key: str, status: int) -> None:
    process, _ = started()
    process.ctx[key] = finished(MaceRelaxCalculation, status=310)
    found = getattr(process, step)()
    assert found.status == status
    assert 'it failed' in found.message
    said = [entry.message for entry in orm.Log.collection.get_logs_for(process.node)]
    assert said[-1].endswith(found.message)


@pytest.mark.engines
@pytest.mark.slow
def test_the_toy_crystal_under_pressure_folds_for_real(engine_code: orm.InstalledCode) -> None:
    """At 14 GPa the border of its zone is soft; after three modes there is none left to follow."""
    cell = ase.Atoms(
        'NiAl', scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[2.9] * 3, pbc=True
    )
    overrides = {
        'cure': {'remedies': ['follow'], 'max_follows': 3},
        'phonons': {'mace': {'supercell_min_length': 5.0}, 'q_spacing': 0.6},
    }
    made = builder(
        code=engine_code, structure=to_structure(cell), pressure=14.0, protocol='fast',
        overrides=overrides, spectrum=False,
    )  # fmt: skip
    outputs, node = run_get_node(made)
    assert node.is_finished_ok, node.exit_message
    report = outputs['report'].get_dict()
    before, *followed = report['steps']
    # The mesh, shifted by half a step, sees 85 1/cm at the least.
    assert before['min_frequency_per_cm'] == pytest.approx(-68.8, abs=0.5)
    assert before['min_frequency_q'] == [0.0, 0.5, 0.5]
    depths = [step['depth_mev_per_atom'] for step in followed]
    assert depths == pytest.approx([3.6, 2.5, 2.1], abs=0.1)
    groups = [step['spacegroup'] for step in followed]
    assert groups == ['Cmmm (65)', 'Imma (74)', 'I2_13 (199)']
    after = followed[-1]
    assert after['min_frequency_per_cm'] > 0
    assert report['cured']
    assert len(outputs['structure'].sites) == after['n_atoms'] == 16
    assert 'spectrum' not in outputs
