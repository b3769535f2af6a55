"""Training from a configuration: data, audit, checkpoints, and a model that is served as it was trained.

`chattmpl.training.run.config` reads a configuration, and needs no torch; `chattmpl.training.run.run` runs it.
"""
