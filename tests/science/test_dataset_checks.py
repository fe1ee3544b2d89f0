"""Checks of datasets that are right, and of the same ones spoilt in a known way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_mlip_ins.science.dataset_checks import (
    Check,
    DatasetCheckSettings,
    check_dataset,
    report,
)
from aiida_mlip_ins.workflows.protocols import load_protocol

GPA = 160.21766208
RY, BOHR = 13.605693, 0.52917721


@pytest.fixture(scope='module')
def settings() -> DatasetCheckSettings:
    return DatasetCheckSettings(**load_protocol('dataset_checks'))


def labelled(atoms: Atoms, source: str, split: str) -> Atoms:
    """Return a frame with the labels of ASE's effective medium theory."""
    atoms.calc = EMT()
    frame = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    frame.info = {'source': source, 'split': split, 'REF_energy': atoms.get_potential_energy()}
    frame.info['REF_stress'] = atoms.get_stress()
    frame.arrays['REF_forces'] = atoms.get_forces()
    return frame


def make_frames() -> list[Atoms]:
    """Return copper-gold: nine volumes within some GPa and twelve rattles of sheared cells."""
    crystal = bulk('Cu', 'fcc', a=3.85, cubic=True)
    crystal.symbols[:2] = 'Au'
    frames = []
    for factor in np.linspace(0.99, 1.01, 9):
        atoms = crystal.copy()
        atoms.set_cell(atoms.cell.array * factor, scale_atoms=True)
        frames.append(labelled(atoms, 'path', 'train'))
    rng = np.random.default_rng(1)
    for index in range(12):
        atoms = crystal.copy()
        strain = rng.normal(0.0, 0.006, (3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        atoms.positions += rng.normal(0.0, 0.04, (4, 3))
        frames.append(labelled(atoms, 'rattle', ('train', 'train', 'valid')[index % 3]))
    return frames


@pytest.fixture
def frames() -> list[Atoms]:
    return make_frames()


def by_name(frames: list[Atoms], settings: DatasetCheckSettings, **more: Any) -> dict[str, Check]:
    return {check.name: check for check in check_dataset(frames, settings, **more)}


def test_a_sound_dataset_passes(frames: list[Atoms], settings: DatasetCheckSettings) -> None:
    """All but the energies of isolated atoms, which one composition cannot give."""
    more = {'methods': ['EMT D3'], 'pressures': [0.0, 1.5], 'elements': ['Au', 'Cu']}
    found = by_name(frames, settings, **more)
    assert set(found) == {
        'labels', 'energy_outliers', 'force_outliers', 'contacts', 'force_consistency',
        'stress_consistency', 'pressure_offset', 'duplicates', 'split_leaks',
        'reference_energies', 'elements', 'methods', 'dispersion', 'pressures',
    }  # fmt: skip
    words = {name: check.verdict for name, check in found.items()}
    assert words.pop('reference_energies') == 'warn'
    assert set(words.values()) == {'pass'}, found
    assert found['force_consistency'].value == pytest.approx(1.0, abs=0.05)
    assert found['stress_consistency'].value == pytest.approx(1.0, abs=0.05)
    assert found['pressure_offset'].value == pytest.approx(0.0, abs=0.2)
    assert found['reference_energies'].value == 1.0
    assert report(list(found.values()))['verdict'] == 'warn'


@pytest.mark.parametrize(
    ('factor', 'slope', 'words'),
    [
        (-1.0, -1.0, 'of the opposite sign'),
        (GPA, 1 / GPA, 'in GPa'),
        (-GPA, -1 / GPA, 'in GPa and of the opposite sign'),
        (-1.6, -0.625, 'differ'),
        (BOHR**3 / RY, RY / BOHR**3, 'in Ry/bohr^3'),
    ],
)
def test_stresses_of_another_sign_or_unit(
    frames: list[Atoms],
    settings: DatasetCheckSettings,
    factor: float,
    slope: float,
    words: str,
) -> None:
    """The energy-volume curve tells which, the forces stay as they were."""
    for frame in frames:
        frame.info['REF_stress'] = frame.info['REF_stress'] * factor
    found = by_name(frames, settings)
    assert found['stress_consistency'].verdict == 'fail'
    assert found['stress_consistency'].value == pytest.approx(slope, rel=0.06)
    assert words in found['stress_consistency'].sentence
    assert found['force_consistency'].verdict == 'pass'


def test_stresses_in_kbar_are_too_large_to_be_read(
    frames: list[Atoms], settings: DatasetCheckSettings
) -> None:
    for frame in frames:
        frame.info['REF_stress'] = frame.info['REF_stress'] * 10 * GPA
    (check,) = check_dataset(frames, settings)
    assert check.verdict == 'fail'
    assert 'REF_stress of absurd size' in check.sentence


@pytest.mark.parametrize(
    ('factor', 'words'),
    [(-1.0, 'of the opposite sign'), (BOHR / RY, 'in Ry/bohr'), (0.5, 'differ')],
)
def test_forces_of_another_sign_or_unit(
    frames: list[Atoms], settings: DatasetCheckSettings, factor: float, words: str
) -> None:
    for frame in frames:
        frame.arrays['REF_forces'] = frame.arrays['REF_forces'] * factor
    found = by_name(frames, settings)
    assert found['force_consistency'].verdict == 'fail'
    assert found['force_consistency'].value == pytest.approx(1 / factor, rel=0.06)
    assert words in found['force_consistency'].sentence
    assert found['stress_consistency'].verdict == 'pass'


def test_pressure_that_stresses_lack(frames: list[Atoms], settings: DatasetCheckSettings) -> None:
    """As of a basis that changes with the cell: energies fall by 2 GPa times the volume."""
    for frame in frames:
        frame.info['REF_energy'] -= 2.0 / GPA * frame.get_volume()
    found = by_name(frames, settings)
    assert found['pressure_offset'].verdict == 'warn'
    assert found['pressure_offset'].value == pytest.approx(2.0, abs=0.2)
    assert found['stress_consistency'].verdict == 'pass'


def test_rattles_of_one_cell_say_nothing_of_stresses(settings: DatasetCheckSettings) -> None:
    rng = np.random.default_rng(2)
    frames = []
    for _ in range(12):
        atoms = bulk('Cu', 'fcc', a=3.7, cubic=True)
        atoms.positions += rng.normal(0.0, 0.03, (4, 3))
        frames.append(labelled(atoms, 'rattle', 'train'))
    found = by_name(frames, settings)
    assert found['force_consistency'].verdict == 'pass'
    assert found['stress_consistency'].verdict == 'unknown'
    assert found['pressure_offset'].verdict == 'unknown'
    assert found['split_leaks'].verdict == 'unknown'


def test_few_frames_cannot_tell(frames: list[Atoms], settings: DatasetCheckSettings) -> None:
    found = by_name(frames[:3], settings)
    for name in ('force_consistency', 'stress_consistency', 'pressure_offset'):
        assert found[name].verdict == 'unknown'
        assert found[name].value is None


def test_labels_that_cannot_be_read_end_it(
    frames: list[Atoms], settings: DatasetCheckSettings
) -> None:
    frames[3].arrays['REF_forces'][0, 0] = np.nan
    del frames[4].arrays['REF_forces']
    (check,) = check_dataset(frames, settings)
    assert check.verdict == 'fail'
    assert check.value == 2.0
    assert 'NaN' in check.sentence
    assert 'without forces' in check.sentence


def test_missing_stresses_and_energies_are_counted(
    frames: list[Atoms], settings: DatasetCheckSettings
) -> None:
    for frame in frames[-3:]:
        del frame.info['REF_stress']
    del frames[-1].info['REF_energy']
    found = by_name(frames, settings)
    assert found['labels'].verdict == 'warn'
    assert '1 have no energy, 3 have no stress' in found['labels'].sentence
    assert found['stress_consistency'].verdict == 'pass'


def test_outliers_are_named(frames: list[Atoms], settings: DatasetCheckSettings) -> None:
    frames[12].info['REF_energy'] += 3.0
    frames[14].arrays['REF_forces'][1, 2] = 60.0
    found = by_name(frames, settings)
    assert found['energy_outliers'].verdict == 'warn'
    assert found['energy_outliers'].sentence.endswith('frames 12')
    assert found['force_outliers'].verdict == 'warn'
    assert found['force_outliers'].value == pytest.approx(60.0, rel=0.01)
    assert found['force_outliers'].sentence.endswith('frames 14')


def test_overlaps_and_repeated_frames(frames: list[Atoms], settings: DatasetCheckSettings) -> None:
    frames.append(frames[10].copy())
    frames[0].positions[1] = frames[0].positions[0] + [0.5, 0.0, 0.0]
    found = by_name(frames, settings)
    assert found['contacts'].verdict == 'fail'
    assert found['contacts'].sentence.endswith('frames 0')
    assert found['duplicates'].verdict == 'warn'
    assert found['duplicates'].sentence.endswith(': 21')


def test_leaks_between_splits(frames: list[Atoms], settings: DatasetCheckSettings) -> None:
    """Frame 11 is held out: as a copy of a training frame, or of the same trajectory as one."""
    assert frames[11].info['split'] == 'valid'
    copied = [frame.copy() for frame in frames]
    copied[11].positions = frames[9].positions + 1e-5
    copied[11].cell = frames[9].cell
    found = by_name(copied, settings)['split_leaks']
    assert (found.verdict, found.value) == ('fail', 1.0)
    assert found.sentence.endswith(': 11')
    del copied[9].info['split']  # as the frames of a relaxation: trained on all the same
    assert by_name(copied, settings)['split_leaks'].value == 1.0
    for index in (10, 11):
        frames[index].info['trajectory'] = 'run-1'
    frames[14].info['trajectory'] = 'run-2'
    found = by_name(frames, settings)['split_leaks']
    assert (found.verdict, found.value) == ('fail', 1.0)


def test_isolated_atoms_and_compositions(
    frames: list[Atoms], settings: DatasetCheckSettings
) -> None:
    alone = []
    for name in ('Cu', 'Au'):
        atom = Atoms(name, cell=[12.0] * 3, pbc=True)
        atom.info = {'source': 'isolated', 'config_type': 'IsolatedAtom', 'REF_energy': -1.0}
        atom.arrays['REF_forces'] = np.zeros((1, 3))
        alone.append(atom)
    found = by_name([*frames, *alone], settings)['reference_energies']
    assert (found.verdict, found.value) == ('pass', 2.0)
    assert 'isolated atoms of Au, Cu' in found.sentence
    other = frames[0].copy()
    other.symbols[0] = 'Cu'
    other.info['REF_energy'] = frames[0].info['REF_energy']
    found = by_name([*frames, other], settings)['reference_energies']
    assert (found.verdict, found.value) == ('pass', 2.0)
    assert 'fix the energies' in found.sentence


@pytest.mark.parametrize(
    ('methods', 'verdict', 'words'),
    [
        (['pw.x 80 Ry, PBE, D3(BJ), k-points 0.5 1/angstrom'], 'pass', 'with dispersion'),
        (['PBE, no dispersion', 'PBE, D3(BJ)'], 'warn', 'labels by PBE, no dispersion'),
        (['PBE, many-body, its label'], 'unknown', 'says nothing of dispersion'),
    ],
)
def test_dispersion(
    frames: list[Atoms], settings: DatasetCheckSettings, methods: list[str], verdict: str,
    words: str,
) -> None:  # fmt: skip
    found = by_name(frames, settings, methods=methods)['dispersion']
    assert found.verdict == verdict
    assert words in found.sentence


def test_elements_and_methods(frames: list[Atoms], settings: DatasetCheckSettings) -> None:
    found = by_name(frames, settings, methods=['PBE 80 Ry', 'PBE 60 Ry'], elements=['Au', 'H'])
    assert found['elements'].verdict == 'fail'
    assert found['elements'].sentence == 'no training frame has H'
    assert found['methods'].verdict == 'fail'
    assert found['methods'].value == 2.0
    assert 'PBE 60 Ry; PBE 80 Ry' in found['methods'].sentence


def test_asked_pressures_inside_at_the_edge_and_outside(
    frames: list[Atoms], settings: DatasetCheckSettings
) -> None:
    trained = [frame for frame in frames if frame.info['split'] == 'train']
    highest = max(-GPA * np.mean(frame.info['REF_stress'][:3]) for frame in trained)
    for asked, word, margin in (
        (highest - 1.0, 'pass', 1.0), (highest - 0.1, 'warn', 0.1), (highest + 2.0, 'fail', -2.0),
    ):  # fmt: skip
        found = by_name(frames, settings, pressures=[1.0, asked])['pressures']
        assert found.verdict == word
        assert found.value == pytest.approx(margin)
    assert 'outside: ' in found.sentence
