"""Encoding whole data sets: many processes, bounded memory, nothing lost, and resumable."""

from __future__ import annotations

from chattmpl.data.job.options import Allowance, Options
from chattmpl.data.job.run import Watcher, encode
from chattmpl.data.job.summary import Summary
from chattmpl.data.mixture import Mixture, Source

__all__ = ["Allowance", "Mixture", "Options", "Source", "Summary", "Watcher", "encode"]
