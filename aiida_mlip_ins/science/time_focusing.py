"""Resolution of the time-focused crystal analysers TFXA and TOSCA-1, from how they are built.

Sample, graphite and detector are parallel planes. With ``D`` the distance along their normal from
sample to graphite and on to the detector, ``x`` that along the planes and ``d`` the spacing of the
lattice planes, Bragg's law makes the time of flight after the sample ``t_f = m d D / (pi hbar)``:
the same for all ``tan(angle) = D / x``. With ``w = E_i - E_f``, ``E_i`` from the rest of the time,
``t_i = t - t_f`` over the distance ``L``:

- time (pulse ``a / k_i`` of the moderator, width ``c`` of a channel): ``2 E_i dt / t_i``,
- distance from the moderator: ``2 E_i dL / L``,
- along the normal (thicknesses; graphite counts on both legs):
  ``2 (E_i t_f / t_i + E_f cos(angle)^2) dD / D``,
- along the planes (widths of sample and detector): ``2 E_f cot(angle) sin(angle)^2 dx / D``,

added in quadrature. The contributions and the figures are those of P. C. H. Mitchell, S. F. Parker,
A. J. Ramirez-Cuesta, J. Tomkinson, *Vibrational Spectroscopy with Neutrons*, World Scientific 2005,
appendix 3, as resins keeps the figures. resins 0.1.0 has the formula too, but it cannot be
evaluated; this one is derived anew from the geometry. The root is taken for a standard deviation,
as resins does. So taken, figures like these give for TOSCA 0.7 to 1.3 times what AbINS has for it
up to 2000 1/cm, and more above: that is how far the widths can be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiida_mlip_ins.science.instruments import Q2_PER_MEV

SPEED = 4.373933621e-4
"""Of a neutron of 1 meV, m/us; CODATA 2018."""


@dataclass(frozen=True)
class Spectrometer:
    """A spectrometer, and how much of each of its figures is not known of a neutron."""

    distance: float
    """From the moderator to the sample, m."""
    distance_spread: float
    """m."""
    pulse: float
    """Length of the moderator's pulse times the wave vector, us/angstrom."""
    channel: float
    """us."""
    thicknesses: tuple[float, float, float]
    """Of sample, graphite and detector, m."""
    widths: tuple[float, float]
    """Of sample and detector, m."""
    angle: float
    """Between neutrons and planes, degrees."""
    analyser_path: float
    """From the sample by way of the graphite to the detector, m."""
    final_energy: float
    """meV."""

    @classmethod
    def from_resins(cls, version: str) -> Spectrometer:
        """Return the spectrometer that resins has as a version of TOSCA."""
        from resins import Instrument

        data = Instrument.from_default('TOSCA', version).get_model_data('book')
        return cls(
            data.primary_flight_path,
            data.primary_flight_path_uncertainty,
            data.water_moderator_constant,
            data.time_channel_uncertainty,
            (data.sample_thickness, data.graphite_thickness, data.detector_thickness),
            (data.sample_width, data.detector_width),
            data.average_bragg_angle_graphite,
            data.average_secondary_flight_path,
            data.average_final_energy,
        )


def energy_width(spectrometer: Spectrometer, energy: np.ndarray) -> np.ndarray:
    """Return the standard deviation (n,) of the energy transfer at each one (n,), both in meV."""
    one = spectrometer
    incident = energy + one.final_energy
    before = one.distance / (SPEED * np.sqrt(incident))
    after = one.analyser_path / (SPEED * np.sqrt(one.final_energy))
    angle = np.radians(one.angle)
    normal = one.analyser_path * np.sin(angle)
    sample, graphite, detector = one.thicknesses
    depth = np.linalg.norm([sample, 2 * graphite, detector]) / normal
    along = np.linalg.norm(one.widths) / normal
    pulse = one.pulse / np.sqrt(Q2_PER_MEV * incident)
    parts = [
        incident * np.hypot(pulse, one.channel) / before,
        incident * one.distance_spread / one.distance,
        (incident * after / before + one.final_energy * np.cos(angle) ** 2) * depth,
        np.full_like(incident, one.final_energy * np.sin(angle) * np.cos(angle) * along),
    ]
    found: np.ndarray = 2 * np.linalg.norm(parts, axis=0)
    return found
