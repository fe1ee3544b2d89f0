"""What the synthetic run holds: frames, modes, intensities and numbers from formulas."""

from __future__ import annotations

import io
from typing import Any

import ase
import ase.spacegroup
import numpy as np
from aiida import orm
from aiida.plugins import DataFactory

from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science import ins
from aiida_mlip_ins.science.modes import Modes

PRESSURES = [0.0, 1.5]
N_FRAMES = 8
SPLITS = ('train', 'train', 'train', 'train', 'train', 'valid', 'test', 'test')
SOURCES = ('rattle', 'volume', 'rattle', 'strain', 'volume', 'rattle', 'rattle', 'volume')

POINT = {
    'mae_per_cm': 5.0, 'mean_per_cm': 4.0, 'max_per_cm': 9.0, 'min_overlap': 0.97,
    'n_ambiguous': 0, 'n_modes': 12, 'q': [0.0, 0.0, 0.0], 'weight': 0.5, 'interpolated': False,
}  # fmt: skip
SUPERCELL = {
    **{name: POINT[name] for name in ('max_per_cm', 'min_overlap', 'n_ambiguous')},
    'mae_per_cm': 6.2, 'mean_per_cm': 4.1, 'n_modes': 27,
    'points': [
        POINT,
        {**POINT, 'q': [0.0, 0.0, 0.5], 'n_modes': 15, 'mae_per_cm': 7.2, 'interpolated': True},
    ],
}  # fmt: skip
"""Errors over the zone at the second pressure."""
REACH = {
    'pressures': [
        {'index': i, 'pressure_gpa': p, 'verdict': word, 'sentence': f'{word}: {reason}'}
        for i, (p, word, reason) in enumerate(
            [(0.0, 'inside', 'volume 8'), (1.5, 'at the edge', 'pressure 1.5')]
        )
    ]
}
"""What was trained on."""


def intensities_of(modes: Modes, pressure: float) -> InsSpectrumData:
    """Return gaussians at the frequencies of the modes, and at their sums for order 2."""
    edges = np.arange(0.0, 4001.0, 4.0)
    centres = (edges[1:] + edges[:-1]) / 2
    rows = ins.describe_rows(modes.symbols, (1, 2), ('forward', 'backward'))
    intensity = np.zeros((len(rows), len(centres)))
    optical = modes.frequencies[modes.optical()]
    for number, row in enumerate(rows):
        strength = 80.0 if row['element'] == 'H' else 4.0
        places = optical if row['order'] == 1 else np.add.outer(optical[:6], optical[:6]).ravel()
        for place in places:
            width = 3.0 + 0.01 * place
            peak = np.exp(-((centres - place) ** 2) / (2 * width**2)) / width
            intensity[number] += strength / row['order'] ** 3 / (1 + place / 1000) * peak
    return InsSpectrumData.from_arrays(
        edges, intensity, rows, 'intensities', 10.0, 'TOSCA', pressure_gpa=pressure,
        remarks=['2 imaginary modes left out'] if pressure else [],
    )  # fmt: skip


def pw_numbers(seconds: float, energy: float = -2000.0) -> orm.Dict:
    return orm.Dict(
        {
            'energy': energy, 'wall_time_seconds': seconds, 'creator_version': '7.2',
            'estimated_ram_total': 180.0, 'estimated_ram_total_units': 'MB',
        }
    )  # fmt: skip


def engine_numbers(seconds: float, memory: float) -> orm.Dict:
    return orm.Dict(
        {
            'timing': {'import': 5.0, 'total': seconds},
            'peak_memory_gb': memory,
            'versions': {'python': '3.11.2', 'mace-torch': '0.3.16'},
        }
    )


def upf_of(element: str) -> orm.Node:
    content = f'<UPF version="2.0.1"><PP_HEADER element="{element}" z_valence="1.0"/></UPF>'
    upf = DataFactory('pseudo.upf')
    return upf.get_or_create(io.BytesIO(content.encode()), filename=f'{element}.upf').store()


def scaled_cell(atoms: ase.Atoms, volume: float) -> ase.Atoms:
    scaled = atoms.copy()
    scaled.set_cell(atoms.cell * volume ** (1 / 3), scale_atoms=True)
    return scaled


