"""Queries of the provenance graph that return plain tables."""
