"""Equation of state as a node."""

from __future__ import annotations

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_mlip_ins.science.eos import fit_pressures


@calcfunction
def equation_of_state(results: orm.Dict) -> orm.Dict:
    """Return the third-order Birch-Murnaghan equation of state of a pressure scan.

    :param results: ``results`` of a pressure scan; of its ``pressures``, the converged ones count.
    :return: ``volume_angstrom3`` (at no pressure), ``bulk_modulus_gpa``,
        ``bulk_modulus_derivative`` with errors, ``residual_gpa``, ``n_points``; or ``problem``, why
        there is none.
    """
    rows = [row for row in results['pressures'] if row['converged']]
    volumes = np.array([row['volume_angstrom3'] for row in rows])
    pressures = np.array([row['pressure_gpa'] for row in rows])
    try:
        return orm.Dict(fit_pressures(volumes, pressures))
    except ValueError as error:
        return orm.Dict({'problem': str(error)})
