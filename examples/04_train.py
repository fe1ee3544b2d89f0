"""Train a MACE potential on a labelled dataset, through the daemon or in place.

    verdi run examples/04_train.py DATASET [PROTOCOL] [--foundation MODEL]

DATASET is the PK of a dataset node (examples/02 makes one) or an extended XYZ file with REF_energy
(eV), REF_forces (eV/angstrom), REF_stress (eV/angstrom^3, tension positive), source and split on
each frame. MODEL is the PK of a model node to start from.
"""

import argparse
from pathlib import Path

from aiida import orm
from aiida.engine import run_get_node

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain


def main() -> None:
    """Train, then print the errors of each split."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('dataset')
    parser.add_argument('protocol', nargs='?', default='fast')
    parser.add_argument('--foundation', type=int)
    parser.add_argument('--code', default='mlip-ins-engines@localhost')
    given = parser.parse_args()

    if Path(given.dataset).is_file():
        dataset = DatasetData(Path(given.dataset).absolute(), method='from a file')
    else:
        dataset = orm.load_node(int(given.dataset))
    builder = MaceTrainWorkChain.get_builder_from_protocol(
        orm.load_code(given.code),
        dataset,
        orm.load_node(given.foundation) if given.foundation else None,
        protocol=given.protocol,
    )
    outputs, node = run_get_node(builder)
    for attempt in outputs['history']['attempts'] if 'history' in outputs else []:
        print(f'job {attempt["job"]}: {attempt["ended"]}; {attempt["action"]}')
    print(f'training <{node.pk}>: {node.exit_message or "ended well"}')
    if 'model' in outputs:
        print(f'model <{outputs["model"].pk}>')
        for split, errors in outputs['errors'].get_dict().items():
            print(
                f'{split:6s} {errors["n_frames"]:4d} frames: '
                f'force {errors["force_mae"]:.1f} meV/angstrom, '
                f'energy {errors.get("energy_mae", float("nan")):.2f} meV/atom, '
                f'stress {errors.get("stress_mae", float("nan")):.3f} GPa'
            )


if __name__ == '__main__':
    main()
