"""Calcfunctions: thin wrappers that give a function of ``science`` its provenance."""
