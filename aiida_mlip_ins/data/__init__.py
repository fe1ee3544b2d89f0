"""Node types of the plugin: frames and datasets, models, spectra."""
