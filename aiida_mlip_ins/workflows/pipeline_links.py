"""The links of the whole chain that run pw.x and the potential, each made from its own protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.science.settings import nearest
from aiida_mlip_ins.workflows.composition import fill, tried
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain, PwPhononsWorkChain
from aiida_mlip_ins.workflows.pipeline_checks import SCANS
from aiida_mlip_ins.workflows.protocols import merge
from aiida_mlip_ins.workflows.pw_numbers import judged
from aiida_mlip_ins.workflows.reference import ReferenceWorkChain


def add_dft(
    builder: ProcessBuilder,
    found: list[str],
    links: Mapping[str, Any],
    numbers: Mapping[str, Any],
    dft: tuple[Any, orm.StructureData, str | None, Mapping[str, Any] | None],
    needs_frames: bool,
    check: bool,
) -> None:
    """Add the links that pw.x runs in."""
    code, structure, protocol, options = dft
    method = numbers['dft_relaxation']
    if method not in SCANS:
        found.append(f"overrides.dft_relaxation: unknown method '{method}'{nearest(method, SCANS)}")
        return
    port, scan = SCANS[method]
    # They hold in the relaxation and in the check too; what is wrong with them is said once.
    reference, wrong = judged('reference', protocol, links['reference'])
    found += [f'reference: {line}' for line in wrong]
    scan_overrides = dict(links['pw_scan'])
    if method == 'quadratic':
        scan_overrides['reference'] = merge(reference, scan_overrides.get('reference', {}))
    fill(
        builder,
        port,
        ('structure', 'pressures'),
        tried(
            found,
            'pw_scan',
            scan.get_builder_from_protocol,
            code,
            structure,
            builder.pressures.get_list(),
            protocol,
            scan_overrides,
            options,
        ),
    )
    if needs_frames:
        fill(
            builder,
            'reference',
            ('frames',),
            tried(
                found,
                'reference',
                ReferenceWorkChain.get_builder_from_protocol,
                code,
                None,
                protocol,
                reference,
                options,
                structure,
            ),
        )
    if check:
        overrides = dict(links['pw_phonons'])
        # One pw.x at a time: the training runs beside it.
        overrides['reference'] = merge(
            merge(reference, {'max_concurrent': numbers['check_max_concurrent']}),
            overrides.get('reference', {}),
        )
        fill(
            builder,
            'pw_phonons',
            ('structure',),
            tried(
                found,
                'pw_phonons',
                PwPhononsWorkChain.get_builder_from_protocol,
                code,
                structure,
                protocol,
                overrides,
                options,
            ),
        )


def add_mace(
    builder: ProcessBuilder,
    found: list[str],
    links: Mapping[str, Any],
    engine: tuple[Any, orm.StructureData, str | None, Mapping[str, Any] | None],
) -> None:
    """Add the links that the potential runs in; the builder has its pressures already."""
    code, structure, protocol, options = engine
    fill(
        builder,
        'mace_pressure_scan',
        ('structure', 'pressures', 'model'),
        tried(
            found,
            'mace_pressure_scan',
            MacePressureScanWorkChain.get_builder_from_protocol,
            code,
            structure,
            None,
            builder.pressures.get_list(),
            protocol,
            links['mace_pressure_scan'],
            options,
        ),
    )
    fill(
        builder,
        'mace_phonons',
        ('structure', 'model'),
        tried(
            found,
            'mace_phonons',
            MacePhononsWorkChain.get_builder_from_protocol,
            code,
            structure,
            None,
            protocol,
            links['mace_phonons'],
            options,
        ),
    )
    fill(
        builder,
        'ins',
        ('force_constants', 'pressure'),
        tried(
            found,
            'ins',
            InsWorkChain.get_builder_from_protocol,
            code,
            None,
            None,
            protocol,
            links['ins'],
            options,
            structure,
        ),
    )
