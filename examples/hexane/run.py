"""n-hexane from its measured structure: frames, our own DFT, round by round.

    verdi run examples/hexane/run.py ../shared/data/hexane/geometry.in [--rounds 3]

Every number is in settings.yaml beside this file. Rounds that are labelled come from the cache of
the profile, so an interrupted run goes on where it was; after each round the dataset is written to
dataset.xyz, with which training starts: aiida-mlip-ins launch train --dataset.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import click
import numpy as np
import yaml
from aiida import orm
from aiida.engine import calcfunction, run_get_node

from aiida_mlip_ins.calculations.functions.dataset import join_datasets
from aiida_mlip_ins.calculations.functions.frames import targeted_configurations
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.science.sampling import with_bond_lengths, with_rigid_molecules
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain

FOLDER = Path('examples/hexane')


@calcfunction
def with_dft_bonds(structure: orm.StructureData, lengths: orm.Dict) -> orm.StructureData:
    """Return the crystal with its X-H bonds as long as DFT has them."""
    return to_structure(with_bond_lengths(to_atoms(structure), lengths.get_dict()))


@calcfunction
def compressed(structure: orm.StructureData, strain: orm.List) -> orm.StructureData:
    """Return the crystal strained along the Cartesian axes, its molecules as they were."""
    parent = to_atoms(structure)
    strained = parent.copy()
    strained.set_cell(parent.cell.array @ (np.eye(3) + np.diag(strain.get_list())), True)
    return to_structure(with_rigid_molecules(strained, parent))


def cells(file: str, settings: dict[str, Any]) -> dict[float, orm.StructureData]:
    """Return what the frames are sampled around, by pressure (GPa)."""
    crystal = to_structure(ase.io.read(file))
    crystal.label = 'n-hexane'
    start = with_dft_bonds(crystal, orm.Dict(settings['bond_lengths']))
    guess = settings['guess']
    return {0.0: start, guess['pressure']: compressed(start, orm.List(guess['strain']))}


def label(
    number: int, structures: dict[float, orm.StructureData], settings: dict[str, Any], code: str
) -> DatasetData:
    """Make the frames of a round and label them with pw.x."""
    chosen = settings['rounds'][number]
    frames = targeted_configurations(
        settings=orm.Dict({**chosen['sampling'], 'splits': settings['splits']}),
        seed=orm.Int(chosen['seed']),
        pressures=orm.List(list(structures)),
        **{f'pressure_{index}': node for index, node in enumerate(structures.values())},
    )
    reference = settings['reference']
    builder = ReferenceWorkChain.get_builder_from_protocol(
        code, frames, reference['protocol'], reference['overrides'], structure=structures[0.0]
    )
    _, node = run_get_node(builder)
    click.echo(f'round {number}: {frames.n_frames} frames, {node.exit_message or "ended well"}')
    return node.outputs.dataset


@click.command()
@click.argument('geometry', type=click.Path(exists=True, dir_okay=False))
@click.option(
    '--folder',
    default=FOLDER,
    show_default=True,
    type=click.Path(path_type=Path),
    help='With settings.yaml; the results go there.',
)
@click.option('--rounds', type=int, help='Only so many.')
@click.option('--code', default='pw@localhost', show_default=True)
def main(geometry: str, folder: Path, rounds: int | None, code: str) -> None:
    """Label the rounds of settings.yaml, writing what there is after each."""
    settings = yaml.safe_load((folder / 'settings.yaml').read_text())
    structures = cells(geometry, settings)
    done: dict[str, DatasetData] = {}
    for number in range(len(settings['rounds']))[:rounds]:
        done[f'round_{number}'] = label(number, structures, settings, code)
        dataset = join_datasets(**done)
        (folder / 'dataset.xyz').write_text(dataset.get_content())
        click.echo(f'dataset.xyz: {dataset.n_frames} frames, DatasetData<{dataset.pk}>')


if __name__ == '__main__':
    main()
