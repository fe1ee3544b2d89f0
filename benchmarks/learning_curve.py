"""How many DFT frames a potential needs: targeted frames against random rattles of the same number.

    verdi run benchmarks/learning_curve.py [CRYSTAL] [--sizes 10,20,40,60] [--folder FOLDER]
        [--sets targeted,random,fine-tuned --foundation PK]

CRYSTAL is any file that ASE reads; by default it is the brucite of the demo. DFT (pw.x) relaxes it
at each pressure and makes force constants of a supercell there. Frames of each set, made about
these cells, are labelled, and a potential is trained on the first 10, the first 20 and so on. Its
frequencies in the cells of DFT are then compared with those of DFT, at Gamma and at all q-points
that the supercell has exactly, modes matched by their eigenvectors. After each point
``learning_curve.json``, ``.csv`` and ``.png`` are written. Labels, trainings and forces come from
the cache of the profile, so an interrupted run goes on where it was, and one with more sizes keeps
what it has: frames are nested, the first 10 of 60 are those of 10.

targeted: the sections of the protocol ``pipeline``, in the shares that they have there, cells along
the pressure from both ends. random: Gaussian rattles of all atoms and random strains about the
same cells in turn. One frame of ten is kept for the choice of the epoch, so 10 frames are 9 trained
on. fine-tuned: the targeted frames, in a training that starts from a model of other DFT
(``benchmarks/foundation.py`` makes one). Every training has the same number of steps, whatever its
frames, and one seed: differences of some 1/cm between two points are luck.

Cost on one core, from the numbers of the how-to and of ``science.sampling.targeted``: of brucite a
targeted frame takes 20-30 s and a random one, whose cell is sheared, 65 s, so 60 of each an hour
and a half; the relaxation 5 min; force constants in 1x1x2 cells at two pressures, 10 cells of 10
atoms, 20 min; a training of 5000 steps 8 min (5 ms for an atom and step), 8 of them an hour; AiiDA
10 min: three hours. With ``--sizes 10,20`` an hour and a half.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ase.io
import click
import numpy as np
from aiida import orm
from aiida.engine import ProcessBuilder, calcfunction, run_get_node
from ase import Atoms

from aiida_mlip_ins.calculations.functions.compare import compare_on_supercell
from aiida_mlip_ins.calculations.functions.dataset import join_datasets
from aiida_mlip_ins.cli import demo
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.query.tables import format_table
from aiida_mlip_ins.report.figures_learning import errors_by_frames
from aiida_mlip_ins.report.page import to_png
from aiida_mlip_ins.science.sampling import (
    HELD_OUT,
    random_frames,
    targeted_frames,
    with_nested_splits,
)
from aiida_mlip_ins.science.scheduling import kpoint_meshes
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain, PwPhononsWorkChain
from aiida_mlip_ins.workflows.pressures import pressure_key
from aiida_mlip_ins.workflows.protocols import load_protocol
from aiida_mlip_ins.workflows.pw_quadratic_scan import PwQuadraticScanWorkChain
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain

SETS = ('targeted', 'random')
FINE_TUNED = 'fine-tuned'
"""The targeted frames, from a foundation model."""
GOAL = 3.0
"""1/cm, mean error at every pressure."""
ERRORS = {'gamma_mae_per_cm': 'at \u0393', 'supercell_mae_per_cm': 'over the supercell'}
COLUMNS = (
    'set', 'n_frames', 'pressure_gpa', *ERRORS, 'gamma_max_per_cm', 'supercell_max_per_cm',
    'min_overlap', 'n_ambiguous', 'failed',
)  # fmt: skip


def of_steps(parameters: Mapping[str, Any], n_train: int, steps: int) -> dict[str, Any]:
    """Return what a training on so many frames needs to have so many steps, its course the same."""
    epochs = max(2, round(steps / (n_train // parameters['batch_size'])))
    longer = epochs / parameters['max_epochs']
    return {
        'max_epochs': epochs,
        'stage_two_start': min(epochs - 1, max(1, round(parameters['stage_two_start'] * longer))),
        'learning_rate_decay': parameters['learning_rate_decay'] ** (1 / longer),
        'eval_interval': max(1, round(parameters['eval_interval'] * longer)),
    }


def reached(rows: Sequence[Mapping[str, Any]], key: str, goal: float = GOAL) -> dict[str, Any]:
    """Return for each set with how few frames all pressures are within the goal, else ``None``."""
    found: dict[str, int | None] = {}
    for kind in dict.fromkeys(row['set'] for row in rows):
        worst: dict[int, float] = {}
        for row in rows:
            if row['set'] == kind:
                value = np.inf if row[key] is None else row[key]
                worst[row['n_frames']] = max(value, worst.get(row['n_frames'], 0.0))
        found[kind] = min((size for size, value in worst.items() if value <= goal), default=None)
    return found


def errors_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a row from what :func:`compare_on_supercell` says."""
    gamma = found['points'][0]
    return {
        'gamma_mae_per_cm': gamma['mae_per_cm'], 'gamma_max_per_cm': gamma['max_per_cm'],
        'supercell_mae_per_cm': found['mae_per_cm'], 'supercell_max_per_cm': found['max_per_cm'],
        'min_overlap': found['min_overlap'], 'n_ambiguous': found['n_ambiguous'],
    }  # fmt: skip


