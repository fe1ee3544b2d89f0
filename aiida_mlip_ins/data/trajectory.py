"""Between ``TrajectoryData`` nodes and :class:`~aiida_mlip_ins.science.trajectory.Trajectory`."""

from __future__ import annotations

from aiida import orm

from aiida_mlip_ins.science.trajectory import ARRAYS, UNITS, Trajectory

OWN = ('potential_energy', 'conserved_energy', 'pressure')
"""Arrays that AiiDA's node has no place of its own for."""


def to_node(trajectory: Trajectory) -> orm.TrajectoryData:
    """Return an unstored node; the attribute ``units`` says what its arrays are in."""
    node = orm.TrajectoryData()
    node.set_trajectory(
        symbols=trajectory.symbols,
        stepids=trajectory.steps,
        times=trajectory.times,
        positions=trajectory.positions,
        velocities=trajectory.velocities,
        cells=trajectory.cells,
        pbc=(True, True, True),
    )
    for name in OWN:
        node.set_array(name, getattr(trajectory, name))
    node.base.attributes.set('units', UNITS)
    return node


def from_node(node: orm.TrajectoryData) -> Trajectory:
    """Return the arrays of a node.

    :raises ValueError: if it is not one of molecular dynamics of ours.
    """
    missing = sorted({*OWN, 'velocities', 'cells', 'times'} - set(node.get_arraynames()))
    if missing:
        raise ValueError(f'trajectory: it lacks {", ".join(missing)}')
    # AiiDA calls the numbers of the steps so, and the other arrays as we do.
    arrays = {name: node.get_array(name) for name in ARRAYS if name != 'steps'}
    return Trajectory(symbols=list(node.symbols), steps=node.get_stepids(), **arrays)
