"""Causes: one finding for each, less what only follows from it.

A slip of the pen breaks many things. Where a rule knows what was meant, the template is linted once more with that in
its place, and what is no longer found was a consequence. Where it does not, rules name the codes that they explain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from chattmpl.lint.context import Subject
from chattmpl.lint.diagnostic import SEVERITIES, Diagnostic
from chattmpl.lint.probe import common_length
from chattmpl.lint.rule import Rule, rules
from chattmpl.source import Source
from chattmpl.syntax.edits import Edit

_LONG = 400
"""Characters of a line on which nearly the whole template stands, so that it says little."""

_NAMED = 4
"""Other lines of one finding that are named."""


def one_a_cause(
    subject: Subject, diagnostics: Iterable[Diagnostic], again: Callable[[str], list[Diagnostic]]
) -> list[Diagnostic]:
    """The findings, one for each cause.

    Args:
        subject: the template.
        diagnostics: all that its rules found.
        again: lints another source by the same rules.
    """
    given = one_a_line(diagnostics)
    given = _without_same_difference(_without_explained(given))
    return _one_a_message(_without_slips(subject, given, again))


def one_a_line(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Of findings of one rule on one line the gravest, and of those the first."""
    by_cause: dict[tuple[str, int, int], Diagnostic] = {}
    for diagnostic in diagnostics:
        line = diagnostic.place.line
        # Templates on one line are common, and there a line says nothing.
        long = len(diagnostic.place.source.line_text(line)) > _LONG
        key = (diagnostic.code, line, diagnostic.place.start if long else 0)
        other = by_cause.get(key)
        if other is None or SEVERITIES.index(diagnostic.severity) < SEVERITIES.index(other.severity):
            by_cause[key] = diagnostic
    return list(by_cause.values())


def _one_a_message(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Findings of one rule that say the same of several lines as one, at the first of them."""
    known = rules()
    by_message: dict[tuple[str, str, str], list[Diagnostic]] = {}
    for diagnostic in sorted(diagnostics, key=lambda one: one.order):
        fixable = known[diagnostic.code].fixable() if diagnostic.code in known else False
        # What a fix is tried on stays by itself.
        key = f"{diagnostic.message}{diagnostic.place.start if fixable and not _is_mask(diagnostic) else ''}"
        by_message.setdefault((diagnostic.code, diagnostic.severity, key), []).append(diagnostic)
    return [_joined(same) for same in by_message.values()]


def _is_mask(diagnostic: Diagnostic) -> bool:
    return diagnostic.law in ("sampled", "stop")


def _joined(same: list[Diagnostic]) -> Diagnostic:
    lines = sorted({one.place.line for one in same[1:]} - {same[0].place.line})
    if not lines:
        return same[0]
    named = ", ".join(map(str, lines[:_NAMED])) + ("…" if len(lines) > _NAMED else "")
    return replace(same[0], message=f"{same[0].message} (also in line {named})")


def _without_explained(given: list[Diagnostic]) -> list[Diagnostic]:
    """Without what another finding explains."""
    known = rules()
    template: set[str] = set()
    lines: set[tuple[str, int]] = set()
    for one in given:
        for code in known[one.code].explains if one.code in known and one.severity != "info" else ():
            name, _, at_line = code.partition(":")
            if at_line:
                lines.add((name, one.place.line))
            else:
                template.add(name)
    return [one for one in given if one.code not in template and (one.code, one.place.line) not in lines]


def _without_same_difference(given: list[Diagnostic]) -> list[Diagnostic]:
    """Without findings that show the first difference of a text that one of another rule shows, and no less grave."""
    first: dict[tuple[str, int], Diagnostic] = {}
    for one in sorted(given, key=lambda one: SEVERITIES.index(one.severity)):
        if (key := _difference(one)) is not None:
            first.setdefault(key, one)
    return [one for one in given if (key := _difference(one)) is None or first[key].code == one.code]


def _difference(one: Diagnostic) -> tuple[str, int] | None:
    """The text that should have begun like another, and where it does not; None for findings of another kind."""
    shown = one.counterexample or {}
    text, other = shown.get("text"), shown.get("prompt" if one.code == "CT203" else "before")
    if not isinstance(text, str) or not isinstance(other, str):
        return None
    return text, common_length(text, other)


def _without_slips(
    subject: Subject, given: list[Diagnostic], again: Callable[[str], list[Diagnostic]]
) -> list[Diagnostic]:
    """Without what is not there once the slips are mended."""
    known = rules()
    slips = {
        index: edits
        for index, one in enumerate(given)
        if one.code in known and (edits := tuple(known[one.code].meant(subject, one)))
    }
    if not slips or len(slips) == len(given):
        return given
    mended = again(_edited(subject.source, [edit for edits in slips.values() for edit in edits]))
    left = {(one.code, _plain(one.message)) for one in mended}
    left |= {(one.code, f"{one.place.line} {one.severity}") for one in mended}
    if any(one.code == "CT001" for one in mended):
        return given
    return [
        one
        for index, one in enumerate(given)
        if index in slips
        or one.severity == "info"
        or {(one.code, _plain(one.message)), (one.code, f"{one.place.line} {one.severity}")} & left
    ]


def _plain(message: str) -> str:
    """A message without what it quotes."""
    return re.sub(r"'[^']*'…?", "", message)


def _edited(source: Source, edits: Iterable[Edit]) -> str:
    text, end = source.text, len(source.text)
    for edit in sorted(set(edits), key=lambda edit: edit.start, reverse=True):
        if edit.end <= end:
            text, end = text[: edit.start] + edit.text + text[edit.end :], edit.start
    return text


def spelt(subject: Subject, written: str, meant: str) -> list[Edit]:
    """Edits that write another word, wherever it stands in a tag as a name or a whole string."""
    edits = []
    for offset, kind, value in subject.tokens:
        if kind == "name" and value == written:
            edits.append(Edit(offset, offset + len(value), meant))
        elif kind == "string" and value[1:-1] == written:
            edits.append(Edit(offset + 1, offset + len(value) - 1, meant))
    return edits


def quoted_in(hint: str) -> str:
    """The first word in quotes of a hint that asks whether it was meant."""
    found = re.search(r"'([^']*)'", hint)
    return found[1] if found else ""


def is_slip(rule: Rule) -> bool:
    """Whether a rule knows what was meant."""
    return type(rule).meant is not Rule.meant
