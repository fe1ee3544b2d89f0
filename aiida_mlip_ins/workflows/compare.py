"""Comparison of a potential with DFT at each pressure, and between the pressures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, WorkChain

from aiida_mlip_ins.calculations.functions.compare import (
    compare_on_supercell,
    compare_pressures,
    has_supercell,
    input_name,
)
from aiida_mlip_ins.calculations.functions.reach import judge_reach
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.workflows.compare_inputs import (
    ENGINES,
    FORCE_CONSTANTS,
    KINDS,
    PLACES,
    validate_inputs,
    validate_parameters,
    validate_pressures,
    validate_reach,
)
from aiida_mlip_ins.workflows.protocols import load_protocol


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
        spec.input(
            'dataset',
            valid_type=DatasetData,
            required=False,
            help='Frames that the potential was trained on; with them, `reach` says whether each '
            'pressure is among them.',
        )
        spec.input(
            'reach',
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            validator=validate_reach,
            help='Where the edge of the frames begins, see `ReachSettings` (GPa, angstrom).',
            default=lambda: orm.Dict(load_protocol('compare')['reach']),
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
        spec.outline(
            cls.run_compare,
            cls.run_on_supercell,
            cls.run_reach,
            cls.results,
        )
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
        spec.output_namespace(
            'supercell',
            valid_type=orm.Dict,
            dynamic=True,
            required=False,
            help='Per pressure with force constants of DFT in a supercell: errors of frequencies '
            '(1/cm) at the q-points that it has exactly.',
        )
        spec.output(
            'reach',
            valid_type=orm.Dict,
            required=False,
            help='Per pressure: inside, at the edge of, or outside what the potential was trained '
            'on, with the reason.',
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
        dataset: DatasetData | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the numbers of a protocol.

        :param pressures: GPa.
        :param mace: nodes of the potential by kind (``modes``, ``structures``, ``phonons``,
            ``spectra``, ``force_constants``) and key (``pressure_0``, ...).
        :param pw: likewise, of DFT.
        :param errors: of the training, passed on.
        :param peaks: measured peaks by key (``pressure_0``, ...).
        :param dataset: frames that the potential was trained on.
        :param protocol: ``fast``, ``balanced`` or ``stringent``.
        :param overrides: values on top of those of ``protocols/compare.yaml``.
        :raises ValueError: listing the unknown keys of the overrides.
        """
        numbers = load_protocol('compare', protocol, overrides)
        builder = cls.get_builder()
        builder.pressures = orm.List([float(pressure) for pressure in pressures])
        builder.parameters = orm.Dict(numbers['parameters'])
        builder.reach = orm.Dict(numbers['reach'])
        builder.mace = {kind: dict(nodes) for kind, nodes in mace.items()}
        if pw:
            builder.pw = {kind: dict(nodes) for kind, nodes in pw.items()}
        if errors is not None:
            builder.errors = errors
        if peaks:
            builder.experiment = {'peaks': dict(peaks)}
        if dataset is not None:
            builder.dataset = dataset
        return builder

    def run_compare(self) -> ExitCode | None:
        """Compare all there is, in one calcfunction."""
        nodes = {
            input_name(engine, kind, key): node
            for engine, kind in PLACES
            if kind != FORCE_CONSTANTS
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

    def run_on_supercell(self) -> ExitCode | None:
        """Compare frequencies over the zone where DFT has more than the modes at Gamma."""
        mace, dft = (self.inputs.get(engine, {}).get(FORCE_CONSTANTS, {}) for engine in ENGINES)
        for key in sorted(set(mace) & set(dft)):
            if not has_supercell(dft[key]):
                continue
            found, node = compare_on_supercell.run_get_node(
                self.inputs.parameters,
                mace[key],
                dft[key],
                metadata={'call_link_label': f'supercell_{key}'},
            )
            if not node.is_finished_ok:
                return self.exit_codes.ERROR_NOT_COMPARABLE.format(
                    cause=f'<{node.pk}> {node.exit_message}'
                )
            self.out(f'supercell.{key}', found)
            self.report(
                f'{key}: off by {found["mae_per_cm"]:.1f} 1/cm at the {len(found["points"])} '
                'q-points of the supercell of DFT'
            )
        return None

    def run_reach(self) -> None:
        """Say whether each pressure is among the frames that the potential was trained on."""
        structures = self.inputs.get('mace', {}).get('structures', {})
        if 'dataset' not in self.inputs or not structures:
            return
        found = judge_reach(
            self.inputs.dataset,
            self.inputs.pressures,
            self.inputs.reach,
            metadata={'call_link_label': 'reach'},
            **structures,
        )
        self.out('reach', found)
        for row in found['pressures']:
            self.report(f'{row["pressure_gpa"]:g} GPa: {row["sentence"]}')

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
