"""``aiida-mlip-ins export``: a run as an archive, whole or small enough to be published."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_mlip_ins.cli import options

SHOWN = 8


@click.command('export')
@options.PROFILE
@options.PROCESS
@click.argument('file', metavar='FILE', type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    '--trim',
    is_flag=True,
    help='Leave out raw files of jobs, and replace paths and names of hosts.',
)
@click.option(
    '--without',
    metavar='NODE',
    multiple=True,
    help=f'Leave out the files of this node too ({options.NODE}).',
)
@click.option('--max-mb', type=float, help='Fail if the archive is larger than so many MB.')
@click.option('--force', is_flag=True, help='Replace FILE if it is there.')
def export(
    profile: str | None, process: str, file: Path, trim: bool, without: tuple[str, ...],
    max_mb: float | None, force: bool,
) -> None:  # fmt: skip
    """Write PROCESS (its PK or UUID) and everything that it stands on into an AiiDA archive FILE.

    `aiida-mlip-ins report --archive FILE` shows it, without a profile and without computing
    anything. With --trim all nodes, links and numbers are kept, and so are models, datasets and
    spectra; inputs and outputs of jobs as files are not (their checksums are).
    """
    from aiida_mlip_ins.cli import profile as profiles
    from aiida_mlip_ins.cli.nodes import Refusal, find_node, load_process

    profiles.load(profile)
    node = load_process(process)
    problems, dropped = [], []
    for text in without:
        try:
            dropped.append(find_node(text))
        except ValueError as error:
            problems.append(f'--without: {error}')
    if not node.is_terminated:
        problems.append(f'<{node.pk}> has not ended; `aiida-mlip-ins status {node.pk}` shows it')
    if file.exists() and not force:
        problems.append(f'{file} is there; --force replaces it')
    if problems:
        raise Refusal.of('written', problems)
    from aiida.common.log import AIIDA_LOGGER
    from aiida.tools.archive.exceptions import ArchiveExportError, ExportValidationError

    from aiida_mlip_ins.query.trimming import write_archive

    AIIDA_LOGGER.getChild('export').setLevel('WARNING')
    try:
        made = write_archive(node, file, trim, dropped, overwrite=force)
    except (ArchiveExportError, ExportValidationError) as error:
        raise Refusal(str(error)) from None
    megabytes = made.size / 1e6
    click.echo(
        f'{file}: {megabytes:.2f} MB, {made.n_nodes} nodes, {made.n_files} files'
        + (f'; {made.n_dropped} files left out' if made.n_dropped else '')
    )
    click.echo('Largest parts, compressed:')
    for size, what in made.largest[:SHOWN]:
        click.echo(f'  {size / 1e6:8.2f} MB  {what}')
    if trim:
        click.echo(f'Names of machines replaced in {made.n_redacted} nodes that kept their files.')
        click.echo(f'Names that are in it: {", ".join(made.names) or "none"}.')
        for line in made.remaining:
            click.echo(f'  ! still there, in {line}')
    if max_mb is not None and megabytes > max_mb:
        raise click.ClickException(
            f'{file} is larger than {max_mb:g} MB; --without leaves out the files of a node'
        )
