"""Diagnostics of lint, check and audit for terminals, programs, code hosts and CI."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import quote

from chattmpl.diagnostic import SEVERITIES, DataDiagnostic, Diagnostic, Location, Severity, TemplateDiagnostic
from chattmpl.printable import count, dumps, shortened, visible
from chattmpl.report.lines import Line, line
from chattmpl.rule_registry import Documented
from chattmpl.version import __version__

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
STYLES: dict[Severity, str] = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}
_SARIF_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}
_GITHUB_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "notice"}
NOUNS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}


# -- many equal findings

_SEPARATE = 10
"""The most equal findings of a file that are reported one by one."""

_SHOWN = 5
"""The number of places that are named where more are reported as one."""

_PLACE = re.compile(r"\[\d+\]|\blines? \d+")


class Repeated(NamedTuple):
    """A finding, and those of the same file that are equal but for their place, if there are many."""

    found: Diagnostic
    others: Sequence[Diagnostic] = ()

    @property
    def more(self) -> str:
        """The number of the others and the first of their places, in words."""
        if not self.others:
            return ""
        lines = dict.fromkeys(place.line for other in self.others for place in other.locations[:1] if place.line)
        named = ", ".join(map(str, list(lines)[:_SHOWN])) + (", …" if len(lines) > _SHOWN else "")
        where = "" if not lines else f" in line{'s' if len(lines) > 1 else ''} {named}"
        return f"and {len(self.others):,} more{where}"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON types; with the number of findings and their first places if there are several."""
        made = self.found.to_dict()
        if not self.others:
            return made
        places = [place for other in (self.found, *self.others) for place in other.locations[:1]][:_SHOWN]
        shown = [{"file": place.file, "line": place.line, "column": place.column} for place in places]
        return {**made, "occurrences": 1 + len(self.others), "places": shown}


def repeated(diagnostics: Sequence[Diagnostic]) -> list[Repeated]:
    """Join findings that are equal but for their place, if a file has many of them, at the first."""
    groups: dict[tuple[Any, ...], list[Diagnostic]] = {}
    for found in diagnostics:
        if isinstance(found, TemplateDiagnostic):
            groups.setdefault((found.place.source.name, _PLACE.sub("", repr(found.identity))), []).append(found)
    joined = {id(some[0]): some[1:] for some in groups.values() if len(some) > _SEPARATE}
    dropped = {id(found) for others in joined.values() for found in others}
    return [Repeated(found, joined.get(id(found), ())) for found in diagnostics if id(found) not in dropped]


# -- for people


def lines(diagnostics: Sequence[Diagnostic], rest: str = "") -> Iterator[Line]:
    """Yield the findings with excerpts or examples and hints, and a summary, which ends with ``rest``."""
    for one in repeated(diagnostics):
        found = one.found
        style = STYLES[found.severity]
        if isinstance(found, TemplateDiagnostic):
            mark = (" [fixable]" if found.fixable else "", "green")
            head = (f"{found.severity} {found.code}:", style)
            yield line((str(found.place), "bold"), ": ", head, " ", found.message, mark)
            source, _, caret = found.place.excerpt().rpartition("\n")
            yield line((source, "dim"))
            yield line((caret, style))
        elif isinstance(found, DataDiagnostic):
            yield line((f"{found.severity} {found.code}", style), f" {found.name}: {found.message}")
            yield line("  ", (_counted(found), "bold"))
            yield from _examples(found)
        if one.others:
            yield line("  ", (one.more, "bold"))
        yield line(("  hint: ", "green"), found.hint)
        yield line("")
    yield line((summary(diagnostics) + rest, "bold"))


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """Return the number of findings of each severity."""
    counts = Counter(found.severity for found in diagnostics)
    if not counts:
        return "no findings"
    listed = ", ".join(count(counts[severity], NOUNS[severity]) for severity in SEVERITIES if counts[severity])
    fixable = sum(isinstance(found, TemplateDiagnostic) and found.fixable for found in diagnostics)
    return f"{listed}; --fix may fix {fixable}" if fixable else listed


