"""Datasets: sources, mixtures, encoding, statistics and audits."""
