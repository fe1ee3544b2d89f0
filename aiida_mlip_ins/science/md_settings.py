"""Settings of molecular dynamics and of the verdict on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aiida_mlip_ins.science.settings import problems, setting
from aiida_mlip_ins.science.training import DEVICES, DTYPES


@dataclasses.dataclass(frozen=True)
class MdSettings:
    """One run of molecular dynamics: how atoms and cell are moved, what is kept, when to stop."""

    ensemble: str = setting(
        'Constant volume (`nvt`) or constant pressure (`npt`).', choices=('nvt', 'npt')
    )
    thermostat: str = setting(
        'At constant volume: stochastic velocity rescaling (Bussi, J. Chem. Phys. 126, 014101), '
        'which disturbs the motion least and has a conserved energy, or Langevin.',
        choices=('bussi', 'langevin'),
    )
    barostat: str = setting(
        'At constant pressure: Martyna, Tobias and Klein (J. Chem. Phys. 101, 4177) with '
        'Nose-Hoover chains, for the whole cell or its volume alone.',
        choices=('mtk', 'mtk_isotropic'),
    )
    timestep_fs: float = setting('Time step.', 'fs', above=0.0, maximum=10.0)
    duration_ps: float = setting('Length of the run, restarts included.', 'ps', above=0.0)
    thermostat_time_fs: float = setting('Time constant of the thermostat.', 'fs', above=0.0)
    barostat_time_fs: float = setting('Time constant of the barostat.', 'fs', above=0.0)
    settle_ps: float = setting(
        'At constant pressure: beginning in which the motion of the cell is damped, critically for '
        'one that swings with the time constant of the barostat. Heated at once, a crystal would '
        'ring about its mean volume, far beyond it and for many periods.',
        'ps',
        minimum=0.0,
    )
    initial_temperature_factor: float = setting(
        'Velocities are drawn at this many times the temperature: at 2, a crystal that starts from '
        'its sites has the right temperature once half of it is potential energy.',
        minimum=0.0,
    )
    seed: int = setting('Of velocities and of the noise of the thermostat.', minimum=0)
    record_every: int = setting('Steps between frames that are kept.', minimum=1)
    batch_frames: int = setting(
        'Frames that are written at once, with a checkpoint to go on from.', minimum=1
    )
    max_temperature_factor: float = setting(
        'The run is stopped when it is hotter than this many times the temperature.', above=1.0
    )
    max_volume_change: float = setting(
        'The run is stopped when the volume has changed by this share.', above=0.0
    )
    max_displacement: float = setting(
        'The run is stopped when an atom is as far from its site.', 'angstrom', above=0.0
    )
    wallclock_share: float = setting(
        'Share of the wall time after which the job ends by itself, to be continued.',
        above=0.0,
        maximum=1.0,
    )
    dtype: str = setting('Floating point type the model is run in.', choices=DTYPES)
    device: str = setting('Device of torch.', choices=DEVICES)
    head: str | None = setting(
        'Head of the model; `Default` or the only one if not given.', optional=True
    )

    @property
    def steps(self) -> int:
        """Number of time steps of the whole run."""
        return max(1, round(self.duration_ps * 1000 / self.timestep_fs))


@dataclasses.dataclass(frozen=True)
class StabilitySettings:
    """When a crystal counts as stable in a run, and how the run is analysed."""

    equilibration_ps: float = setting(
        'Beginning that is left out of all averages.', 'ps', minimum=0.0
    )
    max_temperature_deviation: float = setting(
        'Largest relative deviation of the mean temperature, beyond three standard errors.',
        above=0.0,
    )
    max_energy_drift: float = setting(
        'Largest drift of the conserved energy, beyond three standard errors.',
        'meV/atom/ps',
        above=0.0,
    )
    max_volume_change: float = setting(
        'Largest relative difference of the mean volume from that of the start (npt).', above=0.0
    )
    max_rmsd: float = setting(
        'Largest root mean square distance of an element from its sites, hydrogen apart.',
        'angstrom',
        above=0.0,
    )
    max_rmsd_hydrogen: float = setting('The same for hydrogen.', 'angstrom', above=0.0)
    bond_factor: float = setting(
        'Atoms are bonded in the first frame if closer than this times the sum of their covalent '
        'radii and not both metals.',
        above=0.5,
        maximum=2.0,
    )
    break_factor: float = setting(
        'A bond is broken when it is longer than this times its first length.', above=1.0
    )
    form_factor: float = setting(
        'A bond has formed when two other atoms are closer than this times the sum of their radii.',
        above=0.0,
        maximum=1.5,
    )
    max_changed_bonds: int = setting('Most bonds that may break or form.', minimum=0)
    pair_frames: int = setting(
        'Frames, evenly spaced, that new bonds and radial distributions are taken from.', minimum=1
    )
    rdf_max: float = setting('Range of the radial distributions.', 'angstrom', above=0.5)
    rdf_bin: float = setting('Width of their bins.', 'angstrom', above=0.0)
    dos_max_energy: float = setting('Range of the vibrational spectrum.', '1/cm', above=0.0)
    dos_bin: float = setting('Step of its energies.', '1/cm', above=0.0)
    dos_resolution: float = setting(
        'Standard deviation of the Gaussian that it is broadened with.', '1/cm', above=0.0
    )


def md_problems(values: Mapping[str, Any], where: str) -> list[str]:
    """Return every problem of the settings of a run."""
    found = problems(MdSettings, values, where)
    if found:
        return found
    settings = MdSettings(**values)
    if settings.initial_temperature_factor >= settings.max_temperature_factor:
        found.append(
            f'{where}: velocities are drawn at {settings.initial_temperature_factor:g} times the '
            f'temperature, and the run is stopped above {settings.max_temperature_factor:g} times: '
            'raise max_temperature_factor'
        )
    if settings.steps < settings.record_every:
        found.append(
            f'{where}: {settings.duration_ps:g} ps are {settings.steps} steps, but a frame is kept '
            f'every {settings.record_every}: raise duration_ps or lower record_every'
        )
    return found


def stability_problems(
    values: Mapping[str, Any], where: str, run: Mapping[str, Any] | None = None
) -> list[str]:
    """Return every problem of the settings of a verdict.

    :param run: settings of the run that it is on, if they are valid.
    """
    found = problems(StabilitySettings, values, where)
    if found or run is None:
        return found
    if run['ensemble'] == 'npt' and run['settle_ps'] > values['equilibration_ps']:
        found.append(
            f'{where}.equilibration_ps: {values["equilibration_ps"]:g} ps are left out, but the '
            f'cell is damped for {run["settle_ps"]:g} ps (settle_ps of the run); raise the one or '
            'lower the other'
        )
    left = run['duration_ps'] - values['equilibration_ps']
    if left < 2 * run['record_every'] * run['timestep_fs'] / 1000:
        found.append(
            f'{where}.equilibration_ps: {values["equilibration_ps"]:g} ps are left out of '
            f'{run["duration_ps"]:g} ps, and nothing is left to judge'
        )
    return found


def temperatures_problems(temperatures: Any) -> list[str]:
    """Return the problems of a list of temperatures (K)."""
    if not isinstance(temperatures, list | tuple) or not temperatures:
        return [f'temperatures: expected a list with at least one in K, got {temperatures!r}']
    if any(isinstance(t, bool) or not isinstance(t, int | float) for t in temperatures):
        return [f'temperatures: expected numbers in K, got {temperatures!r}']
    wrong = [t for t in temperatures if not np.isfinite(t) or t <= 0]
    found = [f'temperatures: {wrong} K: molecular dynamics needs more than 0 K'] if wrong else []
    if len(set(temperatures)) < len(temperatures):
        found.append(f'temperatures: some are given more than once: {list(temperatures)} K')
    return found


def count_problems(structures: Sequence[Any], pressures: Sequence[float]) -> list[str]:
    """Return a problem if there is not one crystal for each pressure."""
    if len(structures) == len(pressures):
        return []
    return [
        f'structures: {len(structures)} for {len(pressures)} pressures; give the relaxed crystal '
        'of each'
    ]
