"""A potential of n-hexane for motion: that of the spectrum, trained on with frames of its motion.

    verdi run examples/hexane/motion.py ../shared/data/hexane/geometry.in MODEL [--rounds 1]

MODEL is the potential that ``run.py`` made, as PK or UUID: that of the chain in ``run.aiida``, say.
Each round moves the crystal with the potential so far, hotter than is asked for too, in a cell that
DFT can pay for; those frames that are least like all that is labelled are labelled, which says how
far off the potential is there; it is trained on with them, and molecular dynamics says whether the
crystal holds now. Every number is in ``settings.yaml``, under ``motion``. After each round the new
frames are in ``motion.xyz``, the verdicts in ``motion.json``, the potential in ``motion.model`` and
what it does in a figure; labels, trainings and dynamics come from the cache, so an interrupted run
goes on where it was.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import click
import yaml
from aiida import orm
from aiida.engine import run_get_node

from aiida_mlip_ins.calculations.functions.active import frames_of_motion
from aiida_mlip_ins.calculations.functions.dataset import join_datasets
from aiida_mlip_ins.calculations.functions.sampling import pool_frames, with_splits
from aiida_mlip_ins.calculations.functions.selection import select_frames
from aiida_mlip_ins.calculations.mace_describe import MaceDescribeCalculation
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.report.page import write_json
from aiida_mlip_ins.science.label_difference import label_difference
from aiida_mlip_ins.workflows.mace_inputs import describe_inputs_from_protocol

# `verdi run` looks for modules in the current folder, and of `__file__` it gives the name alone.
sys.path.insert(0, str(Path(inspect.getfile(inspect.currentframe())).resolve().parent))

from study import Study, ended


class Motion:
    """The rounds, each with the potential and the frames of the one before."""

    def __init__(self, study: Study, model: MaceModelData) -> None:
        self.study, self.model = study, model
        self.numbers: dict[str, Any] = study.settings['motion']['frames']
        self.new: dict[str, DatasetData] = {}

    def all_labelled(self) -> DatasetData:
        """Return the frames of the spectrum's potential and those of motion so far."""
        return join_datasets(a_before=self.study.dataset(), **self.new)

    def pool(self) -> FramesData:
        """Move the crystal with the potential, and return the frames until it is lost."""
        builder = self.study.moving(self.model, self.numbers)
        _, node = run_get_node(builder)  # that the crystal may be lost is why it is run
        found = {}
        for key, trajectory in node.outputs.trajectories.items():
            frames, made = frames_of_motion.run_get_node(
                trajectory,
                orm.List(self.numbers['supercell']),
                orm.Float(self.numbers['apart']),
            )
            if made.is_finished_ok:
                found[key] = frames
        return pool_frames(**found)

    def described(self, frames: FramesData) -> orm.ArrayData:
        """Return the features that the potential has of the atoms of frames."""
        builder = MaceDescribeCalculation.get_builder()
        builder.code, builder.model = orm.load_code(self.study.engines), self.model
        builder.frames = frames
        inputs = describe_inputs_from_protocol(self.study.settings['protocol'])
        builder.parameters, builder.metadata = inputs['parameters'], inputs['metadata']
        return ended(builder, 'descriptors').outputs.descriptors

    def chosen(self) -> FramesData:
        """Return the frames of the motion that are least like what is labelled."""
        pool, labelled = self.pool(), self.all_labelled()
        picked = select_frames(
            pool=pool,
            descriptors=self.described(pool),
            budget=orm.Int(self.numbers['count']),
            labelled=labelled,
            labelled_descriptors=self.described(labelled),
        )
        report = picked['report']
        click.echo(
            f'{len(report["chosen"])} of {pool.n_frames} frames; distance of the farthest from '
            f'those labelled: {report["radius_before"]:.3g}, then {report["radius_after"]:.3g}'
        )
        # None is held out: whether the crystal holds then is the test.
        return with_splits(picked['frames'], orm.Dict({}), orm.Int(0))

    def run(self, number: int) -> dict[str, Any]:
        """Choose, label, train and judge; return the row of the round."""
        labels = self.study.labels(self.chosen(), f'round {number} of motion')
        self.new[f'motion_{number}'] = labels
        before, dataset = self.off_by(labels), self.all_labelled()
        self.model = self.study.train(dataset, self.numbers['train'], self.model)
        after = self.off_by(labels)
        verdict, self.figures = self.study.motion(self.model)
        return {
            'round': number, 'frames': dataset.n_frames, 'of_motion': labels.n_frames,
            'before': before, 'after': after, 'errors': self.model.creator.outputs.errors['test'],
            'verdict': verdict, 'model_sha256': self.model.sha256,
        }  # fmt: skip

    def off_by(self, labels: DatasetData) -> dict[str, float | None]:
        """Return how far the potential is from DFT in frames of motion."""
        predicted = self.study.predicted(self.model, labels)
        found = label_difference(labels.get_frames(), predicted.get_frames())
        click.echo(f'{found["force_mev_per_angstrom"]:.1f} meV/angstrom off in {labels.n_frames}')
        return found


@click.command()
@click.argument('geometry', type=click.Path(exists=True, dir_okay=False))
@click.argument('model')
@click.option('--rounds', type=int, default=1, show_default=True)
@click.option(
    '--folder',
    default=Path('examples/hexane'),
    show_default=True,
    type=click.Path(path_type=Path),
    help='With settings.yaml and dataset.xyz; the results go there.',
)
@click.option('--pw', default='pw@localhost', show_default=True)
@click.option('--engines', default='mlip-ins-engines@localhost', show_default=True)
def main(geometry: str, model: str, rounds: int, folder: Path, pw: str, engines: str) -> None:
    """Label frames of the potential's motion and train on, until the crystal holds."""
    settings = yaml.safe_load((folder / 'settings.yaml').read_text())
    study = Study(geometry, settings, pw, engines)
    study.read(folder / 'dataset.xyz', len(settings['rounds']))
    course, rows = Motion(study, orm.load_node(model)), []
    for number in range(rounds):
        rows.append(course.run(number))
        write_json({'rounds': rows}, folder / 'motion.json')
        (folder / 'motion.xyz').write_text(join_datasets(**course.new).get_content())
        (folder / 'motion.model').write_bytes(course.model.get_content(mode='rb'))
        for name, content in course.figures.items():
            (folder / f'motion_{name}').write_bytes(content)
        if rows[-1]['verdict']['verdict'] == 'stable':
            break


if __name__ == '__main__':
    main()
