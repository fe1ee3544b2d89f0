"""Relax a crystal at several pressures with a MACE potential.

    verdi run examples/05_mace_pressure_scan.py STRUCTURE MODEL 0 0.5 1.0 1.5

STRUCTURE is a file that ASE reads or the PK of a structure, MODEL the PK of a model node (made by
examples/04) or a .model file, which an engine job then opens first. Pressures are in GPa.
"""

import argparse
from pathlib import Path

import ase.io
from aiida import orm
from aiida.engine import run, run_get_node

from aiida_mlip_ins.calculations.mace_inspect import MaceInspectCalculation
from aiida_mlip_ins.data.model import model_file_problem
from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain


def load_model(given: str, code: orm.AbstractCode) -> orm.Data:
    """Return the model node, made from a file by an engine job if need be."""
    if not Path(given).is_file():
        return orm.load_node(int(given))
    problem = model_file_problem(given)
    if problem:
        raise SystemExit(problem)
    file = orm.SinglefileData(Path(given).absolute())
    return run(MaceInspectCalculation, code=code, file=file)['model']


def main() -> None:
    """Run the scan, then print a table of the relaxed cells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('structure')
    parser.add_argument('model')
    parser.add_argument('pressures', nargs='+', type=float)
    parser.add_argument('--protocol')
    parser.add_argument('--code', default='mlip-ins-engines@localhost')
    given = parser.parse_args()

    code = orm.load_code(given.code)
    if Path(given.structure).is_file():
        structure = to_structure(ase.io.read(given.structure))
    else:
        structure = orm.load_node(int(given.structure))
    builder = MacePressureScanWorkChain.get_builder_from_protocol(
        code, structure, load_model(given.model, code), given.pressures, given.protocol
    )
    outputs, node = run_get_node(builder)
    print(f'pressure scan <{node.pk}>: {node.exit_message or "ended well"}')
    if 'results' in outputs:
        for row in outputs['results']['pressures']:
            volume = row.get('volume_angstrom3')
            state = f'{volume:.3f} angstrom^3, {row["spacegroup"]}' if volume else row['diverged']
            print(f'{row["pressure_gpa"]:6.2f} GPa: {state} ({row["steps"]} steps)')
    if 'equation_of_state' in outputs:
        print(outputs['equation_of_state'].get_dict())


if __name__ == '__main__':
    main()
