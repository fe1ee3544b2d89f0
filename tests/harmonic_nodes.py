"""Harmonic spectra of the cell of ``moving``, with what the graph says of how they were made."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida import orm
from aiida.common.links import LinkType
from aiida_phonopy.data import ForceConstantsData
from moving import heavy_cell

from aiida_mlip_ins.calculations.functions.spectra import broaden_spectrum, group_intensities
from aiida_mlip_ins.calculations.ins import InsCalculation
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.science import ins
from aiida_mlip_ins.workflows.protocols import load_protocol


def oscillators(frequency: float) -> ForceConstantsData:
    """Return force constants of hydrogen on springs of its own and lead on weak ones.

    :param frequency: of hydrogen, 1/cm.
    """
    constants = ForceConstantsData(
        structure=to_structure(heavy_cell()),
        supercell_matrix=[1, 1, 1],
        primitive_matrix=np.eye(3).tolist(),
    )
    # m (2 pi c nu)^2 in eV/angstrom^2
    omega = 2 * np.pi * 2.99792458e10 * frequency
    stiffness = 1.00794 * 1.66053906660e-27 * omega**2 / 1.602176634e-19 * 1e-20
    springs = np.zeros((2, 2, 3, 3))
    springs[0, 0] = stiffness * np.eye(3)
    springs[1, 1] = 0.01 * stiffness * np.eye(3)
    constants.set_force_constants(springs)
    return constants


def harmonic_spectrum(frequency: float, pressure: float = 1.5, **changes: Any) -> InsSpectrumData:
    """Return a broadened spectrum with one line, as if `InsWorkChain` had made it.

    :param changes: of the settings of the simulation.
    """
    parameters = load_protocol('ins', 'fast')['parameters'] | {'mesh': [1, 1, 1], 'max_order': 1}
    parameters |= {'energy_max': 1000.0, **changes}
    job = orm.CalcJobNode(process_type=InsCalculation.build_process_type())
    inputs = {'parameters': orm.Dict(parameters), 'force_constants': oscillators(frequency)}
    for name, node in inputs.items():
        job.base.links.add_incoming(node.store(), LinkType.INPUT_CALC, name)
    job.computer = orm.Computer.collection.all()[0]
    job.store()
    rows = ins.describe_rows(['H', 'Pb'], [1], ['forward', 'backward'])
    edges = np.arange(0.0, parameters['energy_max'] + 1)
    intensity = np.zeros((len(rows), len(edges) - 1))
    intensity[[row['element'] == 'H' for row in rows], int(frequency)] = 10.0
    intensities = InsSpectrumData.from_arrays(
        edges, intensity, rows, 'intensities', parameters['temperature'], 'TOSCA', pressure
    )
    intensities.base.links.add_incoming(job, LinkType.CREATE, 'intensities')
    intensities.store()
    grouped = group_intensities(intensities, orm.List(['element', 'order', 'bank']))
    resolution = {'instrument': 'TOSCA', 'model': 'AbINS', 'arguments': {}}
    return broaden_spectrum(grouped, orm.Dict(resolution))
