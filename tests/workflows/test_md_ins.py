"""INS of molecular dynamics: builder, refusals, steps, and a run beside the harmonic spectrum."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida_phonopy.data import ForceConstantsData
from moving import heavy_cell, rattling
from pw_mocks import Submissions, code, finished, instantiate

from aiida_mlip_ins.calculations.md_ins import MdInsCalculation
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.data.trajectory import to_node
from aiida_mlip_ins.science import ins
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.md_ins import MdInsWorkChain
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
        builder(trajectory=rattling(FREQUENCY, count=200), protocol='fast')
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


@pytest.mark.engines
@pytest.mark.slow
def test_oscillators_in_motion_have_the_spectrum_of_their_springs(engine_code):
    """Both chains, one trajectory and its force constants: broadened alike within 2 %."""
    crystal = to_structure(heavy_cell())
    overrides = {
        'parameters': {'max_order': 3, 'energy_max': 1500.0, 'line_width': 4.0, 'verlet': False},
    }
    moving, node = run_get_node(
        builder(engine_code, rattling(FREQUENCY, count=3000), overrides=overrides, pressure=0.0)
    )
    assert node.is_finished_ok, node.exit_message
    constants = ForceConstantsData(
        structure=crystal, supercell_matrix=[1, 1, 1], primitive_matrix=np.eye(3).tolist()
    )
    # m (2 pi c nu)^2 in eV/angstrom^2, with hydrogen on springs of its own and lead on weak ones
    omega = 2 * np.pi * 2.99792458e10 * FREQUENCY
    stiffness = 1.00794 * 1.66053906660e-27 * omega**2 / 1.602176634e-19 * 1e-20
    springs = np.zeros((2, 2, 3, 3))
    springs[0, 0] = stiffness * np.eye(3)
    springs[1, 1] = 0.01 * stiffness * np.eye(3)
    constants.set_force_constants(springs)
    parameters = {'max_order': 3, 'energy_max': 1500.0, 'overtones': 'harmonic'}
    made = InsWorkChain.get_builder_from_protocol(
        engine_code, constants, 0.0, overrides={'q_spacing': 100.0, 'parameters': parameters}
    )
    still, node = run_get_node(made)
    assert node.is_finished_ok, node.exit_message
    for order in (1, 2, 3):
        one, other = (
            found['spectrum'].select(element='H', order=order) for found in (moving, still)
        )
        assert one.sum() == pytest.approx(other.sum(), rel=0.01)
        assert np.abs(one - other).max() < 0.06 * other.max()
    assert moving['spectrum'].rows == still['spectrum'].rows
    assert (moving['spectrum'].energy_bins == still['spectrum'].energy_bins).all()
