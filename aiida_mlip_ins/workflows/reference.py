"""DFT labels for a set of frames, by pw.x."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, WorkChain
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

from aiida_mlip_ins.calculations.functions.dataset import collect_dataset, pw_labels
from aiida_mlip_ins.calculations.functions.frames import (
    frame_key,
    kpoints_for_frames,
    mesh_key,
    structures_from_frames,
)
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.structure import structure_problems
from aiida_mlip_ins.science.dataset import label_problems
from aiida_mlip_ins.science.scheduling import divided, relative_cost
from aiida_mlip_ins.science.text import shortened
from aiida_mlip_ins.workflows.composition import cause_of
from aiida_mlip_ins.workflows.frame_inputs import (
    frame_contact_problems,
    kpoint_problems,
    meshes_of,
    validate_frames,
)
from aiida_mlip_ins.workflows.lanes import (
    PW_EXCLUDED,
    PwLaneWorkChain,
    failure_message,
    lane_key,
    runs_in,
)
from aiida_mlip_ins.workflows.protocols import load_protocol
from aiida_mlip_ins.workflows.pw_inputs import (
    base_inputs,
    electron_problems,
    family_problems,
    load_pw_code,
    method_label,
    pseudo_problems,
    validate_fraction,
    validate_positive,
    validate_pw_code,
)
from aiida_mlip_ins.workflows.pw_numbers import number_problems


class ReferenceLaneWorkChain(PwLaneWorkChain):
    """Labels its share of the frames one after another; called by :class:`ReferenceWorkChain`."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the frames' structures and k-points."""
        super().define(spec)
        # fmt: off
        spec.input_namespace('structures', valid_type=orm.StructureData, dynamic=True,
                             help='Structure (angstrom) of each task.')
        spec.input_namespace('kpoints', valid_type=orm.KpointsData, dynamic=True,
                             help='K-points of each task.')
        # fmt: on

    def task_inputs(self, inputs: AttributeDict) -> AttributeDict:
        """Add structure and k-points of the frame."""
        inputs.pw.structure = self.inputs.structures[self.task]
        inputs.kpoints = self.inputs.kpoints[self.task]
        return inputs

    def inspect_task(self) -> None:
        """Say so if the frame failed; the labels of the others are found through their runs."""
        if not self.ctx.child.is_finished_ok:
            self.report(f'{self.task}, going on without it: {failure_message(self.ctx.child)}')
        self.next_task()


