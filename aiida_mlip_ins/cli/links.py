"""The links of the chain as builders made from what the user typed.

Each function takes :class:`Inputs`, which collect the problems, and what its subcommand of
``launch`` was given. It returns a builder, or ``None`` if an input could not be understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiida.engine import ProcessBuilder
from aiida_phonopy.data import ForceConstantsData

from aiida_mlip_ins.cli.inputs import Inputs
from aiida_mlip_ins.data.measured import MeasuredSpectrumData
from aiida_mlip_ins.science.settings import nearest
from aiida_mlip_ins.workflows.protocols import PROTOCOLS, load_protocol

Pressures = Sequence[Sequence[float]]


def chain(
    inputs: Inputs, structure: str, pressures: Pressures, pw_code: str, engine_code: str,
    pseudo_family: str | None, dataset: str | None, method: str | None, model: str | None,
    foundation: str | None, measured: Sequence[tuple[float, str]], windows: Sequence[list[float]],
    dft_check: bool, imaginary_policy: str | None, protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the whole chain, or what is left of it given a dataset or a model."""
    from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain

    needs_dft = dft_check or (dataset is None and model is None)
    given = inputs.overrides(overrides, imaginary_policy=imaginary_policy) or {}
    given = with_family(given, pseudo_family, 'reference')
    numbers = inputs.attempt(load_protocol, 'pipeline', protocol) or {}
    if given.get('dft_relaxation', numbers.get('dft_relaxation')) == 'vc-relax':
        given = with_family(given, pseudo_family, 'pw_scan')
    if windows:
        given = under(given, 'compare_spectra', windows=list(windows))
        if not measured:
            inputs.problems.append('window: there is nothing measured to compare with in it')
    return build(
        inputs,
        HighPressureInsWorkChain.get_builder_from_protocol,
        structure=inputs.structure(structure, require_hydrogen=True),
        pressures=inputs.pressures(pressures),
        engine_code=inputs.code('engine_code', engine_code),
        pw_code=inputs.code('pw_code', pw_code) if needs_dft else None,
        dataset=inputs.dataset(dataset, method),
        model=inputs.model(model),
        foundation=inputs.model(foundation, 'foundation'),
        measured=_measured(inputs, measured),
        check=dft_check,
        protocol=protocol,
        overrides=given,
    )


def _measured(
    inputs: Inputs, given: Sequence[tuple[float, str]]
) -> dict[float, MeasuredSpectrumData]:
    """Return measured spectra by pressure (GPa)."""
    found: dict[float, MeasuredSpectrumData] = {}
    for pressure, text in given:
        if pressure in found:
            inputs.problems.append(f'measured: {pressure:g} GPa is given more than once')
        found[pressure] = inputs.spectrum(f'measured at {pressure:g} GPa', text, simulated=False)
    return found


