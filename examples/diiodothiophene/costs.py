"""What the chain will cost for a crystal, scaled from what was measured; see costs.yaml.

Nothing here is measured on this crystal: single points of pw.x are taken to cost between the volume
times the electrons (Fourier transforms) and the volume times their square (orthogonalisation),
times the k-points; potentials to cost in proportion to the atoms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ase import Atoms

PER_DISPLACEMENT = 6
"""Displacements of each atom without symmetry: three directions, both ways; symmetry saves some."""


@dataclass(frozen=True)
class Estimate:
    """The cost of one stage: between two numbers of seconds on one core."""

    stage: str
    low: float
    high: float
    what: str


def measured(costs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measurements, with those of the whole hexane run where they are filled in."""
    own = costs['hexane']
    found = {key: dict(value) for key, value in costs.items() if key != 'hexane'}
    for section, key, name in (
        ('dft_frame', 'seconds', 'dft_frame_seconds'),
        ('training', 'seconds_per_epoch_and_atom', 'training_seconds_per_epoch_and_atom'),
        ('evaluation', 'seconds_per_atom', 'evaluation_seconds_per_atom'),
    ):
        if own[name] is not None:
            found[section][key] = own[name]
    return found


def single_point(
    costs: Mapping[str, Any], volume: float, electrons: float, kpoints: float
) -> tuple[float, float]:
    """Return between which times (s, one core) one pw.x single point should lie.

    :param volume: of the cell, angstrom^3.
    :param electrons: of valence, in the cell.
    :param kpoints: of the mesh, by symmetry or not in the same way as those that were measured.
    """
    known = costs['dft_frame']
    common = known['seconds'] * volume / known['volume'] * kpoints / known['kpoints']
    ratio = electrons / known['electrons']
    return common * min(ratio, ratio**2), common * max(ratio, ratio**2)


def estimates(
    costs: Mapping[str, Any],
    atoms: Atoms,
    electrons: float,
    kpoints: float,
    counts: Mapping[str, float],
) -> list[Estimate]:
    """Return the cost of each stage.

    :param costs: as :func:`measured` returns them.
    :param atoms: the crystal.
    :param electrons: of valence, in the cell.
    :param kpoints: of the mesh of the crystal.
    :param counts: ``pressures``, ``frames``, ``relaxation_steps`` (of each relaxation, DFT's and
        the potential's), ``passes`` (of the training over its frames), ``supercell`` (cells in that
        of the phonons), ``md_cells`` (cells in that of the dynamics), ``md_steps``.
    """
    size, pressures = len(atoms), counts['pressures']
    low, high = single_point(costs, atoms.get_volume(), electrons, kpoints)
    job = costs['evaluation']['seconds_per_job']
    per_atom = costs['evaluation']['seconds_per_atom']
    steps = counts['relaxation_steps']

    def exactly(stage: str, seconds: float, what: str) -> Estimate:
        return Estimate(stage, seconds, seconds, what)

    dft = pressures * steps
    check = pressures * PER_DISPLACEMENT * size
    displaced = PER_DISPLACEMENT * size * counts['supercell'] * size * per_atom
    quanta = costs['spectrum']['seconds'] * (size / costs['spectrum']['atoms']) ** 2
    epoch = costs['training']['seconds_per_epoch_and_atom'] * counts['frames'] * size
    dynamics = counts['md_steps'] * counts['md_cells'] * size * per_atom
    return [
        Estimate('DFT cells', dft * low, dft * high, f'{dft:.0f} steps of pw.x'),
        Estimate(
            'DFT frames', counts['frames'] * low, counts['frames'] * high,
            f'{counts["frames"]:.0f} single points',
        ),
        exactly('training', counts['passes'] * epoch, f'{counts["passes"]:.0f} passes'),
        Estimate(
            'DFT check', check * low, check * high, f'at most {check:.0f} displacements at Gamma'
        ),
        exactly('relaxation', job + pressures * steps * size * per_atom, 'one job'),
        exactly('phonons', pressures * (job + displaced), f'{pressures:.0f} jobs'),
        exactly('spectra', pressures * quanta, f'{pressures:.0f} jobs'),
        exactly('molecular dynamics', job + dynamics, f'{counts["md_steps"]:.0f} steps'),
    ]  # fmt: skip
