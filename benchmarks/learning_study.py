"""What ``learning_curve.py`` runs: DFT of the crystal, frames and labels, potentials, errors."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from aiida import orm
from aiida.engine import ProcessBuilder, run_get_node
from aiida_phonopy.data import ForceConstantsData
from learning_frames import ACTIVE, FINE_TUNED, OF_FRAMES, POLISHED, frames_of_set, part
from learning_reference import CELL, CONSTANTS, Reference, study_of

from aiida_mlip_ins.calculations.functions.compare import compare_on_supercell
from aiida_mlip_ins.calculations.functions.dataset import join_datasets
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.science.active import TARGETS
from aiida_mlip_ins.science.training import TrainSettings, passes_left
from aiida_mlip_ins.workflows.active_inputs import next_round
from aiida_mlip_ins.workflows.active_learning import ActiveLearningWorkChain
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain, PwPhononsWorkChain
from aiida_mlip_ins.workflows.pressures import pressure_key
from aiida_mlip_ins.workflows.protocols import load_protocol
from aiida_mlip_ins.workflows.pw_quadratic_scan import PwQuadraticScanWorkChain
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain

ERRORS = {'gamma_mae_per_cm': 'at \u0393', 'supercell_mae_per_cm': 'over the supercell'}
COLUMNS = (
    'set', 'n_frames', 'pressure_gpa', *ERRORS, 'gamma_max_per_cm', 'supercell_max_per_cm',
    'min_overlap', 'n_ambiguous', 'volume_error_percent', 'not_relaxed', 'failed',
)  # fmt: skip


def of_steps(parameters: Mapping[str, Any], n_train: int, steps: int) -> dict[str, Any]:
    """Return what a training on so many frames needs to have so many steps, its course the same.

    An iteration of L-BFGS counts as the steps of one epoch: both go through all frames once.
    """
    whole = passes_left(TrainSettings(**parameters), 0)
    longer = steps / (n_train // parameters['batch_size']) / whole
    lbfgs = parameters['max_epochs'] - parameters['lbfgs_start']
    start = max(2, round(parameters['lbfgs_start'] * longer))
    return {
        'max_epochs': start + max(1, round(lbfgs * longer)),
        'lbfgs_start': start,
        'stage_two_start': min(start - 1, max(1, round(parameters['stage_two_start'] * longer))),
        'learning_rate_decay': parameters['learning_rate_decay'] ** (1 / longer),
        'eval_interval': max(1, round(parameters['eval_interval'] * longer)),
    }


def polishing(epochs: int) -> dict[str, Any]:
    """Return the parameters of a training that goes on with so many epochs of L-BFGS.

    Before them two epochs of steps that move nothing: they tell L-BFGS the scale of each weight.
    """
    steps = {'stage_two_start': 1, 'learning_rate': 1e-5, 'learning_rate_decay': 0.02 ** (1 / 20)}
    return {**steps, 'lbfgs_start': 2, 'max_epochs': 2 + epochs}


def errors_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a row from what :func:`compare_on_supercell` says."""
    gamma = found['points'][0]
    return {
        'gamma_mae_per_cm': gamma['mae_per_cm'], 'gamma_max_per_cm': gamma['max_per_cm'],
        'supercell_mae_per_cm': found['mae_per_cm'], 'supercell_max_per_cm': found['max_per_cm'],
        'min_overlap': found['min_overlap'], 'n_ambiguous': found['n_ambiguous'],
    }  # fmt: skip


