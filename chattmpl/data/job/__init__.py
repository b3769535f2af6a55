"""Encode jobs: whole datasets on many processes, in bounded memory, resumable."""

from __future__ import annotations

from chattmpl.data.job.context import Watcher
from chattmpl.data.job.options import Allowance, JobOptions, Options, RowOptions, ScanOptions
from chattmpl.data.job.record import Summary
from chattmpl.data.job.run import encode_dataset
from chattmpl.data.mixture import Mixture, MixtureSource

__all__ = [
    "Allowance",
    "JobOptions",
    "Mixture",
    "MixtureSource",
    "Options",
    "RowOptions",
    "ScanOptions",
    "Summary",
    "Watcher",
    "encode_dataset",
]
