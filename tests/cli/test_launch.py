"""What `launch` refuses, before anything is stored, and what it says."""

import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from aiida import orm
from click.testing import CliRunner
from harmonic_nodes import harmonic_spectrum
from mace_nodes import toy_model, toy_structure
from moving import heavy_cell, rattling
from pw_mocks import finished
from spectra_nodes import measured_spectrum, simulated_node

from aiida_mlip_ins.calculations.mace_md import MaceMdCalculation
from aiida_mlip_ins.cli.main import main
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.trajectory import to_node
from aiida_mlip_ins.workflows.active_learning import ActiveLearningWorkChain
from aiida_mlip_ins.workflows.committee import CommitteeWorkChain
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain

CODES = ('--pw-code', 'pw@localhost')


@pytest.fixture
def cif(tmp_path, brucite):
    path = tmp_path / 'brucite.cif'
    ase.io.write(path, brucite)
    return str(path)


@pytest.fixture
def refused():
    """Return a function that runs the command line and returns what it refused with."""

    def run(*words):
        before = orm.QueryBuilder().append(orm.Node).count()
        result = CliRunner().invoke(main, ['launch', *map(str, words)])
        assert result.exit_code == 2, result.output
        assert 'Traceback' not in result.output
        assert orm.QueryBuilder().append(orm.Node).count() == before
        return result.output

    return run


def test_all_problems_are_listed_at_once(refused, pw_code):
    said = refused(
        'pw-pressure-scan', 'missing.cif', '--pressures', '1.5,0,-1', '--pressure', '0',
        '--pw-code', 'nope@localhost', '--protocol', 'fst',
    )  # fmt: skip
    assert "'missing.cif' is neither a file nor the PK, UUID or label of a node" in said
    assert 'negative values are not supported: [-1.0] GPa' in said
    assert 'given more than once: [0.0] GPa' in said
    assert 'ascending order' in said
    assert "there is no code 'nope@localhost'" in said
    assert 'pw@localhost' in said
    assert "unknown protocol 'fst' (did you mean 'fast'?)" in said


def test_no_pressure(refused, cif, pw_code):
    assert 'at least one value in GPa' in refused('pw-pressure-scan', cif, *CODES)


def test_a_pressure_that_is_no_number(refused, cif):
    said = refused('pw-pressure-scan', cif, '--pressures', '0,much')
    assert "'0,much' is not a number, or numbers separated by commas" in said


def test_partial_occupancy(refused, tmp_path, cif, pw_code, engine_code):
    text = (tmp_path / 'brucite.cif').read_text()
    path = tmp_path / 'partial.cif'
    path.write_text(re.sub(r'(\n\s+Mg\s.*?)1\.0+(\s*\n)', r'\g<1>0.5\g<2>', text, count=1))
    assert path.read_text() != text
    said = refused('chain', path, '--pressures', '0')
    assert 'partly occupied' in said


def test_no_hydrogen(refused, tmp_path, brucite, pw_code, engine_code):
    del brucite[[atom.index for atom in brucite if atom.symbol == 'H']]
    path = tmp_path / 'without.cif'
    ase.io.write(path, brucite)
    assert 'no hydrogen' in refused('chain', path, '--pressures', '0')


def test_overlapping_atoms_and_a_slab(refused, tmp_path, brucite, pw_code):
    brucite.positions[1] = brucite.positions[2] + 0.1
    brucite.pbc = (True, True, False)
    path = tmp_path / 'slab.xyz'
    ase.io.write(path, brucite)
    said = refused('pw-pressure-scan', path, '--pressures', '0')
    assert 'not periodic along c' in said
    assert 'atoms overlap' in said


def test_an_element_without_a_pseudopotential(
    refused, tmp_path, brucite, pw_code, pseudo_family, aiida_localhost
):
    brucite.symbols[0] = 'Fe'
    path = tmp_path / 'iron.cif'
    ase.io.write(path, brucite)
    said = refused(
        'pw-pressure-scan', path, '--pressures', '0', '--pseudo-family', pseudo_family.label
    )
    assert 'no pseudopotential for Fe' in said