class ReferenceWorkChain(WorkChain):
    """Labels frames with energy, forces and stress by pw.x; frames that fail are left out.

    At most ``max_concurrent`` calculations run at a time, in as many lanes
    (:class:`ReferenceLaneWorkChain`) of about equal cost. The dataset is created from the outputs
    of each calculation, so its provenance reaches every pseudopotential.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        # fmt: off
        spec.input('frames', valid_type=FramesData, validator=validate_frames,
                   help='Frames to be labelled (lengths in angstrom).')
        spec.expose_inputs(PwBaseWorkChain, 'base', exclude=PW_EXCLUDED)
        spec.inputs['base']['pw']['code'].validator = validate_pw_code
        spec.input('kpoints_distance', valid_type=orm.Float, validator=validate_positive,
                   help='Largest distance between k-points in 1/angstrom (with 2 pi); strained '
                        'copies of a cell share a mesh.')
        spec.input('crystal', valid_type=orm.StructureData, required=False,
                   help='Crystal (angstrom) that the frames are strained copies or supercells of: '
                        'all sets of its frames have its k-points. Default: the first frame.')
        spec.input('max_concurrent', valid_type=orm.Int, validator=validate_positive,
                   help='Number of calculations that run side by side.')
        spec.input('allowed_failure_fraction', valid_type=orm.Float, validator=validate_fraction,
                   help='Share of the frames (0 to 1) that may fail.')
        spec.input('method', valid_type=orm.Str, help='Label of the method, kept in the dataset.')
        spec.inputs.validator = validate_inputs
        spec.outline(
            cls.setup,
            cls.run_lanes,
            cls.inspect_lanes,
            cls.results,
        )
        spec.output('dataset', valid_type=DatasetData, required=False,
                    help='Labelled frames: eV, eV/angstrom, eV/angstrom^3.')
        spec.exit_code(401, 'ERROR_TOO_MANY_FRAMES_FAILED',
                       message='{failed} of {total} frames failed, more than allowed; the dataset '
                               'has the others. First failure: {cause}')
        spec.exit_code(402, 'ERROR_LANE_FAILED',
                       message='A lane did not end as it should: {cause}; the dataset has what was '
                               'done.')
        # fmt: on

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        frames: FramesData | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        structure: orm.StructureData | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param code: pw.x, as a node or its label.
        :param frames: the frames; ``None`` if a workchain that composes this one makes them.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values on top of those of ``protocols/reference.yaml``.
        :param options: ``metadata.options`` of every pw.x job (``resources``, ``withmpi``, ...).
        :param structure: the crystal that the frames come from; without ``frames`` it tells the
            elements as well.
        :raises ValueError: listing everything that is wrong with the arguments.
        """
        numbers = load_protocol('reference', protocol, overrides)
        node, problems = load_pw_code(code)
        wrong = number_problems(numbers)
        problems += wrong
        elements: list[str] = []
        if frames is not None:
            elements = frames.elements
            problems += frame_contact_problems(frames)
            if not wrong:
                problems += kpoint_problems(frames, numbers['kpoints_distance'], structure)
        elif structure is not None:
            elements = sorted(structure.get_symbols_set())
            problems += structure_problems(structure, require_hydrogen=False)
        else:
            problems.append('frames: give the frames, or a structure that tells the elements')
        family, family_found = family_problems(
            numbers['pseudo_family'], elements, numbers['cutoffs']
        )
        if structure is not None:
            problems += electron_problems(structure, numbers['parameters_pw']['SYSTEM'])
        if problems + family_found:
            raise ValueError('\n'.join(problems + family_found))
        builder = cls.get_builder()
        builder.base = base_inputs(node, family, elements, numbers, options)
        if frames is not None:
            builder.frames = frames
        if structure is not None:
            builder.crystal = structure
        builder.kpoints_distance = orm.Float(numbers['kpoints_distance'])
        builder.max_concurrent = orm.Int(numbers['max_concurrent'])
        builder.allowed_failure_fraction = orm.Float(numbers['allowed_failure_fraction'])
        parameters = builder.base.pw.parameters.get_dict()
        builder.method = orm.Str(
            method_label(numbers['pseudo_family'], parameters, numbers['kpoints_distance'])
        )
        return builder

    def setup(self) -> None:
        """Make a structure of each frame, find its k-points and divide the frames into lanes."""
        frames, distance = self.inputs.frames, self.inputs.kpoints_distance
        crystal = {'crystal': self.inputs.crystal} if 'crystal' in self.inputs else {}
        self.ctx.structures = structures_from_frames(
            frames, metadata={'call_link_label': 'structures'}
        )
        kpoints = kpoints_for_frames(
            frames, distance, **crystal, metadata={'call_link_label': 'kpoints'}
        )
        atoms = frames.get_frames()
        meshes = meshes_of(frames, distance.value, self.inputs.get('crystal'))
        keys = [frame_key(index) for index in range(len(atoms))]
        self.ctx.kpoints = {k: kpoints[mesh_key(m)] for k, m in zip(keys, meshes, strict=True)}
        costs = {
            key: relative_cost(frame, mesh)
            for key, frame, mesh in zip(keys, atoms, meshes, strict=True)
        }
        self.ctx.frame_keys = keys
        self.ctx.shares = divided(costs, self.inputs.max_concurrent.value)
        self.report(
            f'{len(keys)} frames in {len(self.ctx.shares)} lanes, {self.inputs.method.value}'
        )

    def run_lanes(self) -> None:
        """Start the lanes."""
        for index, share in enumerate(self.ctx.shares):
            inputs = {
                'base': self.exposed_inputs(PwBaseWorkChain, 'base'),
                'tasks': orm.List(share),
                'structures': {key: self.ctx.structures[key] for key in share},
                'kpoints': {key: self.ctx.kpoints[key] for key in share},
                'metadata': {'call_link_label': lane_key(index)},
            }
            self.to_context(**{lane_key(index): self.submit(ReferenceLaneWorkChain, **inputs)})

    def inspect_lanes(self) -> None:
        """Gather the labels by frame and report the frames that failed."""
        self.ctx.lanes = [self.ctx[lane_key(index)] for index in range(len(self.ctx.shares))]
        self.ctx.trajectories, self.ctx.failures = {}, {}
        runs = {key: node for lane in self.ctx.lanes for key, node in runs_in(lane).items()}
        for key in self.ctx.frame_keys:
            problem = unusable(runs.get(key), len(self.ctx.structures[key].sites))
            if problem:
                self.ctx.failures[key] = problem
            else:
                self.ctx.trajectories[key] = runs[key].outputs.output_trajectory
        if self.ctx.failures:
            failures = [f'{key} ({cause})' for key, cause in self.ctx.failures.items()]
            self.report(f'without labels: {shortened(failures)}')

    def results(self) -> ExitCode | None:
        """Make the dataset of what there is, then judge whether it is enough."""
        failed, total = len(self.ctx.failures), len(self.ctx.frame_keys)
        if self.ctx.trajectories:
            # To look for it in the cache, AiiDA would hash every file of every trajectory.
            dataset = collect_dataset(
                frames=self.inputs.frames,
                method=self.inputs.method,
                metadata={'call_link_label': 'collect_dataset', 'disable_cache': True},
                **self.ctx.trajectories,
            )
            self.out('dataset', dataset)
            self.report(f'{dataset.n_frames} of {total} frames labelled')
        broken = [lane for lane in self.ctx.lanes if not lane.is_finished_ok]
        if broken:
            cause = shortened([cause_of(lane) for lane in broken])
            return self.exit_codes.ERROR_LANE_FAILED.format(cause=cause)
        if failed > self.inputs.allowed_failure_fraction.value * total or failed == total:
            key, cause = next(iter(self.ctx.failures.items()))
            return self.exit_codes.ERROR_TOO_MANY_FRAMES_FAILED.format(
                failed=failed, total=total, cause=f'{key} ({cause})'
            )
        return None


