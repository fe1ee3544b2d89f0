"""``aiida-mlip-ins report``: a run as one HTML page with figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aiida_mlip_ins.cli import options

if TYPE_CHECKING:
    from aiida import orm


@click.command('report')
@options.PROFILE
@click.argument('process', metavar='[PROCESS]', required=False)
@click.option(
    '--archive',
    type=options.EXISTING_FILE,
    help='AiiDA archive to read it from, in place of a profile.',
)
@options.output('report')
def report(profile: str | None, process: str | None, archive: Path | None, output: Path) -> None:
    """Write the report of PROCESS (its PK or UUID): HTML, PNG figures, numbers as JSON, spectra.

    It works on the whole chain and on each of its links, on a comparison of spectra, on a
    benchmark, on error bands, on molecular dynamics, and on a run that failed or still goes on.
    From an --archive, nothing is imported or computed, and PROCESS is the one that the archive was
    written for unless another is given.
    """
    from aiida_mlip_ins.cli import profile as profiles

    if archive is None and process is None:
        raise click.UsageError('give a PROCESS, or an --archive')
    if archive is not None and profile is not None:
        raise click.UsageError('an --archive is its own profile; leave out --profile')
    if archive is None:
        profiles.load(profile)
    else:
        profiles.load_archive(archive)
    from aiida_mlip_ins.cli.nodes import Refusal, load_process

    if process is not None:
        node = load_process(process)
    else:
        from aiida_mlip_ins.query.archive import main_process

        try:
            node = main_process(archive)
        except ValueError as error:
            raise Refusal(str(error)) from None
    page, said = write(node, output)
    click.echo(f'{said}\n\n{page}')


def write(node: orm.ProcessNode, output: Path) -> tuple[Path, str]:
    """Write the report that is made for such a process; return its page, and it in words."""
    from aiida_mlip_ins.report import (
        benchmark_page,
        error_bands_page,
        spectra_page,
        stability_page,
    )

    if node.process_label == spectra_page.PROCESS:
        page = spectra_page.write_spectra_report(node, output)
        return page, '\n'.join(spectra_page.SpectraRun(node).sentences)
    if node.process_label == benchmark_page.PROCESS:
        return benchmark_page.write_benchmark_report(node, output)
    if node.process_label == error_bands_page.PROCESS:
        return error_bands_page.write_error_bands_report(node, output)
    if node.process_label == stability_page.PROCESS:
        return stability_page.write_stability_report(node, output)
    from aiida_mlip_ins.cli.summary_text import summary_text
    from aiida_mlip_ins.query.summary import summary
    from aiida_mlip_ins.report.html import write_report

    return write_report(node, output), summary_text(summary(node))
