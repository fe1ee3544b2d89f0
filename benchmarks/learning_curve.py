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
what it has: frames are nested, the first 10 of 60 are those of 10. Points of other sets or sizes
that the folder has already stay in the table. What DFT made is also in the folder's
``reference.aiida``, or in the file given with ``--reference``, from which a run on another machine
takes it: that of brucite is ``benchmarks/brucite.aiida``.

targeted: the sections of the protocol ``pipeline``, in the shares that they have there, cells along
the pressure from both ends. random: Gaussian rattles of all atoms and random strains about the same
cells in turn. One frame of ten is kept for the choice of the epoch, so 10 frames are 9 trained on.
folded: as targeted, but rattles and separate moves in the supercell of the force constants.
random-folded: as random, all in that supercell.
warm: as folded, one of four frames with moves as wide as those of heat, in supercells along each
short axis, and cells expanded down to a pressure of ``--lowest``, for potentials that are to hold
in molecular dynamics.
fine-tuned: the targeted frames, in a training that starts from a model of other DFT
(``benchmarks/foundation.py`` makes one). active: the fewest targeted frames, then those that a
committee of potentials chooses in rounds, from its molecular dynamics too with ``--motion``. Every
training has the same number of steps, whatever its frames, and one seed: differences of some 1/cm
between two points are luck. With ``--polish`` each training also goes on with so many epochs of
L-BFGS, and its potential has a point of its own.

