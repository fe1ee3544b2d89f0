"""``aiida-mlip-ins compare-labels``: what another cutoff, k-mesh or functional makes of frames."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_mlip_ins.cli import options

COLUMNS = {
    'labels': 'labels',
    'energy_mev_per_atom': 'energy (meV/atom)',
    'force_mev_per_angstrom': 'force (meV/angstrom)',
    'force_max': 'largest',
    'pressure_gpa': 'pressure (GPa)',
    'stress_max_gpa': 'largest stress (GPa)',
    'method': 'method',
}


@click.command('compare-labels')
@options.PROFILE
@click.argument('labels', nargs=-1, metavar='REFERENCE LABELS...')
def compare_labels(profile: str | None, labels: tuple[str, ...]) -> None:
    """Say how far LABELS of the same frames by other methods are from those of REFERENCE.

    Each is a dataset, the process that made it (as `launch reference` does), or an extended XYZ
    file with REF_energy (eV), REF_forces and REF_stress (eV/angstrom^3). Energies and forces are
    mean absolute differences, energies less a constant; the pressure is the mean difference.
    """
    from aiida_mlip_ins.cli import profile as profiles
    from aiida_mlip_ins.cli.inputs import Inputs
    from aiida_mlip_ins.cli.nodes import Refusal
    from aiida_mlip_ins.query.tables import format_table
    from aiida_mlip_ins.science.label_difference import label_difference

    if len(labels) < 2:
        raise click.UsageError('give REFERENCE and at least one other set of LABELS')
    profiles.load(profile)
    inputs = Inputs()
    sets = [inputs.dataset(text, Path(text).name) for text in labels]
    rows = []
    if None not in sets:
        frames = [dataset.get_frames() for dataset in sets]
        for text, dataset, other in zip(labels[1:], sets[1:], frames[1:], strict=True):
            try:
                found = label_difference(frames[0], other)
            except ValueError as error:
                inputs.problems.append(f'{text}: {error}')
            else:
                rows.append({'labels': text, 'method': dataset.method, **found})
    if inputs.problems:
        raise Refusal.of('compared', inputs.problems)
    count = f'{sets[0].n_frames} frame{"s" if sets[0].n_frames > 1 else ""}'
    click.echo(f'{count}, against {labels[0]} ({sets[0].method}):\n')
    click.echo(format_table(rows, COLUMNS))
