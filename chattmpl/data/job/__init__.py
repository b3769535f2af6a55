"""Encode jobs: whole datasets on many processes, in bounded memory, resumable."""

from __future__ import annotations

from chattmpl.data.job.context import Watcher
from chattmpl.data.job.options import Allowance, JobOptions, Options, RowOptions, ScanOptions
from chattmpl.data.job.record import Summary
from chattmpl.data.job.run import encode
from chattmpl.data.mixture import Mixture, Source

__all__ = [
    "Allowance",
    "JobOptions",
    "Mixture",
    "Options",
    "RowOptions",
    "ScanOptions",
    "Source",
    "Summary",
    "Watcher",
    "encode",
]
