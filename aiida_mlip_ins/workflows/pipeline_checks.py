"""What is refused before the whole chain is submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from ase import Atoms

from aiida_mlip_ins.calculations.mace_train import validate_training
from aiida_mlip_ins.data.model import model_problems
from aiida_mlip_ins.data.structure import structure_problems, to_atoms
from aiida_mlip_ins.science.sampling import (
    OF_THE_CELL,
    SHORT_AXES,
    folded_mesh,
    molecule_problems,
    sampling_problems,
    short_axis_supercells,
)
from aiida_mlip_ins.science.scheduling import kpoint_meshes
from aiida_mlip_ins.science.structure import pressure_problems
from aiida_mlip_ins.workflows.cure_inputs import validate as validate_cure
from aiida_mlip_ins.workflows.measured_inputs import measured_problems
from aiida_mlip_ins.workflows.phonon_inputs import isotope_problems
from aiida_mlip_ins.workflows.pw_pressure_scan import PwPressureScanWorkChain
from aiida_mlip_ins.workflows.pw_quadratic_scan import PwQuadraticScanWorkChain

SCANS = {
    'quadratic': ('pw_quadratic_scan', PwQuadraticScanWorkChain),
    'vc-relax': ('pw_pressure_scan', PwPressureScanWorkChain),
}
"""Ways to relax with DFT: the port and the workchain of each."""


def node_problems(inputs: Any) -> list[str]:
    """Return what keeps the given dataset, model, foundation or nuclides from this crystal."""
    elements = inputs['structure'].get_symbols_set()
    found: list[str] = []
    for where, node in (
        ('model', inputs.get('model')),
        ('train.foundation', (inputs.get('train') or {}).get('foundation')),
    ):
        if node is not None:
            found += [f'{where}: {line}' for line in model_problems(node, elements)]
    dataset = inputs.get('dataset')
    missing = sorted(elements - set(dataset.elements)) if dataset is not None else []
    if missing:
        found.append(
            f'dataset: no frame has {", ".join(missing)}, which the structure has; it has '
            f'{", ".join(dataset.elements)}'
        )
    if dataset is not None and 'train' in inputs:
        given = {**inputs['train'], 'dataset': dataset}
        found += (validate_training(given, None) or '').splitlines()
    simulation = ((inputs.get('ins') or {}).get('ins') or {}).get('parameters')
    if simulation is not None and not structure_problems(inputs['structure']):
        where = 'ins.ins.parameters.isotopes'
        lines: list[str] = []
        for port in ('mace_phonons', 'pw_phonons'):
            phonons = (inputs.get(port) or {}).get('parameters')
            lines += isotope_problems(simulation['isotopes'], inputs['structure'], phonons, where)
        found += dict.fromkeys(lines)
    return found


def input_problems(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Refuse inputs from which the chain could not run to its end, all problems at once."""
    if 'structure' not in inputs or 'pressures' not in inputs:
        return None
    found = structure_problems(inputs['structure'])
    found += pressure_problems(inputs['pressures'].get_list())
    found += node_problems(inputs)
    found += measured_problems(inputs)
    needs_frames = 'dataset' not in inputs and 'model' not in inputs
    scans = [port for port, _ in SCANS.values() if port in inputs]
    if len(scans) > 1:
        found.append(f'{" and ".join(scans)}: give one way to relax with DFT, not both')
    needed = ['reference', 'sampling', 'seed'] if needs_frames else []
    needed += [] if 'model' in inputs else ['train']
    found += [
        f'{port}: needed, as there is neither a dataset nor a model'
        if needs_frames
        else f'{port}: needed, as there is no model'
        for port in needed
        if port not in inputs
    ]
    if (needs_frames or 'pw_phonons' in inputs) and not scans:
        found.append('pw_quadratic_scan: needed, DFT starts from its own relaxed cells')
    if 'cure' in inputs:
        links = {'phonons': inputs.get('mace_phonons', {}), 'ins': inputs.get('ins', {})}
        found += [f'cure: {line}' for line in (validate_cure(links, None) or '').splitlines()]
    if 'sampling' in inputs:
        sections = inputs['sampling'].get_dict()
        sections.pop('splits', None)
        reference = inputs.get('reference')
        distance = None if reference is None else reference['kpoints_distance'].value
        found += section_problems(sections, inputs['structure'], distance)
        if needs_frames and 'dataset_checks' in inputs:
            found += reach_problems(sections, inputs['pressures'].get_list())
    return '\n'.join(found) or None


def reach_problems(sections: Mapping[str, Any], pressures: Sequence[float]) -> list[str]:
    """Return which pressures (GPa) lie beyond all that frames are sampled at.

    The check of the dataset would refuse them too, but only when DFT has labelled all frames.
    """
    sampled = [
        pressure
        for options in sections.values()
        if options.get('count', 1)
        for pressure in options.get('pressures') or []
    ]
    outside = [p for p in pressures if sampled and not min(sampled) <= p <= max(sampled)]
    if not outside:
        return []
    named = ', '.join(f'{pressure:g}' for pressure in outside)
    return [
        f'sampling: frames are sampled from {min(sampled):g} to {max(sampled):g} GPa, which leaves '
        f'out {named} GPa; give the sections (path, rattle and so on) `pressures` that reach '
        'beyond it'
    ]


def section_problems(
    sections: Mapping[str, Any], structure: orm.StructureData, distance: float | None
) -> list[str]:
    """Return every problem of the sections of targeted frames of a crystal.

    :param distance: largest distance between DFT's k-points (1/angstrom), ``None`` without DFT.
    """
    crystal = to_atoms(structure)
    found = sampling_problems(sections)
    if distance is not None:
        found += _folding_problems(sections, crystal, distance)
    if sections.get('molecules', {}).get('count'):
        found += [f'sampling.{line}' for line in molecule_problems(crystal)]
    return found


def with_supercells(
    sections: Mapping[str, Any], structure: orm.StructureData, distance: float, below: float
) -> dict[str, Any]:
    """Return the sections with supercells along short axes where they are asked for.

    In a crystal without them sections that can go without (``OF_THE_CELL``) make their frames in
    the cell itself, others none.

    :param distance: largest distance between DFT's k-points (1/angstrom).
    :param below: angstrom; axes at least as long are left as they are.
    """
    crystal = to_atoms(structure)
    mesh = kpoint_meshes([crystal], distance)[0]
    matrices = short_axis_supercells(crystal, mesh, below)
    found = dict(sections)
    for name, options in sections.items():
        if options.get('matrices') == SHORT_AXES:
            count = options['count'] if matrices or name in OF_THE_CELL else 0
            found[name] = {**options, 'matrices': matrices, 'count': count}
    return found


def _folding_problems(sections: Mapping[str, Any], crystal: Atoms, distance: float) -> list[str]:
    """Return the supercells that cannot have the k-points of the crystal."""
    matrices = [
        (section, matrix)
        for section, options in sections.items()
        for matrix in options.get('matrices') or []
        if options.get('count', 1)
    ]
    if not matrices:
        return []
    mesh = kpoint_meshes([crystal], distance)[0]
    found = []
    for section, matrix in matrices:
        try:
            folded_mesh(matrix, mesh)
        except ValueError as error:
            found.append(f'sampling.{section}.matrices: {error}')
    return found
