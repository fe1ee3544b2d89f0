"""``aiida-mlip-ins report``: a run as one HTML page with figures."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_mlip_ins.cli import options


@click.command('report')
@options.PROFILE
@options.PROCESS
@options.output('report')
def report(profile: str | None, process: str, output: Path) -> None:
    """Write the report of PROCESS (its PK or UUID): HTML, PNG figures, numbers as JSON, spectra.

    It works on the whole chain and on each of its links, on a comparison of spectra, and on a run
    that failed or still goes on.
    """
    from aiida_mlip_ins.cli import profile as profiles
    from aiida_mlip_ins.cli.nodes import load_process

    profiles.load(profile)
    node = load_process(process)
    from aiida_mlip_ins.report import spectra_page

    if node.process_label == spectra_page.PROCESS:
        page = spectra_page.write_spectra_report(node, output)
        said = '\n'.join(spectra_page.SpectraRun(node).sentences)
    else:
        from aiida_mlip_ins.cli.summary_text import summary_text
        from aiida_mlip_ins.query.summary import summary
        from aiida_mlip_ins.report.html import write_report

        page = write_report(node, output)
        said = summary_text(summary(node))
    click.echo(f'{said}\n\n{page}')
