"""Force constants and modes of a relaxed crystal, with a MACE potential or with pw.x.

    verdi run examples/06_phonons.py STRUCTURE_PK --model MODEL_PK
    verdi run examples/06_phonons.py STRUCTURE_PK --pw --daemon

With MACE all displaced supercells go through one job; brucite's six supercells of 90 atoms take
some seconds. pw.x looks at the zone centre alone: five cells of brucite, two minutes on one core.
"""

import click
from aiida import orm
from aiida.engine import run_get_node, submit

from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain, PwPhononsWorkChain

ENGINES = 'mlip-ins-engines@localhost'
PW = 'pw@localhost'
PROTOCOL = 'fast'


@click.command()
@click.argument('structure', type=int)
@click.option('--model', type=int, help='PK of the potential.')
@click.option('--pw', is_flag=True, help='With pw.x instead of a potential.')
@click.option('--daemon', is_flag=True, help='Leave it to the daemon.')
def main(structure: int, model: int | None, pw: bool, daemon: bool) -> None:
    """Compute the phonons of a node of a structure."""
    crystal = orm.load_node(structure)
    if pw:
        builder = PwPhononsWorkChain.get_builder_from_protocol(PW, crystal, PROTOCOL)
    elif model is None:
        raise click.UsageError('give the potential with --model, or --pw')
    else:
        builder = MacePhononsWorkChain.get_builder_from_protocol(
            ENGINES, crystal, orm.load_node(model), PROTOCOL
        )
    if daemon:
        click.echo(f'submitted {submit(builder)}')
        return
    results, node = run_get_node(builder)
    click.echo(f'{node.process_label}<{node.pk}> {node.exit_message or "finished"}')
    if 'summary' in results:
        summary = results['summary'].get_dict()
        frequencies = ', '.join(f'{value:.1f}' for value in summary['gamma_per_cm'])
        click.echo(f'at Gamma (1/cm): {frequencies}')
        click.echo(f'lowest frequency: {summary["min_frequency_per_cm"]:.1f} 1/cm')
        click.echo(f'ForceConstantsData<{results["force_constants"].pk}>')


if __name__ == '__main__':
    main()
