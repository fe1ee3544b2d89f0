"""The comparisons as builders made from what the user typed; see ``links``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_mlip_ins.cli.inputs import Inputs
from aiida_mlip_ins.cli.links import build


def compare(
    inputs: Inputs, mace_scan: str, mace_phonons: Sequence[str], ins: Sequence[str],
    pw_scan: str | None, pw_phonons: Sequence[str],
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the comparison of processes that have run; each list is in the order of pressures."""
    from aiida_mlip_ins.workflows.compare import CompareWorkChain

    scan = inputs.process('mace_scan', mace_scan)
    engines = {
        'mace': _results(inputs, scan, mace_phonons, ins),
        'pw': _results(inputs, inputs.process('pw_scan', pw_scan), pw_phonons, ()),
    }
    return build(
        inputs,
        CompareWorkChain.get_builder_from_protocol,
        pressures=scan.inputs.pressures.get_list() if scan is not None else [],
        mace=engines['mace'],
        pw=engines['pw'] or None,
        protocol=protocol,
        overrides=inputs.overrides(overrides),
    )


def _results(
    inputs: Inputs, scan: orm.ProcessNode | None, phonons: Sequence[str], ins: Sequence[str]
) -> dict[str, dict[str, orm.Node]]:
    """Return what processes of one engine have made, by kind and pressure."""
    found: dict[str, dict[str, orm.Node]] = {}
    if scan is not None:
        found['structures'] = dict(inputs.output(scan, 'structures') or {})
    for kind, output, identifiers in (
        ('modes', 'modes', phonons), ('phonons', 'summary', phonons), ('spectra', 'spectrum', ins),
        ('force_constants', 'force_constants', phonons),
    ):  # fmt: skip
        nodes = [inputs.process(kind, identifier) for identifier in identifiers]
        for index, node in enumerate(nodes):
            made = inputs.output(node, output) if node is not None else None
            if made is not None:
                found.setdefault(kind, {})[f'pressure_{index}'] = made
    return found


def compare_spectra(
    inputs: Inputs, spectra: Sequence[tuple[str, float | None, str]], reference: str | None,
    windows: Sequence[list[float]], background: int | None,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the comparison of spectra, each with its role, pressure (GPa) and file or node."""
    from aiida_mlip_ins.workflows.compare_spectra import CompareSpectraWorkChain

    labels = [f'spectrum_{index}' for index in range(len(spectra))]
    given = inputs.overrides(overrides) or {}
    if background is not None:
        given = {
            **given, 'settings': {**given.get('settings', {}), 'background_degree': background}
        }  # fmt: skip
    return build(
        inputs,
        CompareSpectraWorkChain.get_builder_from_protocol,
        spectra={
            label: inputs.spectrum(role, text)
            for label, (role, _, text) in zip(labels, spectra, strict=True)
        },
        roles={label: role for label, (role, _, _) in zip(labels, spectra, strict=True)},
        pressures={
            label: pressure
            for label, (_, pressure, _) in zip(labels, spectra, strict=True)
            if pressure is not None
        },
        reference=reference,
        windows=windows,
        protocol=protocol,
        overrides=given,
    )
