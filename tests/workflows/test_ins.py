"""The INS workchain: builder, refusals, steps, and a real run with its cache."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from phonon_nodes import (
    dft_force_constants,
    dft_structure,
    spring_force_constants,
    spring_structure,
)
from pw_mocks import code, finished, instantiate

from aiida_mlip_ins.calculations.ins import InsCalculation
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science import ins
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.protocols import PROTOCOLS


@pytest.fixture
def engine(aiida_profile):
    return code(plugin='mlip_ins.mace_train')


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_makes_inputs_that_are_accepted(engine, protocol):
    constants = spring_force_constants()
    builder = InsWorkChain.get_builder_from_protocol(engine, constants, 1.5, protocol)
    process = instantiate(builder)
    mesh = {'fast': [8, 8, 5], 'balanced': [12, 12, 7], 'stringent': [16, 16, 9]}[protocol]
    assert process.inputs.ins.parameters['mesh'] == mesh
    assert process.inputs.pressure.value == 1.5
    assert process.inputs.resolution['instrument'] == 'TOSCA'
    assert process.inputs.ins.parameters['temperature'] == 10.0


@pytest.mark.parametrize(
    ('instrument', 'resolution'),
    [
        ('TFXA', {'model': 'book'}),
        ('TOSCA1', {'model': 'book'}),
        ('VISION', {'model': 'OCLIMAX'}),
        ('Lagrange', {'model': 'AbINS', 'arguments': {'monochromator': 'Cu(331)'}}),
    ],
)
def test_every_indirect_instrument_has_intensities_and_widths(engine, instrument, resolution):
    builder = InsWorkChain.get_builder_from_protocol(
        engine, dft_force_constants('0.0'), overrides={
            'parameters': {'instrument': instrument},
            'resolution': {'instrument': instrument, **resolution},
        },
    )  # fmt: skip
    process = with_spectrum(builder, instrument)
    assert process.results() is None
    assert process.outputs['spectrum'].instrument == instrument
    assert min(process.outputs['spectrum'].resolution['sigma_per_cm']) > 0.3
    assert 'the widths those of' not in warnings_of(process)


def test_intensities_of_one_instrument_with_the_widths_of_another_are_said(engine):
    builder = InsWorkChain.get_builder_from_protocol(
        engine, dft_force_constants('0.0'), overrides={'parameters': {'instrument': 'VISION'}}
    )
    process = with_spectrum(builder, 'VISION')
    assert process.results() is None
    expected = 'the intensities are those of VISION, the widths those of TOSCA'
    assert expected in warnings_of(process)


def test_the_mesh_is_that_of_the_structure_for_all_pressures(engine):
    meshes = [
        InsWorkChain.get_builder_from_protocol(engine, structure=s).ins.parameters['mesh']
        for s in (spring_structure(), dft_structure('1.5'))
    ]
    constants = InsWorkChain.get_builder_from_protocol(engine, spring_force_constants())
    assert meshes[0] == constants.ins.parameters['mesh']


@pytest.mark.parametrize(
    ('arguments', 'messages'),
    [
        ({'structure': None}, ['give force_constants, or a structure']),
        ({'overrides': {'parameters': {'temperature': -2.0}}}, ['temperature: -2.0 K']),
        ({'overrides': {'parameters': {'energy_max': 0.0}}}, ['energy_max']),
        ({'overrides': {'parameters': {'energy_min': 4000.0}}}, ['is empty']),
        ({'overrides': {'resolution': {'instrument': 'TOSKA'}}}, ["did you mean 'TOSCA'"]),
        ({'overrides': {'resolution': {'model': 'book'}}}, ['resins refuses']),
        ({'overrides': {'q_space': 1}}, ["did you mean 'q_spacing'"]),
        ({'overrides': {'convergence': {'tolerance': 0.0}}}, ['tolerance', "'max_doublings'"]),
        (
            {
                'overrides': {
                    'parameters': {'instrument': 'MAPS', 'incident_energy': 600.0},
                    'resolution': {'instrument': 'MAPS', 'model': 'PyChop_fit'},
                }
            },
            ['e_init: None meV, but the simulation is for an incident energy of 600 meV'],
        ),
        (
            {'overrides': {'parameters': {'isotopes': {'Fe': '57Fe'}}}, 'force_constants': True},
            ['isotopes.Fe: no such element'],
        ),
        ({'code': 'no@where'}, ["'no@where' cannot be loaded"]),
        (
            {'overrides': {'parameters': {'temperature': -1.0}, 'resolution': {'model': 'x'}}},
            ['temperature', "no model 'x'"],
        ),
    ],
)
def test_wrong_arguments_are_named(engine, arguments, messages):
    given = {'code': engine, 'structure': spring_structure(), **arguments}
    if 'force_constants' in given:
        given['force_constants'] = spring_force_constants()
    with pytest.raises(ValueError, match=r'\w') as error:
        InsWorkChain.get_builder_from_protocol(**given)
    for message in messages:
        assert message in str(error.value)


def test_wrong_inputs_are_refused_at_the_ports(engine):
    builder = InsWorkChain.get_builder_from_protocol(engine, dft_force_constants('0.0'))
    with pytest.raises(ValueError, match="did you mean 'element'"):
        builder.group_by = orm.List(['elements'])
    with pytest.raises(ValueError, match='unknown'):
        builder.resolution = orm.Dict({'instrument': 'NONE', 'model': 'x', 'arguments': {}})


def flat(instrument):
    """Return intensities that are the same everywhere."""
    rows = ins.describe_rows(['Mg', 'H'], [1, 2], ['forward', 'backward'])
    return InsSpectrumData.from_arrays(
        np.arange(0.0, 101.0), np.ones((8, 100)), rows, 'intensities', 10.0, instrument, 1.5
    )


def with_spectrum(builder, instrument):
    """Return the process when it has its spectrum."""
    process = instantiate(builder)
    results = orm.Dict({'n_qpoints': 1, 'min_frequency_per_cm': 3.0})
    process.setup()
    outputs = {'intensities': flat(instrument), 'results': results}
    process.ctx.ins = finished(InsCalculation, outputs)
    assert process.inspect_ins() is None
    process.group()
    assert process.broaden() is None
    process.compare()
    process.refine()
    return process


def warnings_of(process) -> str:
    logs = orm.Log.collection.get_logs_for(process.node)
    return '\n'.join(entry.message for entry in logs if 'WARNING' in entry.message)


def test_steps_from_intensities_to_spectrum(engine):
    builder = InsWorkChain.get_builder_from_protocol(engine, dft_force_constants('0.0'))
    process = with_spectrum(builder, 'TOSCA')
    assert not process.should_run()
    assert process.results() is None
    assert not {'mesh_change', 'parameters'} & set(process.outputs)
    spectrum = process.outputs['spectrum']
    assert spectrum.stage == 'broadened'
    assert spectrum.pressure_gpa == 1.5
    assert spectrum.elements == ['H', 'Mg']
    assert spectrum.total().sum() == pytest.approx(800.0)
    assert process.outputs['grouped'].uuid == spectrum.creator.inputs.spectrum.uuid


def refined(process, made) -> list[tuple[list[int], float]]:
    """Run the steps with made intensities of (mesh, width of a bin), and return what was tried."""
    process.setup()
    tried = []
    while process.should_run():
        mesh, width = (process.ctx.parameters[name] for name in ('mesh', 'bin_width'))
        tried.append((mesh, width))
        inputs = {'parameters': orm.Dict(process.ctx.parameters)}
        results = orm.Dict({'n_qpoints': 1, 'min_frequency_per_cm': 3.0})
        outputs = {'intensities': made(mesh, width), 'results': results}
        process.ctx.ins = finished(InsCalculation, outputs, inputs=inputs)
        process.group()
        assert process.broaden() is None
        process.compare()
        process.refine()
    return tried


@pytest.mark.parametrize(('tolerance', 'status'), [(0.12, None), (0.05, 410)])
def test_the_mesh_is_doubled_until_the_spectrum_stays_as_it_is(engine, tolerance, status):
    given = {'convergence': {'tolerance': tolerance, 'max_doublings': 2, 'max_halvings': 1}}
    builder = InsWorkChain.get_builder_from_protocol(
        engine, dft_force_constants('0.0'), overrides=given
    )
    first = builder.ins.parameters['mesh']
    heights, line = {1: 1.0, 2: 1.5, 4: 1.7}, flat('TOSCA')

    def made(mesh, width):
        height = heights[mesh[0] // first[0]]
        return line.derive('intensities', height * line.intensity)

    process = instantiate(builder)
    tried = refined(process, made)
    meshes = [[factor * number for number in first] for factor in (1, 2, 4)]
    # Bins are looked at only once the mesh is dense enough.
    halved = [(meshes[-1], 0.5)] if status is None else []
    assert tried == [(mesh, 1.0) for mesh in meshes] + halved
    code = process.results()
    assert process.outputs['mesh_change'].value == pytest.approx(0.2 / 1.7)
    assert process.outputs['spectrum'].total().sum() == pytest.approx(1.7 * 800.0)
    assert process.outputs['parameters']['mesh'] == meshes[-1]
    assert code is None if status is None else code.status == status


@pytest.mark.parametrize(('most', 'status'), [(4, None), (2, 411)])
def test_bins_are_halved_until_the_resolution_sees_none(engine, most, status):
    """A line in a bin of 16 1/cm is off by up to 8; TOSCA's resolution is 2.5 there."""
    overrides = {
        'parameters': {'bin_width': 16.0, 'energy_max': 320.0},
        'convergence': {'tolerance': 0.15, 'max_doublings': 1, 'max_halvings': most},
    }
    builder = InsWorkChain.get_builder_from_protocol(
        engine, dft_force_constants('0.0'), overrides=overrides
    )

    def made(mesh, width):
        edges = np.arange(0.0, 320.0 + width / 2, width)
        line = (np.arange(len(edges) - 1) == int(101.0 // width))[None] / width
        rows = [{'atom': 0, 'element': 'H', 'order': 1, 'bank': 'forward'}]
        return InsSpectrumData.from_arrays(edges, line, rows, 'intensities', 10.0, 'TOSCA')

    process = instantiate(builder)
    tried = refined(process, made)
    widths = [width for _, width in tried]
    first = builder.ins.parameters['mesh']
    assert widths == [16.0, *(16.0 / 2**k for k in range(most + 1))][: len(widths)]
    assert [mesh for mesh, _ in tried] == [first] + (len(tried) - 1) * [[2 * n for n in first]]
    code = process.results()
    change = process.outputs['bins_change'].value
    assert process.outputs['parameters']['bin_width'] == widths[-1]
    assert process.outputs['mesh_change'].value == 0.0
    if status is None:
        assert code is None
        # From bins of 2 to bins of 1 the line goes by 0.5, of a Gaussian of 3.0.
        assert change == pytest.approx(2 * 0.5 / (3.0 * np.sqrt(2 * np.pi)), rel=0.1)
    else:
        assert code.status == status
        assert change > 0.15
        assert 'bins of 4 1/cm' in code.message


@pytest.mark.parametrize(('status', 'expected'), [(401, 402), (310, 401), (402, 401)])
def test_a_job_that_failed_is_passed_on(engine, status, expected):
    builder = InsWorkChain.get_builder_from_protocol(engine, dft_force_constants('0.0'))
    process = instantiate(builder)
    process.setup()
    process.ctx.ins = finished(InsCalculation, status=status)
    found = process.inspect_ins()
    assert found.status == expected
    assert 'it failed' in found.message


@pytest.mark.engines
@pytest.mark.slow
def test_a_new_resolution_recomputes_the_broadening_alone(engine_code):
    constants = dft_force_constants('0.0').store()
    overrides = {'q_spacing': 100.0, 'parameters': {'gamma_centred': True, 'bin_width': 2.0}}

    def run(**resolution):
        given = {**overrides, 'resolution': resolution}
        builder = InsWorkChain.get_builder_from_protocol(
            engine_code, constants, 0.0, overrides=given
        )
        outputs, node = run_get_node(builder)
        assert node.is_finished_ok, node.exit_message
        cached = {
            child.process_label: child.base.caching.is_created_from_cache for child in node.called
        }
        return outputs, cached

    with enable_caching():
        first, _ = run()
        second, cached = run(instrument='IDEAL', model='gaussian', arguments={'sigma': 0.5})
    assert cached == {
        'InsCalculation': True,
        'group_intensities': True,
        'broaden_spectrum': False,
    }
    assert second['spectrum'].total().sum() == pytest.approx(first['spectrum'].total().sum())
    assert second['spectrum'].total().max() != pytest.approx(first['spectrum'].total().max())
    peak = first['spectrum'].energy[first['spectrum'].select(order=1).argmax()]
    assert peak == pytest.approx(411.6, abs=2.0)


@pytest.mark.engines
@pytest.mark.slow
def test_a_mesh_that_was_converged_to_comes_from_the_cache(engine_code):
    constants = spring_force_constants().store()

    def builder(**overrides):
        parameters = {'energy_max': 1000.0, 'bin_width': 4.0, 'max_order': 1}
        return InsWorkChain.get_builder_from_protocol(
            engine_code, constants, 0.0,
            overrides={'q_spacing': 100.0, 'parameters': parameters, **overrides},
        )  # fmt: skip

    with enable_caching():
        search = {'tolerance': 10.0, 'max_doublings': 1, 'max_halvings': 1}
        first, node = run_get_node(builder(convergence=search))
        assert node.is_finished_ok, node.exit_message
        found = first['parameters']
        assert (found['mesh'], found['bin_width']) == ([2, 2, 2], 2.0)
        made = builder()
        made.ins.parameters = found
        second, node = run_get_node(made)
    jobs = [child for child in node.called if isinstance(child, orm.CalcJobNode)]
    assert [job.base.caching.is_created_from_cache for job in jobs] == [True]
    assert second['spectrum'].total() == pytest.approx(first['spectrum'].total())


@pytest.mark.engines
@pytest.mark.slow
def test_an_unstable_crystal_has_no_spectrum(engine_code):
    builder = InsWorkChain.get_builder_from_protocol(
        engine_code, spring_force_constants(-1.0), 0.0, 'fast'
    )
    _, node = run_get_node(builder)
    assert node.exit_status == InsWorkChain.exit_codes.ERROR_IMAGINARY_MODES.status
    assert 'the lowest frequency is -38' in node.exit_message
    assert 'at q = [' in node.exit_message