Cost on one core, from the numbers of the how-to and of ``science.sampling.targeted``: of brucite a
targeted frame takes 20-30 s and a random one, whose cell is sheared, 65 s, so 60 of each an hour
and a half; the relaxation 5 min; force constants in 1x1x2 cells at two pressures, 10 cells of 10
atoms, 20 min; a training of 5000 steps 8 min (5 ms for an atom and step), 8 of them an hour; AiiDA
10 min: three hours. With ``--sizes 10,20`` an hour and a half.
"""

from __future__ import annotations

import csv
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ase.io
import click
import numpy as np
from ase import Atoms

from aiida_mlip_ins.cli import demo
from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.query.tables import format_table
from aiida_mlip_ins.report.figures_learning import errors_by_frames
from aiida_mlip_ins.report.page import to_png
from aiida_mlip_ins.science.sampling import HELD_OUT
from aiida_mlip_ins.science.scheduling import kpoint_meshes
from aiida_mlip_ins.workflows.pipeline_checks import with_supercells
from aiida_mlip_ins.workflows.protocols import load_protocol
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain

# `verdi run` looks for modules in the current folder, and of `__file__` it gives the name alone.
sys.path.insert(0, str(Path(inspect.getfile(inspect.currentframe())).resolve().parent))

from learning_frames import (
    ACTIVE,
    FINE_TUNED,
    FOLDED,
    OF_FRAMES,
    POLISHED,
    RANDOM_FOLDED,
    SETS,
    WARM,
)
from learning_reference import KEPT, kept_in_option
from learning_study import COLUMNS, ERRORS, Study

OF_THE_STUDY = ('protocol', 'method', 'pressures', 'steps', 'polish', *OF_FRAMES)
"""Settings in which points of one table do not differ."""
GOAL = 3.0
"""1/cm, mean error at every pressure."""


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


def write(folder: Path, rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> None:
    """Write all points so far."""
    goals = {key: reached(rows, key) for key in ERRORS}
    content = {'settings': settings, 'goal_per_cm': GOAL, 'frames_to_goal': goals, 'rows': rows}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'learning_curve.json').write_text(json.dumps(content, indent=1) + '\n')
    with (folder / 'learning_curve.csv').open('w', newline='') as handle:
        writer = csv.DictWriter(handle, [*COLUMNS, 'model'])
        writer.writeheader()
        writer.writerows(rows)
    (folder / 'learning_curve.png').write_bytes(to_png(errors_by_frames(rows, ERRORS, GOAL)))


def points_there(
    folder: Path, settings: Mapping[str, Any], kinds: Sequence[str], sizes: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the points that an earlier run left in the folder, less those that are made now.

    So sets and sizes can be run one after another, on several machines too.

    :raises ValueError: if they are of another study.
    """
    path = folder / 'learning_curve.json'
    if not path.is_file():
        return []
    content = json.loads(path.read_text())
    theirs = {**settings, **content['settings']}  # what they lack is of sets that are newer
    other = [name for name in OF_THE_STUDY if theirs[name] != settings[name]]
    if other:
        raise ValueError(f'{path} has other {", ".join(other)}; take another folder')
    return [
        row
        for row in content['rows']
        if row['set'].removesuffix(POLISHED) not in kinds or row['n_frames'] not in sizes
    ]


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
@click.option('--polish', default=0, show_default=True, help='Epochs of L-BFGS after it.')
@click.option('--foundation', type=int, metavar='PK', help='What `fine-tuned` starts from.')
@click.option('--fine-rate', default=0.003, show_default=True, help='Learning rate from there.')
@click.option('--round', default=10, show_default=True, help='`active`: frames of a round.')
@click.option('--members', default=2, show_default=True, help='`active`: of the committee.')
@click.option('--motion', type=float, metavar='K', help='`active`: temperature to move it at.')
@click.option('--lowest', default=-8.0, show_default=True, help='`warm`: GPa.')
@click.option('--seed', default=7, show_default=True, help='Of the frames.')
@click.option('--lanes', default=1, show_default=True, help='pw.x jobs side by side.')
@click.option('--folder', default='learning_curve', type=click.Path(path_type=Path))
@kept_in_option
@click.option('--pw', default='pw@localhost', show_default=True)
@click.option('--engines', default='mlip-ins-engines@localhost', show_default=True)
def main(
    crystal: str | None, sizes: str, sets: str, pressures: str, supercell: str, folder: Path,
    protocol: str, reference: Path | None, **more: Any,
) -> None:  # fmt: skip
    """Measure a learning curve; see the beginning of the file."""
    brucite = demo.crystal_of(demo.read_settings()['crystal'])
    atoms = ase.io.read(crystal) if crystal else to_atoms(brucite)
    structure = to_structure(atoms)
    counts = sorted(int(size) for size in numbers_of(sizes))
    if wrong := [size for size in counts if size < HELD_OUT or size % HELD_OUT]:
        raise click.BadParameter(f'{wrong} are no multiples of {HELD_OUT}', param_hint='--sizes')
    kinds = sets.split(',')
    known = (*SETS, RANDOM_FOLDED, FOLDED, WARM, FINE_TUNED, ACTIVE)
    if unknown := sorted(set(kinds) - set(known)):
        raise click.BadParameter(f'{unknown} are none of {known}', param_hint='--sets')
    if FINE_TUNED in kinds and more['foundation'] is None:
        raise click.BadParameter(f'{FINE_TUNED} needs --foundation', param_hint='--sets')
    chain = load_protocol('pipeline', protocol)
    distance = load_protocol('reference', protocol)['kpoints_distance']
    warm = {WARM: {**chain['sampling'][WARM], 'count': 1}}
    settings = {
        **more, 'protocol': protocol, 'sets': kinds, 'pressures': numbers_of(pressures),
        'sizes': counts,
        'supercell': [int(number) for number in numbers_of(supercell)],
        'sections': {
            name: section
            for name, section in chain['sampling'].items()
            if name not in ('splits', WARM) and section.get('count', 1)
        },
        **with_supercells(warm, structure, distance, chain['short_axis']),
    }  # fmt: skip
    if problem := supercell_problem(atoms, settings['supercell'], distance):
        raise click.BadParameter(problem, param_hint='--supercell')
    try:
        settings['method'] = ReferenceWorkChain.get_builder_from_protocol(
            settings['pw'], protocol=protocol, structure=structure
        ).method.value
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint='--pw') from None
    try:
        rows = points_there(folder, settings, kinds, counts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint='--folder') from None
    study = Study(structure, settings, reference or folder / KEPT)
    study.prepare()
    for size in settings['sizes']:
        for kind in kinds:
            for found in study.points(kind, size):
                rows += found
                write(folder, rows, settings)
                click.echo(format_table(rows, COLUMNS))
    for key in ERRORS:
        click.echo(f'frames to {GOAL:g} 1/cm at all pressures, {key}: {reached(rows, key)}')


if __name__ == '__main__':
    main()
