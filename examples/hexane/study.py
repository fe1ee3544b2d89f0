"""The steps of ``run.py``: frames, labels, trainings, the chain, and checks of its potential."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import click
import numpy as np
from aiida import orm
from aiida.engine import ProcessBuilder, calcfunction, run_get_node

from aiida_mlip_ins.calculations.functions.compare import compare_moving_modes
from aiida_mlip_ins.calculations.functions.dataset import join_datasets
from aiida_mlip_ins.calculations.functions.frames import targeted_configurations
from aiida_mlip_ins.calculations.functions.sampling import (
    pool_frames,
    thermal_frames,
    with_splits,
)
from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.report.md import draw_stability
from aiida_mlip_ins.science.sampling import with_bond_lengths, with_rigid_molecules
from aiida_mlip_ins.workflows.mace_inputs import evaluate_inputs_from_protocol
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain
from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain

Cells = dict[float, orm.StructureData]
"""Crystals by pressure (GPa)."""


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


@calcfunction
def marked(dataset: DatasetData, number: orm.Int) -> DatasetData:
    """Return the dataset with the number of its round on each frame."""
    frames = dataset.get_frames()
    for frame in frames:
        frame.info['round'] = number.value
    return DatasetData.from_frames(frames, dataset.method)


@calcfunction
def of_round(dataset: DatasetData, number: orm.Int) -> DatasetData:
    """Return the frames of a round of what was labelled before."""
    frames = [frame for frame in dataset.get_frames() if frame.info['round'] == number.value]
    return DatasetData.from_frames(frames, dataset.method)


def ended(builder: ProcessBuilder, what: str) -> orm.WorkChainNode:
    """Run a process and return its node, or stop with the reason why it failed."""
    _, node = run_get_node(builder)
    if not node.is_finished_ok:
        raise click.ClickException(f'{what} <{node.pk}>: {node.exit_message or node.exception}')
    return node


class Study:
    """The steps, each on what the ones before it made."""

    def __init__(self, geometry: str, settings: dict[str, Any], pw: str, engines: str) -> None:
        self.settings, self.pw, self.engines = settings, pw, engines
        crystal = to_structure(ase.io.read(geometry))
        crystal.label = 'n-hexane'
        self.crystal = with_dft_bonds(crystal, orm.Dict(settings['bond_lengths']))
        self.rounds: dict[str, DatasetData] = {}

    def dataset(self, before: int | None = None) -> DatasetData:
        """All frames so far, or those of the rounds before one."""
        return join_datasets(**dict(list(self.rounds.items())[:before]))

    def guessed_cells(self) -> Cells:
        """Return what stands for the crystal under pressure before there is a potential."""
        guess = self.settings['guess']
        strained = compressed(self.crystal, orm.List(guess['strain']))
        return {0.0: self.crystal, guess['pressure']: strained}

    def train(
        self, dataset: DatasetData, numbers: dict[str, Any], start: MaceModelData | None = None
    ) -> MaceModelData:
        """Train on a dataset, from a potential or from nothing."""
        builder = MaceTrainWorkChain.get_builder_from_protocol(
            self.engines,
            dataset,
            protocol=self.settings['protocol'],
            overrides=numbers,
            foundation=start,
        )
        return ended(builder, 'training').outputs.model

    def potential(self, number: int) -> MaceModelData:
        """Train on the rounds before one, with the numbers of that round."""
        chosen = self.settings['rounds'][number]['relaxed']
        start = self.potential(number - 1) if chosen.get('goes_on') else None
        return self.train(self.dataset(number), chosen['train'], start)

    def relaxed_cells(self, model: MaceModelData, scan: dict[str, Any]) -> Cells:
        """Return the crystal as a potential relaxes it."""
        protocol, pressures = self.settings['protocol'], self.settings['pressures']
        builder = MacePressureScanWorkChain.get_builder_from_protocol(
            self.engines, self.crystal, model, pressures, protocol, overrides=scan
        )
        node = ended(builder, 'relaxation')
        for row in node.outputs.results['pressures']:
            click.echo(f'{row["pressure_gpa"]:5.2f} GPa: {row["volume_angstrom3"]:.2f} angstrom^3')
        cells = node.outputs.structures
        return {value: cells[f'pressure_{i}'] for i, value in enumerate(pressures)}

    def own_modes(self, cell: orm.StructureData, model: MaceModelData) -> orm.ProcessNode:
        """Compute the modes of a cell that are periodic in it."""
        builder = MacePhononsWorkChain.get_builder_from_protocol(
            self.engines,
            cell,
            model,
            self.settings['protocol'],
            overrides={'mace': {'supercell_min_length': 0.0}},
        )
        return ended(builder, 'phonons')

    def thermal_frames(
        self, cells: Cells, model: MaceModelData, sets: list[dict[str, Any]], seed: int
    ) -> dict[str, FramesData]:
        """Return frames of each cell in the motion that it has with the potential."""
        frames = {}
        for place, (pressure, cell) in enumerate(cells.items()):
            for number, given in enumerate(sets):
                settings = dict(given)
                if pressure not in settings.pop('pressures', [pressure]):
                    continue
                constants = self.own_modes(cell, model).outputs.force_constants
                frames[f'thermal_{place}_{number}'] = thermal_frames(
                    constants, orm.Dict({**settings, 'supercell': np.eye(3, dtype=int).tolist()}),
                    orm.Int(seed + 100 * place + 10 * number),
                )  # fmt: skip
        return frames

    def read(self, file: Path, count: int) -> None:
        """Take the first rounds as they were labelled before, by the same method."""
        reference = self.settings['reference']
        builder = ReferenceWorkChain.get_builder_from_protocol(
            self.pw, None, **reference, structure=self.crystal
        )
        every = DatasetData(file.resolve(), method=builder.method.value).store()
        self.rounds = {f'round_{n}': of_round(every, orm.Int(n)) for n in range(count)}

    def label(self, number: int) -> None:
        """Make the frames of a round and label them with pw.x."""
        chosen = self.settings['rounds'][number]
        seed, splits, model = chosen['seed'], self.settings['splits'], None
        if 'relaxed' in chosen:
            model = self.potential(number)
            cells = self.relaxed_cells(model, chosen['relaxed']['scan'])
        else:
            cells = self.guessed_cells()
        kinds = {}
        if 'sampling' in chosen:
            kinds['targeted'] = frames = targeted_configurations(
                settings=orm.Dict({**chosen['sampling'], 'splits': splits}),
                seed=orm.Int(seed),
                pressures=orm.List(list(cells)),
                **{f'pressure_{index}': node for index, node in enumerate(cells.values())},
            )
        if model is not None and 'thermal' in chosen:
            kinds |= self.thermal_frames(cells, model, chosen['thermal'], seed)
            frames = with_splits(pool_frames(**kinds), orm.Dict(splits), orm.Int(seed))
        labels = self.labels(frames, f'round {number}')
        self.rounds[f'round_{number}'] = marked(labels, orm.Int(number))

    def labels(self, frames: FramesData, what: str) -> DatasetData:
        """Label frames with pw.x."""
        reference = self.settings['reference']
        builder = ReferenceWorkChain.get_builder_from_protocol(
            self.pw, frames, reference['protocol'], reference['overrides'], structure=self.crystal
        )
        _, node = run_get_node(builder)
        click.echo(f'{what}: {frames.n_frames} frames, {node.exit_message or "ended well"}')
        return node.outputs.dataset

    def spectra(self, measured: orm.Data) -> orm.WorkChainNode:
        """Train on all frames; pressures, phonons, spectra, compared with the measured one.

        The training goes on from the potential of the last round, through those of `before`.
        """
        start = self.potential(len(self.rounds) - 1)
        for each in self.settings['before']:
            start = self.train(self.dataset(each['rounds']), each['train'], start)
        compared = {**self.settings['comparison'], 'windows': self.settings['windows']}
        builder = HighPressureInsWorkChain.get_builder_from_protocol(
            self.crystal,
            self.settings['pressures'],
            self.engines,
            protocol=self.settings['protocol'],
            overrides={**self.settings['chain'], 'compare_spectra': compared},
            dataset=self.dataset(),
            foundation=start,
            measured={0.0: measured},
            check=False,
        )
        return ended(builder, 'chain')

    def predicted(self, model: MaceModelData, frames: FramesData) -> DatasetData:
        """Return frames with the labels that a potential gives them."""
        builder = MaceEvaluateCalculation.get_builder()
        builder.code, builder.model, builder.frames = orm.load_code(self.engines), model, frames
        inputs = evaluate_inputs_from_protocol(self.settings['protocol'])
        builder.parameters, builder.metadata = inputs['parameters'], inputs['metadata']
        return ended(builder, 'forces').outputs.dataset

    def limits(self, model: MaceModelData) -> dict[str, Any]:
        """Return how far the modes of a potential are from DFT's, by window and pressure.

        From the frames of the last round, which move about cells that were relaxed for them, at
        the pressures that it has.
        """
        last = len(self.rounds) - 1
        chosen = self.settings['rounds'][last]
        cells = self.relaxed_cells(self.potential(last), chosen['relaxed']['scan'])
        moved = {p for given in chosen.get('thermal', []) for p in given.get('pressures', cells)}
        labelled = self.rounds[f'round_{last}']
        predicted = self.predicted(model, labelled)
        found = {}
        for pressure in sorted(moved):
            constants = self.own_modes(cells[pressure], model).outputs.force_constants
            shifts = compare_moving_modes(
                orm.List(self.settings['windows']), constants, labelled, predicted
            )
            found[f'{pressure:.2f} GPa'] = shifts['windows']
            for row in shifts['windows']:
                click.echo(f'{pressure:.2f} GPa, DFT less potential: {row}')
        return found

    def moving(self, model: MaceModelData, given: dict[str, Any]) -> ProcessBuilder:
        """Return the inputs of molecular dynamics at 0 GPa, in the cell that a potential relaxes.

        :param given: ``temperatures`` (K), ``supercell`` and ``overrides``.
        """
        scan = self.settings['chain']['mace_pressure_scan']
        return MdStabilityWorkChain.get_builder_from_protocol(
            self.engines,
            [self.relaxed_cells(model, scan)[0.0]],
            model,
            [0.0],
            given['temperatures'],
            given['supercell'],
            self.settings['protocol'],
            given['overrides'],
        )

    def motion(self, model: MaceModelData) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Return the verdict of molecular dynamics at 0 GPa, and a figure (PNG) of each run."""
        builder = self.moving(model, self.settings['motion'])
        outputs = ended(builder, 'molecular dynamics').outputs
        verdict, figures = outputs.verdict, {}
        for key in verdict['runs']:
            figure = draw_stability(outputs.analyses[key], verdict, orm.Str(key))
            figures[f'md_{key}.png'] = figure.get_content(mode='rb')
        click.echo('\n  '.join([verdict['verdict'], *verdict['reasons']]))
        return verdict.get_dict(), figures
