"""The command line; each command imports AiiDA only once it runs, so that help is instant."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from aiida_mlip_ins import __version__
from aiida_mlip_ins.cli.benchmark import benchmark
from aiida_mlip_ins.cli.demo import demo
from aiida_mlip_ins.cli.export import export
from aiida_mlip_ins.cli.labels import compare_labels
from aiida_mlip_ins.cli.launch import launch
from aiida_mlip_ins.cli.report import report
from aiida_mlip_ins.cli.setup import setup
from aiida_mlip_ins.cli.spectra import compare_spectra, import_spectrum
from aiida_mlip_ins.cli.status import status


@click.group(context_settings={'help_option_names': ['-h', '--help']})
@click.version_option(__version__)
def main() -> None:
    """From a crystal to its INS spectra under pressure, with DFT, MACE and AiiDA."""
    # AiiDA looks for `verdi` when it is imported, on a PATH that has it only where the environment
    # was activated
    scripts = str(Path(sys.executable).parent)
    if scripts not in os.environ.get('PATH', '').split(os.pathsep):
        os.environ['PATH'] = f'{scripts}{os.pathsep}{os.environ.get("PATH", "")}'


for command in (
    setup, demo, launch, benchmark, status, report, export, import_spectrum, compare_spectra,
    compare_labels,
):  # fmt: skip
    main.add_command(command)
