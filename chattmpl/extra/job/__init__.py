"""Encoding whole data sets: many processes, bounded memory, nothing lost, and resumable."""

from __future__ import annotations

from chattmpl.extra.job.options import Allowance, Options
from chattmpl.extra.job.run import Watcher, encode
from chattmpl.extra.job.summary import Summary
from chattmpl.extra.mixture import Mixture, Source

__all__ = ["Allowance", "Mixture", "Options", "Source", "Summary", "Watcher", "encode"]