def reference(
    inputs: Inputs, frames: str, pw_code: str, pseudo_family: str | None,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the DFT labels of frames."""
    from aiida_mlip_ins.workflows.reference import ReferenceWorkChain

    return build(
        inputs,
        ReferenceWorkChain.get_builder_from_protocol,
        code=inputs.code('pw_code', pw_code),
        frames=inputs.frames(frames),
        protocol=protocol,
        overrides=inputs.overrides(overrides, pseudo_family=pseudo_family),
    )


def pw_pressure_scan(
    inputs: Inputs, structure: str, pressures: Pressures, pw_code: str,
    pseudo_family: str | None, protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the relaxations with DFT at each pressure."""
    from aiida_mlip_ins.workflows.pw_pressure_scan import PwPressureScanWorkChain

    return build(
        inputs,
        PwPressureScanWorkChain.get_builder_from_protocol,
        code=inputs.code('pw_code', pw_code),
        structure=inputs.structure(structure, require_hydrogen=False),
        pressures=inputs.pressures(pressures),
        protocol=protocol,
        overrides=inputs.overrides(overrides, pseudo_family=pseudo_family),
    )


def mace_pressure_scan(
    inputs: Inputs, structure: str, model: str, pressures: Pressures, engine_code: str,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the relaxations with the potential at each pressure."""
    from aiida_mlip_ins.workflows.mace_pressure_scan import MacePressureScanWorkChain

    return build(
        inputs,
        MacePressureScanWorkChain.get_builder_from_protocol,
        code=inputs.code('engine_code', engine_code),
        structure=inputs.structure(structure, require_hydrogen=False),
        model=inputs.model(model),
        pressures=inputs.pressures(pressures),
        protocol=protocol,
        overrides=inputs.overrides(overrides),
    )


def mace_phonons(
    inputs: Inputs, structure: str, model: str | None, engine_code: str,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the phonons with the potential."""
    from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain

    if model is None:
        inputs.problems.append('model: --engine mace needs --model')
    return build(
        inputs,
        MacePhononsWorkChain.get_builder_from_protocol,
        code=inputs.code('engine_code', engine_code),
        structure=inputs.structure(structure, require_hydrogen=False),
        model=inputs.model(model),
        protocol=protocol,
        overrides=inputs.overrides(overrides),
    )


def pw_phonons(
    inputs: Inputs, structure: str, pw_code: str, pseudo_family: str | None,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the phonons with DFT."""
    from aiida_mlip_ins.workflows.phonons import PwPhononsWorkChain

    given = inputs.overrides(overrides) or {}
    return build(
        inputs,
        PwPhononsWorkChain.get_builder_from_protocol,
        code=inputs.code('pw_code', pw_code),
        structure=inputs.structure(structure, require_hydrogen=False),
        protocol=protocol,
        overrides=with_family(given, pseudo_family, 'reference'),
    )


def ins(
    inputs: Inputs, force_constants: str, pressure: float | None, engine_code: str,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return the INS spectrum of force constants."""
    from aiida_mlip_ins.workflows.ins import InsWorkChain

    return build(
        inputs,
        InsWorkChain.get_builder_from_protocol,
        code=inputs.code('engine_code', engine_code),
        force_constants=inputs.node('force_constants', force_constants, ForceConstantsData),
        pressure=pressure,
        protocol=protocol,
        overrides=inputs.overrides(overrides),
    )


def cure(
    inputs: Inputs, structure: str, model: str, pressure: float, spectrum: bool, engine_code: str,
    protocol: str | None, overrides: Path | None,
) -> ProcessBuilder | None:  # fmt: skip
    """Return phonons with remedies for imaginary modes, and the spectrum."""
    from aiida_mlip_ins.workflows.cure import CureWorkChain

    return build(
        inputs,
        CureWorkChain.get_builder_from_protocol,
        code=inputs.code('engine_code', engine_code),
        structure=inputs.structure(structure, require_hydrogen=False),
        model=inputs.model(model),
        pressure=pressure,
        spectrum=spectrum,
        protocol=protocol,
        overrides=inputs.overrides(overrides),
    )


def with_family(given: dict[str, Any], family: str | None, link: str) -> dict[str, Any]:
    """Return overrides in which a link has another family of pseudopotentials."""
    return given if family is None else under(given, link, pseudo_family=family)


def under(given: dict[str, Any], link: str, **values: Any) -> dict[str, Any]:
    """Return overrides in which a link has other values."""
    return {**given, link: {**given.get(link, {}), **values}}


def build(inputs: Inputs, method: Any, **arguments: Any) -> ProcessBuilder | None:
    """Call a ``get_builder_from_protocol`` unless something it needs is missing."""
    if not inputs.problems:
        return inputs.attempt(lambda: method(**arguments))
    protocol = arguments['protocol']
    if protocol is not None and protocol not in PROTOCOLS:
        inputs.problems.append(f"unknown protocol '{protocol}'{nearest(protocol, PROTOCOLS)}")
    return None