def write(folder: Path, rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> None:
    """Write all points so far."""
    goals = {key: reached(rows, key) for key in ERRORS}
    content = {'settings': settings, 'goal_per_cm': GOAL, 'frames_to_goal': goals, 'rows': rows}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'learning_curve.json').write_text(json.dumps(content, indent=1))
    with (folder / 'learning_curve.csv').open('w', newline='') as handle:
        writer = csv.DictWriter(handle, [*COLUMNS, 'model'])
        writer.writeheader()
        writer.writerows(rows)
    (folder / 'learning_curve.png').write_bytes(to_png(errors_by_frames(rows, ERRORS, GOAL)))


@calcfunction
def frames_of_set(
    kind: orm.Str, settings: orm.Dict, count: orm.Int, pressures: orm.List,
    **structures: orm.StructureData,
) -> FramesData:  # fmt: skip
    """Return the first frames of a set, with their splits."""
    given = settings.get_dict()
    cells = {p: to_atoms(structures[f'pressure_{i}']) for i, p in enumerate(pressures.get_list())}
    if kind.value in ('targeted', FINE_TUNED):
        frames = targeted_frames(cells, given['sections'], given['seed'], count.value)
    else:
        amplitudes = (given['sigma'], given['strain'])
        frames = random_frames([*cells.values()], *amplitudes, given['seed'], count.value)
    return FramesData.from_frames(with_nested_splits(frames))


@calcfunction
def part(frames: FramesData, begin: orm.Int, end: orm.Int) -> FramesData:
    """Return some of the frames."""
    return FramesData.from_frames(frames.get_frames()[begin.value : end.value])


class Failed(click.ClickException):
    """A process that did not end well."""


def ended(builder: ProcessBuilder, what: str) -> orm.WorkChainNode:
    """Run a process and return its node."""
    began = time.monotonic()
    _, node = run_get_node(builder)
    click.echo(f'{time.strftime("%H:%M:%S")} {what} <{node.pk}>: {time.monotonic() - began:.0f} s')
    if not node.is_finished_ok:
        raise Failed(f'{what} <{node.pk}>: {node.exit_message or node.exception}')
    return node


