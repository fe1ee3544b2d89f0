"""Calculations: one CalcJob per driver, and calcfunctions under ``functions``."""
