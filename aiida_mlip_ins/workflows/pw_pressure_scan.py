"""A crystal relaxed by pw.x at each of a list of pressures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, WorkChain
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

from aiida_mlip_ins.calculations.functions.dataset import collect_pressure_scan
from aiida_mlip_ins.calculations.functions.frames import kpoints_for_structure
from aiida_mlip_ins.data.structure import structure_problems
from aiida_mlip_ins.science.structure import pressure_problems
from aiida_mlip_ins.science.text import shortened
from aiida_mlip_ins.workflows.composition import cause_of
from aiida_mlip_ins.workflows.lanes import (
    PW_EXCLUDED,
    failure_message,
    lane_key,
    outputs_in,
    runs_in,
)
from aiida_mlip_ins.workflows.pressures import define_scan, gpa, pressure_key
from aiida_mlip_ins.workflows.protocols import load_protocol
from aiida_mlip_ins.workflows.pw_inputs import (
    base_inputs,
    electron_problems,
    family_problems,
    load_pw_code,
    pseudo_problems,
    validate_positive,
    validate_pw_code,
)
from aiida_mlip_ins.workflows.pw_numbers import number_problems
from aiida_mlip_ins.workflows.pw_pressure_lane import PwPressureLaneWorkChain


class PwPressureScanWorkChain(WorkChain):
    """Relaxes cell and positions at each pressure by pw.x, the space group kept.

    At most ``max_concurrent`` pressures are worked on at a time
    (:class:`PwPressureLaneWorkChain`), each from the given crystal and with the k-points of that
    crystal, so that no pressure depends on which others were asked for.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        define_scan(spec)
        # fmt: off
        spec.expose_inputs(PwBaseWorkChain, 'base', exclude=PW_EXCLUDED)
        spec.inputs['base']['pw']['code'].validator = validate_pw_code
        spec.input('kpoints_distance', valid_type=orm.Float, validator=validate_positive,
                   help='Largest distance between k-points in 1/angstrom (with 2 pi).')
        spec.input('max_concurrent', valid_type=orm.Int, validator=validate_positive,
                   help='Number of pressures worked on side by side.')
        spec.input('volume_tolerance', valid_type=orm.Float, validator=validate_positive,
                   help='Relative change of the volume below which the repetition ends.')
        spec.input('max_repeats', valid_type=orm.Int, validator=validate_positive,
                   help='Largest number of relaxations at a pressure.')
        spec.input('symprec', valid_type=orm.Float, validator=validate_positive,
                   help='Tolerance of the space group in the table, angstrom.')
        spec.inputs.validator = validate_inputs
        spec.outline(
            cls.setup,
            cls.run_lanes,
            cls.inspect_lanes,
            cls.results,
        )
        spec.exit_code(401, 'ERROR_PRESSURES_FAILED',
                       message='No relaxed crystal at {pressures}: {cause}')
        spec.exit_code(402, 'ERROR_LANE_FAILED',
                       message='A lane did not end as it should: {cause}')
        spec.exit_code(403, 'ERROR_NOT_CONVERGED',
                       message='The volume still changes at {pressures} after all allowed '
                               'relaxations; the last cells are in the outputs.')
        # fmt: on

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        structure: orm.StructureData,
        pressures: list[float],
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param code: pw.x, as a node or its label.
        :param structure: crystal to start from.
        :param pressures: in GPa, ascending.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values on top of those of ``protocols/pw_pressure_scan.yaml``.
        :param options: ``metadata.options`` of every pw.x job (``resources``, ``withmpi``, ...).
        :raises ValueError: listing everything that is wrong with the arguments.
        """
        numbers = load_protocol('pw_pressure_scan', protocol, overrides)
        node, problems = load_pw_code(code)
        problems += structure_problems(structure, require_hydrogen=False)
        problems += pressure_problems(pressures) + number_problems(numbers)
        elements = structure.get_symbols_set()
        family, found = family_problems(numbers['pseudo_family'], elements, numbers['cutoffs'])
        found += electron_problems(structure, numbers['parameters_pw']['SYSTEM'])
        if problems + found:
            raise ValueError('\n'.join(problems + found))
        builder = cls.get_builder()
        builder.base = base_inputs(node, family, elements, numbers, options)
        builder.structure = structure
        builder.pressures = orm.List([float(pressure) for pressure in pressures])
        builder.kpoints_distance = orm.Float(numbers['kpoints_distance'])
        builder.max_concurrent = orm.Int(numbers['max_concurrent'])
        builder.volume_tolerance = orm.Float(numbers['volume_tolerance'])
        builder.max_repeats = orm.Int(numbers['max_repeats'])
        builder.symprec = orm.Float(numbers['symprec'])
        return builder

    def setup(self) -> None:
        """Choose the k-points and divide the pressures into lanes."""
        self.ctx.pressures = self.inputs.pressures.get_list()
        self.ctx.kpoints = kpoints_for_structure(
            self.inputs.structure,
            self.inputs.kpoints_distance,
            metadata={'call_link_label': 'kpoints'},
        )
        indices = range(len(self.ctx.pressures))
        lanes = min(self.inputs.max_concurrent.value, len(indices))
        self.ctx.shares = [[pressure_key(i) for i in indices[lane::lanes]] for lane in range(lanes)]
        self.report(f'{self.ctx.pressures} GPa in {lanes} lanes')

    def run_lanes(self) -> None:
        """Start the lanes."""
        pressures = {pressure_key(i): p for i, p in enumerate(self.ctx.pressures)}
        for index, share in enumerate(self.ctx.shares):
            inputs = {
                'base': self.exposed_inputs(PwBaseWorkChain, 'base'),
                'tasks': orm.List(share),
                'pressures': orm.Dict({key: pressures[key] for key in share}),
                'structure': self.inputs.structure,
                'kpoints': self.ctx.kpoints,
                'volume_tolerance': self.inputs.volume_tolerance,
                'max_repeats': self.inputs.max_repeats,
                'metadata': {'call_link_label': lane_key(index)},
            }
            self.to_context(**{lane_key(index): self.submit(PwPressureLaneWorkChain, **inputs)})

    def inspect_lanes(self) -> None:
        """Gather the outputs by pressure and note the pressures that failed."""
        self.ctx.lanes = [self.ctx[lane_key(index)] for index in range(len(self.ctx.shares))]
        self.ctx.outputs, self.ctx.failures = {}, {}
        for index, pressure in enumerate(self.ctx.pressures):
            lane = self.ctx.lanes[index % len(self.ctx.shares)]
            repeat = self._gather(lane, index)
            failed = runs_in(lane).get(f'{pressure_key(index)}_{repeat}')
            if repeat == 0 or failed is not None:
                self.ctx.failures[index] = failure_message(failed)
                self.report(f'{pressure:g} GPa: {self.ctx.failures[index]}')

    def _gather(self, lane: orm.WorkChainNode, index: int) -> int:
        """Take over the outputs at one pressure and return the number of relaxations."""
        available = outputs_in(lane, 'structure')
        repeat = 0
        while f'{pressure_key(index)}_{repeat}' in available:
            for name in ('parameters', 'trajectory', 'structure'):
                node = lane.outputs[name][f'{pressure_key(index)}_{repeat}']
                self.ctx.outputs[f'{name}_{index}_{repeat}'] = node
            repeat += 1
        return repeat

    def results(self) -> ExitCode | None:
        """Attach the relaxed crystals and the table, then judge them."""
        rows: list[dict[str, Any]] = []
        if self.ctx.outputs:
            table = collect_pressure_scan(
                structure=self.inputs.structure,
                pressures=self.inputs.pressures,
                volume_tolerance=self.inputs.volume_tolerance,
                symprec=self.inputs.symprec,
                metadata={'call_link_label': 'collect_pressure_scan'},
                **self.ctx.outputs,
            )
            self.out('results', table)
            rows = table['pressures']
        for row in rows:
            last = f'structure_{row["index"]}_{row["repeats"] - 1}'
            self.out(f'structures.{pressure_key(row["index"])}', self.ctx.outputs[last])
            self.report(f'{row["pressure_gpa"]:g} GPa: {row["volume_angstrom3"]:.3f} angstrom^3')
        return self._judge(rows)

    def _judge(self, rows: list[dict[str, Any]]) -> ExitCode | None:
        """Return the exit code that the lanes and the table call for."""
        broken = [lane for lane in self.ctx.lanes if not lane.is_finished_ok]
        if broken:
            cause = shortened([cause_of(lane) for lane in broken])
            return self.exit_codes.ERROR_LANE_FAILED.format(cause=cause)
        if self.ctx.failures:
            return self.exit_codes.ERROR_PRESSURES_FAILED.format(
                pressures=gpa([self.ctx.pressures[index] for index in self.ctx.failures]),
                cause=shortened(list(self.ctx.failures.values())),
            )
        moving = [row['pressure_gpa'] for row in rows if not row['converged']]
        if moving:
            return self.exit_codes.ERROR_NOT_CONVERGED.format(pressures=gpa(moving))
        return None


def validate_inputs(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse elements without a pseudopotential, and anything but a variable-cell relaxation."""
    if 'base' not in value:
        return None
    found: list[str] = []
    if 'structure' in value:
        elements = value['structure'].get_symbols_set()
        found += pseudo_problems(value['base']['pw']['pseudos'], elements)
    parameters = value['base']['pw']['parameters'].get_dict()
    if parameters.get('CONTROL', {}).get('calculation') != 'vc-relax':
        found.append("base.pw.parameters: CONTROL.calculation must be 'vc-relax'")
    if 'press' in parameters.get('CELL', {}):
        found.append('base.pw.parameters: CELL.press is set from the pressures; leave it out')
    return '\n'.join(found) or None
