"""Diagnostics as a terminal, a program, a code host and a CI want them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chattmpl.diagnostic import SEVERITIES, Severity, TemplateDiagnostic
from chattmpl.lint.rule import Rule
from chattmpl.printable import dumps, visible

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_STYLES: dict[Severity, str] = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}
_SARIF_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}
_GITHUB_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "notice"}
_INSIDE = re.compile(r":(?:chat_template(?:\[[^\]]*\])?|tokenizer\.chat_template\S*)$")
"""What follows a path where the template is inside of a config or a GGUF file."""


def text(diagnostics: Sequence[TemplateDiagnostic]) -> str:
    """For people, without colours: a line for each, the excerpt with a caret, and the hint."""
    blocks = [visible(f"{_head(found)}\n{found.place.excerpt()}\n  hint: {found.hint}\n") for found in diagnostics]
    return "\n".join([*blocks, f"{summary(diagnostics)}\n"])


def summary(diagnostics: Sequence[TemplateDiagnostic]) -> str:
    """How many there are of each severity."""
    counts = Counter(found.severity for found in diagnostics)
    if not counts:
        return "no findings"
    names = {"error": ("error", "errors"), "warning": ("warning", "warnings"), "info": ("note", "notes")}
    told = ", ".join(
        f"{counts[severity]} {names[severity][counts[severity] > 1]}" for severity in SEVERITIES if counts[severity]
    )
    fixable = sum(found.fixable for found in diagnostics)
    return f"{told}; --fix may mend {fixable}" if fixable else told


def _head(found: TemplateDiagnostic) -> str:
    return f"{found.place}: {found.severity} {found.code}: {found.message}{' [fixable]' if found.fixable else ''}"


def rich(diagnostics: Sequence[TemplateDiagnostic]) -> str:
    """For a terminal, with colours as it has them."""
    from io import StringIO

    from rich.text import Text

    from chattmpl.report.terminal import console

    out = console(StringIO())
    return _drawn(diagnostics, out, Text)


def _drawn(diagnostics: Sequence[TemplateDiagnostic], to: Any, styled: Any) -> str:
    with to.capture() as capture:
        for found in diagnostics:
            style = _STYLES[found.severity]
            head = (f" {found.severity} {found.code}", style)
            mark = (" [fixable]" if found.fixable else "", "green")
            to.print(styled.assemble((visible(str(found.place)), "bold"), head, " ", visible(found.message), mark))
            source, _, caret = visible(found.place.excerpt()).rpartition("\n")
            to.print(styled.assemble((source, "dim"), "\n", (caret, style)), soft_wrap=True)
            to.print(styled.assemble(("  hint: ", "green"), visible(found.hint), "\n"))
        to.print(styled(summary(diagnostics), "bold"))
    drawn: str = capture.get()
    return drawn


def json_text(diagnostics: Sequence[TemplateDiagnostic]) -> str:
    """One list of objects; see `TemplateDiagnostic.to_dict`."""
    return dumps([found.to_dict() for found in diagnostics], indent=2) + "\n"


def github(diagnostics: Sequence[TemplateDiagnostic]) -> str:
    """Workflow commands, which GitHub Actions turns into annotations at the lines of a pull request."""
    lines = []
    for found in diagnostics:
        path, line, column = _in_file(found)
        place = f"file={_property(path)},line={line},col={column},title={_property(found.code)}"
        lines.append(f"::{_GITHUB_LEVELS[found.severity]} {place}::{_data(f'{found.message} ({found.hint})')}\n")
    return "".join(lines)


def _in_file(found: TemplateDiagnostic) -> tuple[str, int, int]:
    """The path, line and column in a file; a template inside of another file has no line there but the first."""
    name = found.place.source.name
    path = _INSIDE.sub("", name)
    return (name, found.place.line, found.place.column) if path == name else (path, 1, 1)


def _data(value: str) -> str:
    return visible(value).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


def sarif(diagnostics: Sequence[TemplateDiagnostic], rules: Mapping[str, Rule | Described], version: str) -> str:
    """SARIF 2.1.0, which code hosts read."""
    codes = sorted({found.code for found in diagnostics})
    driver = {
        "name": "chattmpl",
        "version": version,
        "rules": [_sarif_rule(rules[code]) for code in codes],
    }
    results = [_sarif_result(found, codes.index(found.code)) for found in diagnostics]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


@dataclass(frozen=True)
class Described:
    """What a finding is about, where it is no rule of lint: a law."""

    code: str
    name: str
    severity: Severity
    text: str

    def documentation(self) -> str:
        """What it says."""
        return self.text


def laws_described() -> dict[str, Rule | Described]:
    """The laws as SARIF tells of them, by name."""
    from inspect import cleandoc

    from chattmpl.laws import laws_named

    return {
        law.name: Described(law.name, law.name, "error", cleandoc(law.__doc__ or law.name)) for law in laws_named(None)
    }


def _sarif_rule(rule: Rule | Described) -> dict[str, Any]:
    documentation = rule.documentation()
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": documentation.partition("\n")[0]},
        "help": {"text": documentation, "markdown": documentation},
        "defaultConfiguration": {"level": _SARIF_LEVELS[rule.severity]},
    }


def _sarif_result(found: TemplateDiagnostic, index: int) -> dict[str, Any]:
    from urllib.parse import quote

    path, line, column = _in_file(found)
    location = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(path.replace("\\", "/"), safe="/")},
            "region": {"startLine": line, "startColumn": column},
        }
    }
    return {
        "ruleId": found.code,
        "ruleIndex": index,
        "level": _SARIF_LEVELS[found.severity],
        "message": {"text": f"{found.message}. Hint: {found.hint}"},
        "locations": [location],
    }


def write(
    form: str, diagnostics: Sequence[TemplateDiagnostic], rules: Mapping[str, Rule | Described], version: str
) -> str:
    """The diagnostics in one of `FORMATS`."""
    if form == "sarif":
        return sarif(diagnostics, rules, version)
    return _WRITERS[form](diagnostics)


_WRITERS: dict[str, Callable[[Sequence[TemplateDiagnostic]], str]] = {
    "rich": rich,
    "text": text,
    "json": json_text,
    "github": github,
}
FORMATS = (*_WRITERS, "sarif")