def errors_against(
    dft: ForceConstantsData, phonons: ProcessBuilder, supercell: Sequence[int], what: str
) -> dict[str, Any]:
    """Compute phonons with a potential in a supercell of DFT and compare them with DFT's."""
    phonons.supercell_matrix = orm.List([*supercell])
    found = ended(phonons, f'phonons with the {what}').outputs.force_constants
    numbers = orm.Dict(load_protocol('compare')['parameters'])
    return errors_of(compare_on_supercell(numbers, found, dft).get_dict())


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

    def __init__(self, crystal: orm.StructureData, settings: dict[str, Any], kept: Path) -> None:
        """Take what DFT has made already from the archive ``kept``, if there is one."""
        self.crystal, self.settings = crystal, settings
        found = settings['foundation']
        self.foundation = None if found is None else orm.load_node(found)
        self.reference = {'max_concurrent': settings['lanes']}
        self.kept = Reference(kept, study_of(crystal, settings))
        self.labelled: dict[str, dict[str, DatasetData]] = {}
        self.active: dict[str, Any] = {}

    def prepare(self) -> None:
        """Relax with DFT at each pressure and compute its force constants there."""
        pw, protocol = self.settings['pw'], self.settings['protocol']
        pressures = self.settings['pressures']
        keys = [pressure_key(index) for index in range(len(pressures))]
        names = [CELL.format(pressure) for pressure in pressures]
        cells = [self.kept.find(name) for name in names]
        if None in cells:
            scan = PwQuadraticScanWorkChain.get_builder_from_protocol(
                pw, self.crystal, pressures, protocol, {'reference': self.reference}
            )
            found = ended(scan, 'relaxation with DFT').outputs.structures
            cells = [
                self.kept.keep(name, found[key]) for name, key in zip(names, keys, strict=True)
            ]
        self.cells = dict(zip(keys, cells, strict=True))
        self.constants = {}
        for pressure, (key, cell) in zip(pressures, self.cells.items(), strict=True):
            what = CONSTANTS.format(pressure)
            constants = self.kept.find(what)
            if constants is None:
                builder = PwPhononsWorkChain.get_builder_from_protocol(
                    pw, cell, protocol, {'reference': self.reference}
                )
                builder.supercell_matrix = orm.List(self.settings['supercell'])
                node = ended(builder, f'phonons with DFT, {key}')
                constants = self.kept.keep(what, node.outputs.force_constants)
            self.constants[key] = constants

    def dataset(self, kind: str, size: int) -> DatasetData:
        """Label what is new of the first frames of a set and return all of them."""
        if kind == ACTIVE:
            return self.chosen(size)
        kind = 'targeted' if kind == FINE_TUNED else kind
        done = self.labelled.setdefault(kind, {})
        begin = sum(dataset.n_frames for dataset in done.values())
        if begin < size:
            frames = frames_of_set(
                orm.Str(kind),
                orm.Dict({key: self.settings[key] for key in OF_FRAMES}),
                orm.Int(size),
                orm.List(self.settings['pressures']),
                **self.cells,
            )
            new = part(frames, orm.Int(begin), orm.Int(size))
            if known := self.kept.labelled(new):
                done[f'from_{begin:04d}'] = known
                return self.dataset(kind, size)
            builder = ReferenceWorkChain.get_builder_from_protocol(
                self.settings['pw'],
                new,
                self.settings['protocol'],
                {**self.reference, 'allowed_failure_fraction': 0.0},
                structure=self.crystal,
            )
            node = ended(builder, f'{kind}, frames {begin} to {size}')
            done[f'from_{begin:04d}'] = self.kept.keep('labels', node.outputs.dataset)
        return join_datasets(**done)

    def chosen(self, size: int) -> DatasetData:
        """Label what a committee chooses, in rounds, until there are so many frames."""
        found = self.active
        if not found:
            found['dataset'] = self.dataset('targeted', self.settings['sizes'][0])
        while found['dataset'].n_frames < size:
            begin = found['dataset'].n_frames
            end = min(size, begin + self.settings['round'])
            builder = ActiveLearningWorkChain.get_builder_from_protocol(
                self.crystal,
                self.settings['pressures'],
                self.settings['engines'],
                self.settings['pw'],
                found['dataset'],
                self.settings['protocol'],
                self._of_a_round(found['dataset'], end - begin),
                cells=self.cells,
                history=found.get('rounds'),
                stop_after_round=next_round(found.get('rounds')),
            )
            node = ended(builder, f'{ACTIVE}, frames {begin} to {end}')
            found.update(dataset=node.outputs.dataset, rounds=node.outputs.rounds)
        return found['dataset']

    def _of_a_round(self, dataset: DatasetData, count: int) -> dict[str, Any]:
        """Return what differs from the protocol of active learning."""
        given: dict[str, Any] = {
            'max_concurrent': self.settings['lanes'],
            # The study compares frequencies with those of DFT itself.
            'frequencies': False,
            'settings': {
                'frames_per_round': count,
                'max_frames': dataset.n_frames + count,
                'max_rounds': self.settings['sizes'][-1],
                **dict.fromkeys(TARGETS),
            },
            'reference': {**self.reference, 'allowed_failure_fraction': 0.0},
            'committee': {
                'size': self.settings['members'],
                'max_concurrent': self.settings['lanes'],
                'train': {'parameters': self.course(dataset)},
            },
        }
        if self.settings['motion']:
            given['md_temperatures'] = [self.settings['motion']]
            matrix = self.settings['supercell']
            given['md'] = {'supercell_matrix': matrix, 'max_concurrent': self.settings['lanes']}
        return given

    def course(self, dataset: DatasetData) -> dict[str, Any]:
        """Return the parameters of a training that depend on how many frames there are."""
        numbers = load_protocol('train', self.settings['protocol'])['parameters']
        return of_steps(numbers, dataset.splits['train'], self.settings['steps'])

    def potential(
        self, name: str, dataset: DatasetData, before: MaceModelData | None
    ) -> MaceModelData:
        """Train on a dataset, or go on with L-BFGS from the potential before."""
        course, start = self.course(dataset), before
        if before is not None:
            course = polishing(self.settings['polish'])
        elif name == FINE_TUNED:
            course['learning_rate'], start = self.settings['fine_rate'], self.foundation
        builder = MaceTrainWorkChain.get_builder_from_protocol(
            self.settings['engines'],
            dataset,
            protocol=self.settings['protocol'],
            overrides={'parameters': course},
            foundation=start,
        )
        return ended(builder, f'{name}, training on {dataset.n_frames} frames').outputs.model

    def errors(self, key: str, model: MaceModelData) -> dict[str, Any]:
        """Compare a potential with DFT in the cell of DFT at one pressure."""
        builder = MacePhononsWorkChain.get_builder_from_protocol(
            self.settings['engines'], self.cells[key], model, self.settings['protocol']
        )
        return errors_against(
            self.constants[key], builder, self.settings['supercell'], f'potential, {key}'
        )

    def relaxation(self, model: MaceModelData) -> dict[str, dict[str, Any]]:
        """Relax the crystal with a potential: how far the volume is from DFT's, or what happened.

        It begins at the crystal as it was given, of the volume that is measured, at each pressure.
        """
        builder = MacePressureScanWorkChain.get_builder_from_protocol(
            self.settings['engines'],
            self.crystal,
            model,
            self.settings['pressures'],
            self.settings['protocol'],
        )
        outputs, node = run_get_node(builder)
        found = outputs.get('structures', {})
        why = '' if node.is_finished_ok else str(node.exit_message)
        rows = {}
        for key, cell in self.cells.items():
            volume = found[key].get_cell_volume() if key in found else None
            share = None if volume is None else 100 * (volume / cell.get_cell_volume() - 1)
            rows[key] = {'volume_error_percent': share, 'not_relaxed': '' if key in found else why}
        return rows

    def points(self, kind: str, size: int) -> Iterator[list[dict[str, Any]]]:
        """Return a row for each pressure, of each potential; one that failed says so."""
        dataset, model = self.dataset(kind, size), None
        pressures = self.settings['pressures']
        for name in [kind, kind + POLISHED] if self.settings['polish'] else [kind]:
            row = {**dict.fromkeys(COLUMNS), 'set': name, 'n_frames': size, 'model': None}
            rows = [{**row, 'pressure_gpa': pressure} for pressure in pressures]
            try:
                model = self.potential(name, dataset, model)
                relaxed = self.relaxation(model)
                for key, each in zip(self.cells, rows, strict=True):
                    each.update(self.errors(key, model), **relaxed[key], model=model.uuid)
            except Failed as error:
                yield [{**each, 'failed': error.message} for each in rows]
                return
            yield rows