class Study:
    """The steps, each on what the ones before it made."""

    def __init__(self, crystal: orm.StructureData, settings: dict[str, Any]) -> None:
        self.crystal, self.settings = crystal, settings
        found = settings['foundation']
        self.foundation = None if found is None else orm.load_node(found)
        self.reference = {'max_concurrent': settings['lanes']}
        self.labelled: dict[str, dict[str, DatasetData]] = {kind: {} for kind in settings['sets']}

    def prepare(self) -> None:
        """Relax with DFT at each pressure and compute its force constants there."""
        pw, protocol = self.settings['pw'], self.settings['protocol']
        pressures = self.settings['pressures']
        scan = PwQuadraticScanWorkChain.get_builder_from_protocol(
            pw, self.crystal, pressures, protocol, {'reference': self.reference}
        )
        found = ended(scan, 'relaxation with DFT').outputs.structures
        self.cells = {key: found[key] for key in map(pressure_key, range(len(pressures)))}
        self.constants = {}
        for key, cell in self.cells.items():
            builder = PwPhononsWorkChain.get_builder_from_protocol(
                pw, cell, protocol, {'reference': self.reference}
            )
            builder.supercell_matrix = orm.List(self.settings['supercell'])
            node = ended(builder, f'phonons with DFT, {key}')
            self.constants[key] = node.outputs.force_constants

    def dataset(self, kind: str, size: int) -> DatasetData:
        """Label what is new of the first frames of a set and return all of them."""
        frames = frames_of_set(
            orm.Str(kind),
            orm.Dict({key: self.settings[key] for key in ('sections', 'seed', 'sigma', 'strain')}),
            orm.Int(size),
            orm.List(self.settings['pressures']),
            **self.cells,
        )
        begin = sum(dataset.n_frames for dataset in self.labelled[kind].values())
        builder = ReferenceWorkChain.get_builder_from_protocol(
            self.settings['pw'],
            part(frames, orm.Int(begin), orm.Int(size)),
            self.settings['protocol'],
            {**self.reference, 'allowed_failure_fraction': 0.0},
            structure=self.crystal,
        )
        node = ended(builder, f'{kind}, frames {begin} to {size}')
        self.labelled[kind][f'from_{begin:04d}'] = node.outputs.dataset
        return join_datasets(**self.labelled[kind])

    def potential(self, kind: str, size: int, dataset: DatasetData) -> MaceModelData:
        """Train on the first frames of a set."""
        numbers = load_protocol('train', self.settings['protocol'])['parameters']
        course = of_steps(numbers, dataset.splits['train'], self.settings['steps'])
        if kind == FINE_TUNED:
            course['learning_rate'] = self.settings['fine_rate']
        builder = MaceTrainWorkChain.get_builder_from_protocol(
            self.settings['engines'],
            dataset,
            protocol=self.settings['protocol'],
            overrides={'parameters': course},
            foundation=self.foundation if kind == FINE_TUNED else None,
        )
        return ended(builder, f'{kind}, training on {size} frames').outputs.model

    def errors(self, key: str, model: MaceModelData) -> dict[str, Any]:
        """Compare a potential with DFT in the cell of DFT at one pressure."""
        builder = MacePhononsWorkChain.get_builder_from_protocol(
            self.settings['engines'], self.cells[key], model, self.settings['protocol']
        )
        builder.supercell_matrix = orm.List(self.settings['supercell'])
        node = ended(builder, f'phonons with the potential, {key}')
        numbers = orm.Dict(load_protocol('compare')['parameters'])
        constants = (node.outputs.force_constants, self.constants[key])
        return errors_of(compare_on_supercell(numbers, *constants).get_dict())

    def point(self, kind: str, size: int) -> list[dict[str, Any]]:
        """Return a row for each pressure; a potential that failed is a row that says so."""
        dataset = self.dataset(kind, size)
        row = {**dict.fromkeys(COLUMNS), 'set': kind, 'n_frames': size, 'model': None}
        rows = [{**row, 'pressure_gpa': pressure} for pressure in self.settings['pressures']]
        try:
            model = self.potential(kind, size, dataset)
            for key, each in zip(self.cells, rows, strict=True):
                each.update(self.errors(key, model), model=model.uuid)
        except Failed as error:
            rows = [{**each, 'failed': error.message} for each in rows]
        return rows


