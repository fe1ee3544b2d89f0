"""Foundation models and others side by side: crystals by models by pressures, in one table."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import ExitCode, ProcessSpec, ToContext, while_

from aiida_mlip_ins.calculations.base import validate_engine_code
from aiida_mlip_ins.calculations.functions.benchmark import (
    SEPARATOR,
    benchmark_table,
    input_name,
)
from aiida_mlip_ins.calculations.mace_inspect import MaceInspectCalculation
from aiida_mlip_ins.data.measured import MeasuredSpectrumData
from aiida_mlip_ins.data.model import MaceModelData, model_problems
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.benchmark import FAILED, RUN, best_models
from aiida_mlip_ins.science.text import shortened
from aiida_mlip_ins.workflows.benchmark_builder import get_builder
from aiida_mlip_ins.workflows.benchmark_checks import validate
from aiida_mlip_ins.workflows.benchmark_inputs import (
    LINKS,
    MACE_LINKS,
    beside,
    entries_by_crystal,
)
from aiida_mlip_ins.workflows.compare_spectra import CompareSpectraWorkChain
from aiida_mlip_ins.workflows.composition import Composition, cause_of, set_link_label
from aiida_mlip_ins.workflows.lanes import outputs_in
from aiida_mlip_ins.workflows.md_inputs import validate_positive
from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain


class BenchmarkWorkChain(Composition):
    """Runs the chain with every model on every crystal, and puts what comes out in one table.

    The chain starts at the potential: relaxation at each pressure, phonons, spectrum. Spectra are
    compared with those measured or computed with DFT where such are given. What fails is a row with
    its reason, and the others go on; a model that lacks an element of a crystal is not run on it.
    """

    get_builder_from_protocol = classmethod(get_builder)

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        # fmt: off
        spec.input_namespace('crystals', valid_type=orm.StructureData, dynamic=True,
                             help='Crystals (angstrom) under names of your choice.')
        spec.input_namespace('models', valid_type=orm.SinglefileData, dynamic=True,
                             help='Potentials under names of your choice: model nodes, or model '
                                  'files, which an engine job makes nodes of.')
        spec.input_namespace('references', valid_type=(MeasuredSpectrumData, InsSpectrumData),
                             dynamic=True, required=False,
                             help='Measured and DFT spectra (1/cm) under labels of your choice.')
        spec.input('about', valid_type=orm.Dict, serializer=orm.to_aiida_type,
                   default=lambda: orm.Dict({}),
                   help='`references`: by label the `crystal`, the `role` (for a measurement '
                        '`experiment` unless said) and `pressure_gpa` (GPa, where the node has '
                        'none); `windows`: by crystal the ranges (1/cm) that are compared.')
        spec.input('pressures', valid_type=orm.List, help='Pressures in GPa, ascending.')
        spec.input('code', valid_type=orm.AbstractCode, validator=validate_engine_code,
                   help='Python of the engines environment.')
        spec.input('protocol', valid_type=orm.Str, serializer=orm.to_aiida_type,
                   help='Protocol of every link: `fast`, `balanced` or `stringent`.')
        spec.input('overrides', valid_type=orm.Dict, serializer=orm.to_aiida_type,
                   default=lambda: orm.Dict({}),
                   help=f'Values on top of the protocols of the links: {", ".join(LINKS)}.')
        spec.input('options', valid_type=orm.Dict, serializer=orm.to_aiida_type,
                   default=lambda: orm.Dict({}), help='`metadata.options` of every engine job.')
        spec.input('max_concurrent', valid_type=orm.Int, serializer=orm.to_aiida_type,
                   validator=validate_positive,
                   help='Crystals with a model that are worked on side by side.')
        spec.inputs.validator = validate
        spec.outline(
            cls.setup,
            while_(cls.has_files)(cls.run_inspections, cls.inspect_inspections),
            cls.plan_cells,
            while_(cls.has_cells)(
                cls.run_chains,
                cls.inspect_chains,
                cls.run_comparisons,
                cls.inspect_comparisons,
            ),
            cls.make_table,
            cls.results,
        )
        spec.output('table', valid_type=orm.Dict,
                    help='`rows`: for each crystal, model and pressure how far it got and why, '
                         'volume (angstrom^3), lowest mode (1/cm), agreement with each reference '
                         '(R2, Wasserstein distance in 1/cm and others), cost (s).')
        spec.output_namespace('models', valid_type=MaceModelData, dynamic=True, required=False,
                              help='Nodes of the models that were given as files.')
        spec.output_namespace('spectra', valid_type=InsSpectrumData, dynamic=True, required=False,
                              help='`CRYSTAL.MODEL.pressure_i`: spectrum with resolution (1/cm).')
        spec.output_namespace('agreement', valid_type=orm.Dict, dynamic=True, required=False,
                              help='`CRYSTAL.MODEL.ROLE`: metrics against the reference (1/cm).')
        spec.exit_code(405, 'ERROR_SOME_CELLS_FAILED',
                       message='The table is there, but with gaps: {cause}')
        # fmt: on

    def setup(self) -> None:
        """Tell models from the files of models."""
        models = dict(self.inputs.models)
        self.ctx.models = {k: m for k, m in models.items() if isinstance(m, MaceModelData)}
        self.ctx.files = sorted(set(models) - set(self.ctx.models))
        self.ctx.unfit, self.ctx.failures = (
            {name: {} for name in self.inputs.crystals} for _ in range(2)
        )
        self.ctx.nodes = {}
        self.ctx.batch = []

    def has_files(self) -> bool:
        """Whether there are files of models that are no nodes yet."""
        return bool(self.ctx.files)

    def _next(self, waiting: list[Any]) -> tuple[list[Any], list[Any]]:
        """Return what is worked on now, and what is left."""
        count = self.inputs.max_concurrent.value
        return waiting[:count], waiting[count:]

    def run_inspections(self) -> ToContext:
        """Open files of models in engine jobs."""
        self.ctx.batch, self.ctx.files = self._next(self.ctx.files)
        nodes = {}
        for name in self.ctx.batch:
            inputs = {'code': self.inputs.code, 'file': self.inputs.models[name]}
            inputs['metadata'] = {'options': self.inputs.options.get_dict()}
            set_link_label(inputs, f'inspect_{name}')
            nodes[f'inspect_{name}'] = self.submit(MaceInspectCalculation, **inputs)
        return ToContext(**nodes)

    def inspect_inspections(self) -> None:
        """Take the models; a file that is none is missing in every crystal's rows."""
        for name in self.ctx.batch:
            node = self.ctx[f'inspect_{name}']
            if node.is_finished_ok:
                self.ctx.models[name] = node.outputs.model
                self.out(f'models.{name}', node.outputs.model)
                continue
            for crystal in self.inputs.crystals:
                self._note(crystal, name, RUN, f'no model: {cause_of(node)}')

    def plan_cells(self) -> None:
        """List which models can be used on which crystals."""
        self.ctx.waiting = []
        for crystal, structure in sorted(self.inputs.crystals.items()):
            for model, node in sorted(self.ctx.models.items()):
                missing = model_problems(node, structure.get_symbols_set(), crystal)
                if missing:
                    self.ctx.unfit[crystal][model] = missing[0]
                else:
                    self.ctx.waiting.append([crystal, model])
        self.report(f'{len(self.ctx.waiting)} pairs of crystal and model to be run')

    def has_cells(self) -> bool:
        """Whether there are crystals and models left."""
        return bool(self.ctx.waiting)

    def run_chains(self) -> ToContext:
        """Start as many chains as there may be side by side."""
        self.ctx.batch, self.ctx.waiting = self._next(self.ctx.waiting)
        overrides = self.inputs.overrides.get_dict()
        nodes = {}
        for crystal, model in self.ctx.batch:
            label = f'{crystal}_with_{model}'
            try:
                builder = HighPressureInsWorkChain.get_builder_from_protocol(
                    structure=self.inputs.crystals[crystal],
                    pressures=self.inputs.pressures.get_list(),
                    engine_code=self.inputs.code,
                    protocol=self.inputs.protocol.value,
                    overrides={name: overrides.get(name, {}) for name in MACE_LINKS},
                    engine_options=self.inputs.options.get_dict(),
                    model=self.ctx.models[model],
                    check=False,
                )
            except ValueError as error:
                self._note(crystal, model, RUN, str(error))
                continue
            builder.pressures = self.inputs.pressures
            inputs = builder._inputs(prune=True)
            set_link_label(inputs, label)
            nodes[label] = self.submit(HighPressureInsWorkChain, **inputs)
            self.report(f'{label} <{nodes[label].pk}> started')
        return ToContext(**nodes)

    def inspect_chains(self) -> None:
        """Take what the chains have made, whether they got to their end or not."""
        for crystal, model in self.ctx.batch:
            node = self.ctx.get(f'{crystal}_with_{model}')
            if node is None:
                continue
            if not node.is_finished_ok:
                self._note(crystal, model, RUN, cause_of(node))
            found = outputs_in(node, 'mace')
            for key, made in found.get('phonons', {}).items():
                self._keep('phonons', made, crystal, model, key)
            for key, made in outputs_in(node, 'spectra').items():
                self._keep('spectra', made, crystal, model, key)
                self.out(f'spectra.{crystal}.{model}.{key}', made)
            if 'results' in found:
                self._keep('relaxation', found['results'], crystal, model)
            for part, made in job_results(node).items():
                self._keep('jobs', made, crystal, model, part)

    def run_comparisons(self) -> ToContext:
        """Compare spectra with the references of each role, where both are there."""
        about, overrides = self.inputs.about.get_dict(), self.inputs.overrides.get_dict()
        references = dict(self.inputs.get('references') or {})
        by_crystal, _ = entries_by_crystal(references, about, list(self.inputs.crystals))
        self.ctx.compared = []
        nodes = {}
        for crystal, model in self.ctx.batch:
            chain = self.ctx.get(f'{crystal}_with_{model}')
            spectra = {} if chain is None else dict(outputs_in(chain, 'spectra'))
            numbers = (self.inputs.protocol.value, overrides.get('compare_spectra'))
            for role, entries in beside(by_crystal[crystal], spectra, *numbers).items():
                label = f'{crystal}_with_{model}_against_{role}'
                own = {f'reference_{entry.label}': entry for entry in entries}
                try:
                    builder = CompareSpectraWorkChain.get_builder_from_protocol(
                        {**spectra, **{name: references[e.label] for name, e in own.items()}},
                        {**dict.fromkeys(spectra, model), **dict.fromkeys(own, role)},
                        {name: entry.pressure_gpa for name, entry in own.items()},
                        role,
                        about['windows'][crystal],
                        *numbers,
                    )
                    inputs = builder._inputs(prune=True)
                    set_link_label(inputs, label)
                    nodes[label] = self.submit(CompareSpectraWorkChain, **inputs)
                except ValueError as error:
                    self._note(crystal, model, role, str(error))
                else:
                    self.ctx.compared.append([crystal, model, role])
        return ToContext(**nodes)

    def inspect_comparisons(self) -> None:
        """Take the metrics."""
        for crystal, model, role in self.ctx.compared:
            node = self.ctx[f'{crystal}_with_{model}_against_{role}']
            if not node.is_finished_ok:
                self._note(crystal, model, role, cause_of(node))
                continue
            self._keep('agreement', node.outputs.metrics, crystal, model, role)
            self.out(f'agreement.{crystal}.{model}.{role}', node.outputs.metrics)

    def make_table(self) -> None:
        """Put it all together."""
        about = {
            'pressures_gpa': self.inputs.pressures.get_list(),
            'crystals': sorted(self.inputs.crystals),
            'models': sorted(self.inputs.models),
            'unfit': self.ctx.unfit,
            'failures': self.ctx.failures,
        }
        crystals = {
            f'crystals{SEPARATOR}{name}': node for name, node in self.inputs.crystals.items()
        }
        made = benchmark_table(
            orm.Dict(about), metadata={'call_link_label': 'table'}, **crystals, **self.ctx.nodes
        )
        self.out('table', made)

    def results(self) -> ExitCode | None:
        """Say which model is best where, and what could not be computed."""
        rows = self.outputs['table']['rows']
        for sentence in best_models(rows):
            self.report(sentence)
        failed = [
            f'{row["crystal"]} with {row["model"]} at {row["pressure_gpa"]:g} GPa: {row["reason"]}'
            for row in rows
            if row['status'] == FAILED
        ]
        failed += [
            f'{crystal} with {model} against {role}: {why}'
            for crystal, models in self.ctx.failures.items()
            for model, found in models.items()
            for role, why in found.items()
            if role != RUN
        ]
        if failed:
            return self.exit_codes.ERROR_SOME_CELLS_FAILED.format(cause=shortened(failed))
        return None

    def _keep(self, kind: str, node: orm.Data, *names: str) -> None:
        """Remember a node that goes into the table."""
        self.ctx.nodes[input_name(kind, *names)] = node

    def _note(self, crystal: str, model: str, what: str, why: str) -> None:
        """Remember what failed; the rest goes on."""
        self.ctx.failures[crystal].setdefault(model, {})[what] = why
        self.report(f'{crystal} with {model}: {why}')


def job_results(chain: orm.WorkChainNode) -> dict[str, orm.Dict]:
    """Return what the engine jobs of a chain say of themselves, by link of the chain and number."""
    found = {}
    for link in chain.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all():
        jobs = [node for node in link.node.called_descendants if isinstance(node, orm.CalcJobNode)]
        for index, job in enumerate(sorted(jobs, key=lambda node: node.pk)):
            if 'results' in job.outputs:
                found[f'{link.link_label}{SEPARATOR}job_{index}'] = job.outputs.results
    return found
