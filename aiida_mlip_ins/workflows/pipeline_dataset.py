"""The part of the whole chain that makes the frames to train on, and judges them."""

from __future__ import annotations

from aiida.engine import ExitCode, ToContext

from aiida_mlip_ins.calculations.functions.dataset import join_datasets
from aiida_mlip_ins.calculations.functions.dataset_checks import check_dataset
from aiida_mlip_ins.calculations.functions.frames import targeted_configurations
from aiida_mlip_ins.science.dataset_checks import FAIL
from aiida_mlip_ins.science.text import shortened
from aiida_mlip_ins.workflows.composition import Composition
from aiida_mlip_ins.workflows.frame_inputs import kpoint_problems
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain


class LabellingChain(Composition):
    """Samples frames around DFT's cells, labels them, and trains on none that fail a check."""

    def make_configurations(self) -> ExitCode | None:
        """Choose the frames around DFT's cells at the pressures."""
        structures = dict(self.ctx.pw_scan.outputs.structures)
        frames, node = targeted_configurations.run_get_node(
            settings=self.inputs.sampling,
            seed=self.inputs.seed,
            pressures=self.inputs.pressures,
            **structures,
        )
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_CONFIGURATIONS_FAILED.format(cause=node.exit_message)
        self.ctx.configurations = frames
        self.out('configurations', frames)
        # Looked at for the given crystal already, but DFT's own cell may be another one.
        distance = self.inputs.reference.kpoints_distance.value
        problems = kpoint_problems(frames, distance, self.inputs.structure)
        if problems:
            return self.exit_codes.ERROR_CONFIGURATIONS_FAILED.format(cause=shortened(problems))
        self.report(f'{frames.n_frames} frames to be labelled with DFT')
        return None

    def run_reference(self) -> ToContext:
        """Label the frames with pw.x."""
        inputs = self.exposed_inputs(ReferenceWorkChain, 'reference')
        inputs['frames'] = self.ctx.configurations
        inputs.setdefault('crystal', self.inputs.structure)
        return self._submit('reference', ReferenceWorkChain, inputs)

    def inspect_reference(self) -> ExitCode | None:
        """Take the frames, and those that the relaxation left; too many failed ones are an end."""
        parts = {
            name: node.outputs.dataset
            for name, node in (('relaxation', self.ctx.pw_scan), ('sampled', self.ctx.reference))
            if 'dataset' in node.outputs
        }
        if parts:
            self.ctx.dataset = join_datasets(**parts)
            self.out('dataset', self.ctx.dataset)
        return self._failure(self.ctx.reference, 'REFERENCE')

    def check_dataset(self) -> ExitCode | None:
        """Hold the frames against the checks of a dataset; one that fails is an end."""
        if 'dataset_checks' not in self.inputs:
            return None
        checks, node = check_dataset.run_get_node(
            settings=self.inputs.dataset_checks,
            pressures=self.inputs.pressures,
            structure=self.inputs.structure,
            dataset=self.ctx.dataset,
            metadata={'call_link_label': 'dataset_checks'},
        )
        if not node.is_finished_ok:
            return self._failure(node, 'DATASET_CHECKS')
        self.out('dataset_checks', checks)
        failed = [row['sentence'] for row in checks['checks'] if row['verdict'] == FAIL]
        if not failed:
            return None
        for sentence in failed:
            self.report(f'the dataset failed a check: {sentence}')
        return self.exit_codes.ERROR_DATASET_CHECKS_FAILED.format(cause='; '.join(failed))
