"""Sets of spectra: what is compared with what, what comes out, what is refused."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from pw_mocks import instantiate
from spectra_nodes import PEAKS, measured_node, simulated_node

from aiida_mlip_ins.calculations.functions.measured import parts_of
from aiida_mlip_ins.science.agreement import Overlay
from aiida_mlip_ins.workflows.compare_spectra import CompareSpectraWorkChain
from aiida_mlip_ins.workflows.protocols import PROTOCOLS

MOVED = tuple(place + 12 for place in PEAKS)
LESS = tuple(place + 8 for place in PEAKS)


def run(*arguments, **keywords):
    builder = CompareSpectraWorkChain.get_builder_from_protocol(*arguments, **keywords)
    return run_get_node(builder)


@pytest.fixture
def full(aiida_profile):
    """Return an experiment and two models at two pressures."""
    return {
        'spectra': {
            'e0': measured_node(),
            'e1': measured_node(places=MOVED, scale=5.0, background=0.5, seed=2),
            'm0': simulated_node(pressure=0.0),
            'm1': simulated_node(MOVED, 1.5),
            'd0': simulated_node([place + 15 for place in PEAKS], 0.0),
            'd1': simulated_node([place + 15 for place in LESS], 1.5),
        },
        'roles': {'m0': 'mace', 'm1': 'mace', 'd0': 'dft', 'd1': 'dft'},
        'pressures': {'e0': 0.0, 'e1': 1.48},
    }


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_protocol_makes_inputs_that_are_accepted(full, protocol):
    process = instantiate(
        CompareSpectraWorkChain.get_builder_from_protocol(**full, protocol=protocol)
    )
    assert process.inputs.settings['windows'] == [[20.0, 900.0]]
    process.setup()
    assert process.ctx.plan.reference == 'experiment'


def test_experiment_and_two_models_at_two_pressures(full):
    outputs, node = run(**full, windows=[[50.0, 850.0]])
    assert node.is_finished_ok, node.exit_message
    metrics, table = outputs['metrics'].get_dict(), outputs['table'].get_dict()
    assert metrics['pressures_gpa'] == [0.0, 1.48]
    pairs = {pair['label']: pair['windows'][0] for pair in metrics['pairs']}
    assert set(pairs) == {'m0', 'm1', 'd0', 'd1'}
    assert pairs['m0']['r_squared'] == pytest.approx(1.0, abs=1e-3)
    assert pairs['m0']['scale'] == pytest.approx(3.0, rel=1e-2)
    assert pairs['m1']['scale'] == pytest.approx(5.0, rel=1e-2)
    assert pairs['m1']['background_at_ends'] == pytest.approx([0.5, 0.5], abs=1e-2)
    assert pairs['m0']['reduced_chi_square'] < 3
    assert pairs['d0']['peaks']['mean_absolute_shift'] == pytest.approx(15.0, abs=0.5)
    changes = {change['label']: change['windows'][0] for change in metrics['changes']}
    assert changes['m1']['correlation'] > 0.99
    assert changes['m1']['scale'] == pytest.approx(1.0, abs=0.05)
    assert changes['d1']['correlation'] < 0.7
    shifts = [row['shift_per_cm'] for row in table['rows']]
    assert len(shifts) == 3
    for shift in shifts:
        assert shift['experiment'][1] == pytest.approx(12.0, abs=0.5)
        assert shift['mace'][1] == pytest.approx(12.0, abs=0.1)
        assert shift['dft'][1] == pytest.approx(8.0, abs=0.1)
    assert table['rows'][0]['slope_per_cm_per_gpa']['mace'] == pytest.approx(12 / 1.48, abs=0.1)
    verdict = outputs['verdict'].get_dict()
    assert [best['role'] for best in verdict['best']] == ['mace', 'mace']
    words = {(v['kind'], v['role'], v['word']) for v in verdict['verdicts']}
    assert ('spectrum', 'mace', 'agrees') in words
    assert ('change', 'mace', 'agrees') in words
    assert ('change', 'dft', 'does not agree') in words
    assert ('shifts', 'dft', 'agrees') in words
    assert any('+8.0 against +12.0 1/cm' in sentence for sentence in verdict['sentences'])


def test_what_figures_are_drawn_from_is_in_the_graph(full):
    outputs, node = run(**full)
    overlay = outputs['overlays']['m1']
    assert overlay.creator.inputs.measured.uuid == full['spectra']['e1'].uuid
    (part,) = parts_of(overlay, Overlay)
    assert len(part.edges) == len(part.measured) + 1 == len(part.errors) + 1
    difference = outputs['differences']['m1']
    assert difference.creator.inputs.low.uuid == full['spectra']['m0'].uuid
    assert 'window_0_errors' not in difference.get_arraynames()
    change = outputs['difference_overlays']['m1']
    assert change.creator.inputs.other.uuid == difference.uuid
    assert np.allclose(
        change.get_array('window_0_measured'),
        outputs['differences']['e1'].get_array('window_0_difference'),
    )
    judge = outputs['verdict'].creator
    assert judge.inputs.pair.m1.creator.uuid == overlay.creator.uuid
    assert {link.link_label for link in node.base.links.get_outgoing().all()} >= {
        'pair_m0', 'difference_e1', 'change_d1', 'judge',
    }  # fmt: skip


def test_a_simulation_may_be_the_reference(aiida_profile):
    spectra = {'a': simulated_node(), 'b': simulated_node(MOVED)}
    outputs, node = run(spectra, {'a': 'dft', 'b': 'mace'})
    assert node.is_finished_ok, node.exit_message
    (pair,) = outputs['metrics']['pairs']
    assert outputs['metrics']['reference'] == 'dft'
    assert pair['windows'][0]['wasserstein_per_cm'] == pytest.approx(12.0, rel=1e-3)
    assert pair['windows'][0]['chi_square'] is None
    assert 'differences' not in outputs


def test_one_role_at_two_pressures_has_only_a_change(aiida_profile):
    spectra = {'a': simulated_node(), 'b': simulated_node(MOVED, 2.0)}
    outputs, node = run(spectra, {'a': 'mace', 'b': 'mace'})
    assert node.is_finished_ok, node.exit_message
    assert outputs['metrics']['pairs'] == []
    assert list(outputs['differences']) == ['b']
    assert outputs['table']['rows'][0]['shift_per_cm']['mace'][1] == pytest.approx(12.0, abs=0.1)


def test_a_model_without_a_counterpart_is_said(full):
    for label in ('e1', 'd1'):
        del full['spectra'][label]
    del full['roles']['d1'], full['pressures']['e1']
    outputs, node = run(**full)
    assert node.is_finished_ok
    assert (
        'mace at 1.5 GPa has no spectrum of experiment beside it.'
        in (outputs['verdict']['sentences'])
    )


def test_everything_wrong_is_said_at_once(full):
    full['roles'] = {'m0': 'mace', 'm1': 'mace', 'd0': 'mace', 'x0': 'dft'}
    full['pressures'] = {'m1': 1.2}
    with pytest.raises(ValueError, match=r'\w') as error:
        run(**full, overrides={'parameters': {'normalisation': 'max'}})
    said = str(error.value)
    assert "about.spectra: unknown key 'x0' (did you mean" in said
    assert "about.spectra.e0: 'pressure_gpa' is missing" in said
    assert "about.spectra.d1: 'role' is missing" in said
    assert 'about.spectra.m1: 1.2 GPa is said, but the node has 1.5 GPa' in said


def problems(full, **changes):
    """Return what the door says of inputs made for a set, then changed."""
    builder = CompareSpectraWorkChain.get_builder_from_protocol(**full)
    for name, change in changes.items():
        builder[name] = orm.Dict({**builder[name].get_dict(), **change})
    return CompareSpectraWorkChain.spec().inputs.validate(builder._inputs(prune=True)).message


def test_the_door_refuses_all_at_once(full):
    full['roles']['d0'] = 'mace'
    said = problems(
        full, settings={'windows': [[50.0, 950.0], [300.0, 200.0]], 'bin_widht': 1.0},
        parameters={'normalisation': 'aera'},
    )  # fmt: skip
    assert "unknown key 'bin_widht' (did you mean 'bin_width'?)" in said
    assert "'aera' is not allowed (did you mean 'area'?)" in said
    full['roles']['d1'] = 'mace'
    said = problems(full, settings={'windows': [[50.0, 950.0]]}, about={'reference': 'expermient'})
    assert 'spectra.e0: the window from 50 to 950 1/cm is not within the spectrum' in said
    assert "no spectrum has the role 'expermient' (did you mean 'experiment'?)" in said
    assert "the role 'mace' is there 2 times at one pressure: d0 (0 GPa), m0 (0 GPa)" in said


def test_spectra_that_do_not_overlap_and_a_missing_reference(aiida_profile):
    spectra = {'a': measured_node(), 'b': simulated_node(end=15.0)}
    with pytest.raises(ValueError, match='do not overlap'):
        run(spectra, {'b': 'mace'}, {'a': 0.0})
    spectra = {'a': simulated_node(), 'b': simulated_node(MOVED)}
    with pytest.raises(ValueError, match='say which role the others are compared with'):
        run(spectra, {'a': 'mace', 'b': 'other'})
    with pytest.raises(ValueError, match='there is nothing to compare'):
        run({'a': simulated_node()}, {'a': 'mace'})
