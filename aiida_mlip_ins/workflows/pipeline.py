"""The whole chain: crystal -> DFT dataset -> MACE -> pressures -> phonons -> INS -> comparison."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext, append_, if_, while_

from aiida_mlip_ins.calculations.mace_train import MaceTrainCalculation
from aiida_mlip_ins.workflows.compare import CompareWorkChain
from aiida_mlip_ins.workflows.compare_inputs import inputs_of_chain
from aiida_mlip_ins.workflows.composition import set_link_label
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.mace_pressure_scan import (
    MacePressureScanWorkChain,
    relaxed_indices,
)
from aiida_mlip_ins.workflows.phonon_inputs import with_isotopes
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain, PwPhononsWorkChain
from aiida_mlip_ins.workflows.pipeline_builder import get_builder
from aiida_mlip_ins.workflows.pipeline_checks import SCANS
from aiida_mlip_ins.workflows.pipeline_cure import CuringChain
from aiida_mlip_ins.workflows.pipeline_dataset import LabellingChain
from aiida_mlip_ins.workflows.pipeline_measured import MeasuringChain
from aiida_mlip_ins.workflows.pipeline_ports import (
    define_exit_codes,
    define_inputs,
    define_outputs,
)
from aiida_mlip_ins.workflows.pressures import pressure_key
from aiida_mlip_ins.workflows.train import MaceTrainWorkChain


class HighPressureInsWorkChain(LabellingChain, CuringChain, MeasuringChain):
    """INS spectra of a crystal under pressure from a MACE potential trained on its own DFT data.

    It only composes: every step is a process that can be run alone. Given a ``model`` it starts at
    the pressure scan, given a ``dataset`` at the training, otherwise at DFT. The DFT check
    (``pw_phonons``) runs beside the training. What a step made is an output as soon as it exists,
    so a later failure loses nothing.
    """

    get_builder_from_protocol = classmethod(get_builder)

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        define_inputs(spec)
        spec.outline(
            cls.setup,
            if_(cls.needs_dft_cells)(cls.run_pw_pressure_scan, cls.inspect_pw_pressure_scan),
            if_(cls.needs_dataset)(
                cls.make_configurations,
                cls.run_reference,
                cls.inspect_reference,
            ),
            if_(cls.needs_model)(cls.check_dataset, cls.start_training),
            while_(cls.has_pressure_to_check)(cls.run_pw_phonons, cls.inspect_pw_phonons),
            if_(cls.needs_model)(cls.await_training, cls.inspect_training),
            cls.run_mace_pressure_scan,
            cls.inspect_mace_pressure_scan,
            while_(cls.has_pressure_left)(
                cls.run_mace_phonons,
                cls.inspect_mace_phonons,
                if_(cls.has_unstable)(cls.run_cure, cls.inspect_cure),
                cls.run_ins,
                cls.inspect_ins,
            ),
            if_(cls.has_measurements)(
                cls.find_measured_peaks,
                cls.run_compare_spectra,
                cls.inspect_compare_spectra,
            ),
            cls.run_compare,
            cls.inspect_compare,
            cls.results,
        )
        define_outputs(spec)
        define_exit_codes(spec)

    def setup(self) -> None:
        """Decide where the chain starts."""
        self.ctx.pressures = self.inputs.pressures.get_list()
        self.ctx.checked = 0
        self.ctx.done = 0
        self.ctx.missing = []
        if 'dataset' in self.inputs:
            self.ctx.dataset = self.inputs.dataset
        if 'model' in self.inputs:
            self.ctx.model = self.inputs.model
        given = (
            'model' if 'model' in self.ctx else 'dataset' if 'dataset' in self.ctx else 'crystal'
        )
        self.report(f'starting from the {given}, pressures {self.ctx.pressures} GPa')

    def needs_dataset(self) -> bool:
        """Whether DFT frames have to be made."""
        return 'dataset' not in self.ctx and 'model' not in self.ctx

    def needs_model(self) -> bool:
        """Whether a potential has to be trained."""
        return 'model' not in self.inputs

    def needs_dft_cells(self) -> bool:
        """Whether DFT's own cells are wanted, to sample around them or to check against them."""
        return self.needs_dataset() or 'pw_phonons' in self.inputs

    def run_pw_pressure_scan(self) -> ToContext:
        """Relax the crystal with pw.x at each pressure."""
        port, scan = next((p, s) for p, s in SCANS.values() if p in self.inputs)
        inputs = self.exposed_inputs(scan, port)
        inputs.update(structure=self.inputs.structure, pressures=self.inputs.pressures)
        return self._submit('pw_scan', scan, inputs)

    def inspect_pw_pressure_scan(self) -> ExitCode | None:
        """Stop without DFT's cells: everything that follows stands on them."""
        node = self.ctx.pw_scan
        self.out_many(self.exposed_outputs(node, node.process_class, 'pw'))
        return self._failure(self.ctx.pw_scan, 'PW_PRESSURE_SCAN')

    def start_training(self) -> None:
        """Start the training and do not wait for it: the DFT check runs beside it."""
        train = self.exposed_inputs(MaceTrainCalculation, 'train')
        inputs = {'train': train, 'dataset': self.ctx.dataset}
        set_link_label(inputs, 'training')
        node = self.submit(MaceTrainWorkChain, **inputs)
        self.ctx.training_pk = node.pk
        self.report(f'training <{node.pk}> started')

    def has_pressure_to_check(self) -> bool:
        """Whether DFT's phonons at another pressure are wanted."""
        return 'pw_phonons' in self.inputs and self.ctx.checked < len(self.ctx.pressures)

    def run_pw_phonons(self) -> ToContext:
        """Compute DFT's phonons at the next pressure, in DFT's own cell."""
        key = pressure_key(self.ctx.checked)
        inputs = self.exposed_inputs(PwPhononsWorkChain, 'pw_phonons')
        inputs['structure'] = self.ctx.pw_scan.outputs.structures[key]
        if not self._is_training():
            inputs['reference']['max_concurrent'] = self.inputs.max_concurrent
        inputs = with_isotopes(inputs, self.inputs.ins.ins.parameters)
        return self._submit('pw_phonons', PwPhononsWorkChain, inputs, f'pw_phonons_{key}')

    def _is_training(self) -> bool:
        """Whether the training runs, which leaves the DFT check only its part of the machine."""
        return 'training_pk' in self.ctx and not orm.load_node(self.ctx.training_pk).is_terminated

    def inspect_pw_phonons(self) -> None:
        """Take DFT's modes; the chain can go on without them."""
        self._take_phonons('pw', self.ctx.pw_phonons, self.ctx.checked)
        self.ctx.checked += 1

    def await_training(self) -> ToContext:
        """Wait for the training."""
        return ToContext(training=orm.load_node(self.ctx.training_pk))

    def inspect_training(self) -> ExitCode | None:
        """Take the model only from a training that passed its own checks."""
        node = self.ctx.training
        self.out_many(self.exposed_outputs(node, MaceTrainWorkChain, 'training'))
        failure = self._failure(node, 'TRAINING')
        if failure is None:
            self.ctx.model = node.outputs.model
        return failure

    def run_mace_pressure_scan(self) -> ToContext:
        """Relax the crystal with the potential at each pressure."""
        self.out('model', self.ctx.model)
        inputs = self.exposed_inputs(MacePressureScanWorkChain, 'mace_pressure_scan')
        inputs.update(
            structure=self.inputs.structure,
            pressures=self.inputs.pressures,
            model=self.ctx.model,
        )
        return self._submit('mace_scan', MacePressureScanWorkChain, inputs)

    def inspect_mace_pressure_scan(self) -> ExitCode | None:
        """Go on with the pressures that relaxed; stop if none did."""
        node = self.ctx.mace_scan
        self.out_many(self.exposed_outputs(node, MacePressureScanWorkChain, 'mace'))
        self.ctx.relaxed = relaxed_indices(node, self.ctx.pressures)
        if not self.ctx.relaxed:
            return self._failure(node, 'MACE_PRESSURE_SCAN')
        self._note_missing(node, 'all that belongs to pressures at which it did not relax')
        return None

    def has_pressure_left(self) -> bool:
        """Whether phonons and spectra at another pressure are to be computed."""
        return self.ctx.done < len(self.ctx.relaxed)

    def _current(self) -> list[int]:
        """Return the indices of the pressures worked on now."""
        return self.ctx.relaxed[self.ctx.done :][: self.inputs.max_concurrent.value]

    def run_mace_phonons(self) -> None:
        """Compute the potential's phonons at the next pressures."""
        self.ctx.phonons = []
        for index in self._current():
            key = pressure_key(index)
            inputs = self.exposed_inputs(MacePhononsWorkChain, 'mace_phonons')
            inputs['structure'] = self.ctx.mace_scan.outputs.structures[key]
            inputs['model'] = self.ctx.model
            inputs = with_isotopes(inputs, self.inputs.ins.ins.parameters)
            set_link_label(inputs, f'mace_phonons_{key}')
            self.to_context(phonons=append_(self.submit(MacePhononsWorkChain, **inputs)))

    def inspect_mace_phonons(self) -> None:
        """Take the force constants of the pressures that have them and need no cure."""
        nodes = dict(zip(self._current(), self.ctx.phonons, strict=True))
        self.ctx.unstable = {i: node for i, node in nodes.items() if self._awaits_cure(i, node)}
        self.ctx.stable = {i: node for i, node in nodes.items() if i not in self.ctx.unstable}
        for index, node in self.ctx.stable.items():
            self._take_phonons('mace', node, index)

    def run_ins(self) -> None:
        """Simulate the INS spectra at the pressures that have force constants."""
        self.ctx.ins = []
        self.ctx.ins_indices = []
        for index, node in self.ctx.stable.items():
            if 'force_constants' not in node.outputs:
                continue
            inputs = self.exposed_inputs(InsWorkChain, 'ins')
            inputs['force_constants'] = node.outputs.force_constants
            inputs['pressure'] = orm.Float(self.ctx.pressures[index])
            set_link_label(inputs, f'ins_{pressure_key(index)}')
            self.ctx.ins_indices.append(index)
            self.to_context(ins=append_(self.submit(InsWorkChain, **inputs)))

    def inspect_ins(self) -> None:
        """Take the spectra."""
        for index, node in zip(self.ctx.ins_indices, self.ctx.ins, strict=True):
            key = pressure_key(index)
            self._take(node, {'intensities': f'intensities.{key}', 'spectrum': f'spectra.{key}'})
            self._note_missing(node, f'the spectrum at {self.ctx.pressures[index]} GPa')
        self.ctx.done += len(self._current())

    def run_compare(self) -> ToContext:
        """Compare with DFT, with what was measured, and between the pressures."""
        dataset = self.ctx.get('dataset')
        inputs = inputs_of_chain(self.inputs.pressures, dict(self.outputs), dataset)
        return self._submit('compare', CompareWorkChain, inputs)

    def inspect_compare(self) -> ExitCode | None:
        """Take the metrics and the table."""
        self.out_many(self.exposed_outputs(self.ctx.compare, CompareWorkChain, 'comparison'))
        return self._failure(self.ctx.compare, 'COMPARE')

    def results(self) -> ExitCode | None:
        """Say what is missing, if anything is."""
        if self.ctx.missing:
            return self.exit_codes.ERROR_SOME_PRESSURES_FAILED.format(
                cause='; '.join(self.ctx.missing)
            )
        self.report('all spectra computed and compared')
        return None
