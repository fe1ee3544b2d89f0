"""INS from molecular dynamics as a builder made from what the user typed; see ``links``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.cli.inputs import Inputs
from aiida_mlip_ins.cli.links import build
from aiida_mlip_ins.data.spectrum import InsSpectrumData


def md_ins(
    inputs: Inputs, trajectory: str, structure: str | None, harmonic: str | None,
    pressure: float | None, temperature: float | None, windows: Sequence[list[float]],
    engine_code: str, protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the INS spectrum of a trajectory, compared with a harmonic one if that is given."""
    from aiida_mlip_ins.workflows.md_ins import MdInsWorkChain

    beside = inputs.node('harmonic', harmonic, InsSpectrumData)
    if structure is None and harmonic is None:
        inputs.problems.append('structure: give it, or a --harmonic spectrum, which knows it')
    if windows and harmonic is None:
        inputs.problems.append('window: there is no --harmonic spectrum to compare with in it')
    if pressure is None and beside is not None:
        pressure = beside.pressure_gpa
    return build(
        inputs,
        MdInsWorkChain.get_builder_from_protocol,
        code=inputs.code('engine_code', engine_code),
        trajectory=_frames(inputs, trajectory, pressure, temperature),
        structure=structure and inputs.structure(structure, require_hydrogen=False),
        pressure=pressure,
        protocol=protocol,
        overrides=inputs.overrides(overrides),
        harmonic=beside,
        windows=windows,
    )


def _frames(
    inputs: Inputs, text: str, pressure: float | None, temperature: float | None
) -> orm.TrajectoryData | None:
    """Return a trajectory, given itself or by the process that it is of."""
    from aiida_mlip_ins.workflows.md_ins_inputs import trajectory_of

    node = inputs.node('trajectory', text, orm.Node)
    if isinstance(node, orm.ProcessNode):
        return inputs.attempt(trajectory_of, node, pressure, temperature)
    if node is not None and not isinstance(node, orm.TrajectoryData):
        inputs.problems.append(
            f'trajectory: <{node.pk}> is a {type(node).__name__}, neither a trajectory nor the '
            'process that one is of'
        )
    return node
