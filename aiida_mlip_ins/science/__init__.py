"""Pure functions on numpy arrays and ASE atoms; no AiiDA and no engine is imported here."""
