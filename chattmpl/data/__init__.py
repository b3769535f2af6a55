"""Datasets: read, encoded, measured and audited."""
