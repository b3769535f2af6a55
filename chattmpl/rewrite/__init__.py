"""Rewrites of a template that are proven to change nothing else."""
