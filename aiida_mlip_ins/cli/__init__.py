"""The command line, `aiida-mlip-ins`."""
