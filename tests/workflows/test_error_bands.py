"""Error bands: builder, refusals, members that fail, and a real run whose spread is known."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from mace_nodes import FIXTURES, toy_model
from phonon_nodes import modes_node
from pw_mocks import Submissions, code, finished, instantiate
from spectra_nodes import PEAKS, simulated_node
from springs import dft_modes

from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.report.error_bands_page import write_error_bands_report
from aiida_mlip_ins.workflows.error_bands import ErrorBandsWorkChain
from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain
from aiida_mlip_ins.workflows.protocols import PROTOCOLS, load_protocol

pytestmark = pytest.mark.usefixtures('aiida_profile')

PRESSURES = [0.0, 1.5]
SPOIL = Path(__file__).parents[1] / 'drivers' / 'spoil.py'


def hydride() -> orm.StructureData:
    """Return the toy crystal with hydrogen, rock salt."""
    places = [(0, 0, 0), (0.5, 0.5, 0.5)]
    cell = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 2.25
    return to_structure(ase.Atoms('NiH', scaled_positions=places, cell=cell, pbc=True))


def member(name: str, *elements: str) -> MaceModelData:
    """Return the toy model as if it were one of its own, and knew other elements."""
    node = toy_model()
    node.base.attributes.set('elements', sorted(elements or ('H', 'Ni')))
    node.base.attributes.set('sha256', hashlib.sha256(name.encode()).hexdigest())
    return node


def members(count: int) -> dict[str, MaceModelData]:
    return {f'member_{index}': member(str(index)) for index in range(count)}


def summary(force: float = 2.0) -> orm.Dict:
    """Return what a committee says of its calibration."""
    factors = {'energy': 1.0, 'force': force, 'stress': 3.0}
    return orm.Dict(
        {'splits': {'test': {n: {'calibration_factor': f} for n, f in factors.items()}}}
    )


def builder(count: int = 3, **keywords: Any) -> Any:
    given = {
        'structure': hydride(),
        'models': members(count),
        'pressures': PRESSURES,
        'code': code(plugin='mlip_ins.mace_train'),
        **keywords,
    }
    return ErrorBandsWorkChain.get_builder_from_protocol(**given)


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_makes_inputs_that_are_accepted(protocol: str) -> None:
    process = instantiate(builder(protocol=protocol, committee=summary()))
    assert process.inputs.max_concurrent.value == 1
    expected = load_protocol('pipeline', protocol)['max_concurrent']
    assert process.inputs.chain.max_concurrent.value == expected
    expected = load_protocol('compare', protocol)['parameters']
    assert process.inputs.parameters.get_dict() == expected


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r'\w') as error:
        builder(
            models={'member_0': member('a'), 'twin': member('a'), 'no name': member('b', 'O')},
            pressures=[1.5, 0.0],
            code=code(),
            committee=orm.Dict({'rounds': []}),
            overrides={
                'max_concurrent': 0,
                'compare': {'parameters': {'min_overlap': 2.0, 'shift_threshold': -1.0}},
            },
        )
    said = str(error.value)
    for part in (
        "models: 'no name' is no name",
        'models.member_0: the same model as twin, which adds no spread',
        'models.no name: H, Ni not in the model, which knows O',
        'ascending order',
        "for the plugin 'quantumespresso.pw'",
        "committee: it has no 'splits'",
        'max_concurrent: expected a whole number of at least 1, got 0',
        'parameters.min_overlap: 2.0 is above the maximum',
        'parameters.shift_threshold: -1.0',
    ):
        assert part in said
    with pytest.raises(ValueError, match=r"ins: .*did you mean 'temperature'"):
        builder(overrides={'ins': {'parameters': {'temprature': 1.0}}})
    with pytest.raises(ValueError, match="did you mean 'max_concurrent'"):
        builder(overrides={'max_concurent': 1})
    with pytest.raises(ValueError, match='at least 2 members, got 1'):
        builder(1)


def test_one_member_is_refused_at_submission_too() -> None:
    made = builder()
    inputs = made._inputs(prune=True)
    inputs['models'] = members(1)
    with pytest.raises(ValueError, match='at least 2 members, got 1'):
        instantiate(ErrorBandsWorkChain, **inputs)


def modes_at(index: int, factor: float) -> orm.ArrayData:
    """Return modes of brucite, whose frequencies are all times a factor."""
    modes = dft_modes(('0.0', '1.5')[index])
    return modes_node(dataclasses.replace(modes, frequencies=factor * modes.frequencies))


def chain(moved: float, status: int = 0, pressures: tuple[int, ...] = (0, 1)) -> orm.WorkChainNode:
    """Return the end of a member's chain: peaks moved at both pressures, by 5 1/cm in between."""
    outputs: dict[str, orm.Data] = {}
    for index in pressures:
        places = [place + moved + 5.0 * index for place in PEAKS]
        outputs[f'spectra.pressure_{index}'] = simulated_node(places, PRESSURES[index])
        outputs[f'mace.modes.pressure_{index}'] = modes_at(index, 1.0 + moved / 100.0)
    return finished(HighPressureInsWorkChain, outputs, status)


