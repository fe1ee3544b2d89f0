"""The example of the paper's crystal: what it reads, refuses, estimates, and a toy run of it all.

The structure is a hypothetical one and the labels of the run are made up (springs between near
atoms): nothing here says anything about 2,5-diiodothiophene.
"""

from __future__ import annotations

import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml
from aiida import orm
from ase import Atoms
from ase.neighborlist import neighbor_list
from click.testing import CliRunner
from pw_mocks import finished
from report.synthetic import build_run
from script_modules import as_module

from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain

FOLDER = Path(__file__).resolve().parents[1] / 'examples' / 'diiodothiophene'
CUTOFF = 4.2
"""Angstrom; of the made-up springs."""
FAMILY = {'pseudo_family': 'tests/PseudoDojo/0.4/PBE/SR/standard/upf'}


@pytest.fixture(scope='module')
def example():
    """Return the script as a module."""
    return as_module('examples/diiodothiophene/run.py')


@pytest.fixture
def invoke(example, aiida_profile):
    """Return a function that runs the script and returns its exit code and what it said."""

    def run(*words):
        result = CliRunner().invoke(example.main, [*map(str, words)])
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        return result.exit_code, result.output

    return run


@pytest.fixture
def settings(tmp_path, pseudo_family):
    """Return a file that has the chain use the pseudopotentials of the tests."""
    path = tmp_path / 'family.yaml'
    path.write_text(yaml.safe_dump({'reference': FAMILY, 'pw_scan': FAMILY}))
    return path


def test_the_molecule_is_what_it_says(example):
    atoms = example.boxed()
    assert (
        atoms.symbols.formula.reduce()[0].format('hill') == example.read('settings.yaml')['formula']
    )
    distances = atoms.get_all_distances(mic=True)
    iodine = [i for i, symbol in enumerate(atoms.symbols) if symbol == 'I']
    bonded = [sorted(distances[i])[1] for i in iodine]
    assert bonded == pytest.approx([2.1, 2.1])
    carbons = {int(np.argsort(distances[i])[1]) for i in iodine}
    (sulphur,) = (i for i, symbol in enumerate(atoms.symbols) if symbol == 'S')
    assert all(atoms.symbols[i] == 'C' and distances[i, sulphur] < 1.8 for i in carbons)


def test_inputs_are_valid_and_nothing_is_stored(invoke, settings, pw_code, engine_code):
    before = orm.QueryBuilder().append(orm.Node).count()
    words = ['chain', '--hypothetical', '--resources', FOLDER / 'slurm.yaml']
    status, said = invoke(*words, '--overrides', settings, '--check')
    assert status == 0, said
    assert 'The inputs of HighPressureInsWorkChain are valid' in said
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_resources_and_conditions_reach_the_jobs(example, settings, pw_code, engine_code):
    from aiida_mlip_ins.cli.inputs import Inputs

    inputs = Inputs()
    structure = example.crystal(inputs, None, True)
    builder = example.build(
        inputs, structure, FOLDER / 'slurm.yaml', settings, None, engine_code.full_label,
        pw_code.full_label, None, None, None, True,
    )  # fmt: skip
    assert inputs.problems == []
    assert structure.label.startswith('HYPOTHETICAL')
    assert builder.pressures.get_list() == [0.0, 1.5]
    assert builder.reference.base.pw.metadata.options.queue_name == 'cpu'
    assert builder.train.metadata.options.queue_name == 'gpu'
    assert builder.train.parameters['device'] == 'cuda'
    assert builder.mace_phonons.evaluate.metadata.options.queue_name == 'gpu'
    assert builder.ins.ins.metadata.options.queue_name == 'cpu'
    assert builder.ins.ins.parameters['temperature'] == 10.0
    assert builder.reference.base.pw.parameters['SYSTEM']['ecutwfc'] == 90.0
    assert builder.sampling['molecules']['count'] > 0


def test_what_is_not_the_crystal_is_refused(invoke, tmp_path, brucite, pw_code, engine_code):
    ase.io.write(tmp_path / 'brucite.cif', brucite)
    status, said = invoke('chain', tmp_path / 'brucite.cif', '--check')
    assert status == 2
    assert 'not C4H2I2S (2,5-diiodothiophene)' in said
    status, said = invoke('chain', '--check', '--engine-code', 'nope@localhost')
    assert status == 2
    assert 'give a CIF, or --hypothetical' in said
    assert "there is no code 'nope@localhost'" in said


