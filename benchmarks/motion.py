"""Train a potential until its crystal holds in molecular dynamics, on frames as wide as heat.

    verdi run benchmarks/motion.py MODEL [--rounds 2]
        [--folder benchmarks/learning_curve_lbfgs --reference benchmarks/brucite.aiida]

MODEL is a potential that ``learning_curve.py`` made of brucite with DFT's cells and force constants
in that ``--reference``. Each round collects frames in supercells that DFT can pay for,
labels them, trains the potential on with all frames so far, compares its frequencies with DFT's,
and moves a larger supercell at every pressure. It ends with the first that is stable everywhere.
``motion.json`` in the folder has the rounds; labels are kept in the reference too.

The frames are those of the harmonic motion that DFT's force constants have, the section ``warm``
about expanded cells, and of the potential's own motion, hotter too, until it has lost the crystal:
there is where it is wrong.

Cost on one core, of brucite: 16 frames of 10 and 15 atoms 50 min, a training 20 min, 10 ps of 90
atoms 35 min at each pressure.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from aiida import orm
from aiida.engine import calcfunction, run_get_node

from aiida_mlip_ins.calculations.functions.active import frames_of_motion
from aiida_mlip_ins.calculations.functions.dataset import join_datasets
from aiida_mlip_ins.calculations.functions.frames import targeted_configurations
from aiida_mlip_ins.calculations.functions.sampling import thermal_frames
from aiida_mlip_ins.cli import demo
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.query.tables import format_table
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain
from aiida_mlip_ins.workflows.pressures import pressure_key
from aiida_mlip_ins.workflows.protocols import load_protocol
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain

# `verdi run` looks for modules in the current folder, and of `__file__` it gives the name alone.
sys.path.insert(0, str(Path(inspect.getfile(inspect.currentframe())).resolve().parent))

from learning_reference import CELL, CONSTANTS, KEPT, Reference, kept_in_option, study_of
from learning_study import ended, errors_against

PROTOCOL = 'fast'
OF_DFT = (1, 1, 2)
"""Supercell of DFT's force constants, and of most frames."""
LONG = ((3, 1, 1), (1, 3, 1))
"""Supercells of the other frames, dearer, for motion within the layers."""
PRESSURES = (0.0, 1.5)
"""GPa."""
COLUMNS = ('round', 'frames', 'pressure_gpa', 'gamma_mae_per_cm', 'supercell_mae_per_cm', 'verdict')


@calcfunction
def taken(picks: orm.Dict, **sets: FramesData) -> FramesData:
    """Return some frames of each set, evenly over it, the last one for the choice of the epoch.

    :param picks: ``count`` of each set, 0 for all, and ``widest``, how much larger than the
        smallest a cell may be for its atom.
    """
    given = picks.get_dict()
    frames = []
    for name in sorted(sets):
        every = sets[name].get_frames()
        if count := given['count'].get(name, 0):
            room = np.array([frame.get_volume() / len(frame) for frame in every])
            sound = [f for f, v in zip(every, room, strict=True) if v < given['widest'] * room[0]]
            # The first frames of a motion are those of rest.
            places = np.linspace(0, len(sound), count + 1)[1:] - 1
            every = [sound[int(place)] for place in sorted(set(np.round(places)))]
        frames += every
    for index, frame in enumerate(frames):
        frame.info.update(split='train', index=index)
    frames[-1].info['split'] = 'valid'
    return FramesData.from_frames(frames)


