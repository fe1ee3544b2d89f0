"""Parsers of the engine jobs: one small class per driver."""
