"""Settings of an INS simulation that tests start from."""

SETTINGS = {
    'instrument': 'TOSCA', 'banks': {}, 'temperature': 10.0, 'mesh': [2, 2, 2],
    'gamma_centred': False, 'max_order': 2, 'overtones': 'abins', 'cross_section': 'total',
    'isotopes': {}, 'energy_min': 0.0, 'energy_max': 4000.0, 'bin_width': 1.0,
    'frequency_min': 10.0, 'imaginary': 'refuse', 'imaginary_tolerance': 1.0,
    'asr_threshold': 30.0,
}  # fmt: skip

MD_SETTINGS = {
    **{key: SETTINGS[key] for key in (
        'instrument', 'banks', 'temperature', 'max_order', 'cross_section', 'energy_min',
        'energy_max', 'bin_width', 'frequency_min',
    )},
    'equilibration_ps': 0.0, 'line_width': 5.0, 'verlet': True,
}  # fmt: skip
"""The same of molecular dynamics."""
