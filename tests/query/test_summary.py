"""The numbers of the demo, from a run whose numbers are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from aiida import orm
from report.synthetic import build_run
from report.synthetic_content import PRESSURES

from aiida_mlip_ins.query.run import Run, _of_pressure
from aiida_mlip_ins.query.summary import finite, summary

REQUIRED = (
    'wall_s', 'stages', 'peak_memory_gb', 'n_frames', 'force_mae_mev_per_angstrom',
    'stress_mae_gpa', 'pressures',
)  # fmt: skip
REQUIRED_PER_PRESSURE = (
    'pressure_gpa', 'volume_angstrom3', 'volume_dft_angstrom3', 'gamma_mae_per_cm',
    'min_frequency_per_cm', 'pks',
)  # fmt: skip


@pytest.fixture(scope='module')
def run(aiida_profile):
    return build_run()


def test_has_every_number_that_is_asked_for(run):
    numbers = summary(run)
    for key in REQUIRED:
        assert numbers[key] is not None, key
    assert [point['pressure_gpa'] for point in numbers['pressures']] == PRESSURES
    for point in numbers['pressures']:
        for key in REQUIRED_PER_PRESSURE:
            assert point[key] is not None, key


def test_numbers_are_those_of_the_nodes(run):
    numbers = summary(run)
    errors = run.outputs.training.errors.get_dict()
    assert numbers['held_out_split'] == 'test'
    assert numbers['force_mae_mev_per_angstrom'] == errors['test']['force_mae']
    assert numbers['stress_mae_gpa'] == errors['test']['stress_mae']
    assert numbers['n_frames'] == run.outputs.dataset.n_frames == 8
    point = numbers['pressures'][1]
    assert point['volume_error_percent'] == pytest.approx(0.3, abs=1e-6)
    # All frequencies of the synthetic potential are 1.5 % above DFT's at no pressure.
    frequencies = run.outputs.pw.modes.pressure_0.get_array('frequencies')
    expected = 0.015 * np.mean(frequencies[frequencies > 1.0])
    assert numbers['pressures'][0]['gamma_mae_per_cm'] == pytest.approx(expected)
    assert [p['supercell_mae_per_cm'] for p in numbers['pressures']] == [None, 6.2]
    assert [p['trained_on'] for p in numbers['pressures']] == ['inside', 'at the edge']
    assert point['trained_on_reason'] == 'at the edge: pressure 1.5'
    assert point['pks']['supercell_errors'] == run.outputs.comparison.supercell.pressure_1.pk
    assert point['pks']['spectrum'] == run.outputs.spectra.pressure_1.pk
    assert numbers['pks']['model'] == run.outputs.model.pk
    assert numbers['versions']['pw.x'] == '7.2'
    assert numbers['versions']['mace-torch'] == '0.3.16'


def test_measured_memory_wins_and_says_so(run):
    assert summary(run, 4.5)['peak_memory_gb'] == 4.5
    assert summary(run, 4.5)['peak_memory_is'] != summary(run)['peak_memory_is']


def test_is_json(run):
    text = json.dumps(finite(summary(run)), allow_nan=False)
    assert json.loads(text)['wall_s'] == 1000.0


@pytest.mark.parametrize('until', ['reference', 'training'])
def test_a_failed_run_has_what_there_is(aiida_profile, until):
    numbers = summary(build_run(until=until))
    assert numbers['exit_status'] > 0
    assert numbers['n_frames'] == 8
    assert (numbers['force_mae_mev_per_angstrom'] is None) == (until == 'reference')
    assert numbers['pressures'][0]['volume_angstrom3'] is None
    assert numbers['pressures'][0]['volume_dft_angstrom3'] > 0
    assert numbers['pressures'][0]['gamma_mae_per_cm'] is None


@pytest.mark.parametrize(
    ('label', 'has'),
    [
        ('PwPressureScanWorkChain', 'pw.structures.pressure_1'),
        ('ReferenceWorkChain', 'dataset'),
        ('MaceTrainCalculation', 'training.errors'),
        ('MacePressureScanWorkChain', 'mace.results'),
        ('PwPhononsWorkChain', 'pw.modes.pressure_0'),
        ('MacePhononsWorkChain', 'mace.force_constants.pressure_0'),
        ('InsWorkChain', 'spectra.pressure_0'),
        ('CompareWorkChain', 'comparison.table'),
    ],
)
def test_a_link_alone_is_read_like_the_chain(run, label, has):
    link = next(node for node in run.called_descendants if node.process_label == label)
    assert has in Run(link).outputs
    assert summary(link)['process'] == label


def test_the_pressure_of_a_spectrum_alone_is_its_own(run):
    links = [n for n in run.called_descendants if n.process_label == 'InsWorkChain']
    assert [Run(link).pressures for link in links] == [[p] for p in PRESSURES]


def test_a_failed_pressure_does_not_shift_the_others():
    rows = [{'index': 1, 'pressure_gpa': 1.5, 'volume_angstrom3': 39.0}]
    assert _of_pressure(rows, 0, 0.0) == {}
    assert _of_pressure(rows, 1, 1.5)['volume_angstrom3'] == 39.0


def test_finite_drops_what_json_does_not_have():
    content = {'a': float('nan'), 'b': [np.float64(1.0), np.int64(2)], 'c': np.array([np.inf])}
    assert finite(content) == {'a': None, 'b': [1.0, 2], 'c': [None]}


def test_a_run_without_outputs(aiida_profile):
    node = orm.WorkChainNode()
    node.process_type = 'aiida.workflows:mlip_ins.high_pressure_ins'
    node.set_process_label('HighPressureInsWorkChain')
    node.store()
    numbers = summary(node)
    assert numbers['pressures'] == []
    assert numbers['n_frames'] is None
    assert numbers['jobs'] == 0