def run_all(process: Any, *chains: orm.WorkChainNode) -> list[list[str]]:
    """Let the chains of all members end; return the batches that they were started in."""
    process.setup()
    batches = []
    while process.has_members():
        process.run_chains()
        batches.append(list(process.ctx.running))
        for key in process.ctx.running:
            process.ctx[f'chain_{key}'] = chains[int(key[-1])]
        process.inspect_chains()
    return batches


def finish(process: Any) -> Any:
    """Run the steps after the chains."""
    code_ = process.make_bands()
    if code_ is None:
        process.make_differences()
        process.make_table()
        code_ = process.results()
    return code_


def test_bands_differences_and_table() -> None:
    process = instantiate(builder(overrides={'max_concurrent': 2}, committee=summary()))
    submissions = Submissions(process)
    batches = run_all(process, chain(-1.0), chain(0.0), chain(1.0))
    assert batches == [['member_0', 'member_1'], ['member_2']]
    for index, (process_class, inputs) in enumerate(submissions.calls):
        assert process_class is HighPressureInsWorkChain
        assert inputs['metadata']['call_link_label'] == f'member_{index}'
        assert inputs['model'].uuid == process.inputs.models[f'member_{index}'].uuid
        assert inputs['structure'].uuid == process.inputs.structure.uuid
        assert 'pw_phonons' not in inputs
    assert finish(process) is None
    band = process.outputs['bands']['pressure_0']
    assert band.base.attributes.get('members') == ['member_0', 'member_1', 'member_2']
    assert band.base.attributes.get('pressure_gpa') == 0.0
    spectra = np.array([node['pressure_0'].total() for node in process.outputs['spectra'].values()])
    np.testing.assert_allclose(band.get_array('spread'), spectra.std(axis=0, ddof=1))
    np.testing.assert_allclose(band.get_array('calibrated_spread'), 2.0 * band.get_array('spread'))
    np.testing.assert_array_equal(band.get_array('upper'), spectra.max(axis=0))
    assert band.creator.process_label == 'spectrum_band'
    # Every member shifts by 5 1/cm, on bins of 1 1/cm: what they differ in is only moved along.
    change = process.outputs['differences']['pressure_1']
    assert set(process.outputs['differences']) == {'pressure_1'}
    assert change.get_array('spread').max() < band.get_array('spread').max()
    table = process.outputs['table'].get_dict()
    row = table['rows'][0]
    frequency, shift = row['frequency_per_cm'][0], row['shift_per_cm'][1]
    assert frequency['spread'] == pytest.approx(0.01 * frequency['mean'])
    assert shift['spread'] == pytest.approx(0.01 * abs(shift['mean']))
    assert shift['calibrated_spread'] == pytest.approx(2.0 * shift['spread'])
    assert table['reference'] == 'member_0'
    assert table['units']['frequency'] == '1/cm'


