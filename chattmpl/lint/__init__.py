"""Lint: rules that find defects of a chat template without training or serving anything.

Some rules read the source; the others render small conversations and check the results.
"""
