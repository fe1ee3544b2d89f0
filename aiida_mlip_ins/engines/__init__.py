"""What the engines' environments hold: pinned requirements and pseudopotential cutoffs.

The files here are the one place where these versions and numbers are written down.
"""
