"""2,5-diiodothiophene, as in arXiv:2603.05442: the chain, molecular dynamics, and the table.

    verdi run examples/diiodothiophene/run.py cost CIF
    verdi run examples/diiodothiophene/run.py chain CIF --resources slurm.yaml --check
    verdi run examples/diiodothiophene/run.py chain CIF --resources slurm.yaml --daemon
    verdi run examples/diiodothiophene/run.py md RUN --resources slurm.yaml --daemon
    verdi run examples/diiodothiophene/run.py table RUN --md DYNAMICS

The structure is yours to bring (see the README). Every number is in settings.yaml beside this file,
what a cluster has to offer in slurm.yaml, what things cost in costs.yaml.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml
from aiida import orm

from aiida_mlip_ins.cli.carry_out import carry_out
from aiida_mlip_ins.cli.follow import duration
from aiida_mlip_ins.cli.inputs import Inputs
from aiida_mlip_ins.cli.nodes import load_process
from aiida_mlip_ins.data.structure import to_atoms, to_structure
from aiida_mlip_ins.query.tables import format_table
from aiida_mlip_ins.science.scheduling import kpoint_meshes
from aiida_mlip_ins.science.training import TrainSettings, passes_left
from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain
from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain
from aiida_mlip_ins.workflows.protocols import merge

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

from costs import estimates, measured  # noqa: E402
from findings import findings, markdown  # noqa: E402
from molecule import LABEL, boxed  # noqa: E402


def read(name: str) -> dict[str, Any]:
    """Return the content of a file beside this one."""
    return yaml.safe_load((FOLDER / name).read_text())


def resources_of(path: str | None) -> dict[str, Any]:
    """Return the overrides of a file with resources; nothing without one."""
    return (yaml.safe_load(Path(path).read_text()) or {}) if path else {}


def crystal(inputs: Inputs, cif: str | None, hypothetical: bool) -> orm.StructureData | None:
    """Return the crystal of a file, or the hypothetical one; another compound is refused."""
    if hypothetical == (cif is not None):
        inputs.problems.append('give a CIF, or --hypothetical to try things out without one')
        return None
    if hypothetical:
        node = to_structure(boxed())
        node.label = LABEL
        return node
    node = inputs.structure(cif, require_hydrogen=True)
    wanted = read('settings.yaml')['formula']
    if node is not None:
        found = to_atoms(node).symbols.formula.reduce()[0].format('hill')
        if found != wanted:
            inputs.problems.append(f'structure: it is {found}, not {wanted} (2,5-diiodothiophene)')
    return node


CIF = click.argument('cif', required=False)
HYPOTHETICAL = click.option(
    '--hypothetical', is_flag=True, help='One molecule in a box in place of a CIF: not the crystal.'
)
RESOURCES = click.option('--resources', type=click.Path(exists=True, dir_okay=False))
OVERRIDES = click.option('--overrides', type=click.Path(exists=True, dir_okay=False))
PROTOCOL = click.option('--protocol', help='That of settings.yaml if not given.')
ENGINES = click.option('--engine-code', default='mlip-ins-engines@localhost', show_default=True)
PW = click.option('--pw-code', default='pw@localhost', show_default=True)
DAEMON = click.option('--daemon', is_flag=True, help='Leave it to the daemon.')
CHECK = click.option('--check', is_flag=True, help='Only validate the inputs.')


@click.group()
def main() -> None:
    """2,5-diiodothiophene at 0 and 1.5 GPa."""


@main.command('chain')
@CIF
@HYPOTHETICAL
@RESOURCES
@OVERRIDES
@PROTOCOL
@ENGINES
@PW
@click.option('--dataset', help='Labelled frames (node or extended XYZ): start at the training.')
@click.option('--method', help='For a file: how its labels were computed.')
@click.option('--foundation', help='Model that the training starts from, as in the paper.')
@click.option('--no-dft-check', 'dft_check', flag_value=False, default=True)
@DAEMON
@CHECK
def chain(
    cif: str | None, hypothetical: bool, daemon: bool, check: bool, **given: Any
) -> None:  # fmt: skip
    """DFT, training, relaxation, phonons, spectra and comparison."""
    inputs = Inputs()
    structure = crystal(inputs, cif, hypothetical)
    carry_out(inputs, build(inputs, structure, **given), daemon, check)


def build(
    inputs: Inputs, structure: orm.StructureData | None, resources: str | None,
    overrides: str | None, protocol: str | None, engine_code: str, pw_code: str,
    dataset: str | None, method: str | None, foundation: str | None, dft_check: bool,
) -> Any:  # fmt: skip
    """Return the builder of the chain, or nothing but problems."""
    settings = read('settings.yaml')
    numbers = settings['overrides']
    for path in (resources, overrides):
        numbers = merge(numbers, resources_of(path))
    numbers.pop('md', None)
    needs_pw = dataset is None or dft_check
    arguments = {
        'structure': structure,
        'pressures': numbers.pop('pressures', settings['pressures']),
        'engine_code': inputs.code('engine_code', engine_code),
        'pw_code': inputs.code('pw_code', pw_code) if needs_pw else None,
        'dataset': inputs.dataset(dataset, method),
        'foundation': inputs.model(foundation),
        'protocol': protocol or settings['protocol'],
        'overrides': numbers,
        'check': dft_check,
    }
    if inputs.problems:
        return None
    return inputs.attempt(lambda: HighPressureInsWorkChain.get_builder_from_protocol(**arguments))


@main.command('md')
@click.argument('run')
@RESOURCES
@PROTOCOL
@ENGINES
@DAEMON
@CHECK
def dynamics(
    run: str, resources: str | None, protocol: str | None, engine_code: str, daemon: bool,
    check: bool,
) -> None:  # fmt: skip
    """Run the crystal of RUN (a chain that has ended) at 300 K, at its lowest pressure."""
    inputs, node = Inputs(), load_process(run)
    settings = read('settings.yaml')['md']
    overrides = resources_of(resources).get('md', {})
    model, cells = inputs.output(node, 'model'), inputs.output(node, 'mace')
    code = inputs.code('engine_code', engine_code)
    builder = None
    if not inputs.problems:
        pressures = node.inputs.pressures.get_list()[:1]
        builder = inputs.attempt(
            lambda: MdStabilityWorkChain.get_builder_from_protocol(
                code, [cells['structures']['pressure_0']], model, pressures,
                settings['temperatures'], None, protocol or settings['protocol'], overrides,
            )
        )  # fmt: skip
    carry_out(inputs, builder, daemon, check)


@main.command('table')
@click.argument('run')
@click.option('--md', 'dynamics', help='Process of the molecular dynamics.')
@click.option('--output', type=click.Path(path_type=Path), default=FOLDER / 'findings.md')
def table(run: str, dynamics: str | None, output: Path) -> None:
    """Write what the paper reports beside what RUN has found."""
    node = load_process(run)
    rows = findings(
        node, load_process(dynamics) if dynamics else None, read('settings.yaml')['findings']
    )
    structure = node.inputs.structure
    title = structure.label or structure.get_formula()
    output.write_text(markdown(rows, f'{title}: run {node.uuid}'))
    click.echo(format_table(rows))
    click.echo(f'\n{output}')


@main.command('cost')
@CIF
@HYPOTHETICAL
@PROTOCOL
@ENGINES
@PW
def cost(
    cif: str | None, hypothetical: bool, protocol: str | None, engine_code: str, pw_code: str
) -> None:  # fmt: skip
    """Estimate what each stage costs for this crystal, on one core, from what was measured."""
    inputs = Inputs()
    structure = crystal(inputs, cif, hypothetical)
    builder = build(
        inputs, structure, None, None, protocol, engine_code, pw_code, *[None] * 3, True
    )
    if builder is None or structure is None:
        carry_out(inputs, None, False, True)
        return
    rows = [
        {
            'stage': item.stage,
            'hours of a core': f'{item.low / 3600:.2g} to {item.high / 3600:.2g}'
            if item.high > item.low
            else f'{item.low / 3600:.2g}',
            'or': duration(item.low) if item.low == item.high else '',
            'what': item.what,
        }
        for item in estimates(
            measured(read('costs.yaml')), to_atoms(structure), *sizes(builder), counts(builder)
        )
    ]
    click.echo(f'{structure.label or cif}: {len(structure.sites)} atoms')
    click.echo(format_table(rows))


def sizes(builder: Any) -> tuple[float, float]:
    """Return the electrons of valence and the k-points of the cell of a builder."""
    atoms = to_atoms(builder.structure)
    pseudos = builder.reference.base.pw.pseudos
    electrons = sum(pseudos[symbol].z_valence for symbol in atoms.symbols)
    (points,) = kpoint_meshes([atoms], builder.reference.kpoints_distance.value)
    return electrons, float(np.prod(points))


def counts(builder: Any) -> dict[str, float]:
    """Return how much there is to do of everything."""
    settings = read('settings.yaml')
    dynamics = MdStabilityWorkChain.get_builder_from_protocol(
        builder.mace_phonons.code, [builder.structure], None, [0.0], settings['md']['temperatures'],
        None, settings['md']['protocol'],
    )  # fmt: skip
    md = dynamics.md.parameters
    sections = builder.sampling.get_dict()
    frames = sum(options.get('count', 0) for name, options in sections.items() if name != 'splits')
    frames += len(sections['path']['pressures'])
    return {
        'pressures': len(builder.pressures.get_list()),
        'frames': frames,
        'relaxation_steps': settings['relaxation_steps'],
        'passes': passes_left(TrainSettings(**builder.train.parameters.get_dict()), 0),
        'supercell': cells_in(builder.mace_phonons.supercell_matrix),
        'md_cells': cells_in(dynamics.supercell_matrix),
        'md_steps': 1000 * md['duration_ps'] / md['timestep_fs'],
    }


def cells_in(matrix: orm.List) -> float:
    """Return how many cells a supercell has."""
    values = np.array(matrix.get_list())
    return float(abs(np.prod(values) if values.ndim == 1 else round(np.linalg.det(values))))


if __name__ == '__main__':
    main()