def test_costs_are_scaled_from_what_was_measured(example):
    from costs import single_point

    costs = example.measured(example.read('costs.yaml'))
    known = costs['dft_frame']
    same = (known['volume'], known['electrons'], known['kpoints'])
    assert single_point(costs, *same) == pytest.approx((known['seconds'],) * 2)
    low, high = single_point(costs, 2 * same[0], 2 * same[1], same[2])
    assert (low, high) == pytest.approx((4 * known['seconds'], 8 * known['seconds']))
    atoms = Atoms('H10', cell=[5, 5, 5], pbc=True)
    counts = {
        'pressures': 2, 'frames': 50, 'relaxation_steps': 10, 'passes': 100, 'supercell': 8,
        'md_cells': 27, 'md_steps': 1000,
    }  # fmt: skip
    found = {e.stage: e for e in example.estimates(costs, atoms, 10, 4, counts)}
    per_atom = costs['training']['seconds_per_epoch_and_atom']
    assert found['training'].low == pytest.approx(100 * 50 * 10 * per_atom)
    assert found['DFT frames'].low <= found['DFT frames'].high
    assert found['DFT frames'].high / found['DFT cells'].high == pytest.approx(50 / 20)
    filled = example.read('costs.yaml')
    filled['hexane']['dft_frame_seconds'] = 60.0
    assert example.measured(filled)['dft_frame']['seconds'] == 60.0


def test_the_costs_of_a_crystal(invoke, monkeypatch, example, pw_code, engine_code, pseudo_family):
    given = example.read('settings.yaml')
    given['overrides']['reference'] |= FAMILY
    given['overrides']['pw_scan'] |= FAMILY
    files = {'settings.yaml': given, 'costs.yaml': example.read('costs.yaml')}
    monkeypatch.setattr(example, 'read', files.__getitem__)
    status, said = invoke('cost', '--hypothetical')
    assert status == 0, said
    assert 'HYPOTHETICAL' in said
    assert re.search(r'DFT frames +[\d.e+]+ +\d+ h', said)


def test_the_paper_beside_a_run(invoke, tmp_path, example):
    run = build_run()
    verdict = orm.Dict({'verdict': 'stable', 'reasons': ['300 K, 0 GPa: it stands']})
    dynamics = finished(MdStabilityWorkChain, {'verdict': verdict})
    output = tmp_path / 'findings.md'
    status, said = invoke('table', run.pk, '--md', dynamics.pk, '--output', output)
    assert status == 0, said
    rows = output.read_text().splitlines()
    assert rows[0].startswith(f'# Brucite: run {run.uuid}')
    assert rows[2] == '| finding of arXiv:2603.05442 | here | same |'
    assert '2 of 2, lowest modes 3 1/cm at 0 GPa' in rows[4]
    assert re.search(r'\d+ of \d+ modes', rows[5])
    assert 'at 453 1/cm' in rows[6]
    assert rows[7].endswith('| stable; 300 K, 0 GPa: it stands | yes |')
    status, said = invoke('table', build_run(until='training').pk, '--output', output)
    assert status == 0, said
    assert 'not computed yet' in output.read_text()
    assert 'not run yet' in output.read_text()


def test_red_shifts_count_only_near_the_place(example):
    def row(place, shift):
        word = 'red' if shift < 0 else 'blue'
        return {
            'mace_per_cm': [place, place + shift], 'mace_shift_per_cm': [0.0, shift],
            'mace_direction': ['none', word],
        }  # fmt: skip

    from findings import _blue, _red

    rows = [row(440.0, -3.0), row(700.0, 5.0), row(90.0, 10.0)]
    assert _red(rows, 453.0, 30.0) == ('440 (-3.0) 1/cm', True)
    assert _red([*rows, row(900.0, -1.0)], 453.0, 30.0)[1] is False
    assert _red(rows[1:], 453.0, 30.0) == ('none', False)
    assert _blue(rows) == ('2 of 3 modes, by 7.5 1/cm on average', True)


