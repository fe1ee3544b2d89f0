"""Error bands: the spread of a committee on spectra, frequencies and shifts under pressure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, while_

from aiida_mlip_ins.calculations.functions.error_bands import (
    calibration,
    in_order,
    input_name,
    shifts_of_members,
    spectra_difference_band,
    spectrum_band,
)
from aiida_mlip_ins.data.model import MaceModelData, model_problems
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.data.structure import structure_problems
from aiida_mlip_ins.science.committee import FEWEST
from aiida_mlip_ins.science.member_modes import sentences
from aiida_mlip_ins.science.structure import pressure_problems
from aiida_mlip_ins.workflows.benchmark_inputs import MACE_LINKS, name_problems
from aiida_mlip_ins.workflows.compare import validate_parameters
from aiida_mlip_ins.workflows.composition import Composition, set_link_label, tried
from aiida_mlip_ins.workflows.engine_inputs import load_engine_code
from aiida_mlip_ins.workflows.lanes import outputs_in
from aiida_mlip_ins.workflows.md_inputs import count_problem, validate_positive
from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain
from aiida_mlip_ins.workflows.pipeline_links import add_mace
from aiida_mlip_ins.workflows.pressures import pressure_key
from aiida_mlip_ins.workflows.protocols import load_protocol, merge

LINKS = (*MACE_LINKS, 'compare')
"""What error bands are composed of, whose own protocols can be overridden under these names."""


class ErrorBandsWorkChain(Composition):
    """Runs the chain with every member of a committee, and compares what comes out.

    Each member relaxes the crystal, and has phonons and spectra of its own. At each pressure their
    spectra make a band, their differences between pressures another one, and their matched modes
    give each frequency and each shift a spread. A member that fails, or fails at a pressure, is
    reported and left out there; two members are needed for a band.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        # fmt: off
        spec.input('structure', valid_type=orm.StructureData, help='Crystal, lengths in angstrom.')
        spec.input_namespace('models', valid_type=MaceModelData, dynamic=True,
                             help='`member_i`: the members, as a committee hands them out.')
        spec.input('pressures', valid_type=orm.List, help='Pressures in GPa, ascending.')
        spec.input('committee', valid_type=orm.Dict, required=False,
                   help='`summary` of the committee; with it, spreads are also stated times its '
                        'calibration factors, that of forces for spectra and frequencies, and that '
                        'of stresses for volumes.')
        spec.input('parameters', valid_type=orm.Dict, serializer=orm.to_aiida_type,
                   validator=validate_parameters,
                   help='How modes are matched and which shifts count, see `CompareSettings` '
                        '(1/cm).')
        spec.input('max_concurrent', valid_type=orm.Int, serializer=orm.to_aiida_type,
                   validator=validate_positive, help='Members worked on side by side.')
        spec.expose_inputs(HighPressureInsWorkChain, 'chain',
                           include=('max_concurrent', *MACE_LINKS))
        spec.inputs.validator = validate
        spec.outline(
            cls.setup,
            while_(cls.has_members)(
                cls.run_chains,
                cls.inspect_chains,
            ),
            cls.make_bands,
            cls.make_differences,
            cls.make_table,
            cls.results,
        )
        for name, what in (
            ('bands', 'of the spectra'),
            ('differences', "of the members' own differences from the first pressure"),
        ):
            spec.output_namespace(name, valid_type=orm.ArrayData, dynamic=True, required=False,
                                  help=f'`pressure_i`: `mean`, `spread` (sample standard '
                                       f'deviation), `lower` and `upper` {what} on `energy_bins` '
                                       '(1/cm); `calibrated_spread` if the factor is known.')
        spec.output('table', valid_type=orm.Dict, required=False,
                    help='Mean and spread over the members: per pressure of the volume '
                         '(angstrom^3), and per mode of frequency (1/cm), shift from the first '
                         'pressure (1/cm) and shift per GPa (1/cm/GPa); where modes could not be '
                         'matched.')
        spec.output_namespace('spectra', valid_type=InsSpectrumData, dynamic=True, required=False,
                              help='`MEMBER.pressure_i`: the spectra of the members (1/cm).')
        spec.exit_code(401, 'ERROR_TOO_FEW_MEMBERS',
                       message='At no pressure do two members have a spectrum: {cause}')
        spec.exit_code(405, 'ERROR_SOME_MEMBERS_FAILED',
                       message='Bands are there, but without: {cause}')
        # fmt: on

    @classmethod
    def get_builder_from_protocol(
        cls,
        structure: orm.StructureData,
        models: Mapping[str, MaceModelData],
        pressures: Sequence[float],
        code: orm.AbstractCode | str,
        committee: orm.Dict | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param structure: the crystal.
        :param models: the members, as the output ``models`` of a committee.
        :param pressures: in GPa, ascending.
        :param code: Python of the engines environment, as a node or its label.
        :param committee: output ``summary`` of the committee, for the calibration.
        :param protocol: ``fast``, ``balanced`` or ``stringent``, for every link.
        :param overrides: values on top of those of ``protocols/error_bands.yaml``, and under the
            name of a link (``mace_pressure_scan``, ``mace_phonons``, ``ins``, ``compare``) those on
            top of that link's protocol.
        :param options: ``metadata.options`` of every engine job, on top of those of the protocol.
        :raises ValueError: listing everything that is wrong with the arguments, of all links.
        """
        given = dict(overrides or {})
        links = {name: given.pop(name, {}) for name in LINKS}
        numbers = load_protocol('error_bands', protocol, given)
        builder = cls.get_builder()
        builder.structure = structure
        builder.models = dict(models)
        builder.pressures = orm.List([float(pressure) for pressure in pressures])
        if committee is not None:
            builder.committee = committee
        found = input_problems(builder)
        found += count_problem(numbers['max_concurrent'], 1, 'max_concurrent')
        compared = tried(found, 'compare', load_protocol, 'compare', protocol, links['compare'])
        if compared is not None:
            settings = orm.Dict(compared['parameters'])
            tried(found, 'compare', setattr, builder, 'parameters', settings)
        node, wrong = load_engine_code(code)
        found += wrong
        chain = HighPressureInsWorkChain.get_builder()
        chain.pressures = builder.pressures
        if not wrong:
            chosen = merge(numbers['options'], options or {})
            add_mace(chain, found, links, (node, structure, protocol, chosen))
        if found:
            raise ValueError('\n'.join(dict.fromkeys(found)))
        builder.max_concurrent = orm.Int(numbers['max_concurrent'])
        made = chain._inputs(prune=True)
        builder.chain = {
            'max_concurrent': orm.Int(load_protocol('pipeline', protocol)['max_concurrent']),
            **{name: made[name] for name in MACE_LINKS},
        }
        return builder

    def setup(self) -> None:
        """List the members."""
        self.ctx.waiting = in_order(self.inputs.models)
        self.ctx.spectra = {}
        self.ctx.modes = {}
        self.ctx.missing = []
        pressures = self.inputs.pressures.get_list()
        self.report(f'{len(self.ctx.waiting)} members, pressures {pressures} GPa')

    def has_members(self) -> bool:
        """Whether there are members left."""
        return bool(self.ctx.waiting)

    def run_chains(self) -> ToContext:
        """Start the chains of as many members as there may be side by side."""
        count = self.inputs.max_concurrent.value
        self.ctx.running, self.ctx.waiting = self.ctx.waiting[:count], self.ctx.waiting[count:]
        nodes = {}
        for member in self.ctx.running:
            inputs = self.exposed_inputs(HighPressureInsWorkChain, 'chain', agglomerate=False)
            inputs.update(
                structure=self.inputs.structure,
                pressures=self.inputs.pressures,
                model=self.inputs.models[member],
            )
            set_link_label(inputs, member)
            node = self.submit(HighPressureInsWorkChain, **inputs)
            nodes[f'chain_{member}'] = node
            self.report(f'{member} <{node.pk}> started')
        return ToContext(**nodes)

    def inspect_chains(self) -> None:
        """Take what the chains have made, whether they got to their end or not."""
        for member in self.ctx.running:
            node = self.ctx[f'chain_{member}']
            self._note_missing(node, f'all or part of {member}')
            for key, made in outputs_in(node, 'spectra').items():
                self.ctx.spectra.setdefault(key, {})[member] = made
                self.out(f'spectra.{member}.{key}', made)
            for key, made in outputs_in(node, 'mace').get('modes', {}).items():
                self.ctx.modes[input_name('modes', member, key)] = made

    def make_bands(self) -> ExitCode | None:
        """Make the band at each pressure."""
        for index, pressure in enumerate(self.inputs.pressures.get_list()):
            key = pressure_key(index)
            members = self.ctx.spectra.get(key, {})
            nodes = {input_name('spectrum', name): node for name, node in members.items()}
            self._make('bands', key, spectrum_band, nodes, len(members), f'{pressure:g} GPa')
        if 'bands' in self.outputs:
            return None
        cause = '; '.join(self.ctx.missing)
        return self.exit_codes.ERROR_TOO_FEW_MEMBERS.format(cause=cause)

    def make_differences(self) -> None:
        """Make the band of the differences from the first pressure."""
        pressures = self.inputs.pressures.get_list()
        first = self.ctx.spectra.get(pressure_key(0), {})
        for index, pressure in enumerate(pressures[1:], start=1):
            key = pressure_key(index)
            high = self.ctx.spectra.get(key, {})
            both = [name for name in high if name in first]
            nodes = {input_name('low', name): first[name] for name in both}
            nodes |= {input_name('high', name): high[name] for name in both}
            where = f'{pressure:g} GPa less {pressures[0]:g} GPa'
            self._make('differences', key, spectra_difference_band, nodes, len(both), where)

    def _make(
        self, kind: str, key: str, function: Any, nodes: dict[str, Any], count: int, where: str
    ) -> None:
        """Make a band if there are members enough, and hand it out."""
        if count < FEWEST:
            self._lack(f'the band at {where}: spectra of {count} members')
            return
        metadata = {'call_link_label': f'{kind}_{key}'}
        made, node = function.run_get_node(**self._committee(), **nodes, metadata=metadata)
        self._note_missing(node, f'the band at {where}')
        if node.is_finished_ok:
            self.out(f'{kind}.{key}', made)
            share = made.base.attributes.get('spread_share')
            if share is not None:
                self.report(f'{where}: spread {100 * share:.1f} % of the area ({count} members)')

    def _committee(self) -> dict[str, orm.Dict]:
        """Return the summary of the committee as an input, if there is one."""
        return {'committee': self.inputs.committee} if 'committee' in self.inputs else {}

    def make_table(self) -> None:
        """Match the modes of the members, and put their shifts together."""
        if not self.ctx.modes:
            return
        made, node = shifts_of_members.run_get_node(
            self.inputs.pressures,
            self.inputs.parameters,
            **self._committee(),
            **self.ctx.modes,
            metadata={'call_link_label': 'table'},
        )
        self._note_missing(node, 'the table of shifts')
        if node.is_finished_ok:
            self.out('table', made)

    def results(self) -> ExitCode | None:
        """Say what it amounts to, and what is missing."""
        if 'table' in self.outputs:
            for sentence in sentences(self.outputs['table'].get_dict()):
                self.report(sentence)
        if self.ctx.missing:
            cause = '; '.join(self.ctx.missing)
            return self.exit_codes.ERROR_SOME_MEMBERS_FAILED.format(cause=cause)
        return None


def validate(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse what can be known to fail, all problems at once."""
    if any(name not in value for name in ('structure', 'models', 'pressures')):
        return None
    return '\n'.join(input_problems(value)) or None


def input_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return everything that is wrong with crystal, members, pressures and calibration."""
    models = dict(inputs['models'])
    found = structure_problems(inputs['structure'])
    found += pressure_problems(inputs['pressures'].get_list())
    found += name_problems('models', list(models)) if models else []
    if len(models) < FEWEST:
        found.append(f'models: a spread needs at least {FEWEST} members, got {len(models)}')
    elements = inputs['structure'].get_symbols_set()
    seen: dict[str, str] = {}
    for name in in_order(models):
        found += model_problems(models[name], elements, f'models.{name}')
        other = seen.setdefault(models[name].sha256, name)
        if other != name:
            found.append(f'models.{name}: the same model as {other}, which adds no spread')
    tried(found, 'committee', calibration, inputs.get('committee'))
    return found
