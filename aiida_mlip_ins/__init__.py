"""AiiDA plugin: machine-learned potentials put to the test by inelastic neutron scattering.

crystal structure -> targeted DFT dataset -> MACE -> relaxed state at each pressure
-> force constants -> INS spectrum -> comparison.

This file imports nothing: it travels with every engine job to an environment without AiiDA.
"""

__version__ = '0.1.0'
