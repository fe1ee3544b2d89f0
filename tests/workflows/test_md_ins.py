"""INS of molecular dynamics: builder, refusals, steps, and a run beside the harmonic spectrum."""

import ase
import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from harmonic_nodes import harmonic_spectrum, oscillators
from mace_nodes import toy_model
from moving import heavy_cell, rattling
from pw_mocks import Submissions, code, finished, instantiate

from aiida_mlip_ins.calculations.functions.measured import parts_of
from aiida_mlip_ins.calculations.mace_md import MaceMdCalculation
from aiida_mlip_ins.calculations.md_ins import MdInsCalculation
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.data.trajectory import to_node
from aiida_mlip_ins.science import ins
from aiida_mlip_ins.science.agreement import Overlay
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.md_ins import MdInsWorkChain
from aiida_mlip_ins.workflows.md_ins_inputs import trajectory_of
from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain
from aiida_mlip_ins.workflows.protocols import PROTOCOLS

pytestmark = pytest.mark.usefixtures('aiida_profile')

FREQUENCY = 400.5


def builder(engine=None, trajectory=None, **keywords):
    return MdInsWorkChain.get_builder_from_protocol(
        engine or code(plugin='mlip_ins.mace_train'),
        to_node(trajectory or rattling(FREQUENCY, count=4000)),
        to_structure(heavy_cell()),
        **keywords,
    )


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_numbers_are_those_of_the_harmonic_spectrum(protocol):
    process = instantiate(builder(protocol=protocol, pressure=1.5))
    parameters = process.inputs.ins.parameters.get_dict()
    harmonic = InsWorkChain.get_builder_from_protocol(
        code(plugin='mlip_ins.mace_train'), structure=to_structure(heavy_cell()), protocol=protocol
    )
    for name, value in harmonic.ins.parameters.items():
        assert parameters.get(name, value) == value
    assert {'line_width', 'equilibration_ps', 'verlet', 'max_order'} <= set(parameters)
    assert not {'mesh', 'isotopes', 'overtones'} & set(parameters)
    assert process.inputs.resolution.get_dict() == harmonic.resolution.get_dict()
    assert process.inputs.pressure.value == 1.5


def test_everything_wrong_is_said_at_once():
    with pytest.raises(ValueError, match='code') as error:
        builder(
            engine=code(),
            overrides={'parameters': {'temperature': -1.0}, 'resolution': {'model': 'x'}},
            trajectory=rattling(FREQUENCY, count=10),
        )
    for message in ('quantumespresso.pw', 'temperature', "no model 'x'"):
        assert message in str(error.value)
    with pytest.raises(ValueError, match='the run has 0'):
        builder(trajectory=rattling(FREQUENCY, count=300), protocol='fast')
    with pytest.raises(ValueError, match="unknown key 'mesh'"):
        builder(overrides={'parameters': {'mesh': [1, 1, 1]}})
    with pytest.raises(ValueError, match="did you mean 'line_width'"):
        builder(overrides={'parameters': {'linewidth': 3.0}})


def test_steps_from_intensities_to_spectrum():
    process = instantiate(builder(overrides={'parameters': {'line_width': 3.0}}, pressure=0.0))
    submissions = Submissions(process)
    process.run_ins()
    ((job, inputs),) = submissions.calls
    assert job is MdInsCalculation
    assert inputs['trajectory'].uuid == process.inputs.trajectory.uuid
    assert inputs['pressure'].value == 0.0
    rows = ins.describe_rows(['H', 'Pb'], [1], ['forward', 'backward'])
    line = np.tile(np.exp(-0.5 * ((np.arange(1000) - 499.5) / 3.0) ** 2), (4, 1))
    intensities = InsSpectrumData.from_arrays(
        np.arange(1001.0), line, rows, 'intensities', 10.0, 'TOSCA', 0.0, line_width=3.0
    )
    results = orm.Dict({'remarks': ['from the motion of atoms at 100 K']})
    outputs = {'intensities': intensities, 'results': results}
    process.ctx.ins = finished(MdInsCalculation, outputs)
    assert process.inspect_ins() is None
    process.group()
    assert process.broaden() is None
    assert process.results() is None
    spectrum = process.outputs['spectrum']
    assert spectrum.line_width == 3.0
    # TOSCA has 2.5 + 0.005 w + 1e-7 w^2: lines of 3.0 are too wide below 100 1/cm.
    share = spectrum.resolution['share_of_bins_with_wider_lines']
    assert share == pytest.approx(0.1, abs=0.002)
    total = spectrum.total()
    energy = spectrum.energy
    mean = total @ energy / total.sum()
    width = np.sqrt(total @ (energy - mean) ** 2 / total.sum())
    assert mean == pytest.approx(500.0, abs=0.1)
    assert width == pytest.approx(2.5 + 0.005 * 500 + 1e-7 * 500**2, rel=0.01)


def test_a_job_that_failed_is_passed_on():
    process = instantiate(builder())
    process.ctx.ins = finished(MdInsCalculation, status=410)
    code = process.inspect_ins()
    assert code.status == 401
    assert 'it failed' in code.message


