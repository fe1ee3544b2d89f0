"""How fast INS intensities are, beside abinslib's own route on the same modes.

Run by the engines' Python: ``python benchmarks/ins.py [--json]``; every case has one thread. Modes
are made up: complete random eigenvectors, two fifths of the frequencies where hydrogen stretches,
the rest below 1600 1/cm. Times are CPU times (s), which other processes do not lengthen as they do
wall times; both are printed. Memory is the peak resident one (MB), each case in its own process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aiida_mlip_ins.science.instruments import INSTRUMENTS, path_of
from aiida_mlip_ins.science.multiquantum import prepare
from aiida_mlip_ins.science.vibrations import Vibrations

EDGES = np.arange(0.0, 4001.0)
SYMBOLS = ('H', 'C', 'N', 'O')
MASSES = (1.008, 12.011, 14.007, 15.999)
GOAL_S, GOAL_MB = 2.0, 1000.0
ONE_CORE = {**os.environ, 'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}


def modes(n_q: int, n_atoms: int) -> Vibrations:
    """Return modes of a made-up crystal."""
    rng = np.random.default_rng(7)
    size = 3 * n_atoms
    vectors = rng.normal(size=(n_q, size, size)) + 1j * rng.normal(size=(n_q, size, size))
    vectors = np.linalg.qr(vectors)[0]
    high = 2 * size // 5
    frequencies = np.concatenate(
        [rng.uniform(30, 1600, (n_q, size - high)), rng.uniform(2900, 3600, (n_q, high))], axis=1
    )
    masses = np.array([MASSES[index % len(MASSES)] for index in range(n_atoms)])
    return Vibrations(
        np.sort(frequencies, axis=1), vectors.reshape(n_q, size, n_atoms, 3),
        np.full(n_q, 1 / n_q), masses, 10.0, np.zeros((n_q, size), dtype=bool),
    )  # fmt: skip


def ours(vibrations: Vibrations, max_order: int) -> np.ndarray:
    """Return the law (n_banks, n_orders, n_atoms, n_bins) in TOSCA's two banks."""
    scatterer = prepare(vibrations, EDGES, max_order, 'abins')
    instrument = INSTRUMENTS['TOSCA']
    return np.array([scatterer.law(path_of(instrument, b, None)) for b in instrument.banks])


def abinslib_route(vibrations: Vibrations) -> np.ndarray:
    """Return orders 1 and 2 likewise, by abinslib's own functions."""
    from abinslib.almost_isotropic_incoherent import (
        calculate_almost_isotropic_incoherent_spectra,
        mantid_like_combination_spectra,
    )
    from abinslib.displacements import Displacements
    from abinslib.util import calculate_indirect_q2
    from euphonic import Crystal, QpointPhononModes, Quantity

    n_q, _, n_atoms = vibrations.vectors.shape[:3]
    crystal = Crystal(
        Quantity(10 * np.eye(3), 'angstrom'), np.zeros((n_atoms, 3)),
        np.array([SYMBOLS[index % len(SYMBOLS)] for index in range(n_atoms)]),
        Quantity(vibrations.masses, 'amu'),
    )  # fmt: skip
    found = QpointPhononModes(
        crystal, np.zeros((n_q, 3)), Quantity(vibrations.frequencies, '1/cm'),
        vibrations.vectors, vibrations.weights,
    )  # fmt: skip
    bins = Quantity(EDGES, '1/cm')
    centres = (bins[1:] + bins[:-1]) / 2
    displacements = Displacements.from_modes(found, Quantity(vibrations.temperature, 'kelvin'))
    thermal = displacements.to_atomic_displacements()
    instrument = INSTRUMENTS['TOSCA']
    law = []
    for bank in instrument.banks.values():
        final = Quantity(instrument.final_energy, '1/cm')
        angle = np.radians(bank.angles[0])
        q2 = calculate_indirect_q2(found.frequencies, angle, final)
        first = calculate_almost_isotropic_incoherent_spectra(
            found, displacements, thermal, q2, bins
        )
        q2 = calculate_indirect_q2(centres, angle, final)
        second = mantid_like_combination_spectra(found, displacements, thermal, q2, bins)
        law.append([item.y_data.to('cm').magnitude for item in (first, second)])
    return np.array(law)


