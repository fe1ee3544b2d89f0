"""Imaginary modes cured: relaxed further, looked at more closely, or followed to the minimum."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext, if_, while_

from aiida_mlip_ins.calculations.functions.cure import lowest_along, report_cure, soft_mode
from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
from aiida_mlip_ins.calculations.mace_relax import MaceRelaxCalculation
from aiida_mlip_ins.science.cure import shared_out
from aiida_mlip_ins.workflows.composition import Composition, cause_of
from aiida_mlip_ins.workflows.cure_inputs import get_builder
from aiida_mlip_ins.workflows.cure_ports import (
    define_exit_codes,
    define_inputs,
    define_outputs,
)
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.phonon_inputs import with_isotopes
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain


class CureWorkChain(Composition):
    """Phonons of a crystal, with remedies while there are imaginary modes, then its INS spectrum.

    Remedies are tried in the order of the settings: a tighter relaxation; a larger supercell of the
    phonons; following the softest mode into the well along it, then relaxing cell and atoms.
    ``report`` says what was done and what it led to. Where nothing helps, the crystal and the force
    constants of the last try are there, and no spectrum.
    """

    get_builder_from_protocol = classmethod(get_builder)

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        define_inputs(spec)
        spec.outline(
            cls.setup,
            cls.run_phonons,
            cls.inspect_phonons,
            while_(cls.has_remedy)(
                cls.choose,
                if_(cls.follows)(
                    cls.run_line,
                    cls.inspect_line,
                ),
                if_(cls.relaxes)(
                    cls.run_relax,
                    cls.inspect_relax,
                ),
                if_(cls.has_changed)(
                    cls.run_phonons,
                    cls.inspect_phonons,
                ),
            ),
            cls.report_steps,
            if_(cls.has_spectrum)(
                cls.run_ins,
                cls.inspect_ins,
            ),
            cls.results,
        )
        define_outputs(spec)
        define_exit_codes(spec)

    def setup(self) -> None:
        """Begin with the crystal as it was given."""
        settings = self.inputs.settings.get_dict()
        self.ctx.remedies = [
            remedy
            for remedy in settings['remedies']
            for _ in range(settings['max_follows'] if remedy == 'follow' else 1)
        ]
        self.ctx.done = ['given']
        self.ctx.changed = False
        self.ctx.failure = ''
        self.ctx.nodes = {}
        self.ctx.soft = {}
        self.ctx.structure = self.inputs.structure
        self.ctx.multiples = [1, 1, 1]
        self.ctx.supercell = self.inputs.phonons.supercell_matrix.get_list()

    def run_phonons(self) -> ToContext:
        """Compute the force constants of the crystal as it is now."""
        inputs = self.exposed_inputs(MacePhononsWorkChain, 'phonons')
        inputs['model'] = self.inputs.model
        inputs['structure'] = self.ctx.structure
        if self.ctx.supercell != inputs['supercell_matrix'].get_list():
            inputs['supercell_matrix'] = orm.List(self.ctx.supercell)
        inputs['parameters'] = self._for_larger_cell(inputs['parameters'])
        if 'ins' in self.inputs:
            inputs = with_isotopes(inputs, self.inputs.ins.ins.parameters)
        return self._submit('phonons', MacePhononsWorkChain, inputs, f'phonons_{self._round}')

    def inspect_phonons(self) -> ExitCode | None:
        """Take the modes."""
        failure = self._failure(self.ctx.phonons, 'PHONONS')
        if failure is not None:
            return failure
        outputs = self.ctx.phonons.outputs
        self.ctx.nodes[f'summary_{self._round}'] = outputs.summary
        # A larger supercell need not have the point that was soft in the smaller one.
        before = self.ctx.soft.get('mode') if self.ctx.done[-1] == 'supercell' else None
        self.ctx.soft = soft_mode(
            outputs.force_constants,
            self.inputs.phonons.parameters,
            outputs.summary,
            self.inputs.settings,
            before,
            metadata={'call_link_label': f'mode_{self._round}'},
        )
        if self.ctx.soft:
            self.ctx.nodes[f'mode_{self._round}'] = self.ctx.soft['mode']
        self.report(f'{self.ctx.done[-1]}: lowest frequency {self._lowest:.1f} 1/cm')
        return None

    def has_remedy(self) -> bool:
        """Whether there are imaginary modes, and something is left to be tried."""
        return bool(self._imaginary and self.ctx.remedies)

    def choose(self) -> None:
        """Take the next remedy."""
        remedy = self.ctx.remedies.pop(0)
        self.ctx.done.append(remedy)
        self.ctx.changed = True
        if remedy == 'supercell':
            added = self.inputs.settings['added_multiples']
            self.ctx.supercell = [number + added for number in self.ctx.supercell]

    def follows(self) -> bool:
        """Whether a mode is to be followed."""
        return bool(self.ctx.done[-1] == 'follow')

    def run_line(self) -> ToContext | None:
        """Compute energies along the softest mode."""
        self.ctx.line = None
        if not self.ctx.soft:
            most = self.inputs.settings['max_multiple']
            self._give_up(
                f'no mode that is periodic in {most} cells along each axis is imaginary: raise '
                'max_multiple, or the supercell of the phonons is too small'
            )
            return None
        inputs = self.exposed_inputs(MacePhononsWorkChain, 'phonons')
        labeller = {**inputs['evaluate'], 'code': inputs['code'], 'model': self.inputs.model}
        labeller['frames'] = self.ctx.soft['frames']
        return self._submit('line', MaceEvaluateCalculation, labeller, f'line_{self._round}')

    def inspect_line(self) -> ExitCode | None:
        """Go to the lowest point."""
        if self.ctx.line is None:
            return None
        failure = self._failure(self.ctx.line, 'LINE')
        if failure is not None:
            return failure
        found, node = lowest_along.run_get_node(
            self.ctx.line.outputs.dataset,
            self.inputs.settings,
            metadata={'call_link_label': f'well_{self._round}'},
        )
        if not node.is_finished_ok:
            self._give_up(cause_of(node))
            return None
        self.ctx.nodes[f'well_{self._round}'] = found['well']
        self.ctx.structure = found['structure']
        multiples = self.ctx.soft['mode']['multiples']
        self.ctx.supercell = shared_out(self.ctx.supercell, multiples)
        self.ctx.multiples = [
            before * more for before, more in zip(self.ctx.multiples, multiples, strict=True)
        ]
        return None

    def relaxes(self) -> bool:
        """Whether the crystal is to be relaxed."""
        return bool(self.ctx.changed and self.ctx.done[-1] != 'supercell')

    def run_relax(self) -> ToContext:
        """Relax cell and atoms at the pressure."""
        settings = self.inputs.settings.get_dict()
        inputs = self.exposed_inputs(MaceRelaxCalculation, 'relax')
        parameters = inputs['parameters'].get_dict()
        if 'relax' in self.ctx.done:
            for name in ('fmax', 'smax'):
                parameters[name] *= settings['tighter']
        if self.follows():
            parameters['keep_symmetry'] = settings['keep_symmetry']
        inputs['parameters'] = orm.Dict(parameters)
        inputs['structure'] = self.ctx.structure
        inputs['model'] = self.inputs.model
        inputs['pressures'] = orm.List([self.inputs.pressure.value])
        return self._submit('relax', MaceRelaxCalculation, inputs, f'relax_{self._round}')

    def inspect_relax(self) -> ExitCode | None:
        """Take the crystal."""
        failure = self._failure(self.ctx.relax, 'RELAX')
        if failure is None:
            self.ctx.structure = self.ctx.relax.outputs.structures['pressure_0']
            self.ctx.nodes[f'relaxed_{self._round}'] = self.ctx.relax.outputs.results
        return failure

    def has_changed(self) -> bool:
        """Whether there are phonons to be computed again."""
        return bool(self.ctx.changed)

    def report_steps(self) -> None:
        """Say what was done."""
        found = report_cure(
            remedies=orm.List(self.ctx.done),
            failure=orm.Str(self.ctx.failure),
            metadata={'call_link_label': 'report'},
            **self.ctx.nodes,
        )
        self.out('report', found)
        for sentence in found['sentences']:
            self.report(sentence)
        self.out('structure', self.ctx.structure)
        outputs = self.ctx.phonons.outputs
        self.out_many({name: outputs[name] for name in ('force_constants', 'modes', 'summary')})

    def has_spectrum(self) -> bool:
        """Whether there is a spectrum to be simulated, and a crystal that has one."""
        return 'ins' in self.inputs and not self._imaginary

    def run_ins(self) -> ToContext:
        """Simulate the spectrum."""
        inputs = self.exposed_inputs(InsWorkChain, 'ins')
        inputs['ins']['parameters'] = self._for_larger_cell(inputs['ins']['parameters'])
        inputs['force_constants'] = self.ctx.phonons.outputs.force_constants
        inputs['pressure'] = self.inputs.pressure
        return self._submit('ins', InsWorkChain, inputs)

    def inspect_ins(self) -> ExitCode | None:
        """Take the spectrum."""
        self._take(self.ctx.ins, {name: name for name in ('spectrum', 'intensities')})
        return self._failure(self.ctx.ins, 'INS')

    def results(self) -> ExitCode | None:
        """End with an error if imaginary modes are left."""
        if not self._imaginary:
            return None
        cause = self.ctx.failure or f'nothing more is allowed after {", ".join(self.ctx.done[1:])}'
        return self.exit_codes.ERROR_NOT_CURED.format(lowest=self._lowest, cause=cause)

    @property
    def _round(self) -> int:
        """Number of the present remedy; zero for the crystal as it was given."""
        return len(self.ctx.done) - 1

    @property
    def _imaginary(self) -> bool:
        """Whether there are imaginary modes, or the soft one of a smaller supercell is still so."""
        return bool(self.ctx.phonons.outputs.summary['imaginary'] or self.ctx.soft)

    @property
    def _lowest(self) -> float:
        """Lowest frequency of these, 1/cm."""
        found = [self.ctx.phonons.outputs.summary['min_frequency_per_cm']]
        if self.ctx.soft:
            found.append(self.ctx.soft['mode']['frequency_per_cm'])
        return float(min(found))

    def _give_up(self, cause: str) -> None:
        """Note why no mode can be followed; other remedies may still be tried."""
        self.ctx.failure = cause
        self.report(cause)
        self.ctx.done.pop()
        self.ctx.changed = False
        self.ctx.remedies = [remedy for remedy in self.ctx.remedies if remedy != 'follow']

    def _for_larger_cell(self, parameters: orm.Dict) -> orm.Dict:
        """Return settings whose mesh is for the multiples of the cell that there are now."""
        mesh = shared_out(parameters['mesh'], self.ctx.multiples)
        if mesh == parameters['mesh']:
            return parameters
        return orm.Dict({**parameters.get_dict(), 'mesh': mesh})