def test_a_code_with_the_wrong_plugin(refused, cif, engine_code, pseudo_family):
    said = refused(
        'pw-pressure-scan', cif, '--pressures', '0', '--pw-code', 'mlip-ins-engines@localhost'
    )
    assert "is for the plugin 'mlip_ins.mace_train', but pw.x" in said


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'kpoint_distance: 0.3',
            "unknown key 'kpoint_distance' (did you mean 'kpoints_distance'?)",
        ),
        ('- a\n- b', 'has no keys at its top level'),
        ('a: [', 'is not YAML'),
    ],
)
def test_bad_overrides(refused, cif, pw_code, tmp_path, text, message):
    path = tmp_path / 'overrides.yaml'
    path.write_text(text)
    said = refused('pw-pressure-scan', cif, '--pressures', '0', '--overrides', path)
    assert message in said


def test_a_model_file_that_is_none(refused, cif, engine_code):
    assert 'is not a model of mace' in refused('inspect-model', cif)


def test_a_model_file_in_place_of_a_node(refused, cif, engine_code, tmp_path):
    path = tmp_path / 'some.model'
    path.write_bytes(b'x')
    said = refused('mace-pressure-scan', cif, '--model', path, '--pressures', '0')
    assert f'launch inspect-model {path}' in said


def test_public_names_of_models(refused, cif, engine_code):
    said = refused('mace-pressure-scan', cif, '--model', 'mace_off:small', '--pressures', '0')
    assert 'launch fetch-model mace_off:small' in said
    said = refused('fetch-model', 'medium-mpa-0')
    assert "'medium-mpa-0' is none of mace_mp:NAME, mace_off:NAME" in said
    said = refused('train', 'x', '--foundation', 'mace_off:small')
    assert 'foundation: mace_off:small is a public name' in said


def test_a_model_that_was_fetched_is_found_by_its_name(refused, cif, engine_code):
    node = toy_model()
    node.label = 'mace_off:large'
    node.store()
    said = refused('mace-pressure-scan', cif, '--model', 'mace_off:large', '--pressures', '0')
    assert 'public name' not in said
    assert 'Al, Ni' in said


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda frame: frame.arrays.pop('REF_forces'), 'forces'),
        (lambda frame: frame.info.update(REF_energy=float('nan')), 'nan'),
        (lambda frame: frame.info.update(REF_energy=-3e7), 'is the unit ev?'),
    ],
    ids=['no forces', 'NaN', 'wrong units'],
)
def test_bad_datasets(refused, tmp_path, brucite, engine_code, change, message):
    brucite.info['REF_energy'] = -100.0
    brucite.arrays['REF_forces'] = brucite.positions * 0
    change(brucite)
    path = tmp_path / 'frames.xyz'
    ase.io.write(path, brucite, format='extxyz')
    assert 'say with --method' in refused('train', path)
    assert message in refused('train', path, '--method', 'test').lower()


def test_a_node_of_another_type_and_an_ambiguous_label(refused, engine_code, aiida_profile):
    number = orm.Int(3).store()
    said = refused('ins', number.pk)
    assert f'<{number.pk}> is a Int, but a ForceConstantsData is needed here' in said
    for _ in range(2):
        node = orm.Int(1)
        node.label = 'twin'
        node.store()
    assert 'neither a file nor' in refused('ins', 'no such label')
    from aiida_mlip_ins.cli.nodes import find_node

    with pytest.raises(ValueError, match='several nodes have the label'):
        find_node('twin')


