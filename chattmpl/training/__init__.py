"""Training: the adapter for trl, runs from a configuration, and the proof that a template trains.

`chattmpl.training.config` reads a configuration without torch; `chattmpl.training.run` carries it out.
"""
