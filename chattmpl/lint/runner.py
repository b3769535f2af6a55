"""Running rules over a template: what they find, less what is silenced, one finding for each cause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from chattmpl.errors import ChatTmplError
from chattmpl.lint.conversations import TITLES
from chattmpl.lint.declared import as_declared
from chattmpl.lint.diagnostic import SEVERITIES, Diagnostic
from chattmpl.lint.rule import Rule, rules
from chattmpl.lint.subject import Subject
from chattmpl.lint.suppress import directives
from chattmpl.origins import Found
from chattmpl.source import Place

BROKEN, UNUSED, NOT_EVALUATED = "CT001", "CT003", "CT004"
"""Rules whose findings are made here, since they are about linting itself."""


def lint(found: Found, chosen: Sequence[Rule] | None = None, tokenizer: Any = None) -> list[Diagnostic]:
    """What the rules find in one template, sorted by place.

    Args:
        found: the template; see `chattmpl.lint.inputs.find_inputs`.
        chosen: the rules; all of them by default.
        tokenizer: as `chattmpl.encode.load_tokenizer` returns it; without it the rules on tokens are left out.
    """
    chosen = tuple(rules().values()) if chosen is None else chosen
    codes = {rule.code for rule in chosen}
    try:
        subject = Subject(found, tokenizer)
    except ChatTmplError as error:
        return [_broken(found, error)] if BROKEN in codes else []
    applicable = [rule for rule in chosen if tokenizer is not None or not rule.needs_tokenizer]
    made: list[Diagnostic] = []
    for rule in applicable:
        made += _checked(rule, subject, codes)
    if NOT_EVALUATED in codes:
        made += _not_evaluated(subject)
    kept = _without_silenced(subject, _one_a_cause(as_declared(found.family, made)), codes)
    return sorted(kept, key=lambda diagnostic: diagnostic.order)


def _checked(rule: Rule, subject: Subject, codes: set[str]) -> list[Diagnostic]:
    try:
        return list(rule.check(subject))
    except Exception as error:
        if NOT_EVALUATED not in codes:
            return []
        what = " ".join(str(error).split())[:200]
        message = f"{rule.code} was not evaluated, by a bug in chattmpl: {type(error).__name__}: {what}"
        return [rules()[NOT_EVALUATED].finding(subject.top(), message, "please report it, with the template")]


def _broken(found: Found, error: ChatTmplError) -> Diagnostic:
    rule = rules()[BROKEN]
    place = error.place or Place(found.source, 0, 1)
    return rule.finding(place, error.message, error.hint or "correct the syntax; no engine can use the template")


def _not_evaluated(subject: Subject) -> Iterator[Diagnostic]:
    """One finding for each cause of a probe that raised: what raises is not evaluated, which is not fine."""
    rule = rules()[NOT_EVALUATED]
    causes: dict[tuple[int, str], list[str]] = {}
    places: dict[tuple[int, str], Place] = {}
    for name, error in subject.probe.failures.items():
        place = error.place or subject.top()
        key = (place.start, error.message)
        causes.setdefault(key, []).append(name)
        places[key] = place
    for key, names in causes.items():
        titles = ", ".join(TITLES[name] for name in names)
        message = f"not evaluated with {titles}: {key[1]}"
        hint = "what the rules would find there is not known; if the template is to refuse this, all is well"
        severity = "warning" if "turn" in names else None
        yield rule.finding(places[key], message, hint, severity=severity)  # type: ignore[arg-type]


def _one_a_cause(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Of findings of one rule on one line the gravest, and of those the first."""
    by_cause: dict[tuple[str, int, int], Diagnostic] = {}
    for diagnostic in diagnostics:
        line = diagnostic.place.line
        # Templates on one line are common, and there a line says nothing.
        long = len(diagnostic.place.source.line_text(line)) > 400
        key = (diagnostic.code, line, diagnostic.place.start if long else 0)
        other = by_cause.get(key)
        if other is None or SEVERITIES.index(diagnostic.severity) < SEVERITIES.index(other.severity):
            by_cause[key] = diagnostic
    return list(by_cause.values())


def _without_silenced(subject: Subject, diagnostics: list[Diagnostic], codes: set[str]) -> list[Diagnostic]:
    kept = list(diagnostics)
    for directive in directives(subject):
        if not directive.valid:
            continue
        silenced = [diagnostic for diagnostic in kept if directive.silences(diagnostic)]
        kept = [diagnostic for diagnostic in kept if diagnostic not in silenced]
        # What was not looked for cannot be missing.
        looked = any(code.startswith(directive.codes) for code in codes)
        if not silenced and looked and UNUSED in codes:
            named = ", ".join(directive.codes)
            message = f"nothing here is found by {named}, so there is nothing to ignore"
            kept.append(rules()[UNUSED].finding(directive.place, message, "remove the comment"))
    return kept