def beside(spectrum, **keywords):
    return MdInsWorkChain.get_builder_from_protocol(
        code(plugin='mlip_ins.mace_train'),
        to_node(rattling(FREQUENCY + 6, count=4000)),
        protocol='fast',
        harmonic=spectrum,
        **keywords,
    )


def test_settings_are_those_that_the_harmonic_spectrum_was_made_with():
    spectrum = harmonic_spectrum(FREQUENCY, temperature=33.0, banks={'forward': 1.0})
    made = beside(spectrum)
    process = instantiate(made)
    parameters = process.inputs.ins.parameters.get_dict()
    assert parameters['temperature'] == 33.0
    assert parameters['banks'] == {'forward': 1.0}
    assert parameters['line_width'] == 20.0
    assert not {'mesh', 'overtones'} & set(parameters)
    assert process.inputs.pressure.value == 1.5
    assert process.inputs.harmonic.stage == 'intensities'
    assert process.inputs.harmonic.creator.process_type.endswith('mlip_ins.ins')
    assert process.inputs.structure.get_formula() == 'HPb'
    assert process.inputs.resolution['instrument'] == 'TOSCA'
    assert process.inputs.comparison['windows'] == [[10.0, 1000.0]]
    assert beside(spectrum.creator.inputs.spectrum).harmonic.uuid == made.harmonic.uuid
    with pytest.raises(ValueError, match=r'its temperature \(K\) is 33.0, that of the run 300.0'):
        beside(spectrum, overrides={'parameters': {'temperature': 300.0}})


def test_what_cannot_stand_beside_a_run_is_refused():
    with pytest.raises(ValueError, match='structure: give it, or a harmonic spectrum'):
        MdInsWorkChain.get_builder_from_protocol(
            code(plugin='mlip_ins.mace_train'), to_node(rattling(FREQUENCY, count=4000))
        )
    loose = InsSpectrumData.from_arrays(
        np.arange(11.0), np.ones((1, 10)), [{}], 'broadened', 10.0, 'TOSCA'
    )
    with pytest.raises(ValueError, match='was not made from force constants by InsWorkChain'):
        beside(loose)
    with pytest.raises(ValueError, match='isotopes'):
        beside(harmonic_spectrum(FREQUENCY, isotopes={'H': 'D'}))
    spectrum = harmonic_spectrum(FREQUENCY)
    with pytest.raises(ValueError, match='from 0 to 1200 1/cm is not within the spectrum') as error:
        beside(spectrum, windows=[[0.0, 1200.0]])
    assert 'harmonic: the window from 0 to 1200' in str(error.value)
    made = beside(spectrum)
    made.harmonic = spectrum
    with pytest.raises(ValueError, match='harmonic: give the intensities'):
        instantiate(made)
    made.harmonic = spectrum.creator.inputs.spectrum.creator.inputs.intensities
    del made.comparison
    with pytest.raises(ValueError, match='comparison: needed'):
        instantiate(made)


def test_both_are_broadened_alike_and_compared():
    process = instantiate(beside(harmonic_spectrum(FREQUENCY), windows=[[100.0, 700.0]]))
    assert process.has_harmonic()
    rows = ins.describe_rows(['H', 'Pb'], [1], ['forward', 'backward'])
    line = np.exp(-0.5 * ((np.arange(1000) + 0.5 - FREQUENCY - 6) / 20.0) ** 2)
    line *= 9.0 / line.sum()
    both = np.array([line if row['element'] == 'H' else 0 * line for row in rows])
    intensities = InsSpectrumData.from_arrays(
        np.arange(1001.0), both, rows, 'intensities', 10.0, 'TOSCA', 1.5, line_width=20.0
    )
    process.ctx.round = 0
    outputs = {'intensities': intensities, 'results': orm.Dict({})}
    process.ctx.ins = finished(MdInsCalculation, outputs)
    process.group()
    assert process.broaden() is None
    assert process.results() is None
    assert process.compare() is None
    harmonic = process.outputs['harmonic']
    energy, total = harmonic.energy, harmonic.total()
    mean = total @ energy / total.sum()
    # TOSCA has 4.5 1/cm there, the run 20
    assert np.sqrt(total @ (energy - mean) ** 2 / total.sum()) == pytest.approx(20.0, rel=2e-3)
    assert harmonic.resolution['least_line_width_per_cm'] == 20.0
    (row,) = process.outputs['metrics']['windows']
    (match,) = row['peaks']['matched']
    assert match['shift'] == pytest.approx(6.0, abs=0.1)
    # what the run is multiplied by, less what the lines have in common
    assert row['scale'] == pytest.approx(np.exp(-((6 / 20) ** 2) / 4) / 0.9, rel=1e-3)
    assert row['wasserstein_per_cm'] == pytest.approx(6.0, abs=0.1)
    (overlay,) = parts_of(process.outputs['overlay'], Overlay)
    assert not overlay.background.any()


