"""Molecular dynamics, and INS from it, as builders made from what the user typed; see ``links``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.cli.inputs import Inputs
from aiida_mlip_ins.cli.links import build
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.query.run import Run


def md_stability(
    inputs: Inputs, process: str, model: str | None, temperatures: Sequence[Sequence[float]],
    supercell: Sequence[int] | None, engine_code: str, protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return molecular dynamics of the crystals that a potential has relaxed."""
    from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain

    node = inputs.process('process', process)
    relaxed = None if node is None else Run(node)
    points = [] if relaxed is None else _relaxed(inputs, relaxed)
    potential = inputs.model(model)
    if potential is None and relaxed is not None:
        potential = relaxed.named('model')
    return build(
        inputs,
        MdStabilityWorkChain.get_builder_from_protocol,
        code=inputs.code('engine_code', engine_code),
        structures=[structure for _, structure in points],
        model=potential,
        pressures=[pressure for pressure, _ in points],
        temperatures=[value for values in temperatures for value in values],
        supercell_matrix=supercell,
        protocol=protocol,
        overrides=inputs.overrides(overrides),
    )


def _relaxed(inputs: Inputs, run: Run) -> list[tuple[float, orm.StructureData]]:
    """Return the pressures (GPa) that a potential was relaxed at, with its crystals there."""
    found = [(p.pressure_gpa, p.nodes['mace_structure']) for p in run.points
             if 'mace_structure' in p.nodes]  # fmt: skip
    if not found:
        inputs.problems.append(
            f'process: <{run.node.pk}> ({run.node.process_label}) has no crystal relaxed with a '
            'potential; give a `launch mace-pressure-scan` or a `launch chain` that got so far'
        )
    return found


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
