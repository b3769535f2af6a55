"""Defects planted into good templates: what `bench/mutants.py` measures lint with."""
