"""What a job says of itself when it is done; the same job says the same, so no time is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chattmpl.data.job.counters import Counts
from chattmpl.data.job.options import Allowance
from chattmpl.data.job.plan import Plan

_COUNTED = ("rows", "encoded", "rejected", "drawn", "samples", "tokens", "trained")


@dataclass(frozen=True)
class Summary:
    """The summary of a job.

    Attributes:
        data: what ``summary.json`` holds.
        files: the files of the data set.
        rejected: the file of the rows that were refused.
    """

    data: dict[str, Any]
    files: tuple[Path, ...]
    rejected: Path

    @property
    def refused(self) -> int:
        """How many rows were refused, in whole or in part."""
        return int(self.data["rows"]["rejected"])

    def exceeds(self, allowance: Allowance) -> bool:
        """Whether more rows were refused than may be."""
        return allowance.exceeded(self.refused, int(self.data["rows"]["rows"]))


def summarize(plan: Plan, job: dict[str, Any], counts: Counts, rows: Sequence[int]) -> dict[str, Any]:
    """The summary as JSON.

    Args:
        plan: what was read.
        job: what was asked for.
        counts: what happened.
        rows: how many rows each shard holds.
    """
    each = counts.get("sources", {})
    totals = {name: sum(some.get(name, 0) for some in each.values()) for name in _COUNTED}
    said: dict[str, Any] = {
        "rows": {**totals, "written": sum(rows)},
        "reasons": dict(sorted(counts.get("reasons", {}).items())),
        "sources": [_source(plan, index, each, totals) for index in range(len(plan.sources))],
    }
    for name in ("overflow", "unroll", "straddles", "escaped", "paths"):
        if some := {key: value for key, value in counts.get(name, {}).items() if value}:
            said[name] = some
    if "pack" in counts:
        said["pack"] = _pack(counts["pack"], job["options"]["pack"])
    return {**said, "job": job}


def _source(plan: Plan, index: int, each: Counts, totals: Counts) -> dict[str, Any]:
    source = plan.sources[index]
    counted = each.get(source.source.name, {})
    said: dict[str, Any] = {"name": source.source.name, "files": len(source.scans)}
    said |= {name: counted.get(name, 0) for name in _COUNTED}
    for what, of in (("samples", "share_of_samples"), ("tokens", "share_of_tokens")):
        said[of] = round(said[what] / totals[what], 6) if totals[what] else 0.0
    if source.source.share is not None:
        shares = sum(other.share or 0 for other in plan.mixture.sources)
        said["share_wanted"] = round(source.source.share / shares, 6)
        said["share_of"] = plan.mixture.share_of
    if plan.draws:
        said["epochs"] = round(said["drawn"] / source.rows, 6)
    return said


def _pack(counts: Counts, size: int) -> dict[str, Any]:
    def dense(rows: int) -> float:
        return round(counts["tokens"] / (rows * size), 6) if rows else 0.0

    said = {"size": size, "rows": counts["rows"], "documents": counts["documents"], "efficiency": dense(counts["rows"])}
    return {**said, "trl_rows": counts["trl_rows"], "trl_efficiency": dense(counts["trl_rows"])}
