"""Choose the frames for DFT around brucite's cells at 0 and 1.5 GPa.

    verdi run examples/01_configurations.py

It prints the identifier of the node of frames, which 02_reference.py takes. With the identifier of
a pressure scan (03_pw_pressure_scan.py) the frames lie around the cells that it found:

    verdi run examples/01_configurations.py --scan PK
"""

import click
from aiida import orm
from ase.spacegroup import crystal

from aiida_mlip_ins.calculations.functions.frames import targeted_configurations
from aiida_mlip_ins.data.structure import to_structure

SEED = 7
# Pressure in GPa -> a, c in angstrom, z of O, z of H: relaxed by pw.x, PBE-D3(BJ).
CELLS = {
    0.0: (3.1629, 4.5847, 0.2264, 0.4369),
    1.5: (3.1455, 4.5135, 0.2299, 0.4436),
}
# Pressures in GPa; heavy, tilt and stretch in angstrom; strain without unit.
SAMPLING = {
    'path': {'pressures': [-1.0, 0.0, 1.5, 2.5]},
    'rattle': {
        'count': 4, 'pressures': [-0.5, 2.0], 'strain': 0.004, 'heavy': 0.02, 'tilt': 0.08,
        'stretch': 0.005, 'scales': [1.0, 0.6],
    },
    'splits': {'valid': 0.15, 'test': 0.15},
}  # fmt: skip


def brucite(a: float, c: float, oxygen: float, hydrogen: float) -> orm.StructureData:
    """Return brucite, Mg(OH)2, P-3m1."""
    third = 1 / 3
    return to_structure(
        crystal(
            ('Mg', 'O', 'H'),
            [(0, 0, 0), (third, 2 * third, oxygen), (third, 2 * third, hydrogen)],
            spacegroup=164,
            cellpar=[a, a, c, 90, 90, 120],
        )
    )


@click.command()
@click.option('--scan', type=int, help='PK of a finished PwPressureScanWorkChain.')
def main(scan: int | None) -> None:
    """Make the frames."""
    if scan is None:
        pressures = list(CELLS)
        structures = {f'pressure_{i}': brucite(*CELLS[p]) for i, p in enumerate(pressures)}
    else:
        node = orm.load_node(scan)
        pressures = node.inputs.pressures.get_list()
        structures = {f'pressure_{i}': node.outputs.structures[f'pressure_{i}']
                      for i in range(len(pressures))}  # fmt: skip
    frames = targeted_configurations(
        settings=orm.Dict(SAMPLING), seed=orm.Int(SEED), pressures=orm.List(pressures), **structures
    )
    click.echo(f'FramesData<{frames.pk}>: {frames.n_frames} frames {frames.sources}')


if __name__ == '__main__':
    main()
