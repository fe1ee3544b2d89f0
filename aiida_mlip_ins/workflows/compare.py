"""Comparison of a potential with DFT at each pressure, and between the pressures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, WorkChain

from aiida_mlip_ins.calculations.functions.compare import compare_pressures, input_name
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.comparison import CompareSettings
from aiida_mlip_ins.science.observed import peak_problems
from aiida_mlip_ins.science.settings import problems
from aiida_mlip_ins.workflows.protocols import load_protocol

KINDS = {
    'modes': (orm.ArrayData, 'Modes at Gamma (1/cm) of a phonon workchain'),
    'structures': (orm.StructureData, 'Relaxed structure (angstrom)'),
    'phonons': (orm.Dict, 'Summary of a phonon workchain (1/cm)'),
    'spectra': (InsSpectrumData, 'Spectrum (1/cm, barn/(1/cm)/primitive cell)'),
}
ENGINES = {'mace': 'the potential', 'pw': 'DFT'}
PLACES = [
    *((engine, kind) for engine in ENGINES for kind in KINDS),
    ('experiment', 'peaks'),
]
"""Namespaces whose nodes are keyed by pressure."""


class CompareWorkChain(WorkChain):
    """Compares frequencies, lattices and spectra by method and by pressure.

    Everything is keyed by the pressure's place in ``pressures``: ``mace.modes.pressure_0``. What is
    not given is left out of the comparison, so that a failed pressure does not hide the others.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.input(
            'pressures',
            valid_type=orm.List,
            serializer=orm.to_aiida_type,
            validator=validate_pressures,
            help='Pressures in GPa.',
        )
        spec.input(
            'parameters',
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            validator=validate_parameters,
            help='Settings, see `CompareSettings` (1/cm).',
            default=lambda: orm.Dict(load_protocol('compare')['parameters']),
        )
        spec.input(
            'errors',
            valid_type=orm.Dict,
            required=False,
            help="Errors of the training (meV/angstrom, meV/atom, GPa), passed on to `metrics`'s "
            '`force_errors`.',
        )
        for engine, who in ENGINES.items():
            for kind, (valid_type, what) in KINDS.items():
                spec.input_namespace(
                    f'{engine}.{kind}',
                    valid_type=valid_type,
                    dynamic=True,
                    required=False,
                    help=f'{what} of {who}, per pressure.',
                )
        spec.input_namespace(
            'experiment.peaks',
            valid_type=orm.List,
            dynamic=True,
            required=False,
            help='Measured peaks per pressure: a list of mappings with `position` and, if known, '
            '`width` (1/cm) and `area`. They are assigned to the modes of the potential.',
        )
        spec.inputs.validator = validate_inputs
        spec.outline(cls.run_compare, cls.results)
        spec.output(
            'metrics',
            valid_type=orm.Dict,
            help='Per pressure: volumes (angstrom^3), errors of frequencies (1/cm); likeness of '
            'spectra (1/cm).',
        )
        spec.output(
            'table',
            valid_type=orm.Dict,
            help='Per mode: frequency (1/cm) at each pressure, shift (1/cm), shift per GPa '
            '(1/cm/GPa), Grueneisen parameter, irreducible representation, share of the intensity, '
            'whether it goes against the others, overlaps; and the measured peaks.',
        )
        spec.exit_code(
            401,
            'ERROR_NOT_COMPARABLE',
            message='The crystals cannot be compared: {cause}',
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        pressures: Sequence[float],
        mace: Mapping[str, Mapping[str, orm.Data]],
        pw: Mapping[str, Mapping[str, orm.Data]] | None = None,
        errors: orm.Dict | None = None,
        peaks: Mapping[str, orm.List] | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param pressures: GPa.
        :param mace: nodes of the potential by kind (``modes``, ``structures``, ``phonons``,
            ``spectra``) and key (``pressure_0``, ...).
        :param pw: likewise, of DFT.
        :param errors: of the training, passed on.
        :param peaks: measured peaks by key (``pressure_0``, ...).
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values on top of those of ``protocols/compare.yaml``.
        :raises ValueError: listing the unknown keys of the overrides.
        """
        numbers = load_protocol('compare', protocol, overrides)
        builder = cls.get_builder()
        builder.pressures = orm.List([float(pressure) for pressure in pressures])
        builder.parameters = orm.Dict(numbers['parameters'])
        builder.mace = {kind: dict(nodes) for kind, nodes in mace.items()}
        if pw:
            builder.pw = {kind: dict(nodes) for kind, nodes in pw.items()}
        if errors is not None:
            builder.errors = errors
        if peaks:
            builder.experiment = {'peaks': dict(peaks)}
        return builder

    def run_compare(self) -> ExitCode | None:
        """Compare all there is, in one calcfunction."""
        nodes = {
            input_name(engine, kind, key): node
            for engine, kind in PLACES
            for key, node in self.inputs.get(engine, {}).get(kind, {}).items()
        }
        if 'errors' in self.inputs:
            nodes['errors'] = self.inputs.errors
        self.report(f'comparing {len(nodes)} nodes at {len(self.inputs.pressures)} pressures')
        _, node = compare_pressures.run_get_node(
            self.inputs.pressures,
            self.inputs.parameters,
            metadata={'call_link_label': 'compare'},
            **nodes,
        )
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_NOT_COMPARABLE.format(
                cause=f'<{node.pk}> {node.exit_message}'
            )
        for link in node.base.links.get_outgoing(link_type=LinkType.CREATE).all():
            self.out(link.link_label, link.node)
        return None

    def results(self) -> None:
        """Say the main numbers."""
        for row in self.outputs['metrics'].get_dict()['pressures']:
            parts = [f'{row["pressure_gpa"]:g} GPa']
            if 'volume_error_percent' in row:
                parts.append(f'volume {row["volume_error_percent"]:+.2f} % of DFT')
            if 'gamma_mae_per_cm' in row:
                parts.append(f'Gamma frequencies off by {row["gamma_mae_per_cm"]:.1f} 1/cm')
            if 'min_frequency_per_cm' in row:
                parts.append(f'lowest frequency {row["min_frequency_per_cm"]:.1f} 1/cm')
            self.report(', '.join(parts))


def inputs_of_chain(pressures: orm.List, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs that compare what the whole chain has made so far.

    :param pressures: GPa.
    :param outputs: of `HighPressureInsWorkChain`, nested. A crystal that was cured of imaginary
        modes stands in the place of the relaxed one, unless its cell is a larger one: then it and
        its modes have nothing to be compared with, and only its spectrum takes part.
    """
    structures = dict(outputs['mace']['structures'])
    modes = dict(outputs['mace'].get('modes', {}))
    for key, cured in outputs.get('cure', {}).get('structures', {}).items():
        if len(cured.sites) == len(structures[key].sites):
            structures[key] = cured
        else:
            del structures[key]
            modes.pop(key, None)
    inputs: dict[str, Any] = {
        'pressures': pressures,
        'mace': {
            'modes': modes,
            'structures': structures,
            'phonons': outputs['mace'].get('phonons', {}),
            'spectra': outputs.get('spectra', {}),
        },
    }
    if 'pw' in outputs:
        inputs['pw'] = {
            'modes': outputs['pw'].get('modes', {}),
            'structures': outputs['pw']['structures'],
        }
    if 'training' in outputs:
        inputs['errors'] = outputs['training']['errors']
    if 'peaks' in outputs:
        inputs['experiment'] = {'peaks': outputs['peaks']}
    return inputs


def validate_parameters(value: orm.Dict, _: Any) -> str | None:
    """Refuse settings that are unknown, missing or out of range, all at once."""
    return '\n'.join(problems(CompareSettings, value.get_dict(), 'parameters')) or None


def validate_pressures(value: orm.List, _: Any) -> str | None:
    """Refuse an empty list and what is no number."""
    pressures = value.get_list()
    if not pressures:
        return 'pressures: give at least one, in GPa'
    wrong = [p for p in pressures if not isinstance(p, int | float) or isinstance(p, bool)]
    return f'pressures: not a number: {wrong}' if wrong else None


def validate_inputs(value: Mapping[str, Any], _: Any) -> str | None:
    """Refuse keys that are none of a pressure, and a comparison of nothing."""
    if 'pressures' not in value:
        return None
    keys = [f'pressure_{index}' for index in range(len(value['pressures'].get_list()))]
    found, count = [], 0
    for engine, kind in PLACES:
        given = value.get(engine, {}).get(kind, {})
        count += len(given) if engine in ENGINES else 0
        unknown = sorted(set(given) - set(keys))
        if unknown:
            found.append(
                f'{engine}.{kind}: no such pressure: {", ".join(unknown)} (valid: '
                f'{", ".join(keys)})'
            )
        if kind == 'peaks':
            for key, node in given.items():
                found.extend(peak_problems(node.get_list(), f'{engine}.{kind}.{key}'))
    if not count:
        found.append('mace: give modes, structures or spectra to compare')
    return '\n'.join(found) or None