def unusable(node: orm.WorkChainNode | None, number_of_atoms: int) -> str | None:
    """Return why a ``PwBaseWorkChain`` gives no labels, ``None`` if it does."""
    if node is None or not node.is_finished_ok:
        return failure_message(node)
    try:
        energy, forces, stress = pw_labels(node.outputs.output_trajectory)
    except (AttributeError, KeyError) as error:
        return f'<{node.pk}> has no {error}'
    return '; '.join(label_problems(number_of_atoms, energy, forces, stress)) or None


def validate_inputs(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse elements without a pseudopotential, and settings that give no forces."""
    found: list[str] = []
    if 'base' not in value:
        return None
    if 'frames' in value:
        found += pseudo_problems(value['base']['pw']['pseudos'], value['frames'].elements)
        distance = value['kpoints_distance'].value if 'kpoints_distance' in value else 0.0
        if distance > 0:
            found += kpoint_problems(value['frames'], distance, value.get('crystal'))
    control = value['base']['pw']['parameters'].get_dict().get('CONTROL', {})
    if control.get('calculation') != 'scf':
        found.append("base.pw.parameters: CONTROL.calculation must be 'scf'")
    if not control.get('tprnfor'):
        found.append('base.pw.parameters: CONTROL.tprnfor must be true, or there are no forces')
    return '\n'.join(found) or None
