"""n-hexane from its measured structure to its measured spectrum: frames, DFT, potential, INS.

    verdi run examples/hexane/run.py ../shared/data/hexane/geometry.in \
        --measured ../shared/data/hexane/hexane_tosca.dat [--rounds 3] [--labelled 2]

Every number is in settings.yaml beside this file. What is labelled or trained comes from the cache
of the profile, so an interrupted run goes on where it was; after each round the dataset is written
to dataset.xyz. With --labelled N the first N rounds are not labelled again but read from there.
Without --measured it ends with the frames.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml
from aiida import orm

from aiida_mlip_ins.calculations.functions.measured import read_measured_spectrum
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.query.summary import summary
from aiida_mlip_ins.report.html import write_report
from aiida_mlip_ins.report.page import write_json

# `verdi run` looks for modules in the current folder, and of `__file__` it gives the name alone.
sys.path.insert(0, str(Path(inspect.getfile(inspect.currentframe())).resolve().parent))

from study import Study

FOLDER = Path('examples/hexane')


def write_results(
    folder: Path, chain: orm.WorkChainNode, pressures: list[float], more: dict[str, Any]
) -> None:
    """Write summary.json, the potential, and per pressure the spectrum, all its rows summed."""
    (folder / 'potential.model').write_bytes(chain.outputs.model.get_content(mode='rb'))
    numbers = {**summary(chain), **more}
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
    more = {'modes_of_dft_less_potential': study.limits(chain.outputs.model)}
    more['molecular_dynamics'], figures = study.motion(chain.outputs.model)
    write_results(folder, chain, settings['pressures'], more)
    for name, content in figures.items():
        (folder / name).write_bytes(content)
    for sentence in chain.outputs.agreement.verdict['sentences']:
        click.echo(sentence)
    click.echo(write_report(chain, folder / 'report'))


if __name__ == '__main__':
    main()