def test_the_run_of_a_stability_test_is_found():
    frames = [to_node(rattling(f, count=20)) for f in (100.0, 200.0, 300.0)]
    runs = {
        f'run_{i}': {'pressure_asked_gpa': p, 'temperature_asked_k': t}
        for i, (p, t) in enumerate([(0.0, 10.0), (0.0, 300.0), (1.5, 300.0)])
    }
    node = finished(
        MdStabilityWorkChain,
        {
            'verdict': orm.Dict({'runs': runs}),
            **{f'trajectories.run_{i}': node for i, node in enumerate(frames)},
        },
    )
    assert trajectory_of(node, 1.5).uuid == frames[2].uuid
    assert trajectory_of(node, 0.0, 10.0).uuid == frames[0].uuid
    with pytest.raises(ValueError, match='2 runs of') as error:
        trajectory_of(node, 0.0)
    assert '10 K at 0 GPa, 300 K at 0 GPa, 300 K at 1.5 GPa' in str(error.value)
    single = finished(MaceMdCalculation, {'trajectory': to_node(rattling(100.0, count=20))})
    assert trajectory_of(single).uuid == single.outputs.trajectory.uuid
    with pytest.raises(ValueError, match='has no trajectory'):
        trajectory_of(finished(MdStabilityWorkChain))


@pytest.mark.engines
@pytest.mark.slow
def test_oscillators_in_motion_have_the_spectrum_of_their_springs(engine_code):
    """Both chains, one trajectory and its force constants: broadened alike within 2 %."""
    parameters = {'max_order': 3, 'energy_max': 1500.0, 'overtones': 'harmonic'}
    made = InsWorkChain.get_builder_from_protocol(
        engine_code,
        oscillators(FREQUENCY),
        0.0,
        overrides={'q_spacing': 100.0, 'parameters': parameters},
    )
    still, node = run_get_node(made)
    assert node.is_finished_ok, node.exit_message
    made = MdInsWorkChain.get_builder_from_protocol(
        engine_code,
        to_node(rattling(FREQUENCY, count=3000)),
        overrides={'parameters': {'line_width': 4.0, 'verlet': False}},
        harmonic=still['spectrum'],
    )
    moving, node = run_get_node(made)
    assert node.is_finished_ok, node.exit_message
    for order in (1, 2, 3):
        one, other = (
            found['spectrum'].select(element='H', order=order) for found in (moving, still)
        )
        assert one.sum() == pytest.approx(other.sum(), rel=0.01)
        assert np.abs(one - other).max() < 0.06 * other.max()
    assert moving['spectrum'].rows == still['spectrum'].rows
    assert (moving['spectrum'].energy_bins == still['spectrum'].energy_bins).all()
    (row,) = moving['metrics']['windows']
    assert row['window_per_cm'] == [10.0, 1500.0]
    assert row['scale'] == pytest.approx(1.0, abs=0.02)
    assert row['r_squared'] > 0.99


COLD = 4.0
"""K."""


@pytest.mark.engines
@pytest.mark.slow
def test_cold_motion_has_the_peaks_of_the_modes(engine_code):
    """A MACE potential, hardly in motion: peaks are at its harmonic frequencies, none elsewhere."""
    places = [(0, 0, 0), (0.5, 0.5, 0.5)]
    atoms = ase.Atoms('NiAl', scaled_positions=places, cell=[3.0] * 3, pbc=True)
    crystal, model, supercell = to_structure(atoms), toy_model(), [2, 2, 1]
    made = MacePhononsWorkChain.get_builder_from_protocol(engine_code, crystal, model, 'fast')
    made.supercell_matrix = orm.List(supercell)
    phonons, node = run_get_node(made)
    assert node.is_finished_ok, node.exit_message
    parameters = {'max_order': 1, 'energy_max': 500.0, 'temperature': COLD}
    made = InsWorkChain.get_builder_from_protocol(
        engine_code, phonons['force_constants'], 5.0, overrides={'parameters': parameters}
    )
    # the q-points of the supercell, which are those of the run
    made.ins.parameters = orm.Dict(
        {**made.ins.parameters.get_dict(), 'mesh': supercell, 'gamma_centred': True}
    )
    still, node = run_get_node(made)
    assert node.is_finished_ok, node.exit_message
    run = {
        'ensemble': 'nvt', 'timestep_fs': 5.0, 'duration_ps': 4.0, 'record_every': 4,
        'thermostat_time_fs': 1e5,
    }  # fmt: skip
    made = MdStabilityWorkChain.get_builder_from_protocol(
        engine_code, [crystal], model, [5.0], [COLD], supercell,
        overrides={'md': {'parameters': run}, 'criteria': {'equilibration_ps': 0.0}},
    )  # fmt: skip
    _, stability = run_get_node(made)
    assert stability.is_finished_ok, stability.exit_message
    width = 8.0
    made = MdInsWorkChain.get_builder_from_protocol(
        engine_code,
        trajectory_of(stability, 5.0),
        overrides={'parameters': {'line_width': width, 'equilibration_ps': 0.0}},
        harmonic=still['spectrum'],
    )
    moving, node = run_get_node(made)
    assert node.is_finished_ok, node.exit_message
    (row,) = moving['metrics']['windows']
    peaks = row['peaks']
    assert len(peaks['matched']) >= 3
    assert not peaks['extra']
    assert max(abs(match['shift']) for match in peaks['matched']) < width
