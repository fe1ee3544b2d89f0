"""ASE's integrators as one thing: a step, a conserved energy, and a state to go on from."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.constraints import FixCom
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary

from aiida_mlip_ins.drivers.common import DriverError
from aiida_mlip_ins.science.md_settings import MdSettings

CHAINS = ('_thermostat._eta', '_thermostat._p_eta', '_barostat._xi', '_barostat._p_xi')
STATE = {
    'bussi': ('transferred_energy',),
    'langevin': (),
    'mtk': (*CHAINS, '_p_g'),
    'mtk_isotropic': (*CHAINS, '_p_eps'),
}
"""What an integrator remembers beside the atoms; of a barostat, last the momentum of the cell. Of
the chains ASE has no public names, and a run that went on without them would begin with a
thermostat and a barostat at rest."""


class Dynamics:
    """Atoms that are moved, one step at a time."""

    def __init__(
        self, atoms: Atoms, settings: MdSettings, temperature: float, pressure: float
    ) -> None:
        """Draw velocities and begin at step zero.

        :param atoms: the crystal with its calculator.
        :param temperature: K.
        :param pressure: GPa, of use at constant pressure alone.
        """
        self.atoms = atoms
        self.settings = settings
        self.temperature = temperature
        self.pressure = pressure
        self.done = 0
        self._rng = np.random.default_rng(settings.seed)
        MaxwellBoltzmannDistribution(
            atoms,
            temperature_K=temperature * settings.initial_temperature_factor,
            rng=self._rng,
        )
        Stationary(atoms)
        self._integrator = self._make()

    @property
    def kind(self) -> str:
        """Name of the integrator."""
        constant_volume = self.settings.ensemble == 'nvt'
        return self.settings.thermostat if constant_volume else self.settings.barostat

    @property
    def time(self) -> float:
        """Time since the start of the run, ps."""
        return self.done * self.settings.timestep_fs / 1000

    def step(self) -> None:
        """Go on by one time step."""
        self._integrator.step()
        self.done += 1
        if self.settings.ensemble == 'npt' and self.time <= self.settings.settle_ps:
            self._damp_cell()

    def _damp_cell(self) -> None:
        """Take from the cell's momentum what friction takes in a time step.

        An oscillator of period t is damped critically by a friction of 4 pi / t, and the cell
        swings about as fast as the time constant of the barostat says.
        """
        friction = 4 * np.pi / self.settings.barostat_time_fs
        name = STATE[self.kind][-1]
        momentum = getattr(self._integrator, name)
        setattr(self._integrator, name, momentum * np.exp(-friction * self.settings.timestep_fs))

    def conserved_energy(self) -> float:
        """Return the energy (eV) that an exact integration would conserve, NaN if there is none."""
        if self.kind == 'langevin':
            return float('nan')
        if self.kind == 'bussi':
            return float(self.atoms.get_total_energy() - self._integrator.transferred_energy)
        return float(self._integrator.get_conserved_energy())

    def state(self) -> dict[str, Any]:
        """Return copies of all that decides how the run goes on."""
        return {
            'step': self.done,
            'positions': self.atoms.get_positions(),
            'momenta': self.atoms.get_momenta(),
            'cell': self.atoms.cell.array.copy(),
            'kind': self.kind,
            'generator': json.dumps(self._rng.bit_generator.state),
            **{n: np.array(operator.attrgetter(n)(self._integrator)) for n in STATE[self.kind]},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        :raises DriverError: ``BAD_INPUT`` if it belongs to another crystal or integrator.
        """
        found = []
        if str(state['kind']) != self.kind:
            found.append(f"it is of '{state['kind']}', but the settings ask for '{self.kind}'")
        if state['positions'].shape != self.atoms.positions.shape:
            found.append(f'it has {len(state["positions"])} atoms instead of {len(self.atoms)}')
        if found:
            raise DriverError('BAD_INPUT', f'the checkpoint does not fit: {"; ".join(found)}')
        self.done = int(state['step'])
        self.atoms.set_cell(state['cell'])
        self.atoms.set_constraint()
        self.atoms.set_positions(state['positions'])
        self.atoms.set_momenta(state['momenta'])
        self._rng.bit_generator.state = json.loads(str(state['generator']))
        self._integrator = self._make()
        for name in STATE[self.kind]:
            owner, _, attribute = name.rpartition('.')
            holder = operator.attrgetter(owner)(self._integrator) if owner else self._integrator
            value = np.array(state[name])
            setattr(holder, attribute, value if value.ndim else float(value))

    def _make(self) -> MolecularDynamics:
        """Return the integrator, at rest, on the atoms as they are."""
        settings, kind = self.settings, self.kind
        timestep = settings.timestep_fs * units.fs
        damping = settings.thermostat_time_fs * units.fs
        if kind == 'langevin':
            # Of the centre of mass, which is moved too, the analysis takes the motion off.
            return Langevin(
                self.atoms,
                timestep,
                temperature_K=self.temperature,
                friction=1 / damping,
                fixcm=False,
                rng=self._rng,
            )
        if kind == 'bussi':
            self.atoms.set_constraint(FixCom())
            return Bussi(self.atoms, timestep, self.temperature, damping, rng=self._rng)
        integrator = MTKNPT if kind == 'mtk' else IsotropicMTKNPT
        # The chains give 3 n degrees of freedom their share, but the three of the centre of mass,
        # which is at rest and stays so, take none of it.
        share = 1 - 1 / len(self.atoms)
        return integrator(
            self.atoms,
            timestep,
            temperature_K=self.temperature * share,
            pressure_au=self.pressure * units.GPa,
            tdamp=damping,
            pdamp=settings.barostat_time_fs * units.fs,
        )
