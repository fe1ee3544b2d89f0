"""``aiida-mlip-ins launch``: the whole chain, or one link of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from aiida_mlip_ins.cli import launch_models, options
from aiida_mlip_ins.cli.link_command import FOUNDATION, METHOD, NUMBERS, link
from aiida_mlip_ins.cli.spectra import BACKGROUND, WINDOWS

STRUCTURE = click.argument('structure', metavar='STRUCTURE')
MODEL = click.option('--model', metavar='NODE', help=f'Potential ({options.NODE}).')
DATASET = click.option(
    '--dataset', metavar='DATASET',
    help='Labelled frames to start from: a node, or an extended XYZ file with REF_energy (eV), '
    'REF_forces, REF_stress (eV/angstrom^3) and split (train, valid, test) of each frame.',
)  # fmt: skip
DFT = (options.PW_CODE, options.PSEUDO_FAMILY)


@click.group('launch')
def launch() -> None:
    """Launch the whole chain or one link of it, here or through the daemon.

    A STRUCTURE is a CIF, any other file that ASE reads, or a node; nodes are given by PK, UUID or
    label. Inputs are checked before anything is submitted; what is wrong with them is listed.
    """


@link(
    STRUCTURE, options.PRESSURES, *DFT, options.ENGINE_CODE,
    DATASET, METHOD, FOUNDATION,
    click.option('--model', metavar='NODE', help='Potential: start at the pressure scan.'),
    click.option('--measured', type=options.SpectrumAt(), multiple=True,
                 help='Measured spectrum at one of the pressures, to be compared with.'),
    WINDOWS,
    click.option('--no-dft-check', 'dft_check', flag_value=False, default=True,
                 help='Leave out the comparison with cells and modes of DFT.'),
    click.option('--imaginary-policy', type=click.Choice(['ins', 'cure']),
                 help='What meets imaginary modes: the settings of the spectrum, or a cure.'),
    *NUMBERS,
)  # fmt: skip
def chain(inputs: Any, **given: Any) -> Any:
    """DFT, training, relaxation, phonons, INS and comparison for STRUCTURE."""
    from aiida_mlip_ins.cli import links

    return links.chain(inputs, **given)


@link(click.argument('frames', metavar='FRAMES'), *DFT, *NUMBERS)
def reference(inputs: Any, **given: Any) -> Any:
    """Label FRAMES (a node or a file that ASE reads) with pw.x."""
    from aiida_mlip_ins.cli import links

    return links.reference(inputs, **given)


@link(STRUCTURE, options.PRESSURES, *DFT, *NUMBERS)
def pw_pressure_scan(inputs: Any, **given: Any) -> Any:
    """Relax STRUCTURE at each pressure with pw.x."""
    from aiida_mlip_ins.cli import links

    return links.pw_pressure_scan(inputs, **given)


@link(
    STRUCTURE,
    click.option('--committee', metavar='PROCESS',
                 help='Committee that has ended: its potentials and their calibration.'),
    click.option('--model', 'models', metavar='NODE', multiple=True,
                 help=f'In place of it, potentials: one for each member ({options.NODE}).'),
    options.PRESSURES,
    click.option('--max-concurrent', type=int, help='Members worked on side by side.'),
    options.ENGINE_CODE, *NUMBERS,
)  # fmt: skip
def bands(inputs: Any, **given: Any) -> Any:
    """Compute INS, modes and shifts of STRUCTURE with each member of a committee: error bands."""
    from aiida_mlip_ins.cli import links_bands

    return links_bands.bands(inputs, **given)


@link(
    STRUCTURE, options.PRESSURES, *DFT, options.ENGINE_CODE,
    DATASET, METHOD, FOUNDATION,
    click.option('--go-on', metavar='PROCESS',
                 help='Active learning that has ended, whose frames and rounds to go on from.'),
    click.option('--stop-after-round', type=int, help='Number of the last round, from 0.'),
    click.option('--frames-per-round', type=int, help='Frames labelled in a round.'),
    click.option('--max-frames', type=int, help='Labelled frames in all.'),
    click.option('--max-rounds', type=int, help='Rounds that label frames.'),
    click.option('--no-frequencies', 'frequencies', flag_value=False, default=True,
                 help='Leave out the phonons of each round.'),
    *NUMBERS,
)  # fmt: skip
def active_learning(inputs: Any, **given: Any) -> Any:
    """Label the frames of STRUCTURE that a committee of potentials disagrees on, in rounds."""
    from aiida_mlip_ins.cli import links_active

    return links_active.active_learning(inputs, **given)


@link(
    STRUCTURE,
    click.option('--model', metavar='NODE', required=True, help='Potential.'),
    options.PRESSURES, options.ENGINE_CODE, *NUMBERS,
)  # fmt: skip
def mace_pressure_scan(inputs: Any, **given: Any) -> Any:
    """Relax STRUCTURE at each pressure with a potential."""
    from aiida_mlip_ins.cli import links

    return links.mace_pressure_scan(inputs, **given)


@link(
    STRUCTURE,
    click.option('--engine', type=click.Choice(['mace', 'pw']), default='mace', show_default=True),
    MODEL, options.ENGINE_CODE, *DFT, *NUMBERS,
)  # fmt: skip
def phonons(
    inputs: Any, engine: str, model: str | None, engine_code: str, pw_code: str,
    pseudo_family: str | None, **given: Any,
) -> Any:  # fmt: skip
    """Compute force constants and modes of STRUCTURE, with a potential or with pw.x."""
    from aiida_mlip_ins.cli import links

    if engine == 'mace':
        return links.mace_phonons(inputs, model=model, engine_code=engine_code, **given)
    return links.pw_phonons(inputs, pw_code=pw_code, pseudo_family=pseudo_family, **given)


@link(
    click.argument('force_constants', metavar='FORCE_CONSTANTS'),
    click.option('--pressure', type=float, help='In GPa, kept with the spectrum.'),
    options.ENGINE_CODE, *NUMBERS,
)  # fmt: skip
def ins(inputs: Any, **given: Any) -> Any:
    """Simulate the INS spectrum of FORCE_CONSTANTS (a node)."""
    from aiida_mlip_ins.cli import links

    return links.ins(inputs, **given)


@link(
    options.PROCESS,
    click.option('--temperature', '--temperatures', 'temperatures', type=options.Numbers('K'),
                 multiple=True, required=True,
                 help='In K; give it several times or separate by commas.'),
    click.option('--supercell', type=int, nargs=3, metavar='N N N',
                 help="Multiples of the crystal; default: by the protocol's length."),
    click.option('--model', metavar='NODE', help='Potential, if not that of PROCESS.'),
    options.ENGINE_CODE, *NUMBERS,
)  # fmt: skip
def md_stability(inputs: Any, **given: Any) -> Any:
    """Run molecular dynamics of the relaxed crystals of PROCESS, to see whether they hold.

    PROCESS is the whole chain or a pressure scan with a potential. Each crystal is moved at its
    pressure and each temperature; the report says how it did.
    """
    from aiida_mlip_ins.cli import links_md

    return links_md.md_stability(inputs, **given)


@link(
    click.argument('trajectory', metavar='TRAJECTORY'),
    click.argument('structure', metavar='[STRUCTURE]', required=False),
    click.option('--harmonic', metavar='SPECTRUM',
                 help=f'Output of `launch ins` ({options.NODE}) for the same crystal, to compare '
                      'with; its settings and its cell are taken.'),
    click.option('--pressure', type=float, help='In GPa, kept with the spectrum.'),
    click.option('--temperature', type=float, help='In K, of the run, where there are several.'),
    WINDOWS, options.ENGINE_CODE, *NUMBERS,
)  # fmt: skip
def md_ins(inputs: Any, **given: Any) -> Any:
    """Simulate the INS spectrum of TRAJECTORY, per cell of STRUCTURE.

    TRAJECTORY is a node, or the molecular dynamics that it is of: one job, or a stability test, of
    which --pressure and --temperature say the run. With --harmonic the report shows both spectra.
    """
    from aiida_mlip_ins.cli import links_md

    return links_md.md_ins(inputs, **given)


@link(
    STRUCTURE,
    click.option('--model', metavar='NODE', required=True, help='Potential.'),
    click.option('--pressure', type=float, required=True, help='In GPa, that it is relaxed at.'),
    click.option('--no-spectrum', 'spectrum', flag_value=False, default=True,
                 help='End with the phonons.'),
    options.ENGINE_CODE, *NUMBERS,
)  # fmt: skip
def cure(inputs: Any, **given: Any) -> Any:
    """Compute phonons and INS of STRUCTURE, with remedies for imaginary modes."""
    from aiida_mlip_ins.cli import links

    return links.cure(inputs, **given)


def _several(name: str, what: str) -> Callable:
    return click.option(
        name, metavar='PROCESS', multiple=True, help=f'{what}, one for each pressure, in order.'
    )


@link(
    click.option('--mace-scan', metavar='PROCESS', required=True, help='Relaxation with MACE.'),
    _several('--mace-phonons', 'Phonons with MACE'),
    _several('--ins', 'INS spectra'),
    click.option('--pw-scan', metavar='PROCESS', help='Relaxation with DFT.'),
    _several('--pw-phonons', 'Phonons with DFT'),
    *NUMBERS,
)
def compare(inputs: Any, **given: Any) -> Any:
    """Compare processes that have run: MACE with DFT, and the pressures with each other."""
    from aiida_mlip_ins.cli import links_compare

    return links_compare.compare(inputs, **given)


@link(
    click.option('-s', '--spectrum', 'spectra', type=options.SpectrumOf(), multiple=True,
                 help='One for each spectrum; the pressure (GPa) where the node has none.'),
    click.option('--reference', metavar='ROLE',
                 help='Role that the others are compared with; default: experiment, then dft.'),
    WINDOWS, BACKGROUND, *NUMBERS,
)  # fmt: skip
def compare_spectra(inputs: Any, **given: Any) -> Any:
    """Compare spectra of an experiment, DFT and models at several pressures."""
    from aiida_mlip_ins.cli import links_compare

    return links_compare.compare_spectra(inputs, **given)


for command in (
    chain, reference, pw_pressure_scan, bands, active_learning, mace_pressure_scan, phonons, ins,
    md_stability, md_ins, cure, compare, compare_spectra, launch_models.train,
    launch_models.committee, launch_models.evaluate, launch_models.inspect_model,
    launch_models.fetch_model,
):  # fmt: skip
    launch.add_command(command)