class Rounds:
    """The rounds, each on the potential and the frames of the one before."""

    def __init__(self, model: MaceModelData, kept: Path, settings: dict[str, Any]) -> None:
        """Take the cells and force constants of DFT from the archive ``kept``.

        :raises click.ClickException: if it has none that belong to the potential.
        """
        self.model, self.settings = model, settings
        self.dataset: DatasetData = model.creator.inputs.dataset
        made_with = {
            'protocol': PROTOCOL, 'method': self.dataset.method, 'supercell': list(OF_DFT),
        }  # fmt: skip
        crystal = demo.crystal_of(demo.read_settings()['crystal'])
        self.kept = Reference(kept, study_of(crystal, made_with))
        self.cells = [self.kept.find(CELL.format(pressure)) for pressure in PRESSURES]
        self.constants = [self.kept.find(CONSTANTS.format(pressure)) for pressure in PRESSURES]
        if None in (*self.cells, *self.constants):
            raise click.ClickException(
                f'{kept} has no cells and force constants of {self.dataset.method}; '
                'give that of the learning curve that the potential is from'
            )

    def run(self, number: int) -> list[dict[str, Any]]:
        """Label, train, compare and move; return a row for each pressure."""
        what = f'labels of round {number} of motion'
        labels = self.kept.find(what)
        if labels is None:
            builder = ReferenceWorkChain.get_builder_from_protocol(
                self.settings['pw'],
                self.frames(number),
                PROTOCOL,
                {'max_concurrent': self.settings['lanes'], 'allowed_failure_fraction': 0.2},
                structure=self.cells[0],
            )
            labels = self.kept.keep(what, ended(builder, what).outputs.dataset)
        self.dataset = join_datasets(a_before=self.dataset, b_new=labels)
        self.train()
        return self.judge(number)

    def frames(self, number: int) -> FramesData:
        """Return the frames of a round: of the potential's motion, before it of DFT's too."""
        matrices = [np.diag(multiples).tolist() for multiples in (OF_DFT, *LONG)]
        sets, counts = {}, {}
        if number == 0:
            numbers = {**self.settings['thermal'], 'temperature': self.settings['temperature']}
            for place, constants in enumerate(self.constants):
                sets[f'thermal_{place}'] = thermal_frames(
                    constants, orm.Dict(numbers), orm.Int(self.settings['seed'])
                )
            warm = load_protocol('pipeline', PROTOCOL)['sampling']['warm']
            warm |= {'matrices': matrices, **self.settings['warm']}
            cells = {pressure_key(place): cell for place, cell in enumerate(self.cells)}
            sets['warm'] = targeted_configurations(
                orm.Dict({'warm': warm}), orm.Int(self.settings['seed']), orm.List([*PRESSURES]),
                **cells,
            )  # fmt: skip
        for multiples, count in zip((OF_DFT, LONG[0]), self.settings['of_motion'], strict=True):
            for key, frames in self.motion(multiples).items():
                name = f'motion_{"_".join(map(str, multiples))}_{key}'
                sets[name], counts[name] = frames, count
        return taken(orm.Dict({'count': counts, 'widest': self.settings['widest']}), **sets)

    def motion(self, multiples: tuple[int, ...]) -> dict[str, FramesData]:
        """Move small supercells with the potential, hotter too, and return sound frames of it."""
        kelvin = self.settings['temperature']
        node = self._md(self.cells, multiples, [kelvin, 1.5 * kelvin], self.settings['short_md'])
        found = {}
        for key, trajectory in node.outputs.trajectories.items():
            frames, made = frames_of_motion.run_get_node(
                trajectory, orm.List([*multiples]), orm.Float(self.settings['apart'])
            )
            if made.is_finished_ok:
                found[key] = frames
        return found

    def train(self) -> None:
        """Train on from the potential, wide frames counting more than they do for frequencies."""
        builder = MaceTrainWorkChain.get_builder_from_protocol(
            self.settings['engines'],
            self.dataset,
            protocol=PROTOCOL,
            overrides={'parameters': self.settings['training']},
            foundation=self.model,
        )
        self.model = ended(builder, f'training on {self.dataset.n_frames} frames').outputs.model

    def judge(self, number: int) -> list[dict[str, Any]]:
        """Compare with DFT at each pressure, relax, and move the large supercell."""
        node = ended(
            MacePressureScanWorkChain.get_builder_from_protocol(
                self.settings['engines'], self.cells[0], self.model, PRESSURES, PROTOCOL
            ),
            'relaxation',
        )
        relaxed = [node.outputs.structures[pressure_key(i)] for i in range(len(PRESSURES))]
        motion = self._md(
            relaxed, self.settings['supercell'], [self.settings['temperature']], self.settings['md']
        )
        found = motion.outputs.verdict.get_dict()
        rows = []
        for place, pressure in enumerate(PRESSURES):
            run = found['runs'][f'{pressure_key(place)}_temperature_0']
            rows.append({
                'round': number, 'frames': self.dataset.n_frames, 'pressure_gpa': pressure,
                **self._errors(place), 'verdict': run['verdict'], 'reasons': run['reasons'],
                'model': self.model.uuid, 'motion': motion.uuid,
            })  # fmt: skip
        return rows

    def _errors(self, place: int) -> dict[str, Any]:
        builder = MacePhononsWorkChain.get_builder_from_protocol(
            self.settings['engines'], self.cells[place], self.model, PROTOCOL
        )
        what = f'potential at {PRESSURES[place]:g} GPa'
        return errors_against(self.constants[place], builder, OF_DFT, what)

    def _md(
        self, cells: list[orm.StructureData], multiples: Any, kelvin: list[float], numbers: Any
    ) -> orm.WorkChainNode:
        """Return molecular dynamics, which may well lose the crystal."""
        builder = MdStabilityWorkChain.get_builder_from_protocol(
            self.settings['engines'], cells, self.model, PRESSURES, kelvin, multiples,
            overrides={**numbers, 'max_concurrent': self.settings['lanes']},
        )  # fmt: skip
        _, node = run_get_node(builder)
        if 'verdict' not in node.outputs:
            raise click.ClickException(f'motion <{node.pk}>: {node.exit_message or node.exception}')
        return node


