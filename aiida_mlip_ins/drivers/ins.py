"""Driver: force constants to INS intensities per atom, quantum order and detector bank.

abinslib gives the scattering law: almost-isotropic powder average of the fundamentals, and the
second order as Abins in Mantid has it (combinations of the modes at one q-point). Phonopy gives
frequencies and eigenvectors. Files in: ``force_constants.npz``; out: ``intensities.npz`` with
``energy_bins`` (n + 1, 1/cm) and ``intensity`` (n_rows, n).
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

from aiida_mlip_ins.drivers.common import DriverError, Job, main
from aiida_mlip_ins.science import ins, phonons
from aiida_mlip_ins.science.settings import build

FORCE_CONSTANTS = 'force_constants.npz'
INTENSITIES = 'intensities.npz'


def run(job: Job) -> dict[str, Any]:
    """Simulate one spectrum."""
    try:
        settings = build(ins.InsSettings, job.inputs['parameters'], 'parameters')
    except ValueError as error:
        raise DriverError('BAD_INPUT', str(error)) from error
    with job.timed('import'):
        import abinslib  # noqa: F401
        import euphonic  # noqa: F401

    with job.timed('modes'):
        phonon = read_force_constants(job.folder / FORCE_CONSTANTS)
        points, weights = phonons.mesh_points(settings.mesh, settings.gamma_centred)
        frequencies, vectors = phonons.modes_at(phonon, points)
    job.progress('modes', 1, 2)
    excluded = excluded_modes(phonon, points, weights, frequencies, vectors, settings)
    bins = ins.energy_bins(settings)
    symbols = list(phonon.primitive.symbols)
    instrument = ins.INSTRUMENTS[settings.instrument]
    orders = list(range(1, settings.max_order + 1))
    with job.timed('intensities'):
        safe = np.where(excluded, settings.frequency_min, frequencies)
        modes = euphonic_modes(phonon, points, weights, safe, vectors)
        intensity = simulate(modes, settings, instrument, bins, orders)
    if not np.isfinite(intensity).all():
        raise DriverError(
            'NOT_FINITE',
            'the intensities hold numbers that are not finite',
            'Look for modes with a frequency near zero in the phonons.',
        )
    rows = ins.describe_rows(symbols, orders, list(instrument.banks))
    np.savez_compressed(job.folder / INTENSITIES, energy_bins=bins, intensity=intensity)
    job.progress('intensities', 2, 2)
    return {
        'rows': rows,
        'units': ins.UNITS,
        'instrument': {
            'name': settings.instrument,
            'final_energy_per_cm': instrument.final_energy,
            'banks_degrees': dict(instrument.banks),
            'source': instrument.source,
        },
        'n_qpoints': len(points),
        'n_modes': frequencies.shape[1],
        'min_frequency_per_cm': float(frequencies.min()),
        'max_frequency_per_cm': float(frequencies.max()),
        'n_modes_excluded': int(excluded.sum()),
        'excluded_share': float((weights @ excluded).sum() / frequencies.shape[1]),
        'n_modes_out_of_range': int(
            ((frequencies < bins[0]) | (frequencies > bins[-1]))[~excluded].sum()
        ),
    }


def read_force_constants(path: Path) -> Any:
    """Return a phonopy object with the force constants of an ``npz`` file."""
    with np.load(path, allow_pickle=False) as file:
        content = dict(file)
    content['symbols'] = [str(symbol) for symbol in content['symbols']]
    try:
        return phonons.make_phonopy(**content)
    except ValueError as error:
        raise DriverError('BAD_INPUT', str(error)) from error


def excluded_modes(
    phonon: Any,
    points: np.ndarray,
    weights: np.ndarray,
    frequencies: np.ndarray,
    vectors: np.ndarray,
    settings: ins.InsSettings,
) -> np.ndarray:
    """Return which modes (n_q, n_modes) have no thermal displacement, or refuse imaginary ones.

    Translations at Gamma may come out at any small frequency, imaginary too, without harm. Any
    other mode below minus the tolerance means that the structure is no minimum.
    """
    translations = np.zeros(frequencies.shape, dtype=bool)
    for index in np.flatnonzero(np.all(np.abs(points) < 1e-8, axis=1)):
        masses = phonon.primitive.masses
        translations[index, phonons.acoustic_modes(vectors[index], masses)] = True
    values = np.where(translations, np.inf, frequencies)
    q_index, _ = np.unravel_index(values.argmin(), values.shape)
    if values.min() < -settings.imaginary_tolerance:
        imaginary = values < -settings.imaginary_tolerance
        share = float((weights @ imaginary).sum() / values.shape[1])
        raise DriverError(
            'IMAGINARY_MODES',
            f'the lowest frequency is {values.min():.1f} 1/cm at q = '
            f'{np.round(points[q_index], 4).tolist()}; {imaginary.sum()} modes '
            f'({100 * share:.2g} % of all) are below -{settings.imaginary_tolerance:g} 1/cm',
            'Relax the structure further, use a larger supercell or train on frames near it.',
        )
    return translations | (frequencies <= settings.frequency_min)


def euphonic_modes(
    phonon: Any,
    points: np.ndarray,
    weights: np.ndarray,
    frequencies: np.ndarray,
    vectors: np.ndarray,
) -> Any:
    """Return euphonic's phonon modes.

    Modes without thermal displacement come with the frequency ``frequency_min``: abinslib leaves
    out what is not above the threshold it is given, but a frequency of zero or below would still
    make Q or the Bose factor infinite, and one such number makes a whole spectrum NaN.
    """
    from euphonic import Crystal, QpointPhononModes, ureg

    primitive = phonon.primitive
    crystal = Crystal(
        primitive.cell * ureg('angstrom'),
        primitive.scaled_positions,
        np.array(list(primitive.symbols)),
        primitive.masses * ureg('amu'),
    )
    return QpointPhononModes(crystal, points, frequencies * ureg('1/cm'), vectors, weights)


def simulate(
    modes: Any,
    settings: ins.InsSettings,
    instrument: ins.Instrument,
    bins: np.ndarray,
    orders: list[int],
) -> np.ndarray:
    """Return the intensities (n_rows, n_bins), rows as :func:`ins.describe_rows` has them."""
    from abinslib.displacements import Displacements
    from euphonic import ureg

    displacements = Displacements.from_modes(
        modes,
        settings.temperature * ureg('kelvin'),
        frequency_min=settings.frequency_min * ureg('1/cm'),
    )
    thermal = displacements.to_atomic_displacements()
    edges = bins * ureg('1/cm')
    second = None
    if 2 in orders:
        second = second_order_at_unit_q(modes, displacements, thermal, edges, settings)
    found = []
    for angle in instrument.banks.values():
        found.append(first_order(modes, displacements, thermal, edges, instrument, angle))
        if second is not None:
            found.append(scale_second_order(second, thermal, bins, instrument, angle))
    return np.concatenate(found)


def first_order(
    modes: Any, displacements: Any, thermal: Any, edges: Any, instrument: Any, angle: float
) -> np.ndarray:
    """Return the fundamentals (n_atoms, n_bins) in one bank, cross sections applied."""
    from abinslib.almost_isotropic_incoherent import (
        calculate_almost_isotropic_incoherent_spectra,
    )
    from euphonic import ureg

    energies = modes.frequencies.to('1/cm').magnitude
    q2 = ins.momentum_transfer_squared(energies, angle, instrument.final_energy)
    spectra = calculate_almost_isotropic_incoherent_spectra(
        modes=modes,
        mode_displacements=displacements,
        atomic_displacements=thermal,
        nominal_q2=q2 * ureg('angstrom**-2'),
        bins=edges,
    )
    return in_barn(spectra)


def second_order_at_unit_q(
    modes: Any, displacements: Any, thermal: Any, edges: Any, settings: ins.InsSettings
) -> np.ndarray:
    """Return second order (n_atoms, n_bins) for Q = 1/angstrom without Debye-Waller factor.

    The costly part, sums over pairs of modes, is the same for all banks: Q and the Debye-Waller
    factor depend on the bin alone.
    """
    from abinslib.almost_isotropic_incoherent import mantid_like_combination_spectra
    from euphonic import ureg

    spectra = mantid_like_combination_spectra(
        modes=modes,
        mode_displacements=displacements,
        atomic_displacements=0.0 * thermal,
        nominal_q2=np.ones(len(edges) - 1) * ureg('angstrom**-2'),
        bins=edges,
    )
    if settings.overtones == 'harmonic':
        spectra.y_data = spectra.y_data + overtones(modes, displacements, edges)
    return in_barn(spectra)


def overtones(modes: Any, displacements: Any, edges: Any) -> Any:
    """Return the share of the overtones (n_atoms, n_bins) that Abins leaves out, Q = 1/angstrom.

    Two quanta of different modes have ``(tr B tr B' + 2 B:B') Q^4 / 15``, two of the same mode half
    of that, 1/30, as their order makes no difference (expand the exponential of a harmonic
    oscillator to second order). Abins and abinslib give the same mode 1/60.
    """
    from euphonic import ureg

    tensors = displacements.n_plus_one.to('angstrom**2').magnitude
    traces = np.einsum('qmaii->qma', tensors)
    contracted = np.einsum('qmaij,qmaij->qma', tensors, tensors)
    strengths = modes.weights[:, None, None] * (traces**2 + 2 * contracted) / 60
    energies = 2 * modes.frequencies.to('1/cm').magnitude
    bins = edges.magnitude
    counted = np.array(
        [
            np.histogram(energies.ravel(), bins, weights=strengths[..., atom].ravel())[0]
            for atom in range(strengths.shape[-1])
        ]
    )
    return counted / (bins[1] - bins[0]) * ureg('cm')


def scale_second_order(
    unit: np.ndarray, thermal: Any, bins: np.ndarray, instrument: Any, angle: float
) -> np.ndarray:
    """Return second order in one bank: ``Q^4`` and the isotropic Debye-Waller factor applied."""
    centres = (bins[1:] + bins[:-1]) / 2
    q2 = ins.momentum_transfer_squared(centres, angle, instrument.final_energy)
    mean_square = 2 * np.einsum('aii->a', thermal.to('angstrom**2').magnitude) / 3
    return unit * q2**2 * np.exp(-mean_square[:, None] * q2)


def in_barn(spectra: Any) -> np.ndarray:
    """Return spectra of atoms times their total cross sections, in barn/(1/cm)."""
    from abinslib.util import apply_weights
    from euphonic.isotopes import NoMatchingIsotopeError

    try:
        # euphonic prints a line for each atom.
        with contextlib.redirect_stdout(io.StringIO()):
            weighted = apply_weights(spectra)
    except NoMatchingIsotopeError as error:
        raise DriverError('BAD_INPUT', f'an atom has no known cross section: {error}') from error
    return np.asarray(weighted.y_data.to('barn * cm').magnitude)


if __name__ == '__main__':
    sys.exit(main(run, ('abinslib', 'euphonic', 'phonopy', 'numpy')))
