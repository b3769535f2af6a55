"""Record of a job: its identity, which decides whether it can be resumed, and its summary.

The same job gives the same record, so there is no time in it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chattmpl.data.job.events import Counts
from chattmpl.data.job.options import Options, RejectionLimit
from chattmpl.data.job.plan import Plan
from chattmpl.data.sources import digest_of
from chattmpl.encode import load_tokenizer
from chattmpl.encode.fast_tokenizer import FastTokenizer
from chattmpl.encode.tokenizer_loader import tokenizer_files
from chattmpl.printable import row_place
from chattmpl.template.template import Template
from chattmpl.version import __version__

_COUNTED = ("rows", "encoded", "rejected", "drawn", "samples", "tokens", "trained")


# -- identity


def identify(plan: Plan, template: Template, tokenizer: object, options: Options) -> dict[str, Any]:
    """Return the identity of a job as JSON; jobs with equal identities write the same bytes."""
    return {
        "chattmpl": __version__,
        "template": {
            "name": template.name,
            "retention": template.retention,
            "digest": _digest("".join(each.source + repr(sorted(each.tokens.items())) for each in template.variants)),
        },
        "tokenizer": _tokenizer(tokenizer),
        "options": options.to_dict(),
        "seed": plan.mixture.seed,
        "mixture": plan.mixture.model_dump(mode="json"),
        "files": [
            {"path": scan.file.path, "rows": scan.rows, "digest": scan.digest}
            for source in plan.sources
            for scan in source.scans
        ],
    }


def describe_changes(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Describe the difference between two jobs; None if they are the same."""
    words = {"files": "the data", "chattmpl": "the version of chattmpl", "mixture": "the mixture"}
    changed = [name for name in now if before.get(name) != now[name]]
    described = [words.get(name, f"the {name}") for name in changed if name != "options"]
    if "options" in changed:
        earlier = before.get("options")
        earlier = earlier if isinstance(earlier, dict) else {}
        names = [name for name, value in now["options"].items() if earlier.get(name) != value]
        described += [f"--{name}".replace("_", "-") for name in names]
    return ", ".join(described) or None


def _tokenizer(tokenizer: object) -> dict[str, Any]:
    if not isinstance(tokenizer, str | Path):
        adapted = load_tokenizer(tokenizer)
        definition = adapted.raw.to_str() if isinstance(adapted, FastTokenizer) else repr(tokenizer)
        return {"name": type(tokenizer).__name__, "digest": _digest(definition)}
    digests = [digest_of(str(file)) for file in tokenizer_files(tokenizer)]
    return {"name": str(tokenizer), "digest": _digest("".join(digests)) if digests else None}


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


# -- summary


@dataclass(frozen=True)
class Summary:
    """The summary of a job.

    Attributes:
        data: the contents of ``summary.json``.
        files: the files of the dataset.
        rejected: the file of rejected rows.
        path: the file ``summary.json``.
        single: true if the dataset is one file, and not a folder.
    """

    data: dict[str, Any]
    files: tuple[Path, ...]
    rejected: Path
    path: Path
    single: bool

    @property
    def rejected_rows(self) -> int:
        """Number of rows that were rejected wholly or partly."""
        return int(self.data["rows"]["rejected"])

    def exceeds(self, allowance: RejectionLimit) -> bool:
        """Return true if more rows than allowed were rejected."""
        return allowance.is_exceeded(self.rejected_rows, int(self.data["rows"]["rows"]))

    def first_rejected(self) -> tuple[str, str | None]:
        """Return the first rejected row with its reason in words, and the hint."""
        with self.rejected.open(encoding="utf-8") as file:
            first = json.loads(file.readline())
        place = row_place(first["file"], first["line"], first["index"])
        where = f" (at {first['place']})" if first["place"] else ""
        return f"{place}: {first['message']}{where}", first["hint"]


def summarize(plan: Plan, job: dict[str, Any], counts: Counts, rows: Sequence[int]) -> dict[str, Any]:
    """Return the summary of a job as JSON, from its plan, its identity, its counts and the number of rows of each
    shard.
    """
    each = counts.get("sources", {})
    totals = {name: sum(some.get(name, 0) for some in each.values()) for name in _COUNTED}
    summary: dict[str, Any] = {
        "rows": {**totals, "written": sum(rows)},
        "reasons": dict(sorted(counts.get("reasons", {}).items())),
        "sources": [_source(plan, index, each, totals) for index in range(len(plan.sources))],
    }
    for name in ("overflow", "several", "straddles", "escaped", "unknown", "paths"):
        if some := {key: value for key, value in counts.get(name, {}).items() if value}:
            summary[name] = some
    if "reading" in counts:
        summary["reading"] = counts["reading"]
    if "pack" in counts:
        summary["pack"] = _pack(counts["pack"], job["options"]["pack"])
    return {**summary, "job": job}


def _source(plan: Plan, index: int, each: Counts, totals: Counts) -> dict[str, Any]:
    source = plan.sources[index]
    counted = each.get(source.source.name, {})
    record: dict[str, Any] = {"name": source.source.name, "files": len(source.scans)}
    record |= {name: counted.get(name, 0) for name in _COUNTED}
    for what, of in (("samples", "share_of_samples"), ("tokens", "share_of_tokens")):
        record[of] = round(record[what] / totals[what], 6) if totals[what] else 0.0
    if source.source.share is not None:
        record["share_wanted"] = round(plan.mixture.shares[index], 6)
        record["share_of"] = plan.mixture.share_of
    if plan.draws:
        record["epochs"] = round(record["drawn"] / source.rows, 6)
    return record


def _pack(counts: Counts, size: int) -> dict[str, Any]:
    def efficiency(rows: int) -> float:
        return round(counts["tokens"] / (rows * size), 6) if rows else 0.0

    record = {"size": size, "rows": counts["rows"], "documents": counts["documents"]}
    record |= {"efficiency": efficiency(counts["rows"])}
    return {**record, "trl_rows": counts["trl_rows"], "trl_efficiency": efficiency(counts["trl_rows"])}