def _counted(found: DataDiagnostic) -> str:
    rows = f"{count(found.count, 'row')} ({found.share:.1%})"
    many = f", {found.amount:,} {found.unit}" if found.amount > found.count else ""
    if len(found.sources) < 2:
        return rows + many
    most = sorted(found.sources.items(), key=lambda pair: (-pair[1], pair[0]))
    listed = ", ".join(f"{name} {number:,}" for name, number in most[:3])
    return f"{rows}{many}: {listed}{', …' if len(most) > 3 else ''}"


def _examples(found: DataDiagnostic) -> Iterator[Line]:
    width = max((len(example.place) for example in found.examples), default=0)
    for example in found.examples:
        shown = shortened(" ".join(example.detail.split()))
        yield line("  ", (example.place.ljust(width), "bold"), ("  " + shown, "dim"))


# -- for programs


def document(
    form: str, diagnostics: Sequence[Diagnostic], documented: Mapping[str, Documented], tool: str = "chattmpl"
) -> str:
    """Return the findings as ``json``, ``github`` or ``sarif``; see `sarif` for the arguments."""
    if form == "sarif":
        return sarif(diagnostics, documented, tool)
    if form == "github":
        return github(diagnostics)
    return dumps([one.to_dict() for one in repeated(diagnostics)], indent=2) + "\n"


def github(diagnostics: Sequence[Diagnostic]) -> str:
    """Return workflow commands, which GitHub Actions turns into annotations of a pull request."""
    written = []
    for one in repeated(diagnostics):
        found, more = one.found, f", {one.more}" if one.others else ""
        place = next(iter(found.locations), None)
        keys = {"file": place.file, "line": place.line, "col": place.column} if place is not None else {}
        given = [f"{key}={_property(str(value))}" for key, value in keys.items() if value is not None]
        head = ",".join([*given, f"title={_property(found.code)}"])
        written.append(
            f"::{_GITHUB_LEVELS[found.severity]} {head}::{_data(f'{_message(found)}{more} ({found.hint})')}\n"
        )
    return "".join(written)


def _message(found: Diagnostic) -> str:
    return f"{found.message}: {_counted(found)}" if isinstance(found, DataDiagnostic) else found.message


def _data(value: str) -> str:
    return visible(value).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


def sarif(diagnostics: Sequence[Diagnostic], documented: Mapping[str, Documented], tool: str = "chattmpl") -> str:
    """Return SARIF 2.1.0, which code hosts read; ``documented`` holds the rules, laws or checks by code."""
    codes = sorted({found.code for found in diagnostics})
    driver = {"name": tool, "version": __version__, "rules": [_sarif_rule(documented[code]) for code in codes]}
    results = [_sarif_result(one, codes.index(one.found.code)) for one in repeated(diagnostics)]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _sarif_rule(rule: Documented) -> dict[str, Any]:
    documentation = rule.documentation()
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": documentation.partition("\n")[0]},
        "help": {"text": documentation, "markdown": documentation},
        "defaultConfiguration": {"level": _SARIF_LEVELS[rule.severity]},
    }


def _sarif_result(one: Repeated, index: int) -> dict[str, Any]:
    found = one.found
    locations = [_sarif_location(location) for location in found.locations]
    result: dict[str, Any] = {
        "ruleId": found.code,
        "ruleIndex": index,
        "level": _SARIF_LEVELS[found.severity],
        "message": {"text": f"{_message(found)}. Hint: {found.hint}"},
        "locations": locations[:1],
    }
    if one.others:
        result["occurrenceCount"] = 1 + len(one.others)
        places = (place for other in one.others for place in other.locations[:1])
        result["relatedLocations"] = [_sarif_location(place) for place in islice(places, _SHOWN)]
    if isinstance(found, DataDiagnostic):
        # SARIF's occurrenceCount counts identical results, so the message and the properties have the counts.
        result["relatedLocations"] = [*locations[1:], *result.get("relatedLocations", ())]
        names = ("key", "count", "share", "amount", "sources")
        result["properties"] = {name: value for name, value in found.to_dict().items() if name in names}
    return result


def _sarif_location(location: Location) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(location.file.replace("\\", "/"), safe="/")}}
    region = {"startLine": location.line, "startColumn": location.column}
    if region := {name: value for name, value in region.items() if value is not None}:
        place["region"] = region
    made: dict[str, Any] = {"physicalLocation": place}
    return {**made, "message": {"text": location.note}} if location.note else made
