"""Defects planted into good templates, for `bench/mutants.py`."""