def test_a_process_stands_for_the_one_node_that_it_made(aiida_profile):
    from aiida_mlip_ins.cli.nodes import find_node

    model, numbers = toy_model().store(), [orm.Dict().store() for _ in range(2)]
    outputs = {'model': model, 'results': numbers[0], 'history': numbers[1]}
    node = finished(MacePressureScanWorkChain, outputs)
    assert find_node(str(node.pk), MaceModelData).uuid == model.uuid
    chain = finished(MacePressureScanWorkChain, {'model': model, 'training.model': model})
    assert find_node(str(chain.pk), MaceModelData).uuid == model.uuid
    assert (
        find_node(str(node.pk)).uuid == find_node(str(node.pk), orm.ProcessNode).uuid == node.uuid
    )
    with pytest.raises(ValueError, match=f'results <{numbers[0].pk}>'):
        find_node(str(node.pk), orm.Dict)
    with pytest.raises(ValueError, match='is a WorkChainNode, but a DatasetData is needed here'):
        find_node(str(node.pk), DatasetData)


def test_valid_inputs_are_only_checked(cif, pw_code, pseudo_family):
    before = orm.QueryBuilder().append(orm.Node).count()
    words = [
        'launch',
        'pw-pressure-scan',
        cif,
        '--pressures',
        '0,1.5',
        '--pressure',
        '3',
        '--check',
    ]
    words += ['--pseudo-family', pseudo_family.label]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert 'inputs of PwPressureScanWorkChain are valid; nothing was stored' in result.output
    assert 'H2MgO2: 5 atoms' in result.output
    assert 'P-3m1 (164)' in result.output
    assert 'primitive cell' not in result.output
    assert orm.QueryBuilder().append(orm.Node).count() == before