def labelled(crystal: Atoms, count: int) -> list[Atoms]:
    """Return frames near a crystal with the labels of springs that are at rest in it.

    Each pair nearer than ``CUTOFF`` has a spring as long as it is there, stiffer the shorter.
    """
    rng = np.random.default_rng(3)
    first, second, shifts, rest = neighbor_list('ijSd', crystal, CUTOFF)
    stiffness = 20.0 * (1.5 / rest) ** 3
    frames = []
    for index in range(count):
        frame = crystal.copy()
        strain = 0.01 * rng.normal(size=(3, 3))
        frame.set_cell(crystal.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        frame.positions += 0.03 * rng.normal(size=(len(crystal), 3))
        vectors = frame.positions[second] + shifts @ frame.cell.array - frame.positions[first]
        lengths = np.linalg.norm(vectors, axis=1)
        pulls = (stiffness * (lengths - rest) / lengths)[:, None] * vectors
        forces = np.zeros((len(crystal), 3))
        np.add.at(forces, first, pulls)
        stress = np.einsum('pi,pj->ij', pulls, vectors) / 2 / frame.get_volume()
        frame.info = {
            'source': 'rattle', 'split': 'valid' if index % 6 == 5 else 'train',
            'REF_energy': float((stiffness * (lengths - rest) ** 2).sum() / 4),
            'REF_stress': stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }  # fmt: skip
        frame.arrays['REF_forces'] = forces
        frames.append(frame)
    return frames


def test_the_made_up_labels_are_derivatives_of_each_other(example):
    """Central differences of the energy, so that the toy run learns something that exists."""
    crystal = example.boxed()
    first, second, shifts, rest = neighbor_list('ijSd', crystal, CUTOFF)
    stiffness = 20.0 * (1.5 / rest) ** 3

    def energy(atoms):
        vectors = atoms.positions[second] + shifts @ atoms.cell.array - atoms.positions[first]
        return (stiffness * (np.linalg.norm(vectors, axis=1) - rest) ** 2).sum() / 4

    (frame,) = labelled(crystal, 1)
    assert energy(frame) == pytest.approx(frame.info['REF_energy'])
    step = 1e-4
    moved = [frame.copy() for _ in range(2)]
    for sign, atoms in zip((-1, 1), moved, strict=True):
        atoms.positions[4, 1] += sign * step
    slope = (energy(moved[1]) - energy(moved[0])) / (2 * step)
    assert -slope == pytest.approx(frame.arrays['REF_forces'][4, 1], rel=1e-5)
    strained = [frame.copy() for _ in range(2)]
    for sign, atoms in zip((-1, 1), strained, strict=True):
        atoms.set_cell(frame.cell.array @ np.diag([1, 1 + sign * step, 1]), scale_atoms=True)
    slope = (energy(strained[1]) - energy(strained[0])) / (2 * step) / frame.get_volume()
    assert slope == pytest.approx(frame.info['REF_stress'][1], rel=1e-4)


TOY = {
    'pressures': [0.0, 0.2],
    'train': {
        'parameters': {
            'max_epochs': 46, 'stage_two_start': 30, 'lbfgs_start': 43, 'num_channels': 8,
            'minimum_frames': 4, 'max_ell': 2, 'r_max': 5.0,
        }
    },
    # So loose that the packing stays about as it is: what is made up runs away otherwise.
    'mace_pressure_scan': {'relax': {'parameters': {'fmax': 0.5, 'smax': 3.0}}},
    'mace_phonons': {'mace': {'supercell_min_length': 0.0}, 'q_spacing': 2.0},
    # A minute of training makes no stable crystal; what imaginary modes there are is left out.
    'ins': {'q_spacing': 2.0, 'parameters': {'imaginary': 'leave_out'}},
}  # fmt: skip


@pytest.mark.engines
@pytest.mark.slow
def test_the_whole_way_at_toy_settings(invoke, tmp_path, example, engine_code):
    frames = labelled(example.boxed(), 24)
    ase.io.write(tmp_path / 'frames.xyz', frames, format='extxyz')
    (tmp_path / 'toy.yaml').write_text(yaml.safe_dump(TOY))
    status, said = invoke(
        'chain', '--hypothetical', '--dataset', tmp_path / 'frames.xyz', '--method', 'made up',
        '--overrides', tmp_path / 'toy.yaml', '--protocol', 'fast', '--no-dft-check',
    )  # fmt: skip
    run = orm.load_node(int(re.search(r'HighPressureInsWorkChain <(\d+)>', said)[1]))
    assert run.inputs.structure.label.startswith('HYPOTHETICAL')
    assert status == 0, (said, run.exit_message)
    assert set(run.outputs.spectra) == {'pressure_0', 'pressure_1'}
    status, said = invoke('table', run.pk, '--output', tmp_path / 'findings.md')
    assert status == 0, said
    assert '2 of 2' in (tmp_path / 'findings.md').read_text()