def supercell_problem(crystal: Atoms, supercell: Sequence[int], distance: float) -> str | None:
    """Return what keeps forces in a supercell from being those of the cell's own k-points."""
    own = kpoint_meshes([crystal], distance)[0]
    larger = kpoint_meshes([crystal.repeat(supercell)], distance, crystal)[0]
    if all(n * m == k for n, m, k in zip(larger, supercell, own, strict=True)):
        return None
    return (
        f'{supercell}: the crystal has {own} k-points and this supercell would have {larger}, '
        'which are others; give one whose multiples divide those of the crystal'
    )


def numbers_of(text: str) -> list[float]:
    """Return the numbers of a list with commas."""
    try:
        return [float(word) for word in text.split(',')]
    except ValueError:
        raise click.BadParameter(f'{text!r} is no list of numbers, such as 10,20') from None


@click.command()
@click.argument('crystal', required=False, type=click.Path(exists=True, dir_okay=False))
@click.option('--sizes', default='10,20,40,60', show_default=True, help='Numbers of frames.')
@click.option('--sets', default=','.join(SETS), show_default=True)
@click.option('--pressures', default='0,1.5', show_default=True, help='GPa.')
@click.option('--protocol', default='fast', show_default=True)
@click.option('--supercell', default='1,1,2', show_default=True, help='Of the force constants.')
@click.option('--sigma', default=0.03, show_default=True, help='Random rattles, angstrom.')
@click.option('--strain', default=0.01, show_default=True, help='Random strains, width.')
@click.option('--steps', default=5000, show_default=True, help='Of each training.')
@click.option('--foundation', type=int, metavar='PK', help='What `fine-tuned` starts from.')
@click.option('--fine-rate', default=0.003, show_default=True, help='Learning rate from there.')
@click.option('--seed', default=7, show_default=True, help='Of the frames.')
@click.option('--lanes', default=1, show_default=True, help='pw.x jobs side by side.')
@click.option('--folder', default='learning_curve', type=click.Path(path_type=Path))
@click.option('--pw', default='pw@localhost', show_default=True)
@click.option('--engines', default='mlip-ins-engines@localhost', show_default=True)
def main(
    crystal: str | None, sizes: str, sets: str, pressures: str, supercell: str, folder: Path,
    protocol: str, **more: Any,
) -> None:  # fmt: skip
    """Measure a learning curve; see the beginning of the file."""
    brucite = demo.crystal_of(demo.read_settings()['crystal'])
    atoms = ase.io.read(crystal) if crystal else to_atoms(brucite)
    counts = sorted(int(size) for size in numbers_of(sizes))
    if wrong := [size for size in counts if size < HELD_OUT or size % HELD_OUT]:
        raise click.BadParameter(f'{wrong} are no multiples of {HELD_OUT}', param_hint='--sizes')
    kinds = sets.split(',')
    known = (*SETS, FINE_TUNED)
    if unknown := sorted(set(kinds) - set(known)):
        raise click.BadParameter(f'{unknown} are none of {known}', param_hint='--sets')
    if FINE_TUNED in kinds and more['foundation'] is None:
        raise click.BadParameter(f'{FINE_TUNED} needs --foundation', param_hint='--sets')
    settings = {
        **more, 'protocol': protocol, 'sets': kinds, 'pressures': numbers_of(pressures),
        'sizes': counts,
        'supercell': [int(number) for number in numbers_of(supercell)],
        'sections': {
            name: section
            for name, section in load_protocol('pipeline', protocol)['sampling'].items()
            if name != 'splits'
        },
    }  # fmt: skip
    distance = load_protocol('reference', protocol)['kpoints_distance']
    if problem := supercell_problem(atoms, settings['supercell'], distance):
        raise click.BadParameter(problem, param_hint='--supercell')
    study = Study(to_structure(atoms), settings)
    study.prepare()
    rows: list[dict[str, Any]] = []
    for size in settings['sizes']:
        for kind in kinds:
            rows += study.point(kind, size)
            write(folder, rows, settings)
            click.echo(format_table(rows, COLUMNS))
    for key in ERRORS:
        click.echo(f'frames to {GOAL:g} 1/cm at all pressures, {key}: {reached(rows, key)}')


if __name__ == '__main__':
    main()