@pytest.mark.parametrize(('cutoff', 'remarks'), [(60, 1), (90, 0)])
def test_a_cutoff_below_the_recommended_one_is_remarked_on(
    cif, tmp_path, pw_code, pseudo_family, cutoff, remarks
):
    """It may be meant, as for a trial, so it is no problem."""
    numbers = tmp_path / 'numbers.yaml'
    numbers.write_text(f'cutoffs: {{ecutwfc: {cutoff}}}')
    words = ['launch', 'pw-pressure-scan', cif, '--pressures', '0,1.5', '--check']
    words += ['--pseudo-family', pseudo_family.label, '--overrides', str(numbers)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert result.output.count(f'{cutoff} Ry is below the 80 Ry that ') == remarks


@pytest.fixture
def measured(tmp_path):
    path = tmp_path / 'measured.dat'
    spectrum = measured_spectrum()
    table = np.column_stack([spectrum.energy, spectrum.intensity[0], spectrum.errors[0]])
    np.savetxt(path, table, header='Title\nC (CM-1) COUNTS ERROR', comments='')
    return path


def test_measured_spectra_of_the_chain(refused, cif, measured, engine_code, aiida_profile):
    said = refused(
        'chain', cif, '--pressures', '0,1.5', '--measured', f'0={measured}', '--measured',
        '0=nothing', '--no-dft-check', '--model', 'none',
    )  # fmt: skip
    assert 'measured: 0 GPa is given more than once' in said
    assert "measured at 0 GPa: 'nothing' is neither a file nor" in said
    node = simulated_node().store()
    said = refused(
        'chain', cif, '--pressures', '0,1.5', '--measured', f'0={node.pk}', '--no-dft-check',
    )  # fmt: skip
    assert f'<{node.pk}> is a InsSpectrumData, no measured spectrum' in said
    said = refused('chain', cif, '--pressures', '0', '--window', '60:500', '--no-dft-check')
    assert 'window: there is nothing measured to compare with in it' in said
    assert 'is no pressure and spectrum, such as 1.5=run.dat' in refused(
        'chain', cif, '--pressures', '0', '--measured', measured
    )


def test_a_measured_file_of_the_chain_is_checked_and_not_stored(
    cif, measured, engine_code, pw_code, pseudo_family
):
    before = orm.QueryBuilder().append(orm.Node).count()
    words = ['launch', 'chain', cif, '--pressures', '0,1.5', '--measured', f'1.5={measured}']
    words += ['--protocol', 'fast', '--pseudo-family', pseudo_family.label, '--check']
    words += ['--window', '60:500', '-w', '100:200']
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert orm.QueryBuilder().append(orm.Node).count() == before
    result = CliRunner().invoke(main, [*words, '-w', '100:9000'])
    assert 'the window from 100 to 9000 1/cm is not within the simulation' in result.output


def test_spectra_are_compared_from_a_file_and_a_node(aiida_profile, measured, refused):
    node = simulated_node(pressure=None).store()
    said = refused(
        'compare-spectra', '-s', f'experiment@0={measured}', '-s', f'mace={node.pk}', '-w',
        '10:500', '--background', '1',
    )  # fmt: skip
    assert "'pressure_gpa' is missing, and the node has no pressure" in said
    assert 'such as experiment@1.5=run.dat' in refused('compare-spectra', '-s', 'experiment')
    words = ['launch', 'compare-spectra', '-s', f'experiment@0={measured}']
    words += ['-s', f'mace@0={node.pk}', '-w', '50:500', '--background', '1']
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    done = orm.load_node(int(re.search(r'CompareSpectraWorkChain <(\d+)>', result.output)[1]))
    assert done.inputs.settings['background_degree'] == 1
    assert done.inputs.spectra.spectrum_0.creator.inputs.file.filename == 'measured.dat'
    assert done.outputs.verdict['verdicts'][0]['word'] == 'agrees'


def test_spectra_of_motion_and_the_cure(refused, cif, engine_code):
    said = refused('md-ins', 'nothing', cif, '--engine-code', 'nope@localhost')
    assert "trajectory: 'nothing' is neither a file nor" in said
    assert "there is no code 'nope@localhost'" in said
    said = refused('cure', cif, '--model', 'nothing', '--pressure', '0', '--protocol', 'fst')
    assert "model: 'nothing' is neither a file nor" in said
    assert "did you mean 'fast'" in said


def test_a_trajectory_of_another_crystal_is_refused(refused, cif, engine_code):
    node = to_node(rattling(400.0, count=1500)).store()
    assert 'no multiple of that of the crystal' in refused('md-ins', node.pk, cif)
    path = Path(cif).with_name('heavy.cif')
    ase.io.write(path, heavy_cell())
    words = ['launch', 'md-ins', str(node.pk), str(path), '--protocol', 'fast', '--check']
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert 'The inputs of MdInsWorkChain are valid' in result.output


def test_motion_beside_the_harmonic_spectrum(refused, cif, engine_code):
    said = refused('md-ins', 'nothing', '--window', '60:500')
    assert 'structure: give it, or a --harmonic spectrum' in said
    assert 'window: there is no --harmonic spectrum' in said
    spectrum = harmonic_spectrum(400.5)
    frames = to_node(rattling(400.5, count=4000)).store()
    run = finished(MaceMdCalculation, {'trajectory': frames})
    assert 'is a InsSpectrumData, neither a trajectory nor' in refused(
        'md-ins', spectrum.pk, '--harmonic', spectrum.pk
    )
    words = ['launch', 'md-ins', str(run.pk), '--harmonic', str(spectrum.pk), '--protocol', 'fast']
    result = CliRunner().invoke(main, [*words, '--window', '60:500', '--check'])
    assert result.exit_code == 0, result.output
    assert 'The inputs of MdInsWorkChain are valid' in result.output


def test_motion_of_what_a_potential_has_relaxed(refused, engine_code, aiida_profile):
    model, crystal = toy_model().store(), toy_structure().store()
    scan = finished(
        MacePressureScanWorkChain,
        {'structures.pressure_0': crystal, 'structures.pressure_1': crystal},
        inputs={'pressures': orm.List([0.0, 1.5]), 'model': model},
    )
    words = ['launch', 'md-stability', str(scan.pk), '--temperature', '300']
    result = CliRunner().invoke(main, [*words, '--check'])
    assert result.exit_code == 0, result.output
    assert 'The inputs of MdStabilityWorkChain are valid' in result.output
    said = refused('md-stability', scan.pk, '--temperature', '300,-5', '--model', 'nothing')
    assert "model: 'nothing' is neither a file nor" in said
    said = refused('md-stability', scan.pk, '--temperature', '300,-5')
    assert '-5' in said
    run = finished(MaceMdCalculation, {})
    said = refused('md-stability', run.pk, '--temperature', '300', '--protocol', 'fst')
    assert f'process: <{run.pk}> (MaceMdCalculation) has no crystal relaxed' in said
    assert "did you mean 'fast'" in said


def test_active_learning_says_what_is_wrong(refused, cif, pw_code, engine_code, pseudo_family):
    said = refused('active-learning', cif, '--pressures', '1.5,0', '--dataset', 'nothing')
    assert "dataset: 'nothing' is neither a file nor" in said
    assert 'ascending order' in said
    words = [cif, '--pressures', '0', '--go-on', 'nothing', '--dataset', '1']
    said = refused('active-learning', *words)
    assert "go_on: 'nothing' is neither a file nor" in said
    assert 'give one of the two' in said
    words = [cif, '--pressures', '0,1.5', '--pseudo-family', pseudo_family.label]
    words += ['--protocol', 'fast']
    said = refused('active-learning', *words, '--max-frames', '5')
    assert 'settings.max_frames: 5, but there are' in said
    result = CliRunner().invoke(
        main, ['launch', 'active-learning', *words, '--no-frequencies', '--check']
    )
    assert result.exit_code == 0, result.output
    assert 'The inputs of ActiveLearningWorkChain are valid' in result.output


def test_active_learning_goes_on_from_a_run(cif, pw_code, engine_code, pseudo_family, brucite):
    brucite.info.update(REF_energy=-100.0, REF_stress=[0.0] * 6, source='rattle', split='train')
    brucite.arrays['REF_forces'] = brucite.positions * 0
    outputs = {
        'dataset': DatasetData.from_frames([brucite], 'other'),
        'rounds': orm.Dict({'rounds': [{'round': 0}]}),
    }
    ended = finished(ActiveLearningWorkChain, outputs)
    words = ['launch', 'active-learning', cif, '--pressures', '0', '--go-on', str(ended.pk)]
    words += ['--pseudo-family', pseudo_family.label, '--protocol', 'fast']
    result = CliRunner().invoke(main, [*words, '--stop-after-round', '0', '--check'])
    assert result.exit_code == 2
    assert "its labels are of 'other'" in result.output
    assert 'stop_after_round: 0, but the first round to come is 1' in result.output


def test_bands_say_what_is_wrong(refused, cif, engine_code):
    said = refused('bands', cif, '--model', 'nothing', '--pressures', '1.5,0')
    assert "model: 'nothing' is neither a file nor" in said
    assert 'ascending order' in said
    said = refused('bands', cif, '--committee', 'nothing', '--model', 'x', '--pressures', '0')
    assert "committee: 'nothing' is neither a file nor" in said
    assert 'give --committee or --model' in said


def test_bands_of_a_committee_that_has_ended(cif, engine_code):
    models = {}
    for index in range(2):
        node = toy_model()
        node.base.attributes.set('elements', ['H', 'Mg', 'O'])
        node.base.attributes.set('sha256', str(index) * 64)
        models[f'models.member_{index}'] = node
    ended = finished(CommitteeWorkChain, {**models, 'summary': orm.Dict({'rounds': []})}, 401)
    words = ['launch', 'bands', cif, '--committee', str(ended.pk), '--pressures', '0,1.5']
    words += ['--protocol', 'fast', '--check']
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "committee: it has no 'splits'" in result.output
    good = finished(CommitteeWorkChain, models)
    words[4] = str(good.pk)
    result = CliRunner().invoke(main, [*words, '--max-concurrent', '2'])
    assert result.exit_code == 0, result.output
    assert 'The inputs of ErrorBandsWorkChain are valid' in result.output