SETTINGS: dict[str, Any] = {
    'temperature': 300.0,
    'supercell': [3, 3, 2],
    'md': {'md': {'parameters': {'dtype': 'float32'}}},
    'short_md': {
        'md': {'parameters': {'dtype': 'float32', 'duration_ps': 1.5, 'settle_ps': 0.3}},
        'criteria': {'equilibration_ps': 0.3},
    },
    'thermal': {'count': 2, 'lowest': 30.0, 'classical': True},
    'warm': {'pressures': [-8.0, 0.0], 'count': 6},
    # Frames of each motion in the two cells, their distance (ps), and how wide a cell may be.
    'of_motion': [2, 1],
    'apart': 0.05,
    'widest': 1.2,
    'training': {
        'max_epochs': 102, 'stage_two_start': 54, 'lbfgs_start': 90, 'eval_interval': 10,
        # Down to a fiftieth before L-BFGS.
        'learning_rate': 0.002, 'learning_rate_decay': 0.02 ** (1 / 90),
        'force_weight_ratio': 4.0,
    },
    'seed': 5,
}  # fmt: skip
"""Numbers of the rounds: K, GPa, 1/cm, ps, and as the protocols name them."""


@click.command()
@click.argument('model', type=int, metavar='MODEL')
@click.option('--folder', default='learning_curve', type=click.Path(path_type=Path, exists=True))
@kept_in_option
@click.option('--rounds', default=2, show_default=True, help='At most so many.')
@click.option('--lanes', default=2, show_default=True, help='Jobs side by side.')
@click.option('--pw', default='pw@localhost', show_default=True)
@click.option('--engines', default='mlip-ins-engines@localhost', show_default=True)
def main(model: int, folder: Path, reference: Path | None, rounds: int, **codes: Any) -> None:
    """Train until the crystal holds; see the beginning of the file."""
    settings = {**SETTINGS, **codes}
    course = Rounds(orm.load_node(model), reference or folder / KEPT, settings)
    rows: list[dict[str, Any]] = []
    for number in range(rounds):
        rows += course.run(number)
        content = {'settings': settings, 'rows': rows}
        (folder / 'motion.json').write_text(json.dumps(content, indent=1) + '\n')
        click.echo(format_table(rows, COLUMNS))
        if all(row['verdict'] == 'stable' for row in rows[-len(PRESSURES) :]):
            break


if __name__ == '__main__':
    main()
