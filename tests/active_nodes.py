"""Nodes of an active learning of the toy crystal: labels of potentials that differ by a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pw_mocks
from aiida import orm
from mace_nodes import toy_dataset, toy_model, toy_structure

from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.workflows.active_learning import ActiveLearningWorkChain

FAMILY = 'fake/NiAl'
METAL = {'SYSTEM': {'occupations': 'smearing'}}
"""NiAl has 41 electrons."""
SETTINGS = {'frames_per_round': 3, 'max_frames': 27, 'max_rounds': 5, 'splits': {'valid': 0.15}}
SAMPLING = {
    'path': {'pressures': [8.0]},
    'symmetric': {'count': 2, 'strain': 0.01},
    'separate': {'count': 0},
    'rattle': {'count': 6},
}
TRAINING = {'minimum_frames': 4}


def overrides(**changes: Any) -> dict[str, Any]:
    """Return overrides that suit two atoms; keywords replace or add links."""
    return {
        'settings': SETTINGS,
        'sampling': SAMPLING,
        'first': {'bulk_modulus': 100.0},
        'reference': {'pseudo_family': FAMILY, 'parameters_pw': METAL},
        'committee': {'size': 2, 'train': {'parameters': TRAINING}},
        'mace_phonons': {'mace': {'supercell_min_length': 3.0}, 'q_spacing': 2.0},
        **changes,
    }


def builder(pressures: tuple[float, ...] = (8.0,), dataset: bool = True, **keywords: Any) -> Any:
    """Return a builder of an active learning, with the labelled toy frames or without."""
    pw_mocks.family(FAMILY, 'Ni Al')
    given = {'overrides': overrides(), 'protocol': 'fast', **keywords}
    arguments = (
        toy_structure(),
        list(pressures),
        given.pop('code', None) or pw_mocks.code(plugin='mlip_ins.mace_train'),
        given.pop('pw_code', None) or pw_mocks.code(),
    )
    if dataset:
        given['dataset'] = frames_of_method(method())
    return ActiveLearningWorkChain.get_builder_from_protocol(*arguments, **given)


def method() -> str:
    """Return the label of the method that new frames are labelled by."""
    return f'pw.x 90/720 Ry, {FAMILY}, D3(BJ), k-points 0.9 1/angstrom'


def frames_of_method(name: str) -> DatasetData:
    """Return the labelled toy frames as if they were labelled by a method."""
    return DatasetData.from_frames(toy_dataset().get_frames(), name).store()


def labelled(frames: FramesData, force: float = 0.0, name: str = 'mace') -> DatasetData:
    """Return frames in which the force on each atom is `force` times the place of its frame."""
    made = frames.get_frames()
    for place, frame in enumerate(made):
        frame.info.setdefault('index', place)
        place = frame.info.get('pool_index', place)
        frame.info['REF_energy'] = 1.0
        frame.info['REF_stress'] = np.zeros(6)
        frame.arrays['REF_forces'] = np.full((len(frame), 3), force * place)
    return DatasetData.from_frames(made, name)


def committee_outputs(count: int = 2) -> dict[str, orm.Data]:
    """Return what a committee leaves."""
    errors = {'valid': {'force': {'rms_error_of_members': 12.0}}}
    return {
        **{f'models.member_{index}': toy_model() for index in range(count)},
        'summary': orm.Dict({'splits': errors}),
    }


def relaxation_outputs(converged: tuple[bool, ...] = (True,)) -> dict[str, orm.Data]:
    """Return what a pressure scan leaves, with a cell for each pressure that converged."""
    rows = [
        {'converged': True, 'volume_angstrom3': 24.0} if good else {'converged': False}
        for good in converged
    ]
    cells = {
        f'structures.pressure_{i}': toy_structure() for i, good in enumerate(converged) if good
    }
    return {**cells, 'results': orm.Dict({'pressures': rows})}


def modes(shift: float) -> orm.ArrayData:
    """Return modes of two q-points, all shifted."""
    frequencies = np.array([[100.0, 200.0], [150.0, 250.0]]) + shift
    return orm.ArrayData({'mesh_frequencies': frequencies, 'mesh_weights': np.array([0.5, 0.5])})
