"""Training from a configuration: data, audit, checkpoints, and a model that is served as it was trained.

`chattmpl.extra.train.config` reads a configuration, and needs no torch; `chattmpl.extra.train.training` runs it.
"""
