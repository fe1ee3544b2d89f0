"""Intensities straight from phonopy's own mesh and abinslib's public functions, nothing of ours.

Run by the engines' Python: ``python direct_abinslib.py FORCE_CONSTANTS.npz SETTINGS.json OUT.npz``.
The mesh is whole, without time reversal; Q comes from abinslib.
"""

import json
import sys
from pathlib import Path

import numpy as np
import phonopy
from abinslib.almost_isotropic_incoherent import (
    calculate_almost_isotropic_incoherent_spectra,
    mantid_like_combination_spectra,
)
from abinslib.displacements import Displacements
from abinslib.util import apply_weights, calculate_indirect_q2
from euphonic import Crystal, QpointPhononModes, Quantity
from phonopy.structure.cells import PhonopyAtoms

THZ_IN_PER_CM = 1e12 / 2.99792458e10

source, settings_file, target = sys.argv[1:]
settings = json.loads(Path(settings_file).read_text())
data = np.load(source)
unit = PhonopyAtoms(
    cell=data['cell'],
    positions=data['positions'],
    symbols=list(data['symbols']),
    masses=data['masses'],
)
phonon = phonopy.Phonopy(
    unit, data['supercell_matrix'].astype(int), data['primitive_matrix'], is_symmetry=False
)
phonon.force_constants = data['force_constants']
shift = [0.0, 0.0, 0.0] if settings['gamma_centred'] else [0.5, 0.5, 0.5]
phonon.run_mesh(
    settings['mesh'],
    shift=np.array(shift) - (np.array(settings['mesh']) % 2 == 0) * 0.5,
    is_time_reversal=False,
    is_mesh_symmetry=False,
    with_eigenvectors=True,
)
mesh = phonon.mesh
assert len(mesh.qpoints) == np.prod(settings['mesh'])
assert np.all(np.abs(mesh.qpoints).sum(axis=1) > 1e-6)
vectors = np.swapaxes(mesh.eigenvectors, 1, 2)
n_q, n_modes = mesh.frequencies.shape
modes = QpointPhononModes(
    Crystal(
        Quantity(np.array(unit.cell), 'angstrom'),
        unit.scaled_positions,
        np.array(unit.symbols),
        Quantity(unit.masses, 'amu'),
    ),
    mesh.qpoints,
    Quantity(mesh.frequencies * THZ_IN_PER_CM, '1/cm'),
    vectors.reshape(n_q, n_modes, -1, 3),
    np.full(n_q, 1 / n_q),
)
bins = Quantity(np.arange(settings['energy_min'], settings['energy_max'] + 1), '1/cm')
centres = (bins[1:] + bins[:-1]) / 2
displacements = Displacements.from_modes(modes, Quantity(settings['temperature'], 'kelvin'))
thermal = displacements.to_atomic_displacements()
final = Quantity(32.0, '1/cm')
found = []
for angle in (45.0, 134.98885653282196):
    q2 = calculate_indirect_q2(modes.frequencies, np.radians(angle), final)
    found.append(
        calculate_almost_isotropic_incoherent_spectra(modes, displacements, thermal, q2, bins)
    )
    q2 = calculate_indirect_q2(centres, np.radians(angle), final)
    found.append(mantid_like_combination_spectra(modes, displacements, thermal, q2, bins))
intensity = [apply_weights(spectra).y_data.to('barn cm').magnitude for spectra in found]
np.savez(target, intensity=np.concatenate(intensity))
