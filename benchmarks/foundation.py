"""Make a foundation model of a crystal: many frames of cheap DFT, for a fine-tuning to start from.

    verdi run benchmarks/foundation.py [CRYSTAL] [--frames 80]

CRYSTAL is any file that ASE reads; by default it is the brucite of the demo. Gaussian rattles in
randomly strained cells are labelled with a lower cutoff, fewer k-points and no dispersion than what
is fine-tuned on, and a potential is trained on them. Its PK is for ``--foundation`` of
``benchmarks/learning_curve.py``. Labels and training come from the cache of the profile.

Cost on one core, of brucite: 14 to 19 s a frame and 5 s of AiiDA, so 80 frames half an hour;
training 13 min.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import ase.io
import click
from aiida import orm
from aiida.engine import calcfunction

from aiida_mlip_ins.cli import demo
from aiida_mlip_ins.data.frames import FramesData
from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.science.sampling import random_frames, with_nested_splits
from aiida_mlip_ins.workflows.protocols import load_protocol
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain

# `verdi run` looks for modules in the current folder, and of `__file__` it gives the name alone.
sys.path.insert(0, str(Path(inspect.getfile(inspect.currentframe())).resolve().parent))

from learning_study import ended, of_steps


@calcfunction
def frames_of(structure: orm.StructureData, settings: orm.Dict) -> FramesData:
    """Return rattled frames in strained cells, one of ten to choose the epoch by."""
    given = settings.get_dict()
    amplitudes = (given['sigma'], given['strain'])
    frames = random_frames([to_atoms(structure)], *amplitudes, given['seed'], given['frames'])
    return FramesData.from_frames(with_nested_splits(frames))


@click.command()
@click.argument('crystal', required=False, type=click.Path(exists=True, dir_okay=False))
@click.option('--frames', default=80, show_default=True)
@click.option('--sigma', default=0.05, show_default=True, help='Rattles, angstrom.')
@click.option('--strain', default=0.015, show_default=True, help='Strains, width.')
@click.option('--cutoff', default=60.0, show_default=True, help='Ry.')
@click.option('--kpoints-distance', default=1.4, show_default=True, help='1/angstrom.')
@click.option('--epochs', default=241, show_default=True)
@click.option('--seed', default=11, show_default=True, help='Of the frames.')
@click.option('--lanes', default=1, show_default=True, help='pw.x jobs side by side.')
@click.option('--pw', default='pw@localhost', show_default=True)
@click.option('--engines', default='mlip-ins-engines@localhost', show_default=True)
def main(
    crystal: str | None, cutoff: float, kpoints_distance: float, epochs: int, lanes: int,
    pw: str, engines: str, **settings: float,
) -> None:  # fmt: skip
    """Label and train; see the beginning of the file."""
    brucite = demo.crystal_of(demo.read_settings()['crystal'])
    structure = to_structure(ase.io.read(crystal)) if crystal else brucite
    reference = ReferenceWorkChain.get_builder_from_protocol(
        pw,
        frames_of(structure, orm.Dict(settings)),
        'fast',
        {
            'max_concurrent': lanes,
            'kpoints_distance': kpoints_distance,
            'cutoffs': {'ecutwfc': cutoff, 'ecutrho': 4 * cutoff},
            'parameters_pw': {'SYSTEM': {'vdw_corr': 'none'}},
        },
        structure=structure,
    )
    dataset = ended(reference, 'labels').outputs.dataset
    numbers = load_protocol('train', 'fast')['parameters']
    n_train = dataset.splits['train']
    course = of_steps(numbers, n_train, epochs * (n_train // numbers['batch_size']))
    train = MaceTrainWorkChain.get_builder_from_protocol(
        engines, dataset, protocol='fast', overrides={'parameters': course}
    )
    model = ended(train, 'training').outputs.model
    click.echo(f'foundation: MaceModelData<{model.pk}>, {dataset.n_frames} frames')


if __name__ == '__main__':
    main()