def test_a_member_that_fails_is_left_out() -> None:
    process = instantiate(builder())
    Submissions(process)
    run_all(process, chain(-1.0), chain(0.0, 404, ()), chain(1.0, 405, (0,)))
    found = finish(process)
    assert found.status == 405
    assert 'all or part of member_1 (<' in found.message
    assert 'the band at 1.5 GPa: spectra of 1 members' in found.message
    assert set(process.outputs['bands']) == {'pressure_0'}
    assert 'differences' not in process.outputs
    members_ = process.outputs['bands']['pressure_0'].base.attributes.get('members')
    assert members_ == ['member_0', 'member_2']
    row = process.outputs['table']['rows'][0]
    assert [cell['n_members'] for cell in row['frequency_per_cm']] == [2, 1]
    assert set(process.outputs['spectra']) == {'member_0', 'member_2'}


def test_without_two_members_there_is_nothing() -> None:
    process = instantiate(builder(2))
    Submissions(process)
    run_all(process, chain(0.0), chain(1.0, 404, ()))
    found = finish(process)
    assert found.status == 401
    assert 'spectra of 1 members' in found.message
    assert 'bands' not in process.outputs
    assert 'table' not in process.outputs


def scaled_member(factor: float, python: Path, folder: Path) -> MaceModelData:
    """Return the potential of the hydride with its interaction times a factor."""
    good, path = FIXTURES / 'hydride' / 'model.model', folder / f'{factor:g}.model'
    subprocess.run([python, SPOIL, good, path, str(factor)], check=True)
    description = json.loads((FIXTURES / 'inspect' / 'results.json').read_text())
    description['elements'] = ['H', 'Ni']
    description['sha256'] = hashlib.sha256(path.read_bytes()).hexdigest()
    return MaceModelData.from_file(path, description, 'given')


@pytest.mark.engines
@pytest.mark.slow
def test_a_real_committee_of_two(
    engine_code: orm.InstalledCode, engines_python: Path, tmp_path: Path
) -> None:
    """With all interactions times 1.1, frequencies at no pressure are times sqrt(1.1)."""
    made = builder(
        models={
            f'member_{i}': scaled_member(factor, engines_python, tmp_path)
            for i, factor in enumerate((1.0, 1.1))
        },
        code=engine_code,
        committee=summary(),
        protocol='fast',
        overrides={
            'max_concurrent': 2,
            'mace_phonons': {'mace': {'supercell_min_length': 3.0}, 'q_spacing': 1.5},
            'ins': {
                'q_spacing': 1.5,
                'parameters': {'imaginary': 'leave_out', 'energy_max': 1500.0},
            },
        },
    )
    outputs, node = run_get_node(made)
    assert node.is_finished_ok, node.exit_message
    table = outputs['table'].get_dict()
    scale = np.sqrt(1.1)
    assert len(table['rows']) == 3
    for row in table['rows']:
        frequency, shift = row['frequency_per_cm'][0], row['shift_per_cm'][1]
        assert len(row['degenerate_with']) == 2
        assert not row['unmatched']
        assert frequency['spread'] / abs(frequency['mean']) == pytest.approx(
            np.sqrt(2) * (scale - 1) / (scale + 1), rel=0.01
        )
        assert shift['spread'] < frequency['spread']
        assert shift['n_members'] == 2
    low, high = table['volume_angstrom3']
    assert low['spread'] < 1e-3 * low['mean']
    assert high['mean'] < low['mean']
    assert high['spread'] > low['spread']
    for kind, count in (('bands', 2), ('differences', 1)):
        assert len(outputs[kind]) == count
        for band in outputs[kind].values():
            assert (band.get_array('upper') >= band.get_array('lower')).all()
            assert band.get_array('spread').max() > 0
    page, text = write_error_bands_report(node, tmp_path / 'report')
    assert 'shift to 1.5 GPa' in text
    for name in ('bands.png', 'shifts.png', 'band_pressure_0.csv', 'difference_pressure_1.csv'):
        assert (page.parent / name).stat().st_size > 1000
