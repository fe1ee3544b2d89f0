"""From the last number back to the first file."""

from __future__ import annotations

import pytest
from aiida import orm
from report.synthetic import build_run
from report.synthetic_content import N_FRAMES, PRESSURES

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.query.provenance import (
    ancestors,
    ancestors_table,
    datasets_of,
    frames_of,
    pseudos_of,
    settings_of,
    spectra,
)


@pytest.fixture(scope='module')
def run(aiida_profile):
    return build_run()


@pytest.mark.parametrize('name', ['comparison', 'spectrum', 'model', 'run'])
def test_every_result_leads_to_each_pseudopotential(run, name):
    node = {
        'comparison': run.outputs.comparison.metrics,
        'spectrum': run.outputs.spectra.pressure_1,
        'model': run.outputs.model,
        'run': run,
    }[name]
    assert sorted(row['element'] for row in pseudos_of(node)) == ['H', 'Mg', 'O']


def test_frames_are_the_jobs_that_the_model_learned_from(run):
    rows = frames_of(run.outputs.model)
    single = [row for row in rows if row['calculation'] == 'scf']
    assert len(single) == N_FRAMES
    energies = [frame.info['REF_energy'] for frame in run.outputs.dataset.get_frames()]
    assert sorted(row['energy_ev'] for row in single) == pytest.approx(sorted(energies))
    assert {row['n_atoms'] for row in single} == {5}
    # DFT's cells, around which the frames were sampled, are behind it too.
    assert len(rows) - len(single) == len(PRESSURES)


def test_dfts_modes_are_not_behind_the_model(run):
    behind_model = {row['pk'] for row in frames_of(run.outputs.model)}
    behind_metrics = {row['pk'] for row in frames_of(run.outputs.comparison.metrics)}
    assert behind_model < behind_metrics
    assert len(behind_metrics - behind_model) == len(PRESSURES)


def test_datasets_include_the_node_itself(run):
    dataset = run.outputs.dataset
    assert datasets_of(dataset)[-1] == dataset
    assert dataset in datasets_of(run.outputs.spectra.pressure_0)


def test_equal_settings_are_one_row(run):
    rows = settings_of(run.outputs.comparison.metrics)
    assert len({row['pk'] for row in rows}) == len(rows)
    scf = [row for row in rows if row['content'].get('CONTROL') == {'calculation': 'scf'}]
    assert [row['times'] for row in scf] == [N_FRAMES + len(PRESSURES)]
    assert 'MaceTrainCalculation' in {row['used_by'] for row in rows}


def test_each_ancestor_comes_once(run):
    found = [node.pk for node in ancestors(run.outputs.comparison.metrics)]
    assert len(found) == len(set(found))
    assert run.inputs.structure.pk in found
    assert run.outputs.comparison.metrics.pk not in found


def test_ancestors_of_several_types(run):
    rows = ancestors_table(run.outputs.spectra.pressure_0, [MaceModelData, DatasetData])
    assert {row['type'] for row in rows} == {'MaceModelData', 'DatasetData'}


def test_spectra_of_a_run(run):
    rows = spectra(run=run)
    assert [row['pressure_gpa'] for row in rows] == PRESSURES
    assert {row['model'] for row in rows} == {run.outputs.model.pk}
    assert {row['formula'] for row in rows} == {run.inputs.structure.get_formula()}


def test_spectra_by_condition(run):
    other = build_run()
    both = spectra(pressure_gpa=1.5)
    uuids = {row['uuid'] for row in both}
    assert {run.outputs.spectra.pressure_1.uuid, other.outputs.spectra.pressure_1.uuid} <= uuids
    assert {row['pressure_gpa'] for row in both} == {1.5}
    by_model = spectra(model=run.outputs.model, pressure_gpa=1.5)
    assert [row['uuid'] for row in by_model] == [run.outputs.spectra.pressure_1.uuid]
    assert spectra(run=run, formula='C6H14') == []
    assert [row['pressure_gpa'] for row in spectra(run=run, stage='intensities')] == PRESSURES


def test_a_node_without_ancestors(aiida_profile):
    node = orm.Int(1).store()
    assert ancestors(node) == []
    assert pseudos_of(node) == []
    assert settings_of(node) == []
