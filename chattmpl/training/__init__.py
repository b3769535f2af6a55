"""Training: the trl adapter, runs from a configuration, and the proof that a template trains."""