def case(which: str, n_q: int, n_atoms: int, max_order: int) -> dict[str, Any]:
    """Return time and memory of one case, of the faster of two runs."""
    vibrations = modes(n_q, n_atoms)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times = []
    for _ in range(2):
        wall, cpu = time.perf_counter(), time.process_time()
        law = ours(vibrations, max_order) if which == 'ours' else abinslib_route(vibrations)
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {
        'route': which, 'n_qpoints': n_q, 'n_modes': 3 * n_atoms, 'n_atoms': n_atoms,
        'max_order': max_order, 'cpu_s': min(t[0] for t in times),
        'wall_s': min(t[1] for t in times), 'peak_mb': peak, 'before_mb': before,
    }  # fmt: skip
    if which == 'abinslib':
        mine = ours(vibrations, 2)
        found['largest_difference'] = float(
            max(np.abs(mine - law).max(axis=-1).ravel() / law.max(axis=-1).ravel())
        )
    return found


def measure() -> dict[str, Any]:
    """Run every case in a process of its own."""

    def run(*words: Any) -> dict[str, Any]:
        command = [sys.executable, __file__, '--case', *map(str, words)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=ONE_CORE)
        return json.loads(done.stdout.splitlines()[-1])

    goal = run('ours', 128, 20, 10)
    two, reference = run('ours', 128, 20, 2), run('abinslib', 128, 20, 2)
    in_q = [run('ours', n_q, 20, 10) for n_q in (32, 64, 256, 512)]
    in_atoms = [run('ours', 32, n_atoms, 10) for n_atoms in (5, 10, 40)]

    def exponent(cases: list[dict[str, Any]], key: str) -> float:
        logs = np.log([[item[key], item['cpu_s']] for item in cases]).T
        return float(np.polyfit(*logs, 1)[0])

    return {
        'goal': {**goal, 'met': goal['cpu_s'] < GOAL_S and goal['peak_mb'] < GOAL_MB},
        'orders_1_2': two,
        'abinslib_orders_1_2': reference,
        'abinslib_over_ours': reference['cpu_s'] / two['cpu_s'],
        'largest_difference': reference['largest_difference'],
        'with_qpoints': in_q,
        'power_of_qpoints': exponent(in_q[1:], 'n_qpoints'),
        'with_atoms': in_atoms,
        'power_of_atoms': exponent([*in_atoms[1:], in_q[0]], 'n_atoms'),
    }


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.add_argument('--case', nargs=4, metavar=('ROUTE', 'N_Q', 'N_ATOMS', 'ORDERS'))
    arguments = parser.parse_args()
    if arguments.case:
        which, *numbers = arguments.case
        print(json.dumps(case(which, *map(int, numbers))))
        return
    found = measure()
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    cases = [
        found['goal'], found['orders_1_2'], found['abinslib_orders_1_2'],
        *found['with_qpoints'], *found['with_atoms'],
    ]  # fmt: skip
    print('route      q-points  modes  orders   CPU s  wall s  peak MB')
    for item in cases:
        print(
            f'{item["route"]:9s} {item["n_qpoints"]:9d} {item["n_modes"]:6d} '
            f'{item["max_order"]:7d} {item["cpu_s"]:7.2f} {item["wall_s"]:7.2f} '
            f'{item["peak_mb"]:8.0f}'
        )
    print(
        f'goal (2 s, 1000 MB) met: {found["goal"]["met"]}; abinslib takes '
        f'{found["abinslib_over_ours"]:.0f} times as long for orders 1 and 2, largest difference '
        f'{found["largest_difference"]:.1e} of the peak; time grows as q-points to the power '
        f'{found["power_of_qpoints"]:.2f} and as atoms to {found["power_of_atoms"]:.2f}'
    )


if __name__ == '__main__':
    main()
