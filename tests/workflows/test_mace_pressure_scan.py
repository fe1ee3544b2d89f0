"""The pressure scan with MACE: builder, refusals, each step, and a real run."""

from __future__ import annotations

from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node
from mace_nodes import toy_model, toy_structure
from pw_mocks import code, finished, instantiate

from aiida_mlip_ins.calculations.functions.eos import equation_of_state
from aiida_mlip_ins.calculations.mace_relax import MaceRelaxCalculation
from aiida_mlip_ins.science.eos import birch_murnaghan_pressure
from aiida_mlip_ins.workflows.mace_pressure_scan import (
    MacePressureScanWorkChain,
    relaxed_indices,
)
from aiida_mlip_ins.workflows.protocols import PROTOCOLS

pytestmark = pytest.mark.usefixtures('aiida_profile')


def builder(pressures: list[float], **keywords: Any) -> Any:
    return MacePressureScanWorkChain.get_builder_from_protocol(
        keywords.pop('code', None) or code(plugin='mlip_ins.mace_train'),
        toy_structure(),
        toy_model(),
        pressures,
        **keywords,
    )


def rows(volumes: list[float], pressures: list[float]) -> orm.Dict:
    return orm.Dict(
        {
            'pressures': [
                {'pressure_gpa': p, 'volume_angstrom3': v, 'converged': True}
                for p, v in zip(pressures, volumes, strict=True)
            ]
        }
    )


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_is_accepted(protocol: str) -> None:
    process = instantiate(builder([0.0, 1.5], protocol=protocol))
    assert process.inputs.pressures.get_list() == [0.0, 1.5]
    assert process.inputs.relax.parameters['keep_symmetry'] is True


def test_options_and_overrides() -> None:
    made = builder(
        [0.0],
        overrides={'relax': {'parameters': {'max_steps': 7}}},
        options={'max_wallclock_seconds': 60},
    )
    assert made.relax.parameters['max_steps'] == 7
    assert made.relax.metadata.options.max_wallclock_seconds == 60


def test_everything_wrong_is_said_at_once() -> None:
    pw = code()
    with pytest.raises(ValueError, match='code') as error:
        MacePressureScanWorkChain.get_builder_from_protocol(
            pw,
            toy_structure(),
            toy_model(),
            [1.5, -1.0],
            overrides={'relax': {'parameters': {'fmax': -1.0}}},
        )
    message = str(error.value)
    assert 'quantumespresso.pw' in message
    assert 'negative' in message
    assert 'relax.parameters.fmax: -1.0 eV/angstrom' in message


def test_unknown_override() -> None:
    with pytest.raises(ValueError, match=r"unknown key 'fmx' \(did you mean 'fmax'\?\)"):
        builder([0.0], overrides={'relax': {'parameters': {'fmx': 1.0}}})


def test_steps_of_a_scan_that_works() -> None:
    process = instantiate(builder([0.0, 1.0, 2.0, 3.0]))
    process.setup()
    assert process.has_points()
    volumes = [40.0, 39.2, 38.5, 37.9]
    results = rows(volumes, [0.0, 1.0, 2.0, 3.0])
    outputs = {'structures.pressure_0': toy_structure(), 'results': results}
    process.ctx.relax = finished(MaceRelaxCalculation, outputs)
    assert process.inspect_relax() is None
    process.run_equation_of_state()
    assert process.outputs['equation_of_state']['n_points'] == 4
    assert 'pressure_0' in process.outputs['structures']


def test_too_few_points() -> None:
    assert not instantiate(builder([0.0, 1.0, 2.0])).has_points()


def test_pressures_that_worked_are_kept() -> None:
    process = instantiate(builder([0.0, 1.0]))
    outputs = {'structures.pressure_1': toy_structure(), 'results': rows([39.0], [1.0])}
    process.ctx.relax = finished(MaceRelaxCalculation, outputs, status=410)
    code = process.inspect_relax()
    assert code.status == 402
    assert '[410] it failed' in code.message
    assert set(process.outputs['structures']) == {'pressure_1'}


def test_which_pressures_relaxed_as_was_asked() -> None:
    results = rows([40.0, 39.0, 38.0], [0.0, 1.0, 2.0]).get_dict()
    results['pressures'][0]['converged'] = False
    results['pressures'][1]['symmetry_kept'] = False
    pressures = [0.0, 1.0, 2.0]
    outputs = {'results': orm.Dict(results)}
    whole = finished(MacePressureScanWorkChain, outputs)
    assert relaxed_indices(whole, pressures) == [1, 2]
    part = finished(MacePressureScanWorkChain, {'results': orm.Dict(results)}, 402)
    assert relaxed_indices(part, pressures) == [2]
    assert relaxed_indices(finished(MacePressureScanWorkChain, status=401), pressures) == []


def test_nothing_worked() -> None:
    process = instantiate(builder([0.0, 1.0]))
    process.ctx.relax = finished(MaceRelaxCalculation, status=330)
    assert process.inspect_relax().status == 401


def test_equation_of_state() -> None:
    volumes = [40.0, 39.0, 38.0, 37.0, 36.0]
    pressures = [float(birch_murnaghan_pressure(v, 40.0, 50.0, 5.0)) for v in volumes]
    results = rows(volumes, pressures)
    fitted = equation_of_state(results)
    assert fitted['bulk_modulus_gpa'] == pytest.approx(50.0)
    results = results.get_dict()
    for row in results['pressures'][:2]:
        row['converged'] = False
    assert '3 different volumes are too few' in equation_of_state(orm.Dict(results))['problem']


@pytest.mark.engines
@pytest.mark.slow
def test_a_real_scan(engine_code: orm.InstalledCode) -> None:
    """The toy crystal through the engines, from inputs to the equation of state."""
    made = builder([6.0, 8.0, 10.0, 12.0], code=engine_code, protocol='fast')
    outputs, node = run_get_node(made)
    assert node.is_finished_ok, node.exit_message
    assert set(outputs['structures']) == {f'pressure_{index}' for index in range(4)}
    volumes = [row['volume_angstrom3'] for row in outputs['results']['pressures']]
    assert volumes == sorted(volumes, reverse=True)
    assert outputs['equation_of_state']['n_points'] == 4
    assert outputs['equation_of_state']['residual_gpa'] < 0.05
    assert all(row['spacegroup'] == 'Pm-3m (221)' for row in outputs['results']['pressures'])