def relaxed_row(index: int, atoms: ase.Atoms, energy: float) -> dict[str, Any]:
    return {
        'index': index, 'pressure_gpa': PRESSURES[index], 'energy_ev': -2000.0 + energy,
        'volume_angstrom3': float(atoms.get_volume()), 'converged': True,
    }  # fmt: skip


def labelled_frame(cell: ase.Atoms, index: int, rng: np.random.Generator) -> ase.Atoms:
    frame = cell.copy()
    frame.positions += 0.03 * rng.standard_normal((len(cell), 3))
    frame.info = {
        'source': SOURCES[index], 'split': SPLITS[index], 'index': index,
        'REF_energy': -2000.0 + 0.05 * float(rng.standard_normal()),
        'REF_stress': 0.01 * rng.standard_normal(6),
    }  # fmt: skip
    frame.arrays['REF_forces'] = rng.standard_normal((len(cell), 3))
    return frame


def unlabelled(frame: ase.Atoms) -> ase.Atoms:
    plain = ase.Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=True)
    plain.info = {key: frame.info[key] for key in ('source', 'split')}
    return plain


def labels_of(frames: list[ase.Atoms]) -> list[dict[str, Any]]:
    return [
        {
            'energy': frame.info['REF_energy'],
            'forces': frame.arrays['REF_forces'],
            'stress': frame.info['REF_stress'],
        }
        for frame in frames
    ]


def drawn_modes(cell: ase.Atoms, pressure: float, factor: float) -> Modes:
    """Brucite's modes drawn by hand: units against each other, librations, stretches."""
    symbols = tuple(cell.get_chemical_symbols())
    masses = cell.get_masses()
    mg = symbols.index('Mg')
    oxygens = [i for i, s in enumerate(symbols) if s == 'O']
    hydrogens = [
        min((i for i, s in enumerate(symbols) if s == 'H'),
            key=lambda h, o=o: cell.get_distance(o, h, mic=True))
        for o in oxygens
    ]  # fmt: skip
    groups = [[mg], *([o, h] for o, h in zip(oxygens, hydrogens, strict=True))]
    patterns: list[tuple[float, float, np.ndarray]] = []

    def add(frequency: float, slope: float, moves: dict[int, np.ndarray]) -> None:
        pattern = np.zeros((len(symbols), 3))
        for atom, move in moves.items():
            pattern[atom] = np.sqrt(masses[atom]) * move
        patterns.append((frequency, slope, pattern))

    axes = np.eye(3)
    for axis in axes:
        add(0.0, 0.0, dict.fromkeys(range(len(symbols)), axis))
    weights = [masses[group].sum() for group in groups]
    for number, axis in enumerate(axes):
        add(275.0 + 65 * (number == 2), 9.0, {a: s * axis for g, s in ((1, 1.0), (2, -1.0))
                                              for a in groups[g]})  # fmt: skip
        add(384.0 + 70 * (number == 2), 12.0,
            {a: (axis if g else -axis * (weights[1] + weights[2]) / weights[0])
             for g in range(3) for a in groups[g]})  # fmt: skip
    in_phase, against = (497.0, 3815.0, -9.0), (755.0, 3769.0, -6.0)
    for sign, (libration, stretch, slope) in ((1, in_phase), (-1, against)):
        for number, axis in enumerate(axes):
            moves = {}
            for pair, (o, h) in enumerate(zip(oxygens, hydrogens, strict=True)):
                factor_pair = sign if pair else 1.0
                moves[h] = factor_pair * axis
                moves[o] = -factor_pair * axis * masses[h] / masses[o]
            add(stretch if number == 2 else libration, slope if number == 2 else 6.0, moves)
    patterns.sort(key=lambda p: p[0])
    vectors, _ = np.linalg.qr(np.array([p[2].ravel() for p in patterns]).T)
    frequencies = np.array([factor * f + s * pressure / 1.5 for f, s, _ in patterns])
    return Modes(
        frequencies, vectors.T.reshape(len(patterns), -1, 3), symbols, masses,
        np.array(cell.cell), cell.positions,
    )  # fmt: skip


def modes_node(modes: Modes) -> orm.ArrayData:
    node = orm.ArrayData()
    node.set_array('frequencies', modes.frequencies)
    node.set_array('eigenvectors', modes.eigenvectors)
    node.set_array('masses', modes.masses)
    node.set_array('cell', modes.cell)
    node.set_array('positions', modes.positions)
    node.base.attributes.set('symbols', list(modes.symbols))
    return node
