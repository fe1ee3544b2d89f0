"""Calculations: one CalcJob per driver, and calcfunctions under ``functions``."""

PW_PLUGIN = 'quantumespresso.pw'
"""Entry point of the jobs that run pw.x, which is not ours."""
