"""The findings of an audit, for people, for programs and for code hosts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from chattmpl.printable import dumps
from chattmpl.report.diagnostics import SARIF_SCHEMA
from chattmpl.report.lines import Line, line

FORMATS = ("rich", "text", "json", "sarif")

_STYLES = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_NAMES = {"error": "error", "warning": "warning", "info": "note"}

Audit = Mapping[str, Any]
"""What ``Report.to_dict`` gives."""


def lines(report: Audit) -> Iterator[Line]:
    """The findings with their examples and hints, and a summary."""
    for found in report["findings"]:
        style = _STYLES[found["severity"]]
        yield line((f"{found['severity']} {found['code']}", style), f" {found['name']}: {found['message']}")
        yield line("  ", (_counted(found), "bold"))
        examples = found["examples"]
        width = max((len(example["place"]) for example in examples), default=0)
        for example in examples:
            detail = " ".join(example.get("detail", "").split())
            shown = detail if len(detail) <= 100 else f"{detail[:99]}…"
            yield line("  ", (example["place"].ljust(width), "bold"), ("  " + shown, "dim"))
        yield line(("  hint: ", "green"), found["hint"])
        yield line("")
    yield line((summary(report), "bold"))


def _counted(found: Mapping[str, Any]) -> str:
    rows = f"{found['count']:,} row{'' if found['count'] == 1 else 's'} ({found['share']:.1%})"
    many = f", {found['amount']:,} {found['unit']}" if found["amount"] > found["count"] else ""
    sources = found["sources"]
    if len(sources) < 2:
        return rows + many
    most = sorted(sources.items(), key=lambda pair: (-pair[1], pair[0]))
    told = ", ".join(f"{name} {count:,}" for name, count in most[:3])
    return f"{rows}{many}: {told}{', …' if len(most) > 3 else ''}"


def summary(report: Audit) -> str:
    """How many findings there are, in how many rows was looked."""
    counts = Counter(found["severity"] for found in report["findings"])
    told = ", ".join(
        f"{counts[severity]} {name}{'' if counts[severity] == 1 else 's'}"
        for severity, name in _NAMES.items()
        if counts[severity]
    )
    rows = f"{report['rows']:,} row{'' if report['rows'] == 1 else 's'}"
    return f"{told or 'no findings'} in {rows}, {report['tokens']:,} tokens"


def json_text(report: Audit) -> str:
    """The whole report; see ``Report.to_dict``."""
    return dumps(report, indent=2) + "\n"


def sarif(report: Audit, documentation: Mapping[str, str], version: str) -> str:
    """SARIF 2.1.0: a result for each finding, with its examples as locations.

    Args:
        report: what ``Report.to_dict`` gives.
        documentation: of each kind that was found, by code.
        version: of chattmpl.
    """
    codes = sorted({found["code"] for found in report["findings"]})
    rules = []
    for code in codes:
        found = next(one for one in report["findings"] if one["code"] == code)
        text = documentation[code]
        rules.append(
            {
                "id": code,
                "name": found["name"],
                "shortDescription": {"text": text.partition("\n")[0]},
                "help": {"text": text, "markdown": text},
            }
        )
    driver = {"name": "chattmpl audit", "version": version, "rules": rules}
    results = [_result(found, codes.index(found["code"])) for found in report["findings"]]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(found: Mapping[str, Any], index: int) -> dict[str, Any]:
    # SARIF's occurrenceCount speaks of results that are identical, so the count stands in the message.
    return {
        "ruleId": found["code"],
        "ruleIndex": index,
        "level": _LEVELS[found["severity"]],
        "message": {"text": f"{found['message']}: {_counted(found)}. Hint: {found['hint']}"},
        "locations": [_location(example) for example in found["examples"][:1]],
        "relatedLocations": [_location(example) for example in found["examples"][1:]],
        "properties": {name: found[name] for name in ("key", "count", "share", "amount", "sources")},
    }


def _location(example: Mapping[str, Any]) -> dict[str, Any]:
    uri = quote(str(example["file"]).replace("\\", "/"), safe="/")
    place: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if example["line"] is not None:
        place["region"] = {"startLine": example["line"]}
    location: dict[str, Any] = {"physicalLocation": place}
    said = [] if example["line"] is not None else [f"row {example['number']}"]
    said += [example["detail"]] if example.get("detail") else []
    return {**location, "message": {"text": ": ".join(said)}} if said else location
