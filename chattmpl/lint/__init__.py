"""Lint: rules that find what goes wrong in a chat template, without training or serving anything.

Static rules read the source; the others render small conversations and look at what became of them.
"""
