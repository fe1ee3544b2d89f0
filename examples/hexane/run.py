"""n-hexane from its measured structure to its measured spectrum: frames, DFT, potential, INS.

    verdi run examples/hexane/run.py ../shared/data/hexane/geometry.in \
        --measured ../shared/data/hexane/hexane_tosca.dat [--rounds 3] [--labelled 2]

Every number is in settings.yaml beside this file. What is labelled or trained comes from the cache
of the profile, so an interrupted run goes on where it was; after each round the dataset is written
to dataset.xyz. With --labelled N the first N rounds are not labelled again but read from there.
Without --measured it ends with the frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import click
import numpy as np
import yaml
from aiida import orm
from aiida.engine import ProcessBuilder, calcfunction, run_get_node

from aiida_mlip_ins.calculations.functions.compare import compare_moving_modes
from aiida_mlip_ins.calculations.functions.dataset import join_datasets
from aiida_mlip_ins.calculations.functions.frames import targeted_configurations
from aiida_mlip_ins.calculations.functions.measured import read_measured_spectrum
from aiida_mlip_ins.calculations.functions.sampling import (
    pool_frames,
    thermal_frames,
    with_splits,
)
from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.query.summary import summary
from aiida_mlip_ins.report.html import write_report
from aiida_mlip_ins.report.page import write_json
from aiida_mlip_ins.science.sampling import with_bond_lengths, with_rigid_molecules
from aiida_mlip_ins.workflows.mace_inputs import evaluate_inputs_from_protocol
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain
from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain

FOLDER = Path('examples/hexane')
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
        return self.train(self.dataset(number), self.settings['rounds'][number]['relaxed']['train'])

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
        for place, cell in enumerate(cells.values()):
            constants = self.own_modes(cell, model).outputs.force_constants
            for number, settings in enumerate(sets):
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
        frames = targeted_configurations(
            settings=orm.Dict({**chosen['sampling'], 'splits': splits}),
            seed=orm.Int(seed),
            pressures=orm.List(list(cells)),
            **{f'pressure_{index}': node for index, node in enumerate(cells.values())},
        )
        if model is not None and 'thermal' in chosen:
            moving = self.thermal_frames(cells, model, chosen['thermal'], seed)
            pool = pool_frames(targeted=frames, **moving)
            frames = with_splits(pool, orm.Dict(splits), orm.Int(seed))
        reference = self.settings['reference']
        builder = ReferenceWorkChain.get_builder_from_protocol(
            self.pw, frames, reference['protocol'], reference['overrides'], structure=self.crystal
        )
        _, node = run_get_node(builder)
        click.echo(f'round {number}: {frames.n_frames} frames, {node.exit_message or "ended well"}')
        self.rounds[f'round_{number}'] = marked(node.outputs.dataset, orm.Int(number))

    def spectra(self, measured: orm.Data) -> orm.WorkChainNode:
        """Train on all frames; pressures, phonons, spectra, compared with the measured one.

        The training goes on from the potential of the last round, through those of `before`.
        """
        start = self.potential(len(self.rounds) - 1)
        for numbers in self.settings['before']:
            start = self.train(self.dataset(), numbers, start)
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

    def limits(self, model: MaceModelData) -> dict[str, Any]:
        """Return how far the modes of a potential are from DFT's, by window, at each pressure.

        From the frames of the last round, which move about cells that were relaxed for them.
        """
        last = len(self.rounds) - 1
        scan = self.settings['rounds'][last]['relaxed']['scan']
        cells = self.relaxed_cells(self.potential(last), scan)
        labelled = self.rounds[f'round_{last}']
        builder = MaceEvaluateCalculation.get_builder()
        builder.code, builder.model, builder.frames = orm.load_code(self.engines), model, labelled
        inputs = evaluate_inputs_from_protocol(self.settings['protocol'])
        builder.parameters, builder.metadata = inputs['parameters'], inputs['metadata']
        predicted = ended(builder, 'forces').outputs.dataset
        found = {}
        for pressure, cell in cells.items():
            constants = self.own_modes(cell, model).outputs.force_constants
            shifts = compare_moving_modes(
                orm.List(self.settings['windows']), constants, labelled, predicted
            )
            found[f'{pressure:.2f} GPa'] = shifts['windows']
            for row in shifts['windows']:
                click.echo(f'{pressure:.2f} GPa, DFT less potential: {row}')
        return found


def write_results(
    folder: Path, chain: orm.WorkChainNode, pressures: list[float], limits: dict[str, Any]
) -> None:
    """Write summary.json, the potential, and per pressure the spectrum, all its rows summed."""
    (folder / 'potential.model').write_bytes(chain.outputs.model.get_content(mode='rb'))
    numbers = {**summary(chain), 'modes_of_dft_less_potential': limits}
    write_json(numbers, folder / 'summary.json')
    for index, pressure in enumerate(pressures):
        spectrum: InsSpectrumData = chain.outputs.spectra[f'pressure_{index}']
        np.savetxt(
            folder / f'spectrum_{pressure:.2f}GPa.csv',
            np.column_stack([spectrum.energy, spectrum.total()]),
            fmt=('%.2f', '%.6e'),
            delimiter=',',
            header='energy_per_cm,intensity',
            comments='',
        )


@click.command()
@click.argument('geometry', type=click.Path(exists=True, dir_okay=False))
@click.option(
    '--measured',
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Measured spectrum; without it the frames are all.',
)
@click.option(
    '--folder',
    default=FOLDER,
    show_default=True,
    type=click.Path(path_type=Path),
    help='With settings.yaml; the results go there.',
)
@click.option('--rounds', type=int, help='Only so many.')
@click.option(
    '--labelled',
    type=int,
    default=0,
    metavar='N',
    help='The first N rounds are read from dataset.xyz, not labelled again.',
)
@click.option('--pw', default='pw@localhost', show_default=True)
@click.option('--engines', default='mlip-ins-engines@localhost', show_default=True)
def main(
    geometry: str,
    measured: Path | None,
    folder: Path,
    rounds: int | None,
    labelled: int,
    pw: str,
    engines: str,
) -> None:
    """Label the rounds of settings.yaml, train, and compare with the measured spectrum."""
    settings = yaml.safe_load((folder / 'settings.yaml').read_text())
    study = Study(geometry, settings, pw, engines)
    if labelled:
        study.read(folder / 'dataset.xyz', labelled)
    for number in range(len(settings['rounds']))[labelled:rounds]:
        study.label(number)
        dataset = study.dataset()
        (folder / 'dataset.xyz').write_text(dataset.get_content())
        click.echo(f'dataset.xyz: {dataset.n_frames} frames, DatasetData<{dataset.pk}>')
    if measured is None:
        return
    spectrum = read_measured_spectrum(orm.SinglefileData(measured.resolve()), orm.Dict({}))
    chain = study.spectra(spectrum)
    limits = study.limits(chain.outputs.model)
    write_results(folder, chain, settings['pressures'], limits)
    for sentence in chain.outputs.agreement.verdict['sentences']:
        click.echo(sentence)
    click.echo(write_report(chain, folder / 'report'))


if __name__ == '__main__':
    main()
